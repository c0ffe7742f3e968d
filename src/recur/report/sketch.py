"""Small drawings as SVG that stand in the page itself, take its colours, print, and need no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recur.report.chart import log_range, log_ticks

STRIP_UNITS = 48
"""Elements of a vector that a strip shows."""

SMALLEST = 1e-12
"""What a logarithmic axis shows of anything smaller."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A vector as a row of bars, each one wide, around a middle line at height 10 of 20."""

    width: int
    """How many bars."""
    above: str
    """The path of the bars of positive elements."""
    below: str
    """The path of those of negative ones."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis."""

    at: float
    """Where, in the drawing's units."""
    label: str
    """What stands there."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve."""

    name: str
    """What it shows."""
    role: str
    """The class that gives it its colour."""
    path: str
    """The path."""
    whiskers: str
    """The path of its points' standard errors, to both sides; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A few curves over one axis, in a drawing `WIDTH` by `HEIGHT`."""

    label: str
    """What the drawing shows, in words."""
    x_label: str
    """What runs from left to right."""
    y_label: str
    """What runs upwards."""
    lines: tuple[Line, ...]
    """The curves."""
    x_ticks: tuple[Tick, ...]
    """Places from left to right."""
    y_ticks: tuple[Tick, ...]
    """Heights."""
    mark: Tick | None
    """A place to point at."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A matrix of squares, each one wide, by level of colour."""

    columns: int
    """How many from left to right."""
    rows: int
    """How many from top to bottom."""
    paths: tuple[tuple[int, str], ...]
    """A level and the path of its squares, for each level that occurs."""
    levels: int
    """How many colours there are."""
    low: float
    """What the first level begins with."""
    high: float
    """What the last one ends with."""


WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 338, 10, 168
"""The frame within which curves are drawn."""


def strip(values: Sequence[float] | NDArray[np.floating], largest: float) -> Strip:
    """Return the first elements of a vector as bars; one as large as `largest` is 10 high."""
    above: list[str] = []
    below: list[str] = []
    shown = [value if math.isfinite(value) else 0.0 for value in map(float, values[:STRIP_UNITS])]
    for place, value in enumerate(shown):
        height = round(min(1.0, abs(value) / largest) * 10, 1) if largest > 0 else 0.0
        if height:
            (above if value > 0 else below).append(f"M{place} 10h.8v{-height if value > 0 else height}h-.8z")
    return Strip(width=max(1, len(shown)), above="".join(above), below="".join(below))


def curves(
    lines: Sequence[tuple[str, str, Sequence[float], Sequence[float | None]]],
    *,
    label: str,
    x_label: str,
    y_label: str,
    is_log: bool = False,
    is_percent: bool = False,
    mark: tuple[float, str] | None = None,
    errors: Sequence[float | None] = (),
) -> Curves | None:
    """Return a drawing of curves, or None where there is no point to draw.

    Args:
        lines: Name, role, x and y of each.
        label: What it shows, in words.
        x_label: What runs from left to right.
        y_label: What runs upwards.
        is_log: Whether heights are logarithmic; what is not above zero then lies at the bottom.
        is_percent: Whether x is a share, to be shown in percent.
        mark: A place on the x axis to point at, and what to call it.
        errors: Standard errors of the first line's points, where they are known.
    """
    known = [(x, y) for *_, xs, ys in lines for x, y in zip(xs, ys, strict=True) if y is not None]
    _, _, first_xs, first_ys = lines[0]
    ends = [
        (x, y - error, y + error)
        for x, y, error in zip(first_xs, first_ys, errors, strict=False)
        if y is not None and error is not None
    ]
    known += [(x, y) for x, *both in ends for y in both]
    if not known:
        return None
    right = max([x for x, _ in known] + ([mark[0]] if mark else [])) or 1.0
    heights = [max(y, SMALLEST) for _, y in known] if is_log else [0.0, *(y for _, y in known)]
    bottom, top = log_range(min(heights), max(heights)) if is_log else _round_range(min(heights), max(heights))

    def across(x: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * max(0.0, x) / right, 1)

    def up(y: float) -> float:
        if is_log:
            share = math.log(max(y, SMALLEST) / bottom) / math.log(top / bottom)
        else:
            share = (y - bottom) / (top - bottom)
        return round(BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, share)), 1)

    heights_named = _decades(bottom, top) if is_log else _round_ticks(bottom, top)
    return Curves(
        label=label,
        x_label=x_label,
        y_label=y_label,
        lines=tuple(
            Line(
                name=name,
                role=role,
                path=_path(xs, ys, across, up),
                whiskers="" if place else "".join(f"M{across(x):g} {up(low):g}V{up(high):g}" for x, low, high in ends),
            )
            for place, (name, role, xs, ys) in enumerate(lines)
        ),
        x_ticks=tuple(
            Tick(at=across(x), label=f"{x:.0%}" if is_percent else f"{x:,g}") for x in _round_ticks(0.0, right)
        ),
        y_ticks=tuple(Tick(at=up(y), label=_short(y)) for y in heights_named),
        mark=Tick(at=across(mark[0]), label=mark[1]) if mark else None,
    )


def cells(values: NDArray[np.float64], levels: int, decades: float = 6.0) -> Cells | None:
    """Return a matrix of squares coloured by the logarithm of their values, or None where no value is above zero.

    Args:
        values: (rows, columns); NaN leaves a square out.
        levels: How many colours there are. The first is for what is smallest.
        decades: How many powers of ten below the largest value the first colour begins, at most.
    """
    is_known = np.isfinite(values) & (values > 0)
    if not is_known.any():
        return None
    high = float(values[is_known].max())
    low = max(float(values[is_known].min()), high * 10**-decades)
    span = math.log(high / low) or 1.0
    paths = []
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.log(np.maximum(values, low) / low) / span
    steps = np.clip((shares * levels), 0, levels - 1)
    for level in range(levels):
        places = np.argwhere(np.isfinite(values) & (np.floor(steps) == level))
        if len(places):
            paths.append((level, "".join(f"M{column} {row}h1v1h-1z" for row, column in places)))
    return Cells(columns=values.shape[1], rows=values.shape[0], paths=tuple(paths), levels=levels, low=low, high=high)


def _path(
    xs: Sequence[float], ys: Sequence[float | None], across: Callable[[float], float], up: Callable[[float], float]
) -> str:
    path, is_drawn = "", False
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            path += f"{'L' if is_drawn else 'M'}{across(x):g} {up(y):g}"
        is_drawn = y is not None
    return path


def _round_range(low: float, high: float) -> tuple[float, float]:
    ticks = _round_ticks(low, high)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return step * math.floor(low / step), step * math.ceil(high / step) if high > low else low + 1.0


def _round_ticks(low: float, high: float) -> list[float]:
    """Return about four round numbers from `low` to `high`."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if span / (size * power) <= 4.5)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    ticks = log_ticks(low, high)
    whole = [tick for tick in ticks if math.log10(tick) % 1 < 1e-9 or math.log10(tick) % 1 > 1 - 1e-9]
    return whole if len(whole) >= 3 else list(ticks[:: max(1, len(ticks) // 4)])


def _short(value: float) -> str:
    """Return a number that has room beside an axis.

    Example:
        >>> _short(0.25), _short(1e-5), _short(12_000.0)
        ('0.25', '1e-5', '12,000')
    """
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
