"""Where each token that was written looked: a text whose tokens light up what they looked at, and a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recur.report.chart import Grid
from recur.report.passage import symbol_name, visible


@dataclass(frozen=True, kw_only=True)
class LookingToken:
    """A token that was written."""

    text: str
    """What is shown."""
    name: str
    """How it is called."""
    weights: str
    """One number for each token that was read, with blanks between."""


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What was read and what was written, and how much each of the one has to do with each of the other."""

    title: str
    """What it shows."""
    verb: str
    """What a written token does with one that was read: "looked at"."""
    is_share: bool
    """Whether numbers are shares, to be shown in per cent."""
    source: tuple[tuple[str, str], ...]
    """Tokens that were read: what is shown, and how each is called."""
    written: tuple[LookingToken, ...]
    """Tokens that were written."""


def looking_of(
    source: Sequence[str],
    written: Sequence[str],
    values: NDArray[np.floating],
    *,
    title: str = "Where it looks",
    verb: str = "looked at",
    is_share: bool = True,
) -> Looking:
    """Return what was read and written, ready to be shown.

    Args:
        source: S tokens.
        written: T tokens.
        values: (T, S); what is not finite counts as 0.
        title: As of `Looking`, as all others.
        verb: Likewise.
        is_share: Likewise.
    """
    known = np.where(np.isfinite(values), values, 0.0)
    return Looking(
        title=title,
        verb=verb,
        is_share=is_share,
        source=tuple((_shown(token), symbol_name(token)) for token in source),
        written=tuple(
            LookingToken(text=_shown(token), name=symbol_name(token), weights=" ".join(f"{one:.3g}" for one in row))
            for token, row in zip(written, known, strict=True)
        ),
    )


def _shown(token: str) -> str:
    """Return a token that can be seen, and pointed at."""
    return visible(token.replace("\n", "↵")) if token.strip() else "␣"


def looking_grid(
    key: str, source: Sequence[str], written: Sequence[str], values: NDArray[np.floating], title: str
) -> Grid:
    """Return a map: each row is a token that was written.

    Args:
        key: Of the drawing.
        source: S tokens.
        written: T tokens.
        values: (T, S), finite.
        title: What it shows.
    """
    strongest = [f"{token} at {source[column]}" for token, column in zip(written, values.argmax(1), strict=True)]
    return Grid(
        key=key,
        title=title,
        summary=f"Where each token looked most: {shortened(', '.join(strongest))}.",
        x_label="what was read",
        y_label="what was written",
        values=values,
        x=tuple(map(float, range(len(source)))),
        y=tuple(map(float, range(len(written)))),
        x_names=tuple(source),
        y_names=tuple(written),
    )


_MOST_CHARACTERS = 600


def shortened(text: str) -> str:
    """Return the beginning of a text that is long."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"
