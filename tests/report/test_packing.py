from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest

from recur.report.findings import Found, Property
from recur.report.inspection import InspectedLayer, Part
from recur.report.packing import MISSING, importance, is_signed, packed, packed_numbers, similar, tracks_for


def unpacked(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    raw = zlib.decompress(base64.b64decode(entry["data"]))
    return np.frombuffer(raw, dtype=np.dtype(entry["type"]).newbyteorder("<")).reshape(entry["shape"])


def layer(width: int, count: int = 60, gates: str = "if", seed: int = 0) -> InspectedLayer:
    draw = np.random.default_rng(seed)
    parts = [
        Part(
            name=name,
            is_gate=name != "h",
            scale=1.0,
            values=draw.integers(0 if name != "h" else -127, 128, (count, width)).astype(np.int8),
        )
        for name in ("h", *gates)
    ]
    return InspectedLayer(
        name=f"layers.{seed}",
        kind="",
        cell="",
        input_size=None,
        hidden_size=width,
        weights=(),
        parts=tuple(parts),
        explained=(),
        path=None,
    )


def follows(place: int, unit: int, held_out: float | None, *, holds: bool = True) -> Property:
    one = Found(layer=place, part="h", unit=unit, score=0.9, held_out=held_out, sign=1, holds=holds)
    return Property(key="", name="", is_binary=True, share=None, chance=None, note="", units=(one,), labels=None)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32])
def test_whole_numbers_come_back(kind: type[np.signedinteger[Any]]) -> None:
    ends = np.iinfo(kind)
    array = np.array([[ends.min, 0, 1], [ends.max, 2, 3]], dtype=kind)
    entry = packed(array[:, ::-1])
    np.testing.assert_array_equal(unpacked(entry), array[:, ::-1])
    assert entry["type"] == np.dtype(kind).name


def test_other_numbers_are_not_taken_for_whole_ones() -> None:
    with pytest.raises(ValueError, match=r"packed: the array is of float64, expected whole numbers\."):
        packed(np.zeros(3))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_numbers_come_back_to_within_half_a_step(scale: float) -> None:
    numbers = np.random.default_rng(0).normal(size=500) * scale
    numbers[7] = np.nan
    numbers[8] = np.inf
    entry = packed_numbers(numbers)
    whole = unpacked(entry).astype(np.float64)
    assert (whole[[7, 8]] == MISSING).all()
    back = entry["low"] + (whole + 32_767) * entry["step"]
    is_known = np.isfinite(numbers)
    # Half a step, and the rounding of a float64 as large as the range.
    tolerance = 0.5 * entry["step"] + 4 * np.finfo(np.float64).eps * np.abs(numbers[is_known]).max()
    assert np.abs(back - numbers)[is_known].max() <= tolerance


@pytest.mark.parametrize("numbers", [np.full(3, np.nan), np.zeros(0), np.full(4, 2.5)])
def test_numbers_without_a_range_are_packed_too(numbers: np.ndarray[Any, Any]) -> None:
    entry = packed_numbers(numbers)
    whole = unpacked(entry).astype(np.float64)
    back = np.where(whole == MISSING, np.nan, entry["low"] + (whole + 32_767) * entry["step"])
    np.testing.assert_array_equal(back, numbers)


def test_units_that_follow_a_property_come_first_then_those_that_move() -> None:
    still = layer(6)
    still.parts[0].values[:, 4] = 3
    found = [follows(0, 4, 0.6), follows(0, 2, 0.8), follows(0, 5, 0.9, holds=False), follows(0, 1, None)]
    (order,) = importance([still], found)
    assert order[:3] == [1, 2, 4]
    moves = still.parts[0].values.std(axis=0)
    assert order[3:] == sorted({0, 3, 5}, key=lambda unit: -moves[unit])


def test_with_room_for_all_nothing_is_cut() -> None:
    layers = [layer(5), layer(7, seed=1)]
    tracks, said = tracks_for(layers, ())
    assert said == []
    assert [(one.layer, one.part.name, len(one.units)) for one in tracks] == [
        (0, "h", 5), (0, "i", 5), (0, "f", 5), (1, "h", 7), (1, "i", 7), (1, "f", 7),
    ]  # fmt: skip
    entry = tracks[1].to_json()
    np.testing.assert_array_equal(unpacked(entry["values"]), layers[0].parts[1].values.T)
    assert (entry["units"], entry["is_signed"], entry["width"]) == (None, False, 5)
    assert is_signed(layers[0].parts[0])


def test_with_little_room_states_come_before_gates_and_what_was_cut_is_said() -> None:
    layers = [layer(20, count=300)]
    all_states = sum(len(zlib.compress(layers[0].parts[0].values[:, unit].tobytes(), 6)) * 4 // 3 for unit in range(20))
    tracks, said = tracks_for(layers, [follows(0, 11, 0.9)], room=all_states + 1000)
    assert (tracks[0].part.name, len(tracks[0].units)) == ("h", 20)
    assert all(11 in one.units for one in tracks)
    entry = tracks[1].to_json()
    assert entry["units"] == sorted(entry["units"])
    np.testing.assert_array_equal(unpacked(entry["values"]), layers[0].parts[1].values[:, entry["units"]].T)
    assert said == [f"layers.0, {one.part.name}: {len(one.units)} of 20 units" for one in tracks[1:]]
    tracks, said = tracks_for(layers, (), room=0)
    assert (tracks, said) == ([], [f"layers.0, {part}: 0 of 20 units" for part in "hif"])


def test_units_that_move_alike_are_neighbours() -> None:
    draw = np.random.default_rng(0)
    waves = np.stack([np.sin(np.arange(400) / 30), np.cos(np.arange(400) / 11)])
    kinds = draw.permutation([0] * 10 + [1] * 10)
    values = np.round(90 * waves[kinds].T + 3 * draw.normal(size=(400, 20))).astype(np.int8)
    part = Part(name="h", is_gate=False, scale=1.0, values=values)
    order = similar(part)
    assert sorted(order) == list(range(20))
    # One change from the one kind to the other.
    assert (np.diff(kinds[order]) != 0).sum() == 1
    assert similar(part) == order


@pytest.mark.parametrize("width", [1, 2, 3])
def test_few_or_still_units_have_an_order_too(width: int) -> None:
    part = Part(name="h", is_gate=False, scale=1.0, values=np.zeros((9, width), dtype=np.int8))
    assert sorted(similar(part)) == list(range(width))
