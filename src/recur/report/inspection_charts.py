"""The charts of an inspection, for plotly and for PNGs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from recur.report.chart import Bars, Chart, Drawing, Grid, Role, Series, Trail, log_range, thin
from recur.report.equations import part_name
from recur.report.findings import Found, Property, best_found
from recur.report.inspection import Inspection, Part
from recur.report.packing import similar
from recur.report.passage import symbol_name

_SHORT = {"space": "␣", "line break": "↵", "tab": "⇥"}
"""What stands below a bar for a symbol that cannot be seen."""

_ROLES: tuple[Role, ...] = ("first", "second", "third", "fourth")

_PLACES = 200
"""Places over which a unit is shown at first."""

_BARS = 40
"""Inputs of an attribution that have room side by side."""


def charts_of_inspection(seen: Inspection) -> list[Drawing]:
    """Return the charts of an inspection; one without anything to show is left out."""
    return [
        chart
        for make in (_states, _trajectory, _unit, _reach, _reach_by_lag, _gates, _attribution)
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
        is_signed=bool((part.values < 0).any()),
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


def _attribution(seen: Inspection) -> Iterator[Bars]:
    found = seen.attribution
    if found is None:
        return
    method = next((one for one in found.methods if one.deletion and one.deletion.is_faithful), found.methods[0])
    losses = [_loss_after(seen, int(place)) for place in found.positions]
    row = int(np.argmax(losses))
    place, names = int(found.positions[row]), _names(seen)
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
