"""The page that shows what is inside a trained network, and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recur.report.diagram import BOX, folded, unrolled
from recur.report.document import document, part, write_document
from recur.report.equations import part_name
from recur.report.inspection import Inspection, read_inspection
from recur.report.inspection_charts import charts_of_inspection
from recur.report.inspection_contents import (
    layer_view,
    lead_of,
    method_view,
    passage_of,
    reach_of,
    searched,
    summary_of,
    unknown_of,
)
from recur.report.packing import packed, packed_numbers, similar, tracks_for
from recur.report.passage import LEVELS, symbol_name, visible
from recur.report.values import as_text
from recur.run import RunFolder

SCRIPTS = (
    "pointing.js",
    "inspect_data.js",
    "inspect_colour.js",
    "inspect_text.js",
    "inspect_series.js",
    "inspect_units.js",
    "inspect_map.js",
    "inspect_path.js",
    "inspect_next.js",
    "inspect_rests.js",
    "inspect_network.js",
    "inspect.js",
)
"""The page's scripts, in the order in which they build on each other."""


def inspection_figures(run: RunFolder) -> dict[str, Any]:
    """Return what an inspection saw as plotly figures.

    Args:
        run: A run folder in which `recur inspect` left its two files.

    Returns:
        `"states"`, `"trajectory"`, `"unit"`, `"reach"`, `"reach_by_lag"`, `"gates"` and `"attribution"`, each a
        `plotly.graph_objects.Figure`; what the inspection has nothing for is left out. The unit is the one that follows
        a property best, the layer is its, and the attribution is of the most surprising place.

    Raises:
        RunError: There is no inspection, or it is damaged.
    """
    from recur.report.interactive import figure

    return {chart.key: figure(chart) for chart in charts_of_inspection(read_inspection(run))}


def write_inspection(run: RunFolder) -> Path:
    """Write `inspect.html`, and a PNG of every figure, `inspect_*.png`, into the run folder.

    Args:
        run: A run folder in which `recur inspect` left its two files.

    Returns:
        The path of `inspect.html`, which needs no other file and is below 5 MB.

    Raises:
        RunError: There is no inspection, it is damaged, or the folder cannot be written.
    """
    from recur.report.picture import write_png

    seen = read_inspection(run)
    for chart in charts_of_inspection(seen):
        write_png(chart, run.path / f"inspect_{chart.key}.png")
    path = run.path / "inspect.html"
    write_document(path, inspection_html(seen, run))
    return path


def inspection_html(seen: Inspection, run: RunFolder) -> str:
    """Return the page of an inspection; `run` is asked for its name, and whether a report lies beside it."""
    scale, passage = passage_of(seen)
    tracks, cut = tracks_for(seen.layers, seen.properties)
    cells = {layer.name: layer.cell for layer in seen.layers}
    probe = seen.probe
    return document(
        "inspect.html.j2",
        styles=["base.css", "inspect.css"],
        scripts=["\n".join(map(part, SCRIPTS))],
        embedded={"inspection": _data(seen) | {"tracks": [one.to_json() for one in tracks]}},
        seen=seen,
        name=_name(run),
        has_report=run.has("report.html"),
        lead=lead_of(seen),
        summary=summary_of(seen),
        folded=folded(seen),
        unrolled=unrolled(seen),
        box_width=BOX,
        scale=scale,
        passage=passage,
        searched=searched(seen),
        reach=None if probe is None else reach_of(seen, probe),
        probed=() if probe is None else tuple(layer_view(one, cells.get(one.name, "")) for one in probe.layers),
        methods=() if seen.attribution is None else tuple(map(method_view, seen.attribution.methods)),
        unknown=unknown_of(seen),
        cut_tracks=cut,
    )


def _name(run: RunFolder) -> str:
    config = run.read_json("config.json") if run.has("config.json") else {}
    return visible(as_text(config.get("name")) or run.path.resolve().name)


def _data(seen: Inspection) -> dict[str, Any]:
    """Return what the page's scripts read, but for the states and gates."""
    return {
        "kind": seen.kind,
        "unit": seen.unit,
        "count": seen.count,
        "levels": LEVELS,
        **_names(seen),
        "losses": packed_numbers(seen.losses),
        "layers": [
            {
                "name": layer.name,
                "parts": [
                    {"name": one.name, "title": part_name(layer.cell, one.name), "width": one.width}
                    for one in layer.parts
                ],
                "similar": similar(layer.parts[0]) if layer.parts else [],
                "path": None if layer.path is None else packed_numbers(layer.path),
                "explained": [round(share, 4) for share in layer.explained],
            }
            for layer in seen.layers
        ],
        "properties": [
            {
                "name": known.name,
                "binary": known.is_binary,
                "labels": None if known.labels is None else packed_numbers(known.labels),
            }
            for known in seen.properties
        ],
        "next": _next(seen),
        "series": _series(seen),
        "rests": _rests(seen),
    }


def _names(seen: Inspection) -> dict[str, Any]:
    """Return what to call each place: every name once, and a number for each place."""
    names = [symbol_name(one) for one in seen.symbols] if seen.series is None else list(seen.series.times)
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return {"names": list(known), "named": packed(np.array([known[name] for name in names], dtype=np.uint16))}


def _next(seen: Inspection) -> dict[str, Any] | None:
    if seen.next is None:
        return None
    # Of a large vocabulary only what is ever expected, or comes, is named.
    used, places = np.unique(seen.next.ids, return_inverse=True)
    return {
        "names": [symbol_name(seen.next.vocabulary[symbol]) for symbol in used],
        "ids": packed(places.reshape(seen.next.ids.shape).astype(np.int32)),
        "shares": packed_numbers(seen.next.probabilities),
    }


def _series(seen: Inspection) -> dict[str, Any] | None:
    if seen.series is None:
        return None
    values, predictions = seen.series.values, seen.series.predictions
    return {
        "channels": list(seen.series.channels),
        "values": [] if values is None else [packed_numbers(column) for column in values.T],
        "predictions": [] if predictions is None else [packed_numbers(column) for column in predictions.T],
    }


def _rests(seen: Inspection) -> dict[str, Any] | None:
    if seen.attribution is None:
        return None
    return {
        "positions": [int(place) for place in seen.attribution.positions],
        "methods": [
            {"name": method.name, "shares": packed_numbers(method.shares)} for method in seen.attribution.methods
        ],
    }
