"""Search for units that follow a property of the input: found on one half of it, judged on the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recur.inspection_format import MAX_UNITS

Floats = NDArray[np.float64]
Place = tuple[int, str]
"""Number of a layer, and the name of a part of its state or of a gate."""

_FEWEST = 5
"""Symbols of either kind that a property must have in each half."""

_BLOCKS = 20
"""Pieces that the input is cut into, dealt out to the two halves in turn."""

_SHORTEST_BLOCK = 16
_SHIFTS = 40
_CHANCE_QUANTILE = 0.95
_UNITS_AT_ONCE = 1024
"""Units whose ranks are in memory at a time."""

TOO_RARE = "too rare in this text to judge"
TOO_STEADY = "varies too little in this text to judge"


@dataclass(frozen=True, kw_only=True)
class Property:
    """Something that is true or not, or has a number, after each symbol of the input.

    Attributes:
        key: Short name, of letters, digits and underscores.
        name: What people call it.
        kind: "binary" or "number".
        values: (N,) float64; 0 or 1 where binary.
    """

    key: str
    name: str
    kind: Literal["binary", "number"]
    values: Floats


@dataclass(frozen=True, kw_only=True)
class FoundUnit:
    """A unit that follows a property.

    Attributes:
        layer: Number of its layer.
        part: Part of the state, or gate.
        unit: Its number.
        score: How well it follows the property in the half that was searched, 0 to 1.
        held_out: The same in the other half; 0 where it goes the other way there.
        sign: 1 where it is high when the property is true or large, -1 where it is low.
        verdict: "holds" where both scores are above the chance level, else "chance".
    """

    layer: int
    part: str
    unit: int
    score: float
    held_out: float
    sign: int
    verdict: Literal["holds", "chance"]

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in `inspect.json`."""
        return {
            "layer": self.layer,
            "part": self.part,
            "unit": self.unit,
            "score": round(self.score, 4),
            "held_out": round(self.held_out, 4),
            "sign": self.sign,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the search for one property found.

    Attributes:
        units: The units that follow it best in the half that was searched, the best first.
        chance: What the best of all units reaches on labels that have nothing to do with them; None where the property
            was not searched for.
        note: Why it was not searched for; else empty.
    """

    units: tuple[FoundUnit, ...]
    chance: float | None
    note: str


def find_units(
    parts: Mapping[Place, NDArray[np.float32]], properties: Sequence[Property], *, seed: int = 0
) -> list[Finding]:
    """Return for each property the units that follow it best, and whether they still do where nobody searched.

    A score is |2 AUC - 1| for a binary property, where AUC is the chance that the unit is higher at a symbol where it
    is true than at one where it is not (Mann & Whitney 1947), and |rho| for a number, Spearman's rank correlation; ties
    count half. So it tells of order only, and is 1 for a unit that splits or orders the symbols perfectly.

    Neighbouring symbols have much the same state and labels. So the input is cut into some twenty contiguous blocks,
    and every other one is held out. The chance level comes from 40 circular shifts of the labels against the states, by
    at least a tenth of the input, which keep how the labels hang together: in 95 % of them the best of all units in the
    searched half does not get beyond it. A unit holds when both of its scores do.

    Args:
        parts: The values of every unit at every symbol, (N, H) each.
        properties: What to search for, with N values each.
        seed: Of the shifts.

    Raises:
        ValueError: There are no parts, or a part or a property has another number of symbols than the rest.
    """
    if not parts:
        raise ValueError("find_units: there are no parts, so no units to search.")
    num_symbols = len(next(iter(parts.values())))
    sizes = [(f"part {place}", len(values)) for place, values in parts.items()]
    for name, length in [*sizes, *((f"property {each.key!r}", len(each.values)) for each in properties)]:
        if length != num_symbols:
            raise ValueError(f"find_units: {name} has {length} values, but the others have {num_symbols}.")
    halves = _halves(num_symbols)
    notes = [_reason_against(each, halves) for each in properties]
    wanted = [each for each, note in zip(properties, notes, strict=True) if not note]
    if not wanted:
        return [Finding(units=(), chance=None, note=note) for note in notes]
    searched, held_out = halves
    shifts = (0, *_shifts(num_symbols, np.random.default_rng(seed)))
    weights = [_weights(np.roll(each.values, shift)[searched], each.kind) for each in wanted for shift in shifts]
    own, by_chance = _search(parts, np.stack(weights), [each.kind for each in wanted], searched)
    limits = np.quantile(by_chance, _CHANCE_QUANTILE, axis=1, method="higher")
    places = [(place, unit) for place, values in parts.items() for unit in range(values.shape[1])]
    found = []
    for each, scores, chance in zip(wanted, own, limits.tolist(), strict=True):
        best = np.argsort(-np.abs(scores), kind="stable")[:MAX_UNITS]
        again = np.stack([parts[place][held_out, unit] for place, unit in (places[number] for number in best)])
        held = _scores(_centred_ranks(again), _weights(each.values[held_out], each.kind)[None], [each.kind])[0]
        units = [
            _unit(places[number], float(scores[number]), float(score), chance)
            for number, score in zip(best, held, strict=True)
        ]
        found.append(Finding(units=tuple(units), chance=chance, note=""))
    rest = iter(found)
    return [Finding(units=(), chance=None, note=note) if note else next(rest) for note in notes]


def _halves(num_symbols: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the symbols that are searched, and of those that are held out."""
    block = max(math.ceil(num_symbols / _BLOCKS), _SHORTEST_BLOCK)
    is_held_out = np.arange(num_symbols) // block % 2 == 1
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _reason_against(each: Property, halves: tuple[NDArray[np.intp], NDArray[np.intp]]) -> str:
    for half in halves:
        counts = np.unique(each.values[half], return_counts=True)[1]
        if counts.sum() - counts.max(initial=0) < _FEWEST:
            return TOO_RARE if each.kind == "binary" else TOO_STEADY
    return ""


def _shifts(num_symbols: int, generator: np.random.Generator) -> list[int]:
    least = math.ceil(num_symbols / 10)
    possible = np.arange(least, num_symbols - least + 1)
    return sorted(generator.choice(possible, min(_SHIFTS, len(possible)), replace=False).tolist())


def _weights(labels: Floats, kind: str) -> Floats:
    """Return what the centred ranks of a unit are weighted by, (n,), so that their sum is the score (see `_scores`)."""
    weights: Floats
    if kind == "binary":
        # The centred ranks of the symbols where it is true add up to AUC - 1/2, once for every pair with one where not.
        true = float(labels.sum())
        weights = labels * (2 / max(true * (len(labels) - true), 1))
        return weights
    ranks = _centred_ranks(labels[None])[0]
    size = float(np.linalg.norm(ranks))
    weights = ranks / size if size > 0 else ranks
    return weights


def _scores(ranks: Floats, weights: Floats, kinds: Sequence[str]) -> Floats:
    """Return the signed scores (K, U) of units with centred ranks (U, n) by labels with weights (K, n)."""
    scores: Floats = weights @ ranks.T
    sizes = np.linalg.norm(ranks, axis=1)
    is_number = np.array([kind == "number" for kind in kinds])
    scores[is_number] /= np.where(sizes > 0, sizes, 1)
    return scores


def _search(
    parts: Mapping[Place, NDArray[np.float32]], weights: Floats, kinds: Sequence[str], half: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Return the signed score of every unit by each of P properties, (P, U), and the best by each shift, (P, S)."""
    columns = len(weights) // len(kinds)
    every_kind = [kind for kind in kinds for _ in range(columns)]
    own, best = [], np.zeros((len(kinds), columns - 1))
    for values in parts.values():
        for start in range(0, values.shape[1], _UNITS_AT_ONCE):
            ranks = _centred_ranks(np.ascontiguousarray(values[half, start : start + _UNITS_AT_ONCE].T))
            scores = _scores(ranks, weights, every_kind).reshape(len(kinds), columns, -1)
            own.append(scores[:, 0])
            best = np.maximum(best, np.abs(scores[:, 1:]).max(axis=2))
    return np.concatenate(own, axis=1), best


def _centred_ranks(values: NDArray[np.floating[Any]]) -> Floats:
    """Return the ranks of each row of (U, n), equal values sharing theirs, less their mean."""
    num_values = values.shape[1]
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    place = np.arange(num_values)
    is_last = np.ones(values.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_last[:, :-1])
    is_first = np.ones(values.shape, dtype=bool)
    is_first[:, 1:] = is_last[:, :-1]
    first = np.maximum.accumulate(np.where(is_first, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(is_last, place, num_values)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last - (num_values - 1)) / 2, axis=1)
    return ranks


def _unit(found: tuple[Place, int], score: float, held_out: float, chance: float) -> FoundUnit:
    (layer, part), unit = found
    sign = 1 if score >= 0 else -1
    # A perfect score may come out as 1 and a rounding error.
    size, size_there = min(abs(score), 1.0), min(max(sign * held_out, 0.0), 1.0)
    return FoundUnit(
        layer=layer,
        part=part,
        unit=unit,
        score=size,
        held_out=size_there,
        sign=sign,
        verdict="holds" if min(size, size_there) > chance else "chance",
    )
