"""Text with each symbol coloured by what it cost the model."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LEVELS = 10
"""Colours of the scale; the style sheet has as many."""

_TOPS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """One symbol of a passage, ready to be shown."""

    text: str
    """What is shown; control characters are replaced by visible ones."""
    name: str
    """How to call it in a sentence: the symbol in quotes, or the name of one that cannot be seen."""
    kind: Literal["text", "space", "newline"]
    """How it is shown."""
    loss: float | None
    """Its loss in nats; None where none is known."""
    level: int
    """The colour it gets, 0 to `LEVELS` - 1."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The colour scale: equal steps of loss from zero to `top`; what costs more gets the last colour."""

    top: float
    """The loss in nats at which the last colour is reached."""

    def level(self, loss: float | None) -> int:
        """Return the colour of a loss in nats."""
        if loss is None or loss <= 0:
            return 0
        return min(LEVELS - 1, int(LEVELS * loss / self.top))


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A run of symbols and where it stands."""

    title: str
    """Where it was found."""
    note: str
    """What it cost on average."""
    symbols: tuple[Symbol, ...]
    """Its symbols in order."""


def scale_for(losses: Iterable[float | None]) -> Scale:
    """Return the scale whose last colour is for about the costliest fiftieth of `losses`."""
    high = nearly_largest(losses)
    return Scale(top=next((top for top in _TOPS if top >= high), _TOPS[-1]))


def nearly_largest(losses: Iterable[float | None]) -> float:
    """Return what about a fiftieth of `losses` is beyond; 0 where there are none."""
    known = sorted(loss for loss in losses if loss is not None)
    return known[int(0.98 * (len(known) - 1))] if known else 0.0


def symbols(tokens: Sequence[str], losses: Sequence[float | None], scale: Scale) -> tuple[Symbol, ...]:
    """Return the tokens with their losses, ready to be shown; a token without a loss gets None.

    Raises:
        ValueError: There are more losses than tokens.
    """
    if len(losses) > len(tokens):
        raise ValueError(
            f"symbols: {len(losses)} losses for {len(tokens)} tokens. Give at most one loss for each token."
        )
    padded = [*losses, *([None] * (len(tokens) - len(losses)))]
    return tuple(_symbol(token, loss, scale) for token, loss in zip(tokens, padded, strict=True))


def _symbol(token: str, loss: float | None, scale: Scale) -> Symbol:
    kind: Literal["text", "space", "newline"] = "text"
    if token in ("\n", "\r\n", "\r"):
        kind = "newline"
    elif token == " ":
        kind = "space"
    return Symbol(
        text="\n" if kind == "newline" else visible(token),
        name=symbol_name(token),
        kind=kind,
        loss=loss,
        level=scale.level(loss),
    )


def symbol_name(token: str) -> str:
    """Return how to call a token in a sentence.

    Example:
        >>> symbol_name("e"), symbol_name(" "), symbol_name(" the")
        ('“e”', 'space', '“␣the”')
    """
    names = {" ": "space", "\n": "line break", "\r\n": "line break", "\r": "line break", "\t": "tab", "": "nothing"}
    if token in names:
        return names[token]
    return f"“{visible(token.replace(' ', '␣').replace(chr(10), '↵').replace(chr(9), '⇥'))}”"


def visible(text: str) -> str:
    """Return `text` with what would be invisible, or would turn the text around it, replaced by something to see.

    Line breaks, tabs, and the joiners that scripts and emoji need stay.

    Example:
        >>> visible("a\\x00b\\u202ec")
        'a␀b[U+202E]c'
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t\u200c\u200d":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"[U+{code:04X}]"
    return character


def nats(value: float) -> str:
    """Return a loss for a sentence.

    Example:
        >>> nats(2.345), nats(0.0004)
        ('2.35 nats', 'less than 0.01 nats')
    """
    return "less than 0.01 nats" if 0 <= value < 0.005 else f"{value:.2f} nats"


def chance(loss: float) -> str:
    """Return the probability behind a loss in nats.

    Example:
        >>> chance(0.0), chance(1.0), chance(7.0)
        ('100%', '37%', '1 in 1,097')
    """
    probability = math.exp(-max(loss, 0.0))
    if probability >= 0.01:
        return f"{probability:.0%}"
    # Beyond this the figure says nothing more, and exp would overflow.
    return f"1 in {math.exp(min(loss, 30.0)):,.0f}"
