"""The charts of an inspection, for plotly and for PNGs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from recur.report.answers_contents import answers_charts
from recur.report.boxes import Inside, guesses_at
from recur.report.chart import Bars, Boxes, Chart, Drawing, Grid, Letters, Role, Series, Trail, log_range, thin
from recur.report.diagram import BOX, folded, unrolled
from recur.report.equations import part_name
from recur.report.findings import Found, Property, best_found
from recur.report.inspection import MAX_NEXT, Inspection, Part
from recur.report.looking import looking_grid
from recur.report.packing import similar
from recur.report.passage import symbol_name
from recur.report.tracks import UNBOUNDED, is_signed
from recur.report.values import signed
from recur.report.words_contents import shares_of

_SHORT = {"space": "␣", "line break": "↵", "tab": "⇥"}
"""What stands below a bar for a symbol that cannot be seen."""

_ROLES: tuple[Role, ...] = ("first", "second", "third", "fourth")

_PLACES = 200
"""Places over which a unit is shown at first."""

_SYMBOLS, _LINE = 600, 60
"""Symbols of a text that are shown, and how many letters a line of them has."""

_BARS = 40
"""Inputs of an attribution that have room side by side."""


def charts_of_inspection(seen: Inspection) -> list[Drawing]:
    """Return the charts of an inspection; one without anything to show is left out."""
    return [
        chart
        for make in (
            _network,
            _text,
            _series,
            answers_charts,
            _words,
            _looks,
            _states,
            _trajectory,
            _unit,
            _next,
            _attribution,
            _deletion,
            _reach,
            _reach_by_lag,
            _gates,
        )
        for chart in make(seen)
    ]


def _best_unit(seen: Inspection) -> tuple[Property | None, Found] | None:
    """Return the unit that follows a property best and which, else the first unit of all; None where there is none."""
    best = best_found(seen.properties)
    if best is not None:
        return best
    for place, layer in enumerate(seen.layers):
        if layer.parts:
            part = layer.parts[0].name
            return None, Found(layer=place, part=part, unit=0, score=0.0, held_out=None, sign=1, holds=False)
    return None


def _chosen(seen: Inspection) -> tuple[int, Part] | None:
    """Return the layer that is shown, and its first part."""
    best = _best_unit(seen)
    return None if best is None else (best[1].layer, seen.layers[best[1].layer].parts[0])


def _states(seen: Inspection) -> Iterator[Grid]:
    chosen = _chosen(seen)
    if chosen is None:
        return
    place, part = chosen
    order = similar(part)
    yield Grid(
        key="states",
        title=f"{part.name} of {seen.layers[place].name} over time",
        summary=f"All {part.width:,} units at all {seen.count:,} {seen.unit}s; units that move alike are neighbours.",
        x_label=seen.unit,
        y_label="unit",
        values=(part.values[:, order].T * np.float32(part.scale / 127)).astype(np.float32),
        x=tuple(range(1, seen.count + 1)),
        y=tuple(order),
        is_signed=is_signed(part),
    )


def _trajectory(seen: Inspection) -> Iterator[Trail]:
    chosen = _chosen(seen)
    if chosen is None:
        return
    layer = seen.layers[chosen[0]]
    if layer.path is None or not np.isfinite(layer.path).any():
        return
    shares = [*(f" ({share:.0%})" for share in layer.explained[:2]), "", ""]
    yield Trail(
        key="trajectory",
        title=f"The path of the state of {layer.name}",
        summary="The state in its two principal components, from light to dark.",
        x_label=f"first component{shares[0]}",
        y_label=f"second component{shares[1]}",
        points=layer.path,
        names=_names(seen),
    )


def _unit(seen: Inspection) -> Iterator[Chart]:
    best = _best_unit(seen)
    if best is None:
        return
    known, one = best
    layer = seen.layers[one.layer]
    part = layer.part(one.part)
    if part is None:
        return
    values = [float(value) for value in part.values[:, one.unit] * (part.scale / 127)]
    x, y = thin(range(1, seen.count + 1), values)
    series = [Series(name=f"{part_name(layer.cell, part.name)} {one.unit}", role="first", x=x, y=y)]
    if known is not None and known.labels is not None:
        # On the unit's own scale, so that both can be compared.
        low, high = float(np.nanmin(known.labels)), float(np.nanmax(known.labels))
        reach = max(values) - min(values)
        if high > low:
            share = (known.labels.astype(np.float64) - low) / (high - low)
            labels = [None if math.isnan(one) else min(values) + reach * float(one) for one in share]
            label_x, label_y = thin(range(1, seen.count + 1), labels)
            series.append(Series(name=known.name, role="raw", x=label_x, y=label_y))
    yield Chart(
        key="unit",
        title=f"Unit {one.unit} of {layer.name}, {part.name}",
        y_label="value",
        summary=f"One unit over all {seen.unit}s" + (f", and {known.name}." if known is not None else "."),
        series=tuple(reversed(series)),
        x_label=seen.unit,
        # All at once would be a block of colour.
        x_range=(0.0, float(min(seen.count, _PLACES))),
    )


def _reach(seen: Inspection) -> Iterator[Grid]:
    if seen.probe is None or not (np.isfinite(seen.probe.reach) & (seen.probe.reach > 0)).any():
        return
    yield Grid(
        key="reach",
        title="How far the gradient reaches",
        summary="The norm of the gradient of each loss by each earlier state.",
        x_label="state at step",
        y_label="loss at step",
        values=seen.probe.reach,
        x=seen.probe.sources,
        y=seen.probe.targets,
        is_log=True,
    )


def _reach_by_lag(seen: Inspection) -> Iterator[Chart]:
    probe = seen.probe
    if probe is None:
        return
    positive = [None if y is None or y <= 0 else y for y in probe.by_lag]
    known = [y for y in positive if y is not None]
    if not known:
        return
    length = probe.memory_length
    yield Chart(
        key="reach_by_lag",
        title="The gradient by the number of steps back" + ("" if length is None else f"; memory length {length:,.0f}"),
        y_label="norm of the gradient",
        summary="" if length is None else f"Memory length: {length:,.0f} steps.",
        series=(Series(name="gradient", role="first", x=probe.lags, y=tuple(positive)),),
        x_label="steps back",
        is_log=True,
        y_range=log_range(min(known), max(known)),
    )


def _gates(seen: Inspection) -> Iterator[Chart]:
    probed = [layer for layer in (seen.probe.layers if seen.probe is not None else ()) if layer.gates]
    if not probed:
        return
    chosen = _chosen(seen)
    wanted = seen.layers[chosen[0]].name if chosen is not None else ""
    layer = next((one for one in probed if one.name == wanted), probed[0])
    cells = {one.name: one.cell for one in seen.layers}
    series = []
    for place, gate in enumerate(layer.gates):
        count = len(gate.histogram)
        series.append(
            Series(
                name=part_name(cells.get(layer.name, ""), gate.name),
                role=_ROLES[place % len(_ROLES)],
                x=tuple((step + 0.5) / count for step in range(count)),
                y=gate.histogram,
            )
        )
    yield Chart(
        key="gates",
        title=f"The gates of {layer.name}",
        y_label="share of values",
        summary="How often each gate has which value, from closed, 0, to open, 1.",
        series=tuple(series),
        x_label="value of the gate",
        x_format=".1f",
        x_range=(0.0, 1.0),
    )


def _network(seen: Inspection) -> Iterator[Boxes]:
    for key, title, drawn in (
        ("network", "The network as it is built", folded(seen)),
        ("unrolled", "The network over the first steps", unrolled(seen)),
    ):
        yield Boxes(
            key=key,
            title=title,
            summary=drawn.label,
            width=drawn.width,
            height=drawn.height,
            boxes=tuple(
                (box.x, box.y, BOX, box.height, _in_box(box.inside), box.inside.heading) for box in drawn.boxes
            ),
            arrows=tuple(
                (
                    arrow.points,
                    (arrow.x + (0 if arrow.is_centred else 3.5 * len(arrow.label)), arrow.y - 4),
                    arrow.label,
                )
                for arrow in drawn.arrows
            ),
        )


def _in_box(what: Inside) -> str:
    guesses = [f"{name} {share:.0%}" for name, share in what.guesses]
    return "\n".join(guesses or filter(None, [what.title, what.numbers]))


def _text(seen: Inspection) -> Iterator[Letters]:
    best = _best_unit(seen)
    part = None if best is None else seen.layers[best[1].layer].part(best[1].part)
    if seen.series is not None or best is None or part is None:
        return
    one = best[1]
    values = part.values[:_SYMBOLS, one.unit].astype(np.float64)
    # As on the page: without a bound, by what this one unit does.
    top = 127.0 if part.scale <= UNBOUNDED else max(1.0, float(np.abs(part.values[:, one.unit].astype(int)).max()))
    scale, layer = part.scale / 127, seen.layers[one.layer]
    names = [f"{name}: {signed(value * scale)}" for name, value in zip(_names(seen), values, strict=False)]
    yield Letters(
        key="text",
        title=f"The text, coloured by unit {one.unit} of {layer.name}, {part.name}",
        summary=f"The first {len(names):,} {seen.unit}s, each on the colour of what the unit does there.",
        rows=_rows(_letters(seen)[: len(names)]),
        names=tuple(names),
        values=tuple(float(value) * scale for value in values),
        top=top * scale,
        is_signed=is_signed(part),
    )


def _words(seen: Inspection) -> Iterator[Letters]:
    if seen.answers is None or seen.series is not None:
        return
    one = seen.answers.answers[0]
    shares = shares_of(one)[:_SYMBOLS]
    names = _names(seen)
    yield Letters(
        key="contributions",
        title=f"What speaks for {one.name}",
        summary=f"The first {len(shares):,} {seen.unit}s, each on the colour of what it contributes, in "
        f"{seen.answers.unit}.",
        rows=_rows(_letters(seen)[: len(shares)]),
        names=tuple(f"{name}: {signed(share)}" for name, share in zip(names, shares, strict=False)),
        values=tuple(shares),
        top=max(map(abs, shares)) or 1.0,
        is_signed=True,
    )


def _letters(seen: Inspection) -> list[str]:
    """Return what stands in a picture for each symbol, with a blank where blanks follow it."""
    named = [_SHORT.get(name, name.strip("“”")) for name in _names(seen)]
    return [one + (" " if after else "") for one, after in zip(named, seen.between, strict=True)]


def _rows(symbols: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return symbols in rows, each about as long as a line."""
    rows: list[list[str]] = [[]]
    for symbol in symbols:
        if sum(map(len, rows[-1])) + len(symbol) > _LINE and rows[-1]:
            rows.append([])
        rows[-1].append(symbol)
    return tuple(map(tuple, rows))


def _series(seen: Inspection) -> Iterator[Chart]:
    if seen.series is None:
        return
    for place, channel in enumerate(seen.series.channels):
        lines = []
        for name, role, columns in (
            ("predicted", "second", seen.series.predictions),
            ("read", "first", seen.series.values),
        ):
            if columns is not None and np.isfinite(columns[:, place]).any():
                values = [float(value) if np.isfinite(value) else None for value in columns[:, place]]
                x, y = thin(range(1, seen.count + 1), values)
                lines.append(Series(name=name, role=cast(Role, role), x=x, y=y))
        if lines:
            yield Chart(
                key=f"series_{place + 1}",
                title=channel,
                y_label="value",
                summary=f"{channel}: what was read, and what had been predicted of it.",
                series=tuple(lines),
                x_label=seen.unit,
                x_range=(0.0, float(min(seen.count, _PLACES))),
            )


def _next(seen: Inspection) -> Iterator[Bars]:
    place = _surprising(seen)
    guesses = guesses_at(seen, place, MAX_NEXT)
    if not guesses:
        return
    if seen.next is not None and seen.next.of == "tag":
        place = _doubtful(seen)
        guesses = guesses_at(seen, place, MAX_NEXT)
        yield Bars(
            key="next",
            title=f"Which tags it considers for {seen.unit} {place + 1:,}, {_names(seen)[place]}",
            summary=f"The most probable tags of the {seen.unit} that it is least sure of.",
            x_label="tag",
            y_label="probability",
            names=tuple(name.strip("“”") for name, _ in guesses),
            values=tuple(share for _, share in guesses),
        )
        return
    came = _names(seen)[place + 1] if place + 1 < seen.count else "nothing"
    yield Bars(
        key="next",
        title=f"What it expects after {seen.unit} {place + 1:,}; {came} came",
        summary=f"The most probable {seen.unit}s to follow {_names(seen)[place]}, with their probabilities.",
        x_label=f"next {seen.unit}",
        y_label="probability",
        names=tuple(_SHORT.get(name, name.strip("“”")) for name, _ in guesses),
        values=tuple(share for _, share in guesses),
    )


def _looks(seen: Inspection) -> Iterator[Grid]:
    if seen.writing is not None and seen.writing.attention is not None:
        one = seen.writing
        yield looking_grid("looks", one.source, one.written, seen.writing.attention, "Where each written token looked")


def _doubtful(seen: Inspection) -> int:
    """Return the place whose most probable tag is least so."""
    assert seen.next is not None
    best = np.where(np.isfinite(seen.next.probabilities), seen.next.probabilities, 0).max(1)
    return int(best.argmin())


def _surprising(seen: Inspection) -> int:
    """Return the place whose prediction is shown: of those that are explained the one that was most wrong."""
    places = range(seen.count - 1) if seen.attribution is None else map(int, seen.attribution.positions)
    return max(places, key=lambda place: _loss_after(seen, place), default=0)


def _deletion(seen: Inspection) -> Iterator[Chart]:
    if seen.attribution is None:
        return
    checked = [(one.name, one.deletion) for one in seen.attribution.methods if one.deletion is not None]
    if not checked:
        return
    lines = [
        Series(
            name=name,
            role=_ROLES[place % 3],
            x=tuple(100 * share for share in deletion.shares),
            y=deletion.chosen,
            errors=deletion.errors,
        )
        for place, (name, deletion) in enumerate(checked)
    ]
    first = checked[0][1]
    # All methods are compared with the same random deletions.
    at_random = Series(name="at random", role="fourth", x=tuple(100 * share for share in first.shares), y=first.random)
    yield Chart(
        key="deletion",
        title="What deleting inputs costs",
        y_label=f"worse, in {seen.attribution.unit}",
        summary="How much worse predictions get when the inputs that a method calls important are deleted, with the "
        "standard error of the difference from as many at random.",
        series=(at_random, *lines),
        x_label="percent of the inputs deleted",
    )


def _attribution(seen: Inspection) -> Iterator[Bars]:
    found = seen.attribution
    if found is None:
        return
    method = next((one for one in found.methods if one.deletion and one.deletion.is_faithful), found.methods[0])
    place, names = _surprising(seen), _names(seen)
    row = [int(one) for one in found.positions].index(place)
    shares = [float(share) for share in method.shares[row]][-min(place + 1, _BARS) :]
    first = place - len(shares) + 1
    target = names[place + 1] if place + 1 < seen.count else "what comes next"
    yield Bars(
        key="attribution",
        title=f"What the prediction of {target}, {seen.unit} {place + 2:,}, rests on",
        summary=f"By {method.name}: above zero what spoke for it, below what spoke against it.",
        x_label=f"the {seen.unit}s before it",
        y_label="share of the weight of all inputs",
        names=tuple(_SHORT.get(name, name.strip("“”")) for name in names[first : place + 1]),
        values=tuple(0.0 if math.isnan(share) else share for share in shares),
    )


def _loss_after(seen: Inspection, place: int) -> float:
    loss = float(seen.losses[place + 1]) if place + 1 < seen.count else math.nan
    return -math.inf if math.isnan(loss) else loss


def _names(seen: Inspection) -> tuple[str, ...]:
    return seen.series.times if seen.series is not None else tuple(symbol_name(one) for one in seen.symbols)
