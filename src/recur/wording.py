"""How numbers and names are written for people."""

from __future__ import annotations

from collections.abc import Sequence

_CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "indrnn": "IndRNN", "mgu": "MGU", "ligru": "LiGRU"}


def quantity(number: float, noun: str) -> str:
    """Return a number with its noun, which is given in the singular.

    Example:
        >>> quantity(1, "step"), quantity(1_000_000, "step"), quantity(0.5, "minute")
        ('1 step', '1,000,000 steps', '0.5 minutes')
    """
    written = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{written} {noun if number == 1 else noun + 's'}"


def measured(value: float) -> str:
    """Return a measured number in four digits, or to the whole where it is large.

    Example:
        >>> measured(0.0123449), measured(21.5), measured(1234567.8)
        ('0.01234', '21.5', '1,234,568')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def enumerated(names: Sequence[str]) -> str:
    """Return names as a sentence enumerates them.

    Example:
        >>> enumerated(["one", "two", "three"])
        'one, two and three'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def cell_name(cell: str) -> str:
    """Return a recurrent cell's name as its paper spells it; any other as it is.

    Example:
        >>> cell_name("indrnn"), cell_name("lstm")
        ('IndRNN', 'LSTM')
    """
    return _CELLS.get(cell.lower(), cell)


def symbol_name(tokenizer: str) -> str:
    """Return what one symbol is called that a tokenizer of this kind makes.

    Example:
        >>> symbol_name("byte"), symbol_name("bpe")
        ('byte', 'token')
    """
    return tokenizer if tokenizer in ("character", "byte") else "token"
