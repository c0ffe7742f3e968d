"""What an inspection found: units that follow a property, what predictions rest on, how far the gradient reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.inspection_format import MAX_UNITS
from recur.kinds import is_whole
from recur.report.passage import visible
from recur.report.tensors import Tensors
from recur.report.values import as_list, as_object, as_text, number

MAX_STEPS = 400
"""Rows and columns of a matrix of reach; with more it is left out."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A unit that follows a property."""

    layer: int
    """The number of its layer."""
    part: str
    """The state part or gate."""
    unit: int
    """Its number in there."""
    score: float
    """How well it follows, from 0 to 1, on the half of the text in which it was searched for."""
    held_out: float | None
    """The same on the other half."""
    sign: int
    """1 where the unit is high as the property holds, -1 where it is low."""
    holds: bool
    """Whether this is more than the best of so many units reaches by chance."""

    @property
    def shown_score(self) -> float:
        """The score that tells the truth: on the half that it was not searched in, where that is known.

        Never choose or rank units by it: of many, the one that is best there by chance would be taken.
        """
        return self.score if self.held_out is None else self.held_out


@dataclass(frozen=True, kw_only=True)
class Property:
    """Something about a place in the input that units may follow."""

    key: str
    """Its name in the files."""
    name: str
    """Its name for people."""
    is_binary: bool
    """Whether it holds or does not; else it is a number."""
    share: float | None
    """In which share of the places a binary one holds."""
    chance: float | None
    """The score that the best unit reaches on labels that mean nothing."""
    note: str
    """What to know before believing it."""
    units: tuple[Found, ...]
    """The units that follow it best, best first."""
    labels: NDArray[np.float32] | None
    """Its value at each of the N places; NaN where it has none."""


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What deleting inputs does to predictions."""

    shares: tuple[float, ...]
    """Shares of the inputs that were deleted."""
    chosen: tuple[float, ...]
    """How much the log probability of what came next falls, in nats, where a method chose what to delete."""
    random: tuple[float, ...]
    """The same where chance chose."""
    errors: tuple[float | None, ...]
    """The standard error of each difference of the two, over the predictions; None where it is not known."""
    is_faithful: bool
    """Whether the method's choice hurts clearly more than chance."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method that says which inputs a prediction rests on."""

    key: str
    """Its name in the files."""
    name: str
    """Its name for people."""
    deletion: Deletion | None
    """How it was checked; None where it was not."""
    shares: NDArray[np.float32]
    """(A, W): what the input at position p - W + 1 + w speaks for the prediction, or against it, as a share of what all
    inputs of the window do in size; NaN where it is unknown."""


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Which earlier inputs predictions rest on."""

    positions: NDArray[np.int32]
    """(A,): the positions p whose prediction, of what comes after p, is explained, in order."""
    methods: tuple[Method, ...]
    """What each method says."""
    note: str
    """What to know before believing it."""
    unit: str
    """What falls of a prediction are in."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How a gate is used."""

    name: str
    """Which."""
    histogram: tuple[float, ...]
    """Shares of its values in equal steps from 0 to 1."""
    low: float | None
    """The share below 0.1."""
    high: float | None
    """The share above 0.9."""
    mean: float | None
    """Its mean."""


@dataclass(frozen=True, kw_only=True)
class LayerProbe:
    """What the probe says of a layer."""

    name: str
    """Its name in the model."""
    kind: str
    """Its class."""
    lyapunov: tuple[float, ...]
    """Leading Lyapunov exponents per step, the largest first."""
    stretches: tuple[tuple[float, float], ...]
    """Lags, and the largest singular value of the Jacobian of the state by the state so many steps before."""
    gates: tuple[Gate, ...]
    """How its gates are used."""
    time_constants: tuple[float, ...]
    """After how many steps what each unit holds has faded to 1/e; infinite where it does not."""
    saturated: float | None
    """The share of units that stay at the ends of their range."""
    dead: float | None
    """The share of units that do not move."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How far the gradient reaches through time."""

    targets: tuple[float, ...]
    """Steps t of the losses."""
    sources: tuple[float, ...]
    """Steps s of the states."""
    reach: NDArray[np.float64]
    """(targets, sources): the norm of the gradient of loss t by state s; NaN where s comes after t, or is unknown."""
    lags: tuple[float, ...]
    """Steps back."""
    by_lag: tuple[float | None, ...]
    """The mean norm so many steps back."""
    truncated: float | None
    """The share of the weights' gradient that truncation removed."""
    memory_length: float | None
    """From how many steps back on less than a tenth of the gradient is left; None where more is left at every lag."""
    layers: tuple[LayerProbe, ...]
    """What it says of each layer."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Something that is wrong with the network."""

    name: str
    """Its name."""
    what: str
    """What it is."""
    evidence: str
    """What was measured."""
    advice: str
    """What helps."""


def properties_of(
    content: Mapping[str, Any], widths: Sequence[Mapping[str, int]], tensors: Tensors, count: int
) -> tuple[Property, ...]:
    """Return the properties; `widths` has for each layer its parts with their numbers of units, `count` is N."""
    found = []
    for entry in map(as_object, as_list(content.get("properties"))):
        key, name = as_text(entry.get("key")), visible(as_text(entry.get("name")))
        if not key or not name:
            continue
        labels = tensors.take(f"property.{key}", "F32", (count,))
        if labels is not None:
            labels = np.where(np.isfinite(labels), labels, np.nan).astype(np.float32)
        units = [_found(one, widths) for one in map(as_object, as_list(entry.get("units")))]
        found.append(
            Property(
                key=key,
                name=name,
                is_binary=entry.get("kind") != "number",
                share=_share(entry.get("share")),
                chance=_share(entry.get("chance")),
                note=visible(as_text(entry.get("note"))),
                units=tuple(one for one in units if one is not None)[:MAX_UNITS],
                labels=labels,
            )
        )
    return tuple(found)


def _found(entry: Mapping[str, Any], widths: Sequence[Mapping[str, int]]) -> Found | None:
    layer, part, unit, score = entry.get("layer"), as_text(entry.get("part")), entry.get("unit"), entry.get("score")
    known_score = _share(score)
    if known_score is None or not is_whole(layer, 0) or not is_whole(unit, 0):
        return None
    if layer >= len(widths) or unit >= widths[layer].get(part, 0):
        return None
    return Found(
        layer=layer,
        part=part,
        unit=unit,
        score=known_score,
        held_out=_share(entry.get("held_out")),
        sign=-1 if (number(entry.get("sign")) or 0) < 0 else 1,
        holds=entry.get("verdict") == "holds",
    )


def best_found(properties: Sequence[Property]) -> tuple[Property, Found] | None:
    """Return the property that is followed best, and the unit that does; None where no unit follows any.

    What is best the half that was searched decides, so that the score on the other one is that of one unit and no more.
    """
    holding = [(known, one) for known in properties for one in known.units if one.holds]
    return max(holding, key=lambda pair: pair[1].score, default=None)


def attribution_of(content: Mapping[str, Any], tensors: Tensors, count: int) -> Attribution | None:
    """Return which inputs the predictions rest on, or None where that is not known; `count` is N."""
    stored = as_object(content.get("attribution"))
    positions = tensors.take("attribution.positions", "I32", (None,))
    if positions is None:
        return None
    # In the order of the text, each once, and only where there is something to show.
    order = np.unique(positions, return_index=True)[1]
    order = order[(positions[order] >= 0) & (positions[order] < count)]
    methods = []
    for entry in map(as_object, as_list(stored.get("methods"))):
        key, name = as_text(entry.get("key")), visible(as_text(entry.get("name")))
        shares = tensors.take(f"attribution.{key}", "F32", (len(positions), None)) if key and name else None
        if shares is None:
            continue
        methods.append(
            Method(key=key, name=name, deletion=deletion_of(entry.get("deletion")), shares=_parts(shares[order]))
        )
    if not methods or not len(order):
        return None
    return Attribution(
        positions=positions[order],
        methods=tuple(methods),
        note=visible(as_text(stored.get("note"))),
        unit=visible(as_text(stored.get("unit"))) or "nats",
    )


def _parts(weights: np.ndarray[Any, Any]) -> NDArray[np.float32]:
    """Return each row as shares of its sum in size."""
    known = np.where(np.isfinite(weights), weights, np.nan).astype(np.float64)
    sums = np.nansum(np.abs(known), axis=1, keepdims=True)
    parts: NDArray[np.float32] = (known / np.where(sums > 0, sums, 1.0)).astype(np.float32)
    return parts


def deletion_of(value: object) -> Deletion | None:
    """Return what deleting inputs does, or None where that is not known."""
    entry = as_object(value)
    columns = (map(number, as_list(entry.get(key))) for key in ("shares", "chosen", "random"))
    errors = [
        None if error is None or error < 0 else error for error in map(number, as_list(entry.get("standard_error")))
    ]
    rows = [
        (share, chosen, random, errors[place] if place < len(errors) else None)
        for place, (share, chosen, random) in enumerate(zip(*columns, strict=False))
        if share is not None and chosen is not None and random is not None
    ]
    if not rows:
        return None
    shares, chosen, random, known = zip(*sorted(rows, key=lambda row: row[:3]), strict=True)
    return Deletion(
        shares=shares, chosen=chosen, random=random, errors=known, is_faithful=entry.get("is_faithful") is True
    )


def probe_of(content: Mapping[str, Any]) -> Probe | None:
    """Return what the probe of the gradient says, or None where there was none."""
    stored = as_object(content.get("probe"))
    if not stored:
        return None
    targets, sources = _steps(stored.get("targets")), _steps(stored.get("sources"))
    reach = np.full((len(targets), len(sources)), np.nan)
    for row, values in zip(reach, map(as_list, as_list(stored.get("reach"))), strict=False):
        for column, value in enumerate(values[: len(sources)]):
            known = number(value)
            row[column] = np.nan if known is None or known < 0 else known
    by_lag = [number(value) for value in as_list(stored.get("by_lag"))]
    curve = [(lag, y) for lag, y in zip(map(number, as_list(stored.get("lags"))), by_lag, strict=False)]
    ordered = sorted(((lag, y) for lag, y in curve if lag is not None), key=lambda point: point[0])
    return Probe(
        targets=targets,
        sources=sources,
        reach=reach,
        lags=tuple(lag for lag, _ in ordered),
        by_lag=tuple(y for _, y in ordered),
        truncated=_share(stored.get("truncated")),
        memory_length=number(stored.get("memory_length")),
        layers=tuple(_layer(entry) for entry in map(as_object, as_list(stored.get("layers"))) if entry),
    )


def _layer(entry: Mapping[str, Any]) -> LayerProbe:
    gates = []
    for name, gate in as_object(entry.get("gates")).items():
        shares = [max(0.0, share) for share in _known(as_object(gate).get("histogram"))]
        if shares:
            low, high, mean = (_share(as_object(gate).get(key)) for key in ("low", "high", "mean"))
            gates.append(Gate(name=visible(name), histogram=tuple(shares), low=low, high=high, mean=mean))
    return LayerProbe(
        name=visible(as_text(entry.get("name"))),
        kind=visible(as_text(entry.get("kind"))),
        lyapunov=_known(entry.get("lyapunov")),
        stretches=_stretches(as_object(entry.get("jacobian"))),
        gates=tuple(gates),
        # JSON has no infinity.
        time_constants=tuple(
            math.inf if value is None else max(0.0, value)
            for value in map(number, as_list(entry.get("time_constants")))
        ),
        saturated=_share(entry.get("saturated")),
        dead=_share(entry.get("dead")),
    )


def _stretches(entry: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    lags = map(number, as_list(entry.get("lags")))
    largest = (max(_known(values), default=None) for values in as_list(entry.get("singular_values")))
    return tuple((lag, size) for lag, size in zip(lags, largest, strict=False) if lag is not None and size is not None)


def diagnosis_of(content: Mapping[str, Any]) -> tuple[Diagnosis, ...]:
    """Return what was found to be wrong."""
    found = []
    for entry in map(as_object, as_list(content.get("diagnosis"))):
        name, what, evidence, advice = (
            visible(as_text(entry.get(key))) for key in ("name", "what", "evidence", "advice")
        )
        if name or what:
            found.append(Diagnosis(name=name or what, what=what if name else "", evidence=evidence, advice=advice))
    return tuple(found)


def _share(value: object) -> float | None:
    known = number(value)
    return known if known is not None and 0 <= known <= 1 else None


def _steps(value: object) -> tuple[float, ...]:
    # With a step missing in between, rows and columns of the matrix would stand for the wrong ones.
    known = _known(value)
    return known if len(known) == len(as_list(value)) <= MAX_STEPS else ()


def _known(value: object) -> tuple[float, ...]:
    return tuple(one for one in map(number, as_list(value)) if one is not None)
