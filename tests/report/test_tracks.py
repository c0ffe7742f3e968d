from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from recur.report.findings import Found, Property
from recur.report.inspection import InspectedLayer, Part
from recur.report.tracks import importance, is_signed, select

Shown = Callable[[Any, int, str, bool], "dict[int, np.ndarray[Any, Any]]"]
NOTHING = np.zeros(300, dtype=np.uint8)


def layer(width: int, gates: str = "if", seed: int = 0, scale: float = 1.0) -> InspectedLayer:
    draw = np.random.default_rng(seed)
    parts = [
        Part(
            name=name,
            is_gate=name != "h",
            scale=scale,
            values=draw.integers(0 if name != "h" else -127, 128, (len(NOTHING), width)).astype(np.int8),
        )
        for name in ("h", *gates)
    ]
    return InspectedLayer(
        name=f"layers.{seed}",
        kind="",
        cell="",
        options=None,
        initial="",
        initial_states={},
        input_size=None,
        hidden_size=width,
        weights=(),
        parts=tuple(parts),
        explained=(),
        path=None,
    )


def follows(place: int, unit: int, score: float, held_out: float | None = 0.5, *, holds: bool = True) -> Property:
    one = Found(layer=place, part="h", unit=unit, score=score, held_out=held_out, sign=1, holds=holds)
    return Property(key="", name="", is_binary=True, share=None, chance=None, note="", units=(one,), labels=None)


def length(tracks: Any) -> int:
    return len(json.dumps(tracks, separators=(",", ":")))


def test_units_that_follow_a_property_come_first_then_those_that_move() -> None:
    still = layer(6)
    still.parts[0].values[:, 4] = 3
    # By the half that was searched, whatever the other one says.
    found = [follows(0, 4, 0.6, 0.9), follows(0, 2, 0.8), follows(0, 5, 0.95, holds=False), follows(0, 1, 0.9, None)]
    (order,) = importance([still], found)
    assert order[:3] == [1, 2, 4]
    moves = still.parts[0].values.std(axis=0)
    assert order[3:] == sorted({0, 3, 5}, key=lambda unit: -moves[unit])


def test_with_room_for_all_every_byte_is_there(shown: Shown) -> None:
    layers = [layer(5), layer(7, seed=1)]
    found = select(layers, (), NOTHING, 10**7)
    assert found.cut == ()
    assert found.precision == "States are shown in 255 steps between their extremes, gates in 128."
    for place, one in enumerate(layers):
        for part in one.parts:
            units = shown(found.tracks, place, part.name, part.name == "h")
            np.testing.assert_array_equal(np.stack([units[unit] for unit in range(part.width)]), part.values.T)
    assert is_signed(layers[0].parts[0])
    assert not is_signed(layers[0].parts[1])


def test_with_less_room_steps_are_fewer_before_any_unit_is_left_out(shown: Shown) -> None:
    layers = [layer(20)]
    whole = length(select(layers, (), NOTHING, 10**7).tracks)
    room = whole // 2
    found = select(layers, [follows(0, 11, 0.9)], NOTHING, room)
    assert found.cut == ()
    # With two steps more there would have been no room.
    assert 0.8 * room < length(found.tracks) <= room
    assert found.precision == (
        "States are shown in 13 steps between their extremes, gates in 11, the unit that follows a property best in 63."
    )
    for part in layers[0].parts:
        units = shown(found.tracks, 0, part.name, part.name == "h")
        assert sorted(units) == list(range(20))
        error = np.abs(np.stack([units[unit] for unit in range(20)]) - part.values.T.astype(int)).max(axis=1)
        # Half a step, and half a byte.
        coarse, fine = (127 / 12, 127 / 62) if part.name == "h" else (127 / 10 / 2, None)
        assert error.max() <= coarse + 0.5
        if fine is not None:
            assert error[11] <= fine + 0.5
            assert np.delete(error, 11).min() > fine + 0.5


def test_a_unit_without_bounds_has_steps_of_its_own(shown: Shown) -> None:
    wild = layer(20, gates="", scale=40.0)
    wild.parts[0].values[:, :10] //= 16
    found = select([wild], (), NOTHING, 3000)
    units = shown(found.tracks, 0, "h", True)
    assert len(np.unique(units[3])) > 5


def test_units_are_left_out_only_where_the_fewest_steps_are_too_many(shown: Shown) -> None:
    layers = [layer(20)]
    fewest = next(
        found for room in range(9000, 0, -100) if (found := select(layers, [follows(0, 11, 0.9)], NOTHING, room)).cut
    )
    assert fewest.cut[0].startswith("layers.0, ")
    units = [shown(fewest.tracks, 0, name, name == "h") for name in "hif"]
    # States come before gates, and the unit that was found before all others.
    assert len(units[0]) == 20
    assert all(11 in of for of in units)
    assert fewest.cut == tuple(
        f"layers.0, {name}: {len(of)} of 20 units" for name, of in zip("hif", units, strict=True) if len(of) < 20
    )
    assert select(layers, (), NOTHING, 0).tracks == ()
    assert select(layers, (), NOTHING, 0).cut == tuple(f"layers.0, {part}: 0 of 20 units" for part in "hif")


def test_without_layers_there_is_nothing_to_say() -> None:
    found = select([], (), NOTHING, 1000)
    assert (found.tracks, found.precision, found.cut) == ((), "", ())
