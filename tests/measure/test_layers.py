from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import Tensor

from recur.measure.layers import LAYERS, Side, Work, beside_torch, checked_race, compare, distance, threads

SMALL = Work(kind="gru", steps=5, batch_size=3, input_size=4, hidden_size=6)


def counted(work: Work) -> int:
    """Return the operations of the products, matrix by matrix."""
    layer, _, _ = beside_torch(work)
    matrices = [weight for name, weight in layer.named_parameters() if name.startswith("weight")]
    return sum(2 * work.steps * work.batch_size * weight.numel() for weight in matrices) * (3 if work.training else 1)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("training", [True, False])
def test_flops_are_those_of_the_matrices(kind: str, num_layers: int, bidirectional: bool, training: bool) -> None:
    work = dataclasses.replace(SMALL, kind=kind, num_layers=num_layers, bidirectional=bidirectional, training=training)
    assert work.flops == counted(work)


def test_work_in_words() -> None:
    assert str(SMALL) == "GRU training, T 5, B 3, I 4, H 6"
    other = Work(
        kind="indrnn",
        steps=1,
        batch_size=2,
        input_size=8,
        hidden_size=8,
        num_layers=3,
        bidirectional=True,
        training=False,
    )
    assert str(other) == "IndRNN inference, T 1, B 2, H 8, 3 layers, both directions"


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_both_sides_do_the_same(kind: str, training: bool) -> None:
    work = dataclasses.replace(SMALL, kind=kind, training=training, num_layers=2, bidirectional=True)
    layer, ours, peer = beside_torch(work)
    found, expected = ours.results(), peer.results()
    states = ["state 0", "state 1"] if kind == "lstm" else ["state 0"]
    gradients = ["dx", *(f"d{name}" for name, _ in layer.named_parameters())] if training else []
    assert list(found) == list(expected) == ["output", *states, *gradients]
    assert distance(found, expected)[0] < 1e-5
    assert all(bool(value.abs().sum() > 0) for value in found.values())


def test_the_callers_random_numbers_stay() -> None:
    state = torch.get_rng_state()
    beside_torch(SMALL)
    assert torch.equal(torch.get_rng_state(), state)


def test_gradients_are_those_of_backward() -> None:
    layer, ours, _ = beside_torch(SMALL)
    gradients = ours.results()
    output, _ = layer(ours.x)
    output.backward(ours.upstream)
    assert torch.equal(gradients["dx"], ours.x.grad)
    assert torch.equal(gradients["dweight_hh_l0"], layer.weight_hh_l0.grad)


@pytest.mark.parametrize(
    ("found", "expected", "far"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]}, (0.0, "nothing")),
        ({"a": [1.0, 2.0], "b": [4.0]}, {"a": [1.5, 2.0], "b": [5.0]}, (0.25, "a")),
        ({"a": [0.0]}, {"a": [0.0]}, (0.0, "nothing")),
        ({"a": [float("nan")]}, {"a": [0.0]}, (float("inf"), "a")),
        ({"a": [1.0]}, {"a": [1.0, 1.0]}, (float("inf"), "a")),
        ({"a": [1.0]}, {"a": [1.0], "b": [1.0]}, (float("inf"), "b")),
        ({"a": [1.0], "b": [1.0]}, {"a": [1.0]}, (float("inf"), "b")),
    ],
)
def test_distance(found: dict, expected: dict, far: tuple[float, str]) -> None:
    def tensors(values: dict[str, list[float]]) -> dict[str, Tensor]:
        return {name: torch.tensor(value) for name, value in values.items()}

    assert distance(tensors(found), tensors(expected)) == far


def test_zero_where_something_is_expected_to_be_zero() -> None:
    far, name = distance({"a": torch.tensor([1e-3])}, {"a": torch.tensor([0.0])})
    assert far > 1e30
    assert name == "a"


def test_what_does_not_agree_is_not_timed() -> None:
    _, ours, peer = beside_torch(SMALL)
    calls = []

    def wrong(x: Tensor) -> object:
        calls.append(x)
        output, state = ours.call(x)
        return output, state * 1.01

    row = checked_race(Side(wrong, ours.x, ours.weights, ours.upstream), peer, budget=0.0)
    assert row == {"distance": row["distance"], "disagrees": "state 0 is 1.0e-02 apart, more than 1e-04"}
    assert len(calls) == 1


def test_another_side_may_be_what_ours_has_to_agree_with() -> None:
    _, ours, peer = beside_torch(SMALL)
    _, other, _ = beside_torch(SMALL, seed=1)
    assert "disagrees" in checked_race(ours, other, budget=0.0)
    row = checked_race(ours, other, budget=0.0, expected=peer, least=2, unit="us")
    assert row["unit"] == "us"
    assert row["ours"]["repeats"] == 2


@pytest.mark.parametrize("training", [True, False])
def test_a_row_says_what_ran(training: bool) -> None:
    work = dataclasses.replace(SMALL, training=training)
    row = compare(work, budget=0.0)
    layer, ours, _ = beside_torch(work)
    assert row["what"] == str(work)
    assert Work(**row["work"]) == work
    assert row["backend"] == layer.explain(ours.x).backend
    assert row["threads"] == torch.get_num_threads()
    assert row["unit"] == "ms"
    assert set(row) >= {"distance", "ours", "peer", "ratio"}
    assert json.loads(json.dumps(row)) == row


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        _ = 1 / 0
    assert torch.get_num_threads() == before
