"""Charts for the page: plotly figures that zoom and answer the pointer."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from recur.report.chart import COLOURS, Chart, Role, Series

_LINES: dict[Role, dict[str, Any]] = {
    "raw": {"width": 1},
    "norm": {"width": 1},
    "train": {"width": 2},
    "valid": {"width": 2.25},
    "rate": {"width": 2},
    "speed": {"width": 1.5},
}


def figure(chart: Chart) -> go.Figure:
    """Return the chart as a plotly figure.

    Every trace carries its role in `meta`, and every level's line and name carry the name "level", so that the page
    can colour them for the reader's theme.
    """
    drawn = go.Figure(data=[_trace(series, chart) for series in chart.series])
    for level in chart.levels:
        drawn.add_hline(
            y=level.y,
            name="level",
            line={"color": COLOURS["level"], "width": 1, "dash": "dash"},
            annotation={"text": _plain(level.name), "name": "level", "font": {"size": 13, "color": COLOURS["level"]}},
            annotation_position="top right",
        )
    drawn.update_layout(
        template="none",
        margin={"l": 56, "r": 12, "t": 36 if len(chart.series) > 1 else 14, "b": 46},
        height=430 if chart.key == "loss" else 260,
        hovermode="x unified",
        showlegend=len(chart.series) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis={
            "title": {"text": chart.x_label},
            "showgrid": False,
            "ticks": "outside",
            "rangemode": "tozero",
            "tickformat": ",d",
        },
        yaxis={
            "title": {"text": _plain(chart.y_label)},
            "type": "log" if chart.is_log else "linear",
            "zeroline": False,
        },
    )
    if chart.is_log:
        # Whole powers of ten and, between them, 2 and 5: the labels stay readable over any span.
        drawn.update_yaxes(dtick="D2", exponentformat="power")
    if chart.y_range is not None:
        drawn.update_yaxes(range=list(chart.y_range))
    return drawn


def _trace(series: Series, chart: Chart) -> go.Scatter:
    colour = COLOURS[series.role]
    if series.role == "best":
        look: dict[str, Any] = {
            "mode": "markers",
            "marker": {"size": 10, "color": colour, "symbol": "circle"},
            "hoverinfo": "skip",
        }
    else:
        # A line needs two points; alone, a point is drawn as one.
        mode = "lines" if len(series.x) > 1 else "markers"
        look = {"mode": mode, "line": {"color": colour, **_LINES[series.role]}, "marker": {"size": 8, "color": colour}}
        if series.role == "valid" and len(series.x) <= 40:
            look |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}}
        if series.role == "raw" or (series.role == "norm"):
            look |= {"hoverinfo": "skip"}
    if look.get("hoverinfo") != "skip":
        look["hovertemplate"] = "%{y:.3~g}" if chart.key != "throughput" else "%{y:,.0f}"
    return go.Scatter(x=series.x, y=series.y, name=_plain(series.name), meta={"role": series.role}, **look)


def _plain(text: str) -> str:
    # Plotly reads <b>, <a> and the like in any text; what stands here is meant as it is written.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
