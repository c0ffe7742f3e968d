"""Charts as PNG files, drawn without a screen and without a browser."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recur.report.chart import (
    COLOURS,
    POSITIVE,
    SIGNED,
    Bars,
    Boxes,
    Chart,
    Drawing,
    Grid,
    Letters,
    Matrix,
    Role,
    Series,
    Trail,
    band_opacity,
    log_ticks,
    log_values,
)
from recur.run import write_atomic
from recur.wording import enumerated, shortened

_LINES: dict[Role, dict[str, Any]] = {
    "raw": {"linewidth": 0.6},
    "valid": {"linewidth": 1.8},
    "speed": {"linewidth": 1.2},
    "best": {"linestyle": "none", "marker": "o", "markersize": 6},
}

# The points behind a smoothed curve, and the mark on its best one, speak for themselves.
_UNNAMED: tuple[Role, ...] = ("raw", "best")


_LONGEST = 60
"""Letters of a symbol that are drawn."""

_MIDDLE = {"ha": "center", "va": "center"}
_LETTER: dict[str, Any] = {**_MIDDLE, "fontsize": 7, "clip_on": True}

_FONTS_OF_SCRIPTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "Source Han Sans"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "MS Gothic", "Microsoft YaHei", "SimSun", "Malgun Gothic", "Nirmala UI", "Leelawadee UI"),
    *("IPAGothic", "IPAexGothic", "TakaoGothic", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "NanumGothic", "Unifont"),
    *("Noto Sans", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Telugu"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Noto Sans Khmer", "Noto Sans Ethiopic"),
    *("Lohit Devanagari", "FreeSans", "Segoe UI Emoji", "Noto Emoji", "Symbola"),
)
"""Fonts of many scripts that systems bring along, for letters that matplotlib's own lack, such as Japanese ones."""


_MISSING = r"Glyph (\d+) .* missing from font"
"""What matplotlib warns of where it draws a box for a letter."""

_MOST_NAMED = 5
"""Letters without a font that are named."""


def write_pngs(drawings: Iterable[tuple[Path, Drawing]], say: Callable[[str], None] | None = None) -> None:
    """Draw charts into PNG files, each as `write_png` does.

    Args:
        drawings: Where, and what.
        say: Called once, with a note, where boxes stand for letters.

    Raises:
        RunError: A file cannot be written.
    """
    boxes = dict.fromkeys(letter for path, drawing in drawings for letter in write_png(drawing, path))
    if boxes and say is not None:
        say(_note_of_boxes(list(boxes)))


def write_png(drawing: Drawing, path: Path) -> list[str]:
    """Draw a chart into the PNG file `path`, atomically, with fonts of the machine for letters of all scripts.

    Returns:
        Letters that no such font has, and for which boxes stand there, each once.

    Raises:
        RunError: The file cannot be written.
    """
    boxes = _write_png(drawing, path)
    known = len(fontManager.ttflist)
    if boxes:
        _find_new_fonts()
    return boxes if len(fontManager.ttflist) == known else _write_png(drawing, path)


def _write_png(drawing: Drawing, path: Path) -> list[str]:
    with rc_context({"font.family": _fonts("DejaVu Sans")}), warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_MISSING, category=UserWarning)
        drawn = _drawn(drawing)
        write_atomic(path, lambda temporary: drawn.savefig(temporary, format="png"))
    boxes: dict[str, None] = {}
    for one in caught:
        found = re.match(_MISSING, str(one.message))
        if found is None:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        else:
            boxes[chr(int(found[1]))] = None
    return list(boxes)


@cache
def _find_new_fonts() -> None:
    """Let matplotlib know of fonts that were installed after it looked for some, which it does once on a machine."""
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            # As matplotlib does, whatever is wrong with a font.
            with suppress(Exception):
                fontManager.addfont(path)


def _note_of_boxes(letters: Sequence[str]) -> str:
    some, more = ", ".join(letters[:_MOST_NAMED]), ", ..." if len(letters) > _MOST_NAMED else ""
    fonts = list(dict.fromkeys(map(_font_of, letters)))
    return (
        f"no font here has the {'letter' if len(letters) == 1 else 'letters'} {some}{more}: pictures show boxes for "
        f"{'it' if len(letters) == 1 else 'them'}; install one such as {enumerated(fonts)}"
    )


def _font_of(letter: str) -> str:
    """Return a font of `_FONTS_OF_SCRIPTS` that has a letter, as it is called where it is to be had."""
    if unicodedata.name(letter, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "IDEOGRAPHIC")):
        return "Noto Sans CJK"
    return "Unifont" if letter <= "\uffff" else "Symbola"


def _fonts(first: str) -> list[str]:
    """Return what is asked for a letter, in turn: a font of matplotlib's own, and those of scripts that are there."""
    installed = set(fontManager.get_font_names())
    return [first, *(name for name in _FONTS_OF_SCRIPTS if name in installed)]


def _drawn(drawing: Drawing) -> Figure:
    drawn = Figure(figsize=(8.0, _height(drawing)), dpi=150, layout="constrained")
    # pyplot would keep every figure in a global list; a canvas of its own belongs to this one alone.
    FigureCanvasAgg(drawn)
    axes = drawn.add_subplot()
    # A name of any length must leave room for what it names. It is not bold: of each font of scripts without bold
    # letters, as many are, matplotlib would warn in its log, whatever the letters of the title.
    axes.set_title(shortened(drawing.title, 80), loc="left", fontsize=12, parse_math=False)
    if isinstance(drawing, Letters | Boxes):
        axes.set_axis_off()
    else:
        axes.set_xlabel(shortened(drawing.x_label, 60), parse_math=False)
        axes.set_ylabel(shortened(drawing.y_label, 40), parse_math=False)
    if isinstance(drawing, Chart):
        _curves(axes, drawing)
    elif isinstance(drawing, Grid):
        _grid(axes, drawing)
    elif isinstance(drawing, Matrix):
        _matrix(axes, drawing)
    elif isinstance(drawing, Trail):
        _trail(axes, drawing)
    elif isinstance(drawing, Letters):
        _letters(axes, drawing)
    elif isinstance(drawing, Boxes):
        _boxes(axes, drawing)
    else:
        _bars(axes, drawing)
    return drawn


def _height(drawing: Drawing) -> float:
    if isinstance(drawing, Chart):
        return 4.6 if drawing.key == "loss" else 3.2
    if isinstance(drawing, Letters):
        return 0.6 + 0.26 * len(drawing.rows)
    if isinstance(drawing, Boxes):
        return 0.5 + 7.9 * drawing.height / drawing.width if drawing.width > drawing.height else 8.0
    return 7.0 if isinstance(drawing, Trail | Matrix) else 4.6


def _letters(axes: Any, letters: Letters) -> None:
    colours = LinearSegmentedColormap.from_list("letters", SIGNED if letters.is_signed else POSITIVE)
    bottom = -letters.top if letters.is_signed else 0.0
    longest = max(sum(map(len, row)) for row in letters.rows)
    values, family = iter(letters.values), _fonts("DejaVu Sans Mono")
    for number, row in enumerate(letters.rows):
        x = 0
        for symbol in row:
            red, green, blue, _ = colours((next(values) - bottom) / ((letters.top - bottom) or 1.0))
            axes.add_patch(Rectangle((x, number), max(1, len(symbol)), 1, color=(red, green, blue), linewidth=0))
            ink = "#1a2029" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "#ffffff"
            shown = shortened(symbol, _LONGEST)
            middle = x + max(1, len(symbol)) / 2, number + 0.55
            axes.text(*middle, shown, color=ink, family=family, parse_math=False, **_LETTER)
            x += max(1, len(symbol))
    axes.set_xlim(0, min(longest, 2 * _LONGEST))
    axes.set_ylim(len(letters.rows), 0)


def _boxes(axes: Any, boxes: Boxes) -> None:
    for x, y, width, height, inside, _ in boxes.boxes:
        axes.add_patch(Rectangle((x, y), width, height, facecolor="#ffffff", edgecolor=COLOURS["first"]))
        lines = "\n".join(shortened(line, 22) for line in inside.split("\n"))
        axes.text(x + width / 2, y + height / 2, lines, fontsize=6, parse_math=False, **_MIDDLE)
    for points, (x, y), label in boxes.arrows:
        for from_point, to_point in pairwise(points):
            look = "->" if to_point == points[-1] else "-"
            arrow = {"arrowstyle": look, "color": COLOURS["level"], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", xy=to_point, xytext=from_point, arrowprops=arrow)
        axes.text(x, y, shortened(label, 24), fontsize=5, color=COLOURS["level"], parse_math=False, **_MIDDLE)
    axes.set_xlim(0, boxes.width)
    axes.set_ylim(boxes.height, 0)
    axes.set_aspect("equal")


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
    for set_ticks, names in ((axes.set_xticks, grid.x_names), (axes.set_yticks, grid.y_names)):
        if names:
            shown = range(0, len(names), -(-len(names) // 30))
            set_ticks(shown, [shortened(names[place], 12) for place in shown], fontsize=7, parse_math=False)
    axes.figure.colorbar(drawn, ax=axes, label="power of ten" if grid.is_log else "", pad=0.01)


def _matrix(axes: Any, matrix: Matrix) -> None:
    colours = LinearSegmentedColormap.from_list("matrix", ("#ffffff", COLOURS["train"]))
    shares, number = matrix.shares, len(matrix.names)
    axes.imshow(shares, interpolation="nearest", cmap=colours, vmin=0, vmax=1)
    shown = range(0, number, -(-number // 30))
    names = [shortened(matrix.names[place], 12) for place in shown]
    axes.set_xticks(shown, names, fontsize=8, rotation=90 if number > 8 else 0, parse_math=False)
    axes.set_yticks(shown, names, fontsize=8, parse_math=False)
    if number <= 12:
        for row, column in np.argwhere(np.array(matrix.counts) > 0).tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{matrix.counts[row][column]:,}", color=colour, fontsize=8, **_MIDDLE)


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
    axes.set_xticks(places, [shortened(name, 6) for name in bars.names], fontsize=8, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes: Any, chart: Chart) -> None:
    for place, band in enumerate(chart.bands):
        x = _dates(band.x) if chart.is_dated else band.x
        colour = COLOURS[band.role]
        name, opacity = shortened(band.name, 40), band_opacity(place)
        axes.fill_between(x, band.low, band.high, color=colour, alpha=opacity, linewidth=0, label=name)
    for series in chart.series:
        _draw(axes, series, is_dated=chart.is_dated)
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
    if chart.x_format == ",d" and not chart.is_dated:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if chart.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if chart.y_range is not None:
            axes.yaxis.set_major_locator(FixedLocator(log_ticks(*chart.y_range)))
    elif chart.key == "throughput":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ends = chart.x_range or (0, 1.015 * max(1.0, *(x for series in chart.series for x in series.x)))
    axes.set_xlim(*(_dates(ends) if chart.is_dated else ends))
    if chart.y_range is not None:
        axes.set_ylim(*chart.y_range)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    named = [line for line, series in zip(axes.get_lines(), chart.series, strict=False) if series.role not in _UNNAMED]
    named += axes.collections[: len(chart.bands)]
    if len(named) > 1:
        legend = axes.legend(
            handles=named,
            frameon=False,
            fontsize=9,
            ncols=len(named),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            # Beside more than four names there is little room for the title.
            **({"columnspacing": 1.0, "handlelength": 1.0} if len(named) > 4 else {}),
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _dates(x: Sequence[float]) -> Any:
    return np.array(x, np.float64).astype("datetime64[ms]")


def _draw(axes: Any, series: Series, *, is_dated: bool = False) -> None:
    x = _dates(series.x) if is_dated else series.x
    y = [float("nan") if value is None else value for value in series.y]
    look = dict(_LINES.get(series.role, {"linewidth": 1.6}))
    if series.is_scattered:
        look = {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.5}
    if len(series.x) == 1 and "marker" not in look:
        look |= {"marker": "o", "markersize": 5}
    axes.plot(x, y, label=shortened(series.name, 40), color=COLOURS[series.role], **look)
    if any(error is not None for error in series.errors):
        errors = [error or 0.0 for error in series.errors]
        axes.errorbar(x, y, errors, fmt="none", color=COLOURS[series.role], elinewidth=0.8)
