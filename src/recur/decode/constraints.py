"""What one call asks of its outputs by token: what must not be in them, what must, how long each row may get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recur.errors import OptionError
from recur.kinds import is_whole

Phrase = tuple[int, ...]
"""Tokens in a row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraints:
    """What the outputs of a batch must hold and must not.

    Raises:
        OptionError: A token is no whole number from 0 on, a phrase is empty, or what is required holds what is
            forbidden.

    Example:
        >>> Constraints(forbidden=[0, (3, 4)]).forbidden_phrases
        ((0,), (3, 4))
    """

    forbidden: Sequence[int | Sequence[int]] = ()
    """Tokens, and phrases of several, that are in no output. A phrase may have the end as its last token: then what
    comes before it is not the last that is said."""

    required: Sequence[Sequence[int | Sequence[int]]] | None = None
    """For each row of the batch the tokens and phrases that its outputs hold, in any order; they may overlap. They are
    searched for in the manner of Post & Vilar (2018), and best with more beams than they have tokens."""

    max_lengths: Tensor | None = None
    """(B,) int64: for each row the most tokens before the end, where the options' `max_length` is not less."""

    def __post_init__(self) -> None:
        forbidden = self.forbidden_phrases
        for row, phrases in enumerate(self.required or ()):
            for phrase in _phrases(f"required, row {row}", phrases):
                held = next((one for one in forbidden if _holds(phrase, one)), None)
                if held is not None:
                    raise OptionError(
                        f"required, row {row}: tokens {_told(phrase)} hold {_told(held)}, which are forbidden."
                    )

    @property
    def forbidden_phrases(self) -> tuple[Phrase, ...]:
        """All that is forbidden, as phrases."""
        return _phrases("forbidden", self.forbidden)

    def required_phrases(self, row: int) -> tuple[Phrase, ...]:
        """Return what a row requires, as phrases."""
        return () if self.required is None else _phrases("required", self.required[row])


def _phrases(name: str, given: Any) -> tuple[Phrase, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise OptionError(f"{name}: tokens and phrases are listed, and {given!r} is no list of them.")
    return tuple(_phrase(name, phrase) for phrase in given)


def _phrase(name: str, given: Any) -> Phrase:
    tokens = (given,) if is_whole(given) else given
    if not isinstance(tokens, Sequence) or not tokens or not all(is_whole(token, 0) for token in tokens):
        raise OptionError(f"{name}: a phrase is one token or several, whole numbers from 0 on, not {given!r}.")
    return tuple(tokens)


def _holds(phrase: Phrase, other: Phrase) -> bool:
    return any(phrase[begin : begin + len(other)] == other for begin in range(len(phrase) - len(other) + 1))


def _told(phrase: Phrase) -> str:
    return " ".join(map(str, phrase))
