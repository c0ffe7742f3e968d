"""The report itself: one HTML file that needs nothing else, and a PNG of every chart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recur.report.chart import Drawing
from recur.report.contents import Contents, charts_of, read_contents
from recur.report.document import document, part, write_document
from recur.run import RunFolder


def figures(run: RunFolder) -> dict[str, Any]:
    """Return the curves of the run's training, and the charts of what it forecast or told, as plotly figures.

    Args:
        run: The run folder.

    Returns:
        `"loss"`, `"learning_rate"`, `"gradient_norm"` and `"throughput"`; of forecasts `"forecast_by_step"` and others
        that begin like this, of labels told of series `"label_confusion"` and the like, of alarms those that begin with
        `"detect_"`, of texts that were written `"translate_by_length"`. Each is a `plotly.graph_objects.Figure`; one
        without any point is left out.

    Raises:
        RunError: The run is incomplete or damaged.
    """
    from recur.report.interactive import figure

    return {chart.key: figure(chart) for chart in charts_of(run)}


def write_report(run: RunFolder, *, say: Callable[[str], None] | None = None) -> Path:
    """Write `report.html`, and a PNG of every curve, into the run folder.

    A run in the middle of its training can be reported too: what it does not have yet is left out.

    Args:
        run: The run folder.
        say: Called with a note where pictures show boxes for letters that no font of this machine has.

    Returns:
        The path of `report.html`.

    Raises:
        RunError: The run is incomplete or damaged, or its folder cannot be written.
    """
    from recur.report.picture import write_pngs

    contents = read_contents(run)
    write_pngs(((run.path / f"{chart.key}.png", chart) for chart in _all_charts(contents)), say)
    path = run.path / "report.html"
    write_document(path, _html(contents))
    return path


def _all_charts(contents: Contents) -> tuple[Drawing, ...]:
    parts = (contents.forecast, contents.labels, contents.detection, contents.translation)
    judged = (part.charts for part in parts if part is not None)
    return (*contents.charts, *(chart for charts in judged for chart in charts))


def _html(contents: Contents) -> str:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    from recur.report.interactive import figure

    drawn = {chart.key: json.loads(figure(chart).to_json()) for chart in _all_charts(contents)}
    own = part("pointing.js") + part("report.js") + part("looking.js")
    return document(
        "report.html.j2",
        styles=["base.css", "report.css", "looking.css"],
        scripts=[get_plotlyjs(), own] if drawn else [own],
        embedded={"figures": drawn},
        run=contents,
    )
