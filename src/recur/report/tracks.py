"""Which states and gates a page has room for, and in how many steps each is shown."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.findings import Property, best_found
from recur.report.inspection import InspectedLayer, Part
from recur.report.packing import packed
from recur.report.row_coding import Rows, rows_of

STEPS = (255, 127, 63, 47, 31, 23, 17, 13, 11, 9, 8, 7, 6, 5)
"""Steps between the extremes of a part in which it may be shown, the finest first."""

FINE = 63
"""Steps in which the unit that follows a property best is shown, where all others have fewer."""

UNBOUNDED = 1.5
"""A part that has been beyond this is taken to have no bounds; its units then have a range each."""

_SAMPLE = 8


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Units over all places, in so many steps."""

    of: tuple[tuple[int, str, tuple[int, ...]], ...]
    """The layers, parts and units of the rows, in order."""
    most: NDArray[np.uint8]
    """(rows,): the byte of the state or gate that the last step stands for."""
    rows: Rows
    """The steps of each."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page's scripts read."""
        of = [{"layer": layer, "part": part, "units": list(units)} for layer, part, units in self.of]
        return {"of": of, "most": packed(self.most), **self.rows.to_json()}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a page shows of states and gates."""

    tracks: tuple[dict[str, Any], ...]
    """What the page's scripts read."""
    precision: str
    """In how many steps it is shown, in a sentence."""
    cut: tuple[str, ...]
    """A phrase for each part of which not all units are on the page."""


_Chosen = Mapping[tuple[int, str], Sequence[int]]


def is_signed(part: Part) -> bool:
    """Return whether some values are below zero, so that zero is the middle of their colours."""
    return bool((part.values < 0).any())


def select(
    layers: Sequence[InspectedLayer], properties: Sequence[Property], classes: NDArray[np.uint8], room: int
) -> Selection:
    """Return what to show of all states and gates in `room` bytes.

    All units of all parts, in as many steps as there is room for. Only where five are too many, units are left out:
    the first part of every layer, h, comes before all else; then the other parts, unit by unit, most important first.

    Args:
        layers: The layers.
        properties: What units were searched for.
        classes: (N,): which symbol stands at each place, as `classes_of` gives it.
        room: How long the JSON of all tracks may be.
    """
    everything = {(place, part.name): range(part.width) for place, layer in enumerate(layers) for part in layer.parts}
    best = _best(properties)
    # The estimate is a little low, so that what does not fit by it does not fit.
    first = bisect_left(range(len(STEPS)), True, key=lambda at: _estimate(layers, classes, at) <= room)
    for at in range(first, len(STEPS)):
        tracks = _tracks(layers, classes, everything, best, at)
        if _length(tracks) <= room:
            return Selection(tracks=tracks, precision=_precision(layers, at, bool(best)), cut=())
    last, share = len(STEPS) - 1, 1.0
    sizes = _sizes(layers, classes)
    while True:
        chosen = _most_important(layers, properties, sizes, share * room)
        tracks = _tracks(layers, classes, chosen, (), last)
        # What each row takes is an estimate.
        if _length(tracks) <= room or not chosen:
            break
        share *= 0.95
    cut = [
        f"{layer.name}, {part.name}: {len(units):,} of {part.width:,} units"
        for place, layer in enumerate(layers)
        for part in layer.parts
        if len(units := chosen.get((place, part.name), ())) < part.width
    ]
    return Selection(tracks=tracks, precision=_precision(layers, last, False), cut=tuple(cut))


def _length(tracks: Sequence[Mapping[str, Any]]) -> int:
    return len(json.dumps(tracks, separators=(",", ":")))


def _steps(part: Part, at: int) -> int:
    # States, which are looked at most, get a little more than gates.
    steps = STEPS[at if part.is_gate else max(0, at - 1)]
    # Of what may be below zero one step is zero itself.
    return steps | 1 if is_signed(part) else min(steps, 128)


def _precision(layers: Sequence[InspectedLayer], at: int, has_best: bool) -> str:
    """Return in how many steps states and gates are shown, in a sentence."""
    if not any(layer.parts for layer in layers):
        return ""
    said = []
    for kind, is_gate in (("states", False), ("gates", True)):
        steps = {_steps(part, at) for layer in layers for part in layer.parts if part.is_gate == is_gate}
        if steps:
            said.append((kind, " or ".join(map(str, sorted(steps, reverse=True)))))
    if has_best and _is_coarse(at):
        said.append(("the unit that follows a property best", str(FINE)))
    (kind, first), *others = said
    more = "".join(f", {kind} in {steps}" for kind, steps in others)
    return f"{kind.capitalize()} are shown in {first} steps between their extremes{more}."


def _is_coarse(at: int) -> bool:
    return STEPS[max(0, at - 1)] < FINE


def _best(properties: Sequence[Property]) -> tuple[tuple[int, str, int], ...]:
    """Return the unit of each property that follows it best."""
    tops = [found[1] for known in properties if (found := best_found([known])) is not None]
    return tuple(dict.fromkeys((one.layer, one.part, one.unit) for one in tops))


def _quantised(part: Part, units: Sequence[int], steps: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a part's units in steps, (units, N), and the byte that the last step of each stands for, (units,)."""
    values = np.clip(part.values[:, list(units)].T.astype(np.float32), -127, 127)
    most = np.full(len(units), 127.0, dtype=np.float32)
    if part.scale > UNBOUNDED:
        # One wild unit would leave all others flat.
        most = np.maximum(1, np.abs(values).max(axis=1))
    middle = steps // 2 if is_signed(part) else 0
    numbers = np.round(values / most[:, None] * (middle or steps - 1)) + middle
    return numbers.astype(np.uint8), most.astype(np.uint8)


def _estimate(layers: Sequence[InspectedLayer], classes: NDArray[np.uint8], at: int) -> float:
    """Return about how many characters all parts take, from some of their units."""
    total = 0.0
    for layer in layers:
        for part in layer.parts:
            some = range(0, part.width, _SAMPLE)
            numbers, _ = _quantised(part, some, _steps(part, at))
            total += float(rows_of(numbers, _steps(part, at), classes).sizes().sum()) * part.width / len(some)
    return total


def _tracks(
    layers: Sequence[InspectedLayer],
    classes: NDArray[np.uint8],
    chosen: _Chosen,
    best: Sequence[tuple[int, str, int]],
    at: int,
) -> tuple[dict[str, Any], ...]:
    found = []
    fine = best if _is_coarse(at) else ()
    for (place, name), units in chosen.items():
        part = layers[place].part(name)
        others = tuple(unit for unit in units if (place, name, unit) not in fine)
        if part is not None and others:
            found.append(_one(((place, part, others),), classes, _steps(part, at)))
    named = [(place, layers[place].part(name), (unit,)) for place, name, unit in fine]
    known = tuple((place, part, units) for place, part, units in named if part is not None)
    if known:
        # One table of frequencies for all of these few.
        found.append(_one(known, classes, FINE))
    return tuple(one.to_json() for one in found)


def _one(of: Sequence[tuple[int, Part, tuple[int, ...]]], classes: NDArray[np.uint8], steps: int) -> Tracks:
    numbers, most = zip(*(_quantised(part, units, steps) for _, part, units in of), strict=True)
    return Tracks(
        of=tuple((place, part.name, units) for place, part, units in of),
        most=np.concatenate(most),
        rows=rows_of(np.concatenate(numbers), steps, classes),
    )


def _sizes(layers: Sequence[InspectedLayer], classes: NDArray[np.uint8]) -> dict[tuple[int, str], NDArray[np.float64]]:
    """Return about how many characters each unit of each part takes in the fewest steps."""
    last = len(STEPS) - 1
    sizes = {}
    for place, layer in enumerate(layers):
        for part in layer.parts:
            numbers, _ = _quantised(part, range(part.width), _steps(part, last))
            sizes[place, part.name] = rows_of(numbers, _steps(part, last), classes).sizes()
    return sizes


def _most_important(
    layers: Sequence[InspectedLayer],
    properties: Sequence[Property],
    sizes: Mapping[tuple[int, str], NDArray[np.float64]],
    room: float,
) -> dict[tuple[int, str], list[int]]:
    """Return the units of each part that there is room for in the fewest steps."""
    chosen: dict[tuple[int, str], list[int]] = {}
    for place, part, unit in _by_importance(layers, importance(layers, properties)):
        # Its number and length take some too.
        room -= sizes[place, part.name][unit] + 8
        if room < 0:
            break
        chosen.setdefault((place, part.name), []).append(unit)
    return {key: sorted(units) for key, units in chosen.items()}


def importance(layers: Sequence[InspectedLayer], properties: Sequence[Property]) -> list[list[int]]:
    """Return each layer's units: first those found to follow a property, best first, then those that move most."""
    orders = []
    holding = [one for known in properties for one in known.units if one.holds]
    holding.sort(key=lambda one: one.score, reverse=True)
    for place, layer in enumerate(layers):
        width = max((part.width for part in layer.parts), default=0)
        moves = np.zeros(width)
        if layer.parts:
            first = layer.parts[0]
            moves[: first.width] = first.values.std(axis=0)
        following = [one.unit for one in holding if one.layer == place]
        by_movement = [int(unit) for unit in np.argsort(-moves, kind="stable")]
        orders.append(list(dict.fromkeys([*following, *by_movement])))
    return orders


def _by_importance(
    layers: Sequence[InspectedLayer], orders: Sequence[Sequence[int]]
) -> Iterator[tuple[int, Part, int]]:
    longest = max(map(len, orders), default=0)
    for is_first in (True, False):
        for rank in range(longest):
            for place, (layer, order) in enumerate(zip(layers, orders, strict=True)):
                for part in layer.parts[:1] if is_first else layer.parts[1:]:
                    if rank < len(order) and order[rank] < part.width:
                        yield place, part, order[rank]
