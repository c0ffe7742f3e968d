"""The page that shows what is inside a trained network, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.inspection_format import DECODER, INSPECTION
from recur.report.answers_contents import answers_data, answers_view
from recur.report.curves import clipping_of, rows_of_kind
from recur.report.diagram import BOX, folded, unrolled
from recur.report.document import document, part, write_document
from recur.report.equations import part_name
from recur.report.inspected_writing import Writing
from recur.report.inspection import Inspection, read_inspection
from recur.report.inspection_charts import charts_of_inspection
from recur.report.inspection_contents import (
    lead_of,
    method_view,
    parts_table,
    passage_of,
    searched,
    summary_of,
    unknown_of,
)
from recur.report.looking import Looking, looking_of
from recur.report.packing import packed, packed_numbers, similar
from recur.report.passage import LEVELS, symbol_name, visible
from recur.report.probe_contents import layer_view, reach_of
from recur.report.row_coding import ALPHABET, WHOLE, classes_of
from recur.report.tracks import Selection, is_signed, select
from recur.report.values import as_text
from recur.report.words_contents import words_view
from recur.run import RunFolder, explained_os_errors

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
    "inspect_answers.js",
    "inspect_words.js",
    "inspect_network.js",
    "looking.js",
    "beam_tree.js",
    "inspect.js",
)
"""The page's scripts, in the order in which they build on each other."""

LARGEST = 4_970_000
"""Bytes of a page at most: five million, less what a few words on what was cut may take."""


def inspection_figures(run: RunFolder) -> dict[str, Any]:
    """Return what an inspection saw as plotly figures.

    Args:
        run: A run folder in which `recur inspect` left its two files.

    Returns:
        `"network"` and `"unrolled"`, `"text"`, `"states"`, `"trajectory"`, `"unit"`, `"next"`, `"attribution"`,
        `"deletion"`, `"reach"`, `"reach_by_lag"` and `"gates"`, and for a series `"series_1"` and so on instead of the
        text and what comes next, of a trained model of series `"forecast_1"` and `"contributions"` too, of a translator
        `"looks"`, and what begins with `"decoder_"`, each a `plotly.graph_objects.Figure`; what the inspection has
        nothing for is left out.
        The unit is the one that follows a property best, the layer is its, and what comes next and what that rests on
        are of the most surprising place of those that were explained.

    Raises:
        RunError: There is no inspection, or it is damaged.
    """
    from recur.report.interactive import figure

    found = {chart.key: figure(chart) for chart in charts_of_inspection(read_inspection(run))}
    if run.has(f"{DECODER}.json"):
        charts = charts_of_inspection(read_inspection(run, DECODER))
        found |= {f"decoder_{chart.key}": figure(chart) for chart in charts}
    return found


def write_inspection(run: RunFolder, *, say: Callable[[str], None] | None = None) -> Path:
    """Write `inspect.html`, and a PNG of every figure, `inspect_*.png`, into the run folder.

    Of a translator these are of its encoder, of what it wrote and how it searched; beside them `inspect_decoder.html`
    and `inspect_decoder_*.png` are of its decoder.

    Args:
        run: A run folder in which `recur inspect` left its files.
        say: Called with a note where pictures show boxes for letters that no font of this machine has.

    Returns:
        The path of `inspect.html`. Each page needs no other file and is below 5 MB.

    Raises:
        RunError: There is no inspection, it is damaged, or the folder cannot be written.
    """
    from recur.report.picture import write_pngs

    names = [INSPECTION, *([DECODER] if run.has(f"{DECODER}.json") else [])]
    parts = {name: read_inspection(run, name) for name in names}
    drawn = [
        (run.path / f"{name}_{chart.key}.png", chart)
        for name, seen in parts.items()
        for chart in charts_of_inspection(seen)
    ]
    write_pngs(drawn, say)
    # Of an earlier text, which had something to draw that this one has not, or of an earlier network.
    old = {*run.path.glob(f"{INSPECTION}_*.png"), run.path / f"{DECODER}.html"}
    for path in old - {path for path, _ in drawn}:
        with explained_os_errors(path):
            path.unlink(missing_ok=True)
    for name, seen in parts.items():
        write_document(run.path / f"{name}.html", inspection_html(seen, run, other=_other(name, parts)))
    return run.path / f"{INSPECTION}.html"


def _other(name: str, parts: Mapping[str, Inspection]) -> tuple[str, str] | None:
    """Return the page of the other part of a translator, and what it is called; None where there is none."""
    if len(parts) < 2:
        return None
    if name == DECODER:
        return f"{INSPECTION}.html", "See its encoder, where it looked, and how it searched"
    return f"{DECODER}.html", "See inside its decoder"


def inspection_html(seen: Inspection, run: RunFolder, *, other: tuple[str, str] | None = None) -> str:
    """Return the page of an inspection.

    Args:
        seen: The inspection.
        run: Asked for its name, and whether a report lies beside it.
        other: Another page beside it, and what that is called.
    """
    classes = _classes(seen)
    without = _html(seen, run, classes, Selection(tracks=(), precision="", cut=()), other)
    # What is left of the five million when all else is there.
    selection = select(seen.layers, seen.properties, classes, LARGEST - len(without.encode("utf-8", "replace")))
    return _html(seen, run, classes, selection, other)


def _maps(writing: Writing) -> Iterator[Looking]:
    if writing.attention is not None:
        yield looking_of(writing.source, writing.written, writing.attention, title="Attention")
    if writing.gradient is not None:
        yield looking_of(
            writing.source,
            writing.written,
            writing.gradient,
            title="Gradient",
            verb="reaches back to",
            is_share=False,
        )


def _classes(seen: Inspection) -> NDArray[np.uint8]:
    # No two steps of a series are the same thing.
    return classes_of(seen.symbols) if seen.series is None else np.zeros(seen.count, dtype=np.uint8)


def _html(
    seen: Inspection,
    run: RunFolder,
    classes: NDArray[np.uint8],
    selection: Selection,
    other: tuple[str, str] | None,
) -> str:
    scale, passage = passage_of(seen)
    cells = {layer.name: layer.cell for layer in seen.layers}
    probe, found = seen.probe, seen.attribution
    return document(
        "inspect.html.j2",
        styles=["base.css", "inspect.css", "looking.css"],
        scripts=["\n".join(map(part, SCRIPTS))],
        embedded={
            "inspection": _data(seen) | {"top": scale.top, "classes": packed(classes), "tracks": selection.tracks}
        },
        seen=seen,
        name=_name(run),
        has_report=run.has("report.html"),
        is_older=bool(seen.weights) and run.weights_checksum() not in (None, seen.weights),
        lead=lead_of(seen),
        summary=summary_of(seen),
        folded=folded(seen),
        unrolled=unrolled(seen),
        box_width=BOX,
        scale=scale,
        passage=passage,
        searched=searched(seen),
        answers=answers_view(seen),
        words=words_view(seen),
        maps=() if seen.writing is None else tuple(_maps(seen.writing)),
        other=other,
        # The gradient that is clipped is that of a loss, not of a state.
        reach=None
        if probe is None
        else reach_of(probe, "" if seen.reaches_states else clipping_of(rows_of_kind(run.metrics(), "train"))),
        probed=() if probe is None else tuple(layer_view(one, cells.get(one.name, "")) for one in probe.layers),
        methods=()
        if found is None
        else tuple(method_view(one, len(found.positions), found.unit) for one in found.methods),
        unknown=unknown_of(seen),
        parts_table=parts_table(seen),
        selection=selection,
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
        "alphabet": ALPHABET,
        "whole": WHOLE,
        **_names(seen),
        "losses": packed_numbers(seen.losses),
        "layers": [
            {
                "name": layer.name,
                "parts": [
                    {
                        "name": one.name,
                        "title": part_name(layer.cell, one.name),
                        "width": one.width,
                        "scale": one.scale,
                        "is_signed": is_signed(one),
                    }
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
        "answers": answers_data(seen),
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
        "came": [symbol_name(tag) for tag in seen.tags.true] if seen.next.of == "tag" and seen.tags else None,
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
