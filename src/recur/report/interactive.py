"""Charts for the page: plotly figures that zoom and answer the pointer."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from recur.report.chart import COLOURS, Chart, Level, Role, Series, log_ticks

_LINES: dict[Role, dict[str, Any]] = {
    "raw": {"width": 1},
    "train": {"width": 2},
    "valid": {"width": 2.25},
    "rate": {"width": 2},
    "norm": {"width": 2},
    "speed": {"width": 1.5},
}

_FORMATS: dict[Role, str] = {"train": ".3f", "valid": ".3f", "rate": ".2~g", "norm": ".3~g", "speed": ",.0f"}

# The points behind a smoothed curve, and the mark on its best one, speak for themselves.
_UNNAMED: tuple[Role, ...] = ("raw", "best")


def figure(chart: Chart) -> go.Figure:
    """Return the chart as a plotly figure.

    Every trace carries its role in `meta`, so that the page can colour it for the reader's theme.
    """
    drawn = go.Figure(data=[_trace(series, chart) for series in chart.series])
    has_legend = sum(series.role not in _UNNAMED for series in chart.series) > 1
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
            "title": {"text": chart.x_label},
            "showgrid": False,
            "ticks": "outside",
            "tickformat": ",d",
            "unifiedhovertitle": {"text": f"{chart.x_label} %{{x:,d}}"},
            "spikethickness": 1,
            "range": [0, 1.015 * max(last, 1.0)],
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
        mode = "lines" if len(series.x) > 1 else "markers"
        look = {"mode": mode, "line": {"color": colour, **_LINES[series.role]}, "marker": {"size": 8, "color": colour}}
        if series.role == "valid" and len(series.x) <= 40:
            look |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}}
        if series.role == "raw":
            look |= {"hoverinfo": "skip"}
    if look.get("hoverinfo") != "skip":
        look["hovertemplate"] = f"%{{y:{_FORMATS[series.role]}}}"
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
