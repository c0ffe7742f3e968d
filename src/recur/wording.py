"""How numbers, names and options are written for people."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "indrnn": "IndRNN", "mgu": "MGU", "ligru": "LiGRU"}


_COMMAND: ContextVar[tuple[str, Callable[[str], str | None]] | None] = ContextVar("_COMMAND", default=None)
_NO_VALUE = object()


@contextmanager
def as_on_the_command_line(owner: Callable[[str], str | None] | None = None, command: str = "") -> Iterator[None]:
    """Have options written as the command line takes them, within.

    Args:
        owner: Returns the command that takes an option, told by its name in Python, or None where none does; without
            it, the one that runs takes all.
        command: The one that runs.
    """
    token = _COMMAND.set((command, owner or (lambda name: command)))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def option(name: str, value: Any = _NO_VALUE, *, is_flag: bool = True) -> str:
    """Return an option as the one who asks would write it: in Python, or on the command line while a command runs.

    Every message that tells the user to give an option, or to leave one out, names it by this. Where the command that
    runs does not take it, it is said which one does, or that it is there in Python alone.

    Args:
        name: Its name in Python.
        value: What to give it, if that is said; on the command line an empty tuple is no text.
        is_flag: Whether it says True there by its name alone, as an option does that is False by default.

    Example:
        >>> option("time_format"), option("duplicates", "mean"), option("sort", True)
        ('time_format=', "duplicates='mean'", 'sort=True')
        >>> with as_on_the_command_line():
        ...     option("time_format"), option("duplicates", "mean"), option("overwrite", True), option("label", ())
        ('--time-format', '--duplicates mean', '--overwrite', "--label ''")
        >>> with as_on_the_command_line():
        ...     option("has_header", True, is_flag=False), option("has_header", False)
        ('--has-header true', '--has-header false')
        >>> with as_on_the_command_line({"ignored": "train"}.get, "evaluate"):
        ...     option("ignored"), option("sort", True)
        ('--ignored (of recur train)', 'sort=True in Python')
    """
    running = _COMMAND.get()
    in_python = f"{name}=" if value is _NO_VALUE else f"{name}={value!r}"
    if running is None:
        return in_python
    command, owner = running
    taker = owner(name)
    if taker is None:
        return f"{in_python} in Python"
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        flag += "" if value and is_flag else f" {str(value).lower()}"
    elif value is not _NO_VALUE:
        flag += f" {shlex.quote(','.join(map(str, value)) if isinstance(value, tuple) else str(value))}"
    return flag if taker == command else f"{flag} (of recur {taker})"


def quantity(number: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Args:
        number: How many.
        noun: In the singular.
        plural: In the plural, where that has more than an s.

    Example:
        >>> quantity(1, "step"), quantity(1_000_000, "step"), quantity(0.5, "minute"), quantity(2, "class", "classes")
        ('1 step', '1,000,000 steps', '0.5 minutes', '2 classes')
    """
    written = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{written} {noun if number == 1 else plural or noun + 's'}"


def part_name(part: str) -> str:
    """Return what the data are called that a run is judged on.

    Args:
        part: Of the run's own data, or "given" of others.

    Example:
        >>> part_name("test"), part_name("given")
        ('the test part', 'the data given')
    """
    return "the data given" if part == "given" else f"the {part} part"


def measured(value: float) -> str:
    """Return a measured number in four digits, or to the whole where it is large.

    Example:
        >>> measured(0.0123449), measured(21.5), measured(1234567.8)
        ('0.01234', '21.5', '1,234,568')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning, unless its first word has capitals of its own.

    Example:
        >>> sentence("exact match 80%"), sentence("chrF 40")
        ('Exact match 80%', 'chrF 40')
    """
    first = text.split(" ", 1)[0]
    return f"{text[:1].upper()}{text[1:]}" if first == first.lower() else text


def shortened(text: str, most: int) -> str:
    """Return a text, or of a longer one the beginning, with an ellipsis as the last of `most` characters.

    Example:
        >>> shortened("recurrent", 9), shortened("recurrent", 6)
        ('recurrent', 'recur…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percentage(share: float) -> str:
    """Return a measured share in per cent, in four digits.

    Example:
        >>> percentage(0.0225), percentage(1e-4)
        ('2.25%', '0.01%')
    """
    return f"{measured(100 * share)}%"


def enumerated(names: Sequence[str], *, most: int | None = None) -> str:
    """Return names as a sentence enumerates them.

    Args:
        names: The names.
        most: How many of them are given, where there may be many; the rest are "others".

    Example:
        >>> enumerated(["one", "two", "three"]), enumerated(["one", "two", "three"], most=2)
        ('one, two and three', 'one, two and others')
    """
    if most is not None and len(names) > most:
        names = [*names[:most], "others"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def known_names(names: Iterable[str], most: int = 10) -> str:
    """Return names as a message lists them, not too many.

    Example:
        >>> known_names(["text", "label"])
        "'text', 'label'"
    """
    found = list(names)
    return ", ".join(map(repr, found[:most])) + (", ..." if len(found) > most else "")


def printable(name: str) -> str:
    """Return a name of a file as it stands in a message, which is one line.

    Example:
        >>> printable("a b.txt"), printable("a\\nb.txt")
        ('a b.txt', "'a\\\\nb.txt'")
    """
    return name if name.isprintable() else repr(name)


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines, the cells of each column below each other; nothing stands behind the last one.

    Example:
        >>> print(in_columns([("time", "day", "named so"), ("targets", "sales", "")]))
        time     day    named so
        targets  sales
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


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
