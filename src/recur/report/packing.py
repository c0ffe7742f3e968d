"""Arrays as a page carries them: a byte or two a number, deflated, in base64; and which of them it has room for."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.findings import Property
from recur.report.inspection import InspectedLayer, Part

MISSING = -32_768
"""What stands in a packed array for a number that is unknown."""

ROOM = 3_900_000
"""Bytes of the page that states and gates may take, which leaves a million below five for all else."""


def packed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array of whole numbers as JSON: type, shape, and its bytes, lowest first, deflated, in base64.

    Raises:
        ValueError: Its numbers are not whole.
    """
    if array.dtype.kind not in "iu":
        raise ValueError(f"packed: the array is of {array.dtype}, expected whole numbers. Use `packed_numbers`.")
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    deflated = base64.b64encode(zlib.compress(plain.tobytes(), 9)).decode("ascii")
    return {"type": array.dtype.name, "shape": list(array.shape), "data": deflated}


def packed_numbers(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array of any numbers as JSON, to a hundred thousandth of its range; what is not finite is missing."""
    numbers = np.asarray(array, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    step = (high - low) / 65_534 or 1.0
    with np.errstate(invalid="ignore"):
        whole = np.where(np.isfinite(numbers), np.round((numbers - low) / step) - 32_767, MISSING)
    return packed(whole.astype(np.int16)) | {"low": low, "step": step}


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """The units of a part that the page has room for."""

    layer: int
    """The number of the layer."""
    part: Part
    """Which part."""
    units: tuple[int, ...]
    """Which units, in order."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page's scripts read: a row for each unit, for they show one over time."""
        rows = self.part.values[:, list(self.units)].T
        return {
            "layer": self.layer,
            "part": self.part.name,
            "is_gate": self.part.is_gate,
            "is_signed": is_signed(self.part),
            "scale": self.part.scale,
            "width": self.part.width,
            "units": list(self.units) if len(self.units) < self.part.width else None,
            "values": packed(rows),
        }


def is_signed(part: Part) -> bool:
    """Return whether some values are below zero, so that zero is the middle of their colours."""
    return bool((part.values < 0).any())


def importance(layers: Sequence[InspectedLayer], properties: Sequence[Property]) -> list[list[int]]:
    """Return each layer's units: first those found to follow a property, best first, then those that move most."""
    orders = []
    holding = [one for known in properties for one in known.units if one.holds]
    holding.sort(key=lambda one: one.fair_score, reverse=True)
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


def tracks_for(
    layers: Sequence[InspectedLayer], properties: Sequence[Property], room: int = ROOM
) -> tuple[list[Tracks], list[str]]:
    """Return what to show of all states and gates in `room` bytes, and a sentence for each part that was cut.

    The first part of every layer, h, comes before all else; then the other parts, unit by unit, most important first.
    """
    chosen: dict[tuple[int, str], list[int]] = {}
    for place, part, unit in _by_importance(layers, importance(layers, properties)):
        # Four bytes of base64 hold three.
        room -= 4 * len(zlib.compress(np.ascontiguousarray(part.values[:, unit]).tobytes(), 6)) // 3
        if room < 0:
            break
        chosen.setdefault((place, part.name), []).append(unit)
    tracks, said = [], []
    for place, layer in enumerate(layers):
        for part in layer.parts:
            units = tuple(sorted(chosen.get((place, part.name), ())))
            if units:
                tracks.append(Tracks(layer=place, part=part, units=units))
            if len(units) < part.width:
                said.append(f"{layer.name}, {part.name}: {len(units):,} of {part.width:,} units")
    return tracks, said


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


def similar(part: Part) -> list[int]:
    """Return the units in an order in which neighbours move alike.

    The order is that of their angles in the plane of the two strongest common movements (Friendly, Corrgrams, 2002).
    """
    if part.width < 3:
        return list(range(part.width))
    values = part.values.astype(np.float64)
    spread = values.std(axis=0)
    moves = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # Subspace iteration: all eigenvectors of a wide layer would take minutes.
    basis = np.random.default_rng(0).normal(size=(part.width, min(6, part.width)))
    for _ in range(40):
        basis = np.linalg.qr(moves.T @ (moves @ basis))[0]
    common = moves @ basis
    strongest = basis @ np.linalg.eigh(common.T @ common)[1][:, -1:-3:-1]
    # An eigenvector's sign is anybody's choice; the largest element decides, so that a page is the same every time.
    largest = strongest[np.argmax(np.abs(strongest), axis=0), [0, 1]]
    first, second = (strongest * np.where(largest < 0, -1.0, 1.0)).T
    angles: NDArray[np.float64] = np.arctan2(second, first)
    order = np.argsort(angles, kind="stable")
    # Where the circle is cut: at its widest gap.
    gaps = np.diff(angles[order], append=angles[order][0] + 2 * np.pi)
    return [int(unit) for unit in np.roll(order, -int(np.argmax(gaps)) - 1)]
