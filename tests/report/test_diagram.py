# ruff: noqa: RUF001 - a true minus sign

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report.diagram import LAYERS, STEPS, folded, unrolled
from recur.report.inspection import read_inspection
from recur.report.values import signed
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]


def test_folded_there_is_one_box_of_each_and_a_loop_around_each_layer(inspected: Inspected) -> None:
    drawn = folded(read_inspection(inspected()))
    assert [box.kind for box in drawn.boxes] == ["input", "embedding", "layer", "layer", "output"]
    assert [arrow.label for arrow in drawn.arrows] == ["h, c: 24", "h, c: 24", "1 of 65", "24", "24", "24"]
    # The input stands at the bottom.
    heights = [box.y for box in drawn.boxes]
    assert heights == sorted(heights, reverse=True)
    assert all(box.y >= 0 and box.y + box.height <= drawn.height for box in drawn.boxes)


def test_unrolled_there_is_a_column_for_each_of_the_first_steps(inspected: Inspected) -> None:
    seen = read_inspection(inspected())
    drawn = unrolled(seen)
    assert len(drawn.boxes) == STEPS * 5
    assert len({box.id for box in (*drawn.boxes, *folded(seen).boxes)}) == STEPS * 5 + 5
    columns = sorted({box.x for box in drawn.boxes})
    assert len(columns) == STEPS
    assert [box.inside.title for box in drawn.boxes if box.kind == "input"] == ["“T”", "“h”", "“e”", "space"]
    between = [arrow for arrow in drawn.arrows if arrow.label == "h, c: 24"]
    assert len(between) == 2 * (STEPS - 1)


def test_boxes_hold_what_was_computed(inspected: Inspected) -> None:
    kept: dict[str, Any] = {}
    seen = read_inspection(inspected(lambda content, tensors: kept.update(content=content, tensors=tensors)))
    box = next(box for box in unrolled(seen).boxes if box.id == "box-step2-layer1")
    scale = kept["content"]["layers"][1]["scales"]["h"]
    values = kept["tensors"]["layers.1.h"][2] / 127 * scale
    assert box.inside.numbers == "  ".join(map(signed, values[:3])) + " …"
    assert [vector.name.split(",")[0] for vector in box.inside.vectors] == ["i", "f", "g", "o", "c", "h"]
    forget = box.inside.vectors[1]
    gate = kept["tensors"]["layers.1.f"][2] / 127 * kept["content"]["layers"][1]["scales"]["f"]
    assert (forget.name, forget.mean, forget.size) == ("f, forget gate", signed(gate.mean()), "24")
    assert "<msub><mi>W</mi><mi>if</mi></msub>" in forget.equation
    output = next(box for box in unrolled(seen).boxes if box.id == "box-step1-output0")
    ids, shares = kept["tensors"]["next.ids"][1], kept["tensors"]["next.probs"][1]
    vocabulary = kept["content"]["next"]["vocabulary"]
    names = {" ": "space", "\n": "line break"}
    expected = [(names.get(vocabulary[i], f"“{vocabulary[i]}”"), share) for i, share in zip(ids, shares, strict=True)]
    assert [name for name, _ in output.inside.guesses] == [name for name, _ in expected[:3]]
    np.testing.assert_allclose([share for _, share in output.inside.guesses], shares[:3])


@pytest.mark.parametrize("cell", ["rnn", "gru", "indrnn", "mgu", "ligru"])
def test_every_cell_opens_to_its_equations(inspected: Inspected, cell: str) -> None:
    seen = read_inspection(inspected(cell=cell, num_layers=1))
    (layer,) = (box for box in folded(seen).boxes if box.kind == "layer")
    assert len(layer.inside.vectors) == len(seen.layers[0].parts)
    assert all("<math>" in vector.equation for vector in layer.inside.vectors)
    assert layer.inside.weights[0][0] == "weight_ih_l0"


def test_a_cell_of_another_kind_says_that_its_equations_are_its_own(inspected: Inspected) -> None:
    seen = read_inspection(inspected(lambda content, tensors: content["layers"][0].update(cell="mine", kind="Mine")))
    layer = folded(seen).boxes[2]
    assert layer.inside.title == "Mine"
    assert "How it computes its state is up to its own code." in layer.inside.says
    assert [str(vector.equation) for vector in layer.inside.vectors] == [""] * 6


@pytest.mark.parametrize(
    ("initial", "label", "says"),
    [
        ("zero", "0", "Before the first step its state is 0."),
        ("learned", "learned", "Before the first step its state is one that was learned (h 0.50  −1.25  2.00 …)."),
        ("computed", "computed", "Before the first step its state is computed from what else the network is given."),
    ],
)
def test_what_the_state_begins_with_is_drawn_and_said(
    inspected: Inspected, initial: str, label: str, says: str
) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["layers"][0]["initial"] = initial
        tensors["initial.0.h"] = np.array([0.5, -1.25, 2, 3], dtype=np.float32)
        tensors["initial.0.c"] = np.zeros((2, 2), dtype=np.float32)

    seen = read_inspection(inspected(change, cell="lstm", hidden=4))
    assert [arrow.label for arrow in unrolled(seen).arrows if arrow.label in ("0", "learned", "computed")] == [
        label,
        "0",
    ]
    first, second = (
        box.inside.says for box in unrolled(seen).boxes if box.id in ("box-step0-layer0", "box-step1-layer0")
    )
    assert first[-1] == says
    assert says not in second


def test_where_it_is_not_known_what_the_state_begins_with_nothing_is_claimed(inspected: Inspected) -> None:
    seen = read_inspection(inspected(lambda content, tensors: content["layers"][0].pop("initial"), num_layers=1))
    assert not [arrow for arrow in unrolled(seen).arrows if arrow.label == "0"]
    assert "Before" not in " ".join(unrolled(seen).boxes[2].inside.says)


def test_a_box_has_the_equations_of_its_options(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["layers"][0]["options"] = {"coupled": True, "bias": False, "zoneout": 0.2}

    layer = folded(read_inspection(inspected(change))).boxes[2].inside
    assert [vector.name[0] for vector in layer.vectors] == ["f", "i", "g", "o", "c", "h"]
    assert "1" in str(layer.vectors[1].equation)
    assert "<mi>b</mi>" not in "".join(str(vector.equation) for vector in layer.vectors)
    assert "This is the plain form; this layer adds zoneout (0.2)." in layer.says


def test_of_many_layers_the_first_ones_and_the_last_are_drawn(inspected: Inspected) -> None:
    drawn = folded(read_inspection(inspected(num_layers=7, count=20, hidden=4)))
    names = [box.inside.heading for box in drawn.boxes if box.kind == "layer"]
    assert names == ["layers.0, LSTM", "layers.1, LSTM", "layers.2, LSTM", "layers.6, LSTM"]
    assert len(names) == LAYERS
    assert "3 more layers, 4" in [arrow.label for arrow in drawn.arrows]


def test_a_series_has_its_numbers_at_both_ends(inspected: Inspected) -> None:
    kept: dict[str, Any] = {}
    seen = read_inspection(inspected(lambda content, tensors: kept.update(tensors), kind="series", count=10))
    boxes = [box for box in unrolled(seen).boxes if "step1" in box.id]
    assert [box.kind for box in boxes] == ["input", "layer", "layer", "output"]
    assert (boxes[0].inside.title, boxes[0].inside.numbers) == ("1 h", "  ".join(map(signed, kept["values"][1])))
    assert boxes[-1].inside.numbers == "  ".join(map(signed, kept["predictions"][2]))


@pytest.mark.parametrize("count", [1, 2])
def test_a_short_text_has_few_columns(inspected: Inspected, count: int) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["symbols"] = content["symbols"][:count]
        for name in list(tensors):
            tensors[name] = tensors[name][:count] if tensors[name].shape[0] == 200 else tensors[name]

    assert len({box.x for box in unrolled(read_inspection(inspected(change))).boxes}) == count


def test_without_layers_there_is_still_a_drawing(inspected: Inspected) -> None:
    seen = read_inspection(inspected(lambda content, tensors: content.update(layers=[], model={})))
    assert [box.kind for box in folded(seen).boxes] == ["input", "embedding", "output"]
