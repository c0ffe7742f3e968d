"""Charts as PNG files, drawn without a screen and without a browser."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recur.report.chart import (
    COLOURS,
    POSITIVE,
    SIGNED,
    Bars,
    Chart,
    Drawing,
    Grid,
    Role,
    Series,
    Trail,
    log_ticks,
    log_values,
)
from recur.run import write_atomic

_LINES: dict[Role, dict[str, Any]] = {
    "raw": {"linewidth": 0.6},
    "valid": {"linewidth": 1.8},
    "speed": {"linewidth": 1.2},
    "best": {"linestyle": "none", "marker": "o", "markersize": 6},
}

# The points behind a smoothed curve, and the mark on its best one, speak for themselves.
_UNNAMED: tuple[Role, ...] = ("raw", "best")


def write_png(drawing: Drawing, path: Path) -> None:
    """Draw a chart into the PNG file `path`, atomically.

    Raises:
        RunError: The file cannot be written.
    """
    drawn = Figure(figsize=(8.0, _height(drawing)), dpi=150, layout="constrained")
    # pyplot would keep every figure in a global list; a canvas of its own belongs to this one alone.
    FigureCanvasAgg(drawn)
    axes = drawn.add_subplot()
    axes.set_title(_cut(drawing.title, 80), loc="left", fontsize=12, fontweight="bold", parse_math=False)
    axes.set_xlabel(_cut(drawing.x_label, 60), parse_math=False)
    axes.set_ylabel(_cut(drawing.y_label, 40), parse_math=False)
    if isinstance(drawing, Chart):
        _curves(axes, drawing)
    elif isinstance(drawing, Grid):
        _grid(axes, drawing)
    elif isinstance(drawing, Trail):
        _trail(axes, drawing)
    else:
        _bars(axes, drawing)
    with warnings.catch_warnings():
        # A symbol that no font on this machine has is drawn as a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        write_atomic(path, lambda temporary: drawn.savefig(temporary, format="png"))


def _cut(text: str, most: int) -> str:
    # A name of any length must leave room for what it names.
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _height(drawing: Drawing) -> float:
    if isinstance(drawing, Chart):
        return 4.6 if drawing.key == "loss" else 3.2
    return 7.0 if isinstance(drawing, Trail) else 4.6


def _grid(axes: Any, grid: Grid) -> None:
    colours = LinearSegmentedColormap.from_list("grid", SIGNED if grid.is_signed else POSITIVE)
    values = log_values(grid) if grid.is_log else grid.values
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    drawn = axes.imshow(
        values,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=-largest if grid.is_signed else None,
        vmax=largest if grid.is_signed else None,
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _at(grid.x, value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _at(grid.y, value)))
    axes.figure.colorbar(drawn, ax=axes, label="power of ten" if grid.is_log else "", pad=0.01)


def _at(names: Sequence[float], place: float) -> str:
    return f"{names[round(place)]:,g}" if 0 <= round(place) < len(names) else ""


def _trail(axes: Any, trail: Trail) -> None:
    axes.plot(trail.points[:, 0], trail.points[:, 1], color=COLOURS["level"], linewidth=0.4, alpha=0.25)
    axes.scatter(
        trail.points[:, 0],
        trail.points[:, 1],
        s=6,
        c=range(len(trail.points)),
        cmap=LinearSegmentedColormap.from_list("trail", POSITIVE[2:5]),
        zorder=2,
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Any, bars: Bars) -> None:
    places = range(len(bars.names))
    axes.bar(places, bars.values, color=[COLOURS["second"] if value > 0 else COLOURS["first"] for value in bars.values])
    axes.axhline(0, color=COLOURS["level"], linewidth=0.8)
    axes.set_xticks(places, [_cut(name, 6) for name in bars.names], fontsize=8, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes: Any, chart: Chart) -> None:
    for series in chart.series:
        _draw(axes, series)
    for level in chart.levels:
        axes.axhline(level.y, color=COLOURS["level"], linewidth=0.9, linestyle=(0, (5, 4)))
        axes.annotate(
            level.name,
            xy=(1, level.y),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            color=COLOURS["level"],
            fontsize=9,
            parse_math=False,
        )
    if chart.x_format == ",d":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if chart.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if chart.y_range is not None:
            axes.yaxis.set_major_locator(FixedLocator(log_ticks(*chart.y_range)))
    elif chart.key == "throughput":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(*(chart.x_range or (0, 1.015 * max(1.0, *(x for series in chart.series for x in series.x)))))
    if chart.y_range is not None:
        axes.set_ylim(*chart.y_range)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    named = [line for line, series in zip(axes.get_lines(), chart.series, strict=False) if series.role not in _UNNAMED]
    if len(named) > 1:
        legend = axes.legend(
            handles=named, frameon=False, fontsize=9, ncols=len(named), loc="lower right", bbox_to_anchor=(1, 1)
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _draw(axes: Any, series: Series) -> None:
    y = [float("nan") if value is None else value for value in series.y]
    look = dict(_LINES.get(series.role, {"linewidth": 1.6}))
    if len(series.x) == 1 and "marker" not in look:
        look |= {"marker": "o", "markersize": 5}
    axes.plot(series.x, y, label=_cut(series.name, 40), color=COLOURS[series.role], **look)
