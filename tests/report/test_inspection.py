from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.errors import RunError
from recur.inspection_format import MAX_SYMBOLS
from recur.report.inspection import read_inspection
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]


def test_what_was_written_is_read(inspected: Inspected) -> None:
    kept: dict[str, Any] = {}
    seen = read_inspection(inspected(lambda content, tensors: kept.update(content=content, tensors=tensors)))
    content, tensors = kept["content"], kept["tensors"]
    assert (seen.kind, seen.title, seen.unit, seen.count) == ("text", "a story", "character", 200)
    assert seen.symbols == tuple(content["symbols"])
    assert math.isnan(seen.losses[0])
    assert seen.losses[1:].tolist() == content["losses"][1:]
    assert [layer.name for layer in seen.layers] == ["layers.0", "layers.1"]
    layer = seen.layers[1]
    assert [(part.name, part.is_gate) for part in layer.parts] == [
        ("h", False), ("c", False), ("i", True), ("f", True), ("g", True), ("o", True),
    ]  # fmt: skip
    part = layer.part("f")
    assert part is not None
    np.testing.assert_allclose(part.at(7), tensors["layers.1.f"][7] / 127 * content["layers"][1]["scales"]["f"])
    assert layer.weights[0] == ("weight_ih_l0", "96 × 24")  # noqa: RUF001
    assert layer.path is not None
    np.testing.assert_array_equal(layer.path, tensors["pca.1"])
    assert [one.key for one in seen.properties] == ["inside", "column"]
    best = seen.properties[0].units[0]
    assert (best.layer, best.part, best.unit, best.score, best.held_out, best.holds) == (0, "h", 3, 0.97, 0.95, True)
    assert not any(one.holds for one in seen.properties[0].units[1:])
    assert seen.next is not None
    np.testing.assert_array_equal(seen.next.ids, tensors["next.ids"])
    assert seen.probe is not None
    assert seen.probe.reach[5, 3] == 0.8**2
    assert math.isnan(seen.probe.reach[3, 5])
    assert seen.diagnosis[0].name == "vanishing gradient"
    assert seen.left_out == ()


def test_attributions_are_shares_of_all_weight(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        weights = np.zeros((3, 4), dtype=np.float32)
        weights[0] = [3.0, -1.0, 0.0, np.nan]
        weights[2] = [1.0, 1.0, 1.0, 1.0]
        tensors["attribution.positions"] = np.array([40, 900, 20], dtype=np.int32)
        tensors["attribution.gradient_input"] = weights
        del tensors["attribution.occlusion"]

    found = read_inspection(inspected(change)).attribution
    assert found is not None
    # In the order of the text, without the place that it does not have.
    assert found.positions.tolist() == [20, 40]
    (method,) = found.methods
    np.testing.assert_allclose(method.shares, [[0.25] * 4, [0.75, -0.25, 0.0, np.nan]])


def test_what_is_forgotten_never_is_infinite(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["probe"]["layers"][0]["time_constants"] = [2.0, None, -1.0]

    probe = read_inspection(inspected(change)).probe
    assert probe is not None
    assert probe.layers[0].time_constants == (2.0, math.inf, 0.0)


def test_a_series_is_read(inspected: Inspected) -> None:
    kept: dict[str, Any] = {}
    seen = read_inspection(inspected(lambda content, tensors: kept.update(tensors), kind="series", count=50))
    assert (seen.kind, seen.unit, seen.count, seen.symbols) == ("series", "step", 50, ())
    assert seen.series is not None
    assert (seen.series.channels, seen.series.times[3]) == (("load", "wind"), "3 h")
    np.testing.assert_array_equal(seen.series.values, kept["values"])
    np.testing.assert_array_equal(seen.series.predictions, kept["predictions"])
    assert seen.next is None


def test_times_stay_distinct(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["series"]["times"] = [1.7e9, 1.7e9 + 60, 0.1 + 0.2, 0.3, 1e22, 7, "noon"]

    series = read_inspection(inspected(change, kind="series", count=7)).series
    assert series is not None
    assert series.times == ("1700000000", "1700000060", "0.30000000000000004", "0.3", "1e+22", "7", "noon")


def test_only_so_many_symbols_are_read(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["symbols"] = ["a"] * (MAX_SYMBOLS + 1)

    assert read_inspection(inspected(change)).count == MAX_SYMBOLS


def test_an_inspection_that_is_not_there_is_asked_for(inspected: Inspected) -> None:
    run = inspected()
    (run.path / "inspect.json").rename(run.path / "away")
    with pytest.raises(RunError, match=r"inspect\.json: missing; run `recur inspect .*run` first\."):
        read_inspection(run)
    (run.path / "away").rename(run.path / "inspect.json")
    (run.path / "inspect.safetensors").unlink()
    with pytest.raises(RunError, match=r"inspect\.safetensors: missing; run `recur inspect` on this run again\."):
        read_inspection(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"written by a newer recur \(format 2, this one reads up to 1\); upgrade recur\."),
        ({"format": "1"}, r"its format is 1, expected 1; run `recur inspect` on this run again\."),
        ({"format": None}, r"damaged, or written by an older recur: its format is –, expected 1; run"),  # noqa: RUF001
        ({"kind": "image"}, r"damaged: its kind is image, expected text or series\."),
        ({"symbols": []}, r"damaged: there is nothing to show in it; run `recur inspect` on this run again\."),
        ({"symbols": 3}, r"damaged: there is nothing to show in it"),
        ({"kind": "series"}, r"damaged: there is nothing to show in it"),
    ],
)
def test_an_inspection_without_anything_to_show_is_refused(
    inspected: Inspected, change: dict[str, Any], message: str
) -> None:
    run = inspected(lambda content, tensors: content.update(change))
    with pytest.raises(RunError, match=message):
        read_inspection(run)


@pytest.mark.parametrize("length", [0, 4, 100, 5000])
def test_a_file_of_tensors_that_was_cut_short_is_refused(inspected: Inspected, length: int) -> None:
    path = inspected().path / "inspect.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match=r"inspect\.safetensors: damaged: .*; run `recur inspect` on this run again\."):
        read_inspection(RunFolder(path.parent))


def test_arrays_that_do_not_fit_are_left_out_and_named(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["layers.0.h"] = tensors["layers.0.h"][:10]
        tensors["layers.0.i"] = tensors["layers.0.i"].astype(np.float32)
        tensors["next.probs"] = tensors["next.probs"][:, :2]
        tensors["pca.1"] = np.zeros((200, 0), dtype=np.float32)
        content["layers"][0]["scales"]["o"] = 0.0

    seen = read_inspection(inspected(change))
    assert [part.name for part in seen.layers[0].parts] == ["c", "f", "g"]
    assert seen.next is None
    assert seen.layers[1].path is None
    assert seen.left_out == (
        "layers.0.h is I8 of shape (10, 24), expected I8 of shape (200, any)",
        "layers.0.i is F32 of shape (200, 24), expected I8 of shape (200, any)",
        "pca.1 is F32 of shape (200, 0), expected F32 of shape (200, 2)",
        "next.probs is F32 of shape (200, 2), expected F32 of shape (200, 5)",
    )


def test_numbers_that_cannot_be_are_left_out(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["next.ids"][0, :3] = [-1, 10**9, 0]
        tensors["next.probs"][0] = [0.5, 0.4, np.nan, 1.5, 0.1]
        tensors["pca.0"][3] = np.inf
        units = content["properties"][0]["units"]
        content["properties"][0]["units"] = [
            units[0] | wrong
            for wrong in (
                {"layer": 9}, {"layer": -1}, {"part": "x"}, {"unit": 24}, {"unit": 1.0}, {"score": 7}, {"held_out": 7},
            )
        ]  # fmt: skip
        content["probe"]["reach"][4] = [-1.0, None, "x", 10**400, 0.5]
        content["probe"]["reach"][5] = 3

    seen = read_inspection(inspected(change))
    assert seen.next is not None
    assert np.isfinite(seen.next.probabilities[0]).tolist() == [False, False, False, False, True]
    assert seen.layers[0].path is not None
    assert np.isnan(seen.layers[0].path[3]).all()
    # Only what was held out wrongly still says something.
    assert [(one.score, one.held_out) for one in seen.properties[0].units] == [(0.97, None)]
    assert seen.probe is not None
    assert np.isfinite(seen.probe.reach[4]).tolist() == [False] * 4 + [True] + [False] * 19
    assert not np.isfinite(seen.probe.reach[5]).any()


def test_a_step_without_a_number_takes_the_matrix_with_it(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["probe"]["targets"][3] = None

    probe = read_inspection(inspected(change)).probe
    assert probe is not None
    assert probe.reach.size == 0
    assert len(probe.by_lag) == 24


WRONG: Any = [None, "x", 3, {"y": [1]}, [[]], True, -1]


@pytest.mark.parametrize("value", [WRONG, {"a": WRONG}, "x", 3, None])
@pytest.mark.parametrize("kind", ["text", "series"])
def test_values_of_the_wrong_kind_are_left_out(inspected: Inspected, kind: str, value: Any) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        for key in set(content) - {"format", "kind", "symbols", "series"}:
            content[key] = value
        for key in ("symbols",) if kind == "text" else ():
            content[key] = WRONG
        if kind == "series":
            content["series"] = {"channels": value, "times": WRONG}

    seen = read_inspection(inspected(change, kind=kind))
    assert seen.count == len(WRONG)
    assert seen.title in ("the input", "x")
    assert np.isfinite(seen.losses).sum() in (0, 2)


def test_deep_files_are_read(inspected: Inspected) -> None:
    deep = json.loads("[" * 900 + "]" * 900)

    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content.update(losses=deep, layers=deep, properties=deep, probe={"layers": deep, "reach": deep})

    assert read_inspection(inspected(change)).layers[0].parts == ()
