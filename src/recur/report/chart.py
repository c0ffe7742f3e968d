"""A chart, described once and drawn by two renderers: `interactive` for the page, `picture` for the PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 2_000
"""Points a curve keeps at most; more cannot be told apart on a screen and only make the file larger."""

Role = Literal["raw", "train", "valid", "best", "rate", "norm", "speed"]
"""What a series shows; each renderer has a colour and a line for every role."""

COLOURS: dict[Role | Literal["level"], str] = {
    "raw": "#9fb6c9",
    "train": "#2a6496",
    "valid": "#c2410c",
    "best": "#c2410c",
    "rate": "#5b4a9e",
    "norm": "#9fb6c9",
    "speed": "#1d7a5f",
    "level": "#5d6672",
}
"""The light theme's colours; the page replaces them by its own style sheet's and follows the reader's theme."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: `y` over `x`, in the order of `x`."""

    name: str
    """Its name in the legend."""
    role: Role
    """What it shows."""
    x: tuple[float, ...]
    """Training steps."""
    y: tuple[float | None, ...]
    """A value for each step; None leaves a gap in the line."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"Series: x has {len(self.x)} points but y has {len(self.y)}. Give one y for each x.")


@dataclass(frozen=True, kw_only=True)
class Level:
    """A horizontal line with its name on it: a baseline, a threshold."""

    name: str
    """The text on the line."""
    y: float
    """Its height."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of training over the steps."""

    key: str
    """Its name in the page and, with `.png`, of its picture."""
    title: str
    """What it shows."""
    y_label: str
    """What the vertical axis counts, with its unit."""
    summary: str
    """One sentence with the figures that the curves tell, for the caption and for those who cannot see them."""
    series: tuple[Series, ...]
    """The curves, the back one first."""
    levels: tuple[Level, ...] = ()
    """Horizontal lines."""
    x_label: str = "step"
    """What the horizontal axis counts."""
    is_log: bool = False
    """Whether the vertical axis is logarithmic; values of zero and below are then left out."""
    y_range: tuple[float, float] | None = None
    """What the vertical axis spans at first; None for all there is."""


def thin(
    x: Sequence[float], y: Sequence[float | None], max_points: int = MAX_POINTS
) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    """Return at most `max_points` of the points, in order, that draw the same picture.

    The points are cut into equal runs, and the lowest, the highest and the first missing one of each run are kept, so that no spike and
    no gap is lost; the first and the last point always stay.

    Raises:
        ValueError: `max_points` is below 5, or `x` and `y` differ in length.

    Example:
        >>> thin(range(9), [0, 0, 0, 7, 0, 0, 0, 0, 1], max_points=5)
        ((0, 3, 8), (0, 7, 1))
    """
    if max_points < 5:
        raise ValueError(f"thin: max_points is {max_points}. Give at least 5: both ends and three for a run.")
    if len(x) != len(y):
        raise ValueError(f"thin: x has {len(x)} points but y has {len(y)}. Give one y for each x.")
    if len(x) <= max_points:
        return tuple(x), tuple(y)
    values = np.array([np.nan if value is None else value for value in y], dtype=np.float64)
    keep = {0, len(x) - 1}
    for run in np.array_split(np.arange(1, len(x) - 1), (max_points - 2) // 3):
        is_missing = np.isnan(values[run])
        if not is_missing.all():
            keep.add(int(run[np.nanargmin(values[run])]))
            keep.add(int(run[np.nanargmax(values[run])]))
        if is_missing.any():
            keep.add(int(run[np.argmax(is_missing)]))
    kept = sorted(keep)
    return tuple(x[i] for i in kept), tuple(y[i] for i in kept)


def smooth(y: Sequence[float | None], radius: int) -> tuple[float | None, ...]:
    """Return the centred moving average of `y`, which does not lag behind a falling curve as a running mean does.

    Args:
        y: Values; None where there is none, which stays None and is left out of its neighbours' averages.
        radius: How many neighbours on each side count. It shrinks towards both ends, so that the ends stay where they are.

    Example:
        >>> smooth([4.0, 1.0, 1.0, 4.0], radius=1)
        (4.0, 2.0, 2.0, 4.0)
    """
    count = len(y)
    has_value = np.array([value is not None for value in y], dtype=bool)
    values = np.array([0.0 if value is None else value for value in y], dtype=np.float64)
    place = np.arange(count)
    reach = np.minimum(np.minimum(place, count - 1 - place), radius)
    sums = _window_sums(values, place, reach)
    counts = _window_sums(has_value.astype(np.float64), place, reach)
    return tuple(float(sums[i] / counts[i]) if has_value[i] else None for i in range(count))


def _window_sums(
    values: NDArray[np.float64], place: NDArray[np.int64], reach: NDArray[np.int64]
) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(values)])
    sums: NDArray[np.float64] = running[place + reach + 1] - running[place - reach]
    return sums
