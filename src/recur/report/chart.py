"""Charts, described once and drawn by two renderers: `interactive` with plotly, `picture` as PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 2_000
"""Points a curve keeps at most; more cannot be told apart on a screen and only make the file larger."""

Role = Literal["raw", "train", "valid", "best", "rate", "norm", "speed", "first", "second", "third", "fourth"]
"""What a series shows; each renderer has a colour and a line for every role."""

COLOURS: dict[Role | Literal["level"], str] = {
    "raw": "#9fb6c9",
    "train": "#2a6496",
    "valid": "#c2410c",
    "best": "#c2410c",
    "rate": "#5b4a9e",
    "norm": "#2a6496",
    "speed": "#1d7a5f",
    "first": "#1f5f99",
    "second": "#c2410c",
    "third": "#1d7a5f",
    "fourth": "#5b4a9e",
    "level": "#5d6672",
}
"""The light theme's colours; the page replaces them by its own style sheet's and follows the reader's theme."""

SIGNED = ("#08457f", "#5c9bd1", "#b5d3ea", "#ffffff", "#f6c7a3", "#e07f45", "#8a2f08")
"""Colours for what may be below zero, which is white."""

POSITIVE = ("#ffffff", "#c5e6de", "#78c2b3", "#3f9f8f", "#0c5950", "#043f39")
"""Colours for what begins at zero."""


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
    errors: tuple[float | None, ...] = ()
    """Standard errors of the values, to be drawn to both sides; none where empty or None."""
    is_scattered: bool = False
    """Whether the points are drawn and not a line through them."""

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
class Band:
    """What lies between two curves."""

    name: str
    """Its name in the legend."""
    role: Role
    """What it shows."""
    x: tuple[float, ...]
    """As of `Series`."""
    low: tuple[float, ...]
    """Its lower end at each."""
    high: tuple[float, ...]
    """Its upper end at each."""


def band_opacity(place: int) -> float:
    """Return how opaque the band at a place of a chart's bands is: those within others more, so that names tell them.

    Example:
        >>> [band_opacity(place) for place in range(3)]
        [0.16, 0.32, 0.48]
    """
    return round(0.16 * (min(place, 3) + 1), 2)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over one axis: a training over its steps, unless its fields say otherwise."""

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
    bands: tuple[Band, ...] = ()
    """What is drawn behind them, the widest first."""
    levels: tuple[Level, ...] = ()
    """Horizontal lines."""
    x_label: str = "step"
    """What the horizontal axis counts."""
    x_format: str = ",d"
    """How it is written, as d3 does."""
    is_dated: bool = False
    """Whether the horizontal axis is time, its numbers milliseconds since 1970."""
    x_range: tuple[float, float] | None = None
    """What it spans at first; None for all from zero."""
    is_log: bool = False
    """Whether the vertical axis is logarithmic; values of zero and below are then left out."""
    y_range: tuple[float, float] | None = None
    """What the vertical axis spans at first; None for all there is. On a logarithmic axis, round numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A matrix of colours."""

    key: str
    """Its name, and with `.png` that of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    x_label: str
    """What runs from left to right."""
    y_label: str
    """What runs from top to bottom."""
    values: NDArray[np.floating]
    """(rows, columns); NaN stays empty."""
    x: tuple[float, ...]
    """What each column stands for."""
    y: tuple[float, ...]
    """What each row stands for."""
    x_names: tuple[str, ...] = ()
    """What each column is called, instead of its number."""
    y_names: tuple[str, ...] = ()
    """What each row is called, likewise."""
    is_signed: bool = False
    """Whether zero is in the middle of the colours."""
    is_log: bool = False
    """Whether colours go by powers of ten; what is not above zero then stays empty."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How often what was taken for what: a square of counts, coloured by their share of the row."""

    key: str
    """Its name in the page and, with `.png`, of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    x_label: str
    """What a column is."""
    y_label: str
    """What a row is."""
    names: tuple[str, ...]
    """Of the rows, which are those of the columns too."""
    counts: tuple[tuple[int, ...], ...]
    """Rows of counts."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """The counts as shares of their row, (K, K); zero in a row without any."""
        counts = np.array(self.counts, np.float64)
        shares: NDArray[np.float64] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class Trail:
    """A path in a plane, coloured by where on it one is."""

    key: str
    """Its name, and with `.png` that of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    x_label: str
    """What runs from left to right."""
    y_label: str
    """What runs upwards."""
    points: NDArray[np.floating]
    """(N, 2), in order."""
    names: tuple[str, ...]
    """What to call each point."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars with a name each, above and below zero."""

    key: str
    """Its name, and with `.png` that of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    x_label: str
    """What the bars stand for."""
    y_label: str
    """What their heights count."""
    names: tuple[str, ...]
    """The name of each bar; names may come twice."""
    values: tuple[float, ...]
    """The height of each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Letters:
    """A text in rows, each symbol on a colour."""

    key: str
    """Its name, and with `.png` that of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    rows: tuple[tuple[str, ...], ...]
    """The symbols of each row."""
    names: tuple[str, ...]
    """What to call each symbol, with its value, in order."""
    values: tuple[float, ...]
    """What each is coloured by, in order; NaN for no colour."""
    top: float
    """What the strongest colour stands for; the weakest is that of zero, or of minus as much."""
    is_signed: bool
    """Whether zero is in the middle of the colours."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Boxes with arrows between them."""

    key: str
    """Its name, and with `.png` that of its picture."""
    title: str
    """What it shows."""
    summary: str
    """The same in a sentence."""
    width: float
    """How wide it is."""
    height: float
    """How high it is; heights count downwards."""
    boxes: tuple[tuple[float, float, float, float, str, str], ...]
    """Of each its left and upper edge, its width, its height, what stands in it, and what more there is to say."""
    arrows: tuple[tuple[tuple[tuple[float, float], ...], tuple[float, float], str], ...]
    """Of each its points from tail to head, the middle of its label, and the label."""


Drawing = Chart | Grid | Matrix | Trail | Bars | Letters | Boxes
"""Whatever the renderers can draw."""


def log_values(grid: Grid) -> NDArray[np.float64]:
    """Return the powers of ten of a grid's values, not more than twelve below the largest; NaN for none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(grid.values > 0, np.log10(grid.values.astype(np.float64)), np.nan)
    known = powers[np.isfinite(powers)]
    return np.where(np.isnan(powers), np.nan, np.maximum(powers, known.max() - 12)) if known.size else powers


def thin(
    x: Sequence[float], y: Sequence[float | None], max_points: int = MAX_POINTS
) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    """Return at most `max_points` of the points, in order, that draw the same picture.

    The points are cut into equal runs, and the lowest, the highest and the first missing one of each run are kept, so
    that no spike and no gap is lost; the first and the last point always stay.

    Raises:
        ValueError: `max_points` is below 5, or `x` and `y` differ in length.

    Example:
        >>> thin(range(9), [0, 0, 0, 7, 0, 0, 0, 0, 1], max_points=5)
        ((0, 1, 3, 8), (0, 0, 7, 1))
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
    """Return `y` smoothed: a line is fitted to each point and its neighbours, and its value there is taken.

    It does not lag behind a falling curve as a running mean does. Towards the start, where a loss falls steeply, fewer
    neighbours count; at the end only those before are left.

    Args:
        y: Values; None where there is none, which stays None and has no part in its neighbours' fits.
        radius: How many neighbours on each side count.

    Example:
        >>> smooth([4.0, 1.0, 1.0, 4.0], radius=1)
        (4.0, 2.0, 2.0, 4.0)
    """
    count = len(y)
    has_value = np.array([value is not None for value in y], dtype=np.float64)
    values = np.array([0.0 if value is None else value for value in y], dtype=np.float64)
    # Between 0 and 1, so that the sums of squares lose no digits in a long run.
    place = np.arange(count, dtype=np.float64) / max(count - 1, 1)
    reach = np.minimum(np.arange(count), radius)
    first, last = np.arange(count) - reach, np.minimum(np.arange(count) + reach, count - 1)

    def window(of: NDArray[np.float64]) -> NDArray[np.float64]:
        running = np.concatenate([[0.0], np.cumsum(of * has_value)])
        sums: NDArray[np.float64] = running[last + 1] - running[first]
        return sums

    known = np.maximum(window(np.ones(count)), 1.0)
    mean_place, mean_value = window(place) / known, window(values) / known
    spread = window(place * place) / known - mean_place**2
    common = window(place * values) / known - mean_place * mean_value
    # A single neighbour spreads over nothing and has no slope; rounding must not give it one.
    has_slope = spread > 1e-12
    slope = np.where(has_slope, common / np.where(has_slope, spread, 1.0), 0.0)
    fitted = mean_value + slope * (place - mean_place)
    return tuple(round(float(fitted[i]), 12) if has_value[i] else None for i in range(count))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return the round numbers between two round numbers for a logarithmic axis: few enough to be read.

    Example:
        >>> log_ticks(*log_range(0.3, 2.6))
        (0.2, 0.5, 1.0, 2.0, 5.0)
    """
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if highest - lowest <= 3 else (1,)
    powers = range(lowest, highest + 1, max(1, (highest - lowest) // 6))
    return tuple(tick for power in powers for step in steps if low <= (tick := float(f"{step}e{power}")) <= high)


def log_range(low: float, high: float) -> tuple[float, float]:
    """Return the nearest of 1, 2 and 5, times a power of ten, below `low` and above `high`."""
    around = [
        float(f"{step}e{power}")
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        for step in (1, 2, 5)
    ]
    return max(tick for tick in around if tick < low), min(tick for tick in around if tick > high)
