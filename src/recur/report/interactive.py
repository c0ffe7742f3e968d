"""Charts for the page: plotly figures that zoom and answer the pointer."""

from __future__ import annotations

import math
from itertools import pairwise, starmap
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from recur.report.chart import (
    COLOURS,
    POSITIVE,
    SIGNED,
    Band,
    Bars,
    Boxes,
    Chart,
    Drawing,
    Grid,
    Letters,
    Level,
    Matrix,
    Role,
    Series,
    Trail,
    band_opacity,
    log_ticks,
    log_values,
)

_MOST_COUNTED, _MOST_NAMED = 12, 30
"""Classes of a matrix whose counts are written into it, and that have a name beside it."""

_HEIGHT = 380

_WIDTHS: dict[Role, float] = {"raw": 1, "valid": 2.25, "speed": 1.5}

_FORMATS: dict[Role, str] = {"train": ".3f", "valid": ".3f", "rate": ".2~g", "norm": ".3~g", "speed": ",.0f"}

# The points behind a smoothed curve, and the mark on its best one, speak for themselves.
_UNNAMED: tuple[Role, ...] = ("raw", "best")


def figure(drawing: Drawing) -> go.Figure:
    """Return a chart as a plotly figure."""
    if isinstance(drawing, Chart):
        return _curves(drawing)
    if isinstance(drawing, Matrix):
        return _matrix(drawing)
    if isinstance(drawing, Grid):
        drawn = _grid(drawing)
    elif isinstance(drawing, Letters):
        drawn = _letters(drawing)
    elif isinstance(drawing, Boxes):
        drawn = _boxes(drawing)
    else:
        drawn = _trail(drawing) if isinstance(drawing, Trail) else _bars(drawing)
    heights: dict[type, float] = {Trail: 480}
    if isinstance(drawing, Letters):
        heights[Letters] = 100 + 24 * len(drawing.rows)
    if isinstance(drawing, Boxes):
        heights[Boxes] = 60 + drawing.height
    drawn.update_layout(
        template="none",
        title={"text": _plain(drawing.title), "x": 0, "xref": "paper", "xanchor": "left"},
        margin={"l": 60, "r": 12, "t": 48, "b": 48},
        height=heights.get(type(drawing), _HEIGHT),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    if isinstance(drawing, Letters | Boxes):
        drawn.update_xaxes(visible=False)
        drawn.update_yaxes(visible=False)
        return drawn
    drawn.update_xaxes(title={"text": _plain(drawing.x_label)}, zeroline=False)
    drawn.update_yaxes(title={"text": _plain(drawing.y_label)}, zeroline=False, automargin=True)
    return drawn


def figure_alone(chart: Chart) -> go.Figure:
    """Return a chart as a plotly figure outside a page, which puts titles above its pictures itself."""
    drawn = _curves(chart)
    drawn.update_layout(height=_HEIGHT)
    if chart.title:
        drawn.update_layout(title={"text": _plain(chart.title), "x": 0, "xref": "paper"}, margin={"t": 72})
    return drawn


def _letters(letters: Letters) -> go.Figure:
    colours = SIGNED if letters.is_signed else POSITIVE
    width = max(map(len, letters.rows))
    places = [(row, column) for row, symbols in enumerate(letters.rows) for column in range(len(symbols))]
    values = np.full((len(letters.rows), width), np.nan)
    texts, names = (np.full(values.shape, "", dtype=object) for _ in range(2))
    symbols = [symbol for row in letters.rows for symbol in row]
    for place, value, symbol, name in zip(places, letters.values, symbols, letters.names, strict=True):
        values[place], texts[place], names[place] = value, _plain(symbol), _plain(name)
    drawn = go.Figure(
        go.Heatmap(
            z=values,
            text=texts,
            customdata=names,
            texttemplate="%{text}",
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)],
            zmin=-letters.top if letters.is_signed else 0,
            zmax=letters.top,
            colorbar={"thickness": 12},
        )
    )
    drawn.update_yaxes(autorange="reversed")
    return drawn


def _boxes(boxes: Boxes) -> go.Figure:
    middles = [(x + width / 2, y + height / 2) for x, y, width, height, *_ in boxes.boxes]
    drawn = go.Figure(
        go.Scatter(
            x=[x for x, _ in middles],
            y=[y for _, y in middles],
            mode="text",
            text=[_plain(inside).replace("\n", "<br>") for *_, inside, _ in boxes.boxes],
            hovertext=[_plain(says) for *_, says in boxes.boxes],
            hoverinfo="text",
        )
    )
    for x, y, width, height, *_ in boxes.boxes:
        drawn.add_shape(
            type="rect", x0=x, y0=y, x1=x + width, y1=y + height, line={"color": COLOURS["first"], "width": 1.2}
        )
    for points, (x, y), label in boxes.arrows:
        for (from_x, from_y), (to_x, to_y) in pairwise(points):
            is_last = (to_x, to_y) == points[-1]
            drawn.add_annotation(
                x=to_x, y=to_y, ax=from_x, ay=from_y, xref="x", yref="y", axref="x", ayref="y", text="",
                arrowhead=2 if is_last else 0, arrowcolor=COLOURS["level"], arrowwidth=1.3,
            )  # fmt: skip
        if label:
            drawn.add_annotation(x=x, y=y, text=_plain(label), showarrow=False, font={"color": COLOURS["level"]})
    drawn.update_xaxes(range=[0, boxes.width])
    drawn.update_yaxes(range=[boxes.height, 0], scaleanchor="x")
    return drawn


def _grid(grid: Grid) -> go.Figure:
    colours = SIGNED if grid.is_signed else POSITIVE
    values = log_values(grid) if grid.is_log else grid.values
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    drawn = go.Figure(
        go.Heatmap(
            z=values,
            x=grid.x,
            y=grid.y,
            colorscale=[[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)],
            zmin=-largest if grid.is_signed else None,
            zmax=largest if grid.is_signed else None,
            colorbar={"title": {"text": "power of ten"} if grid.is_log else None, "thickness": 12},
            **_hover(grid),
        )
    )
    # In the order that was given, which need not be that of numbers.
    drawn.update_yaxes(autorange="reversed", showgrid=False, type="category", nticks=16)
    drawn.update_xaxes(showgrid=False)
    for update, places, names in (
        (drawn.update_xaxes, grid.x, grid.x_names),
        (drawn.update_yaxes, grid.y, grid.y_names),
    ):
        if names:
            shown = slice(None, None, -(-len(names) // _MOST_NAMED))
            update(tickvals=places[shown], ticktext=[_plain(name) for name in names[shown]])
    return drawn


def _hover(grid: Grid) -> dict[str, Any]:
    """Return what the pointer tells of a cell: the names of its row and column, where they have some."""
    if not (grid.x_names and grid.y_names):
        return {"hovertemplate": "%{x}, %{y}: %{z:.3~g}<extra></extra>"}
    names = [[[_plain(row), _plain(column)] for column in grid.x_names] for row in grid.y_names]
    told = "%{customdata[0]} looks at %{customdata[1]}: %{z:.1%}<extra></extra>"
    return {"customdata": names, "hovertemplate": told, "meta": {"role": "train"}, "showscale": False}


def _matrix(matrix: Matrix) -> go.Figure:
    """Return the matrix as a plotly figure, whose trace carries its role as those of curves do."""
    names = [_plain(name) for name in matrix.names]
    places = list(range(len(names)))
    drawn = go.Figure(
        go.Heatmap(
            z=matrix.shares,
            customdata=[[[true, told, count] for told, count in zip(names, row, strict=True)]
                        for true, row in zip(names, matrix.counts, strict=True)],
            text=[[f"{count:,}" if count else "" for count in row] for row in matrix.counts],
            texttemplate="%{text}" if len(names) <= _MOST_COUNTED else "",
            meta={"role": "train"},
            colorscale=[[0, POSITIVE[0]], [1, COLOURS["train"]]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate="%{customdata[0]} told to be %{customdata[1]}: %{customdata[2]:,d}, %{z:.1%}<extra></extra>",
        )
    )  # fmt: skip
    drawn.update_layout(
        template="none",
        margin={"l": 52, "r": 12, "t": 14, "b": 44},
        height=430,
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    # Names that do not fit beside each other are left out, and told by the pointer.
    shown = places[:: -(-len(names) // _MOST_NAMED)]
    ticks = {"tickvals": shown, "ticktext": [names[place] for place in shown], "showgrid": False, "zeroline": False}
    drawn.update_xaxes(title={"text": _plain(matrix.x_label)}, **ticks)
    drawn.update_yaxes(title={"text": _plain(matrix.y_label)}, autorange="reversed", automargin=True, **ticks)
    return drawn


def _trail(trail: Trail) -> go.Figure:
    drawn = go.Figure(
        go.Scattergl(
            x=trail.points[:, 0],
            y=trail.points[:, 1],
            mode="lines+markers",
            text=[_plain(name) for name in trail.names],
            line={"color": "rgba(93, 102, 114, .25)", "width": 1},
            marker={
                "size": 5,
                "color": list(range(len(trail.names))),
                "colorscale": [[place / 2, colour] for place, colour in enumerate(POSITIVE[2:5])],
            },
            hovertemplate="%{text}<extra></extra>",
        )
    )
    # A step to the right and one upwards are as long as they look.
    drawn.update_yaxes(scaleanchor="x")
    return drawn


def _bars(bars: Bars) -> go.Figure:
    places = list(range(len(bars.names)))
    colours = [COLOURS["second"] if value > 0 else COLOURS["first"] for value in bars.values]
    names = [_plain(name) for name in bars.names]
    drawn = go.Figure(
        go.Bar(
            x=places,
            y=bars.values,
            customdata=names,
            marker={"color": colours},
            hovertemplate="%{customdata}: %{y:.3~g}<extra></extra>",
        )
    )
    drawn.update_xaxes(tickvals=places, ticktext=names, tickangle=0)
    return drawn


def _curves(chart: Chart) -> go.Figure:
    """Return the chart as a plotly figure.

    Every trace carries its role in `meta`, so that the page can colour it for the reader's theme.
    """
    drawn = go.Figure(
        data=[*starmap(_band, enumerate(chart.bands)), *(_trace(series, chart) for series in chart.series)]
    )
    has_legend = sum(series.role not in _UNNAMED for series in chart.series) + len(chart.bands) > 1
    date_format = "|%Y-%m-%d %H:%M" if chart.is_dated else f":{chart.x_format}"
    last = max((x for series in chart.series for x in series.x), default=1.0)
    drawn.update_layout(
        template="none",
        margin={"l": 52, "r": 12, "t": 34 if has_legend else 14, "b": 44},
        height=430 if chart.key == "loss" else 260,
        hovermode="x unified",
        showlegend=has_legend,
        legend={"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis={
            # Dates say that they are time, and take the room of two lines.
            "title": {"text": "" if chart.is_dated else _plain(chart.x_label)},
            "showgrid": False,
            "ticks": "outside",
            "type": "date" if chart.is_dated else "linear",
            "tickformat": "" if chart.is_dated else chart.x_format,
            "unifiedhovertitle": {"text": f"{_plain(chart.x_label)} %{{x{date_format}}}"},
            "spikethickness": 1,
            "range": list(chart.x_range or (0, 1.015 * max(last, 1.0))),
        },
        yaxis={
            "title": {"text": _plain(chart.y_label)},
            "type": "log" if chart.is_log else "linear",
            "zeroline": False,
            "showspikes": False,
            "automargin": True,
        },
        shapes=[_line(level) for level in chart.levels],
        annotations=[_name(level, chart) for level in chart.levels],
    )
    if chart.y_range is not None and chart.is_log:
        ticks = log_ticks(*chart.y_range)
        drawn.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
        # Plotly counts in powers of ten here.
        drawn.update_yaxes(range=[math.log10(end) for end in chart.y_range])
    elif chart.y_range is not None:
        drawn.update_yaxes(range=list(chart.y_range))
    return drawn


def _line(level: Level) -> dict[str, Any]:
    line = {"color": COLOURS["level"], "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": level.y, "y1": level.y, "line": line}


def _name(level: Level, chart: Chart) -> dict[str, Any]:
    return {
        "text": _plain(level.name),
        "font": {"size": 13, "color": COLOURS["level"]},
        "showarrow": False,
        "xref": "x domain",
        "x": 1,
        "xanchor": "right",
        # Unlike a line, a text on a logarithmic axis is placed by the power of ten.
        "y": math.log10(level.y) if chart.is_log else level.y,
        "yanchor": "bottom",
    }


def _band(place: int, band: Band) -> go.Scatter:
    colour = COLOURS[band.role]
    return go.Scatter(
        x=[*band.x, *reversed(band.x)],
        y=[*band.low, *reversed(band.high)],
        name=_plain(band.name),
        meta={"role": band.role},
        mode="lines",
        line={"color": colour, "width": 0},
        fill="toself",
        fillcolor=colour,
        opacity=band_opacity(place),
        hoverinfo="skip",
    )


def _trace(series: Series, chart: Chart) -> go.Scatter:
    colour = COLOURS[series.role]
    if series.role == "best":
        look: dict[str, Any] = {
            "mode": "markers",
            "marker": {"size": 11, "color": colour},
            "hoverinfo": "skip",
        }
    else:
        # A line needs two points; alone, a point is drawn as one.
        mode = "lines" if len(series.x) > 1 and not series.is_scattered else "markers"
        look = {
            "mode": mode,
            "line": {"color": colour, "width": _WIDTHS.get(series.role, 2)},
            "marker": {"size": 5 if series.is_scattered else 8, "color": colour},
        }
        if series.is_scattered:
            look |= {"opacity": 0.5}
        if series.role == "valid" and len(series.x) <= 40:
            look |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}}
        if series.role == "raw":
            look |= {"hoverinfo": "skip"}
    if look.get("hoverinfo") != "skip":
        look["hovertemplate"] = f"%{{y:{_FORMATS.get(series.role, '.3~g')}}}"
    if any(error is not None for error in series.errors):
        look |= {"error_y": {"type": "data", "array": [error or 0.0 for error in series.errors], "thickness": 1}}
    return go.Scatter(
        x=series.x,
        y=series.y,
        name=_plain(series.name),
        meta={"role": series.role},
        showlegend=series.role not in _UNNAMED,
        **look,
    )


def _plain(text: str) -> str:
    # Plotly reads <b>, <a> and the like in any text; what stands here is meant as it is written.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
