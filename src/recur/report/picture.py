"""Charts as PNG files, drawn without a screen and without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recur.report.chart import COLOURS, Chart, Role, Series, log_ticks
from recur.run import write_atomic

_LINES: dict[Role, dict[str, Any]] = {
    "raw": {"linewidth": 0.6},
    "norm": {"linewidth": 1.6},
    "train": {"linewidth": 1.6},
    "valid": {"linewidth": 1.8},
    "rate": {"linewidth": 1.6},
    "speed": {"linewidth": 1.2},
    "best": {"linestyle": "none", "marker": "o", "markersize": 6},
}

# The points behind a smoothed curve, and the mark on its best one, speak for themselves.
_UNNAMED: tuple[Role, ...] = ("raw", "best")


def write_png(chart: Chart, path: Path) -> None:
    """Draw the chart into the PNG file `path`, atomically.

    Raises:
        RunError: The file cannot be written.
    """
    drawn = Figure(figsize=(8.0, 4.6 if chart.key == "loss" else 3.2), dpi=150, layout="constrained")
    # pyplot would keep every figure in a global list; a canvas of its own belongs to this one alone.
    FigureCanvasAgg(drawn)
    axes = drawn.add_subplot()
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
    axes.set_title(chart.title, loc="left", fontsize=12, fontweight="bold", parse_math=False)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label, parse_math=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if chart.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if chart.y_range is not None:
            axes.yaxis.set_major_locator(FixedLocator(log_ticks(*chart.y_range)))
    elif chart.key == "throughput":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(0, 1.015 * max(1.0, *(x for series in chart.series for x in series.x)))
    if chart.y_range is not None:
        axes.set_ylim(*chart.y_range)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    named = [line for line, series in zip(axes.get_lines(), chart.series, strict=False) if series.role not in _UNNAMED]
    if len(named) > 1:
        axes.legend(
            handles=named, frameon=False, fontsize=9, ncols=len(named), loc="lower right", bbox_to_anchor=(1, 1)
        )
    write_atomic(path, lambda temporary: drawn.savefig(temporary, format="png"))


def _draw(axes: Any, series: Series) -> None:
    y = [float("nan") if value is None else value for value in series.y]
    look = dict(_LINES[series.role])
    if len(series.x) == 1 and "marker" not in look:
        look |= {"marker": "o", "markersize": 5}
    axes.plot(series.x, y, label=series.name, color=COLOURS[series.role], **look)
