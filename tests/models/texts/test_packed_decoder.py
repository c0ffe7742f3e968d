"""Single steps with packed weights: the layer's own, whatever rows come and go."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recur.models.cells import CELLS
from recur.models.texts.packed_decoder import PackedDecoder
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.translator_steps import TranslatorSteps
from recur.nn import PackedStepper


def rows_of(state: Any, rows: list[int]) -> Any:
    return tuple(one[:, rows] for one in state) if isinstance(state, tuple) else state[:, rows]


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_steps_are_those_of_the_layer_as_rows_come_and_go(cell: str) -> None:
    layer = CELLS[cell](3, 5, 2).double().eval()
    assert PackedDecoder.takes(layer)
    packed = PackedDecoder(layer)
    state = expected = layer(torch.randn(2, 4, 3).double())[1]
    # The same rows, some of them, again with others, an earlier state, and many.
    for rows in (range(4), range(4), [2, 0, 1], [2, 1], [0, 1, 1, 0, 0], [4, 4], [0] * 40, [0]):
        state, expected = rows_of(state, list(rows)), rows_of(expected, list(rows))
        before = state
        x = torch.randn(1, len(rows), 3).double()
        for given in (expected, before):
            y, state = packed(x, given)
            wanted, after = layer(x, expected)
            torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)
            torch.testing.assert_close(state, after, rtol=0, atol=1e-12)
        expected = after


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_steps_in_bfloat16_are_those_of_the_layer(cell: str) -> None:
    layer = CELLS[cell](3, 5, 2).bfloat16().eval()
    assert PackedDecoder.takes(layer)
    packed, again = PackedDecoder(layer), PackedDecoder(layer)
    state = layer(torch.randn(2, 4, 3).bfloat16())[1]
    for _ in range(3):
        x = torch.randn(1, 4, 3).bfloat16()
        wanted, expected = layer(x, state)
        # What was computed before does not tell in what comes now.
        copied = rows_of(state, [0, 1, 2, 3])
        (y, after), (same, _) = packed(x, state), again(x, copied)
        assert torch.equal(y, same)
        torch.testing.assert_close(y, wanted, rtol=2**-7, atol=2**-8)
        torch.testing.assert_close(after, expected, rtol=2**-7, atol=2**-8)
        state = after


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many rows weights are packed."""
    sizes: list[int] = []

    class Counted(PackedStepper):
        def __init__(self, layer: Any, batch_size: int = 1) -> None:
            sizes.append(batch_size)
            super().__init__(layer, batch_size)

    monkeypatch.setattr("recur.models.texts.packed_decoder.PackedStepper", Counted)
    return sizes


@torch.no_grad()
def test_weights_are_packed_once_for_about_as_many_rows(packings: list[int]) -> None:
    packed = PackedDecoder(CELLS["gru"](3, 5).eval())
    for num in (1, 5, 1, 5, 4, 3, 5, 1, 3):
        packed(torch.randn(1, num, 3), torch.zeros(1, num, 5))
    assert packings == [1, 5, 3]


@torch.no_grad()
def test_weights_are_packed_once_for_batches_whose_rows_end_one_by_one(packings: list[int]) -> None:
    packed = PackedDecoder(CELLS["gru"](3, 5).eval())
    for first in (64, 61, 64, 50):
        for num in range(first, 0, -1):
            packed(torch.randn(1, num, 3), torch.zeros(1, num, 5))
    assert packings == [64, 42, 27, 17, 11, 7, 4, 2, 1]


@torch.no_grad()
def test_what_was_not_used_for_longest_is_packed_anew(packings: list[int]) -> None:
    packed = PackedDecoder(CELLS["gru"](3, 5).eval())
    sizes = [2**power for power in range(12)]
    for num in (*sizes, 1, 2**12, 1, 2):
        packed(torch.randn(1, num, 3), torch.zeros(1, num, 5))
    assert packings == [*sizes, 2**12, 2]


def test_where_gradients_are_wanted_the_layer_itself_runs() -> None:
    layer = CELLS["lstm"](3, 5).eval()
    x = torch.randn(1, 2, 3, requires_grad=True)
    y, _ = PackedDecoder(layer)(x, (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5)))
    y.sum().backward()
    assert x.grad is not None


def test_which_layers_it_takes() -> None:
    lstm = CELLS["lstm"]
    assert PackedDecoder.takes(lstm(3, 3, 2).eval())
    assert not PackedDecoder.takes(lstm(3, 3, 2))
    assert not PackedDecoder.takes(lstm(3, 3, 2, bidirectional=True).eval())
    assert not PackedDecoder.takes(lstm(3, 3, 2, skip="residual").eval())
    assert not PackedDecoder.takes(lstm(3, 3, backend="reference").eval())
    with torch.autocast("cpu", torch.bfloat16):
        assert not PackedDecoder.takes(lstm(3, 3).eval())


@torch.no_grad()
def test_a_translator_takes_its_steps_so(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TranslatorNetwork(TranslatorOptions(hidden_size=4, embedding_size=3), 10, 7).eval()
    steps = TranslatorSteps(network)
    monkeypatch.setattr(network.decoder, "forward", None)
    state = steps.begin(torch.tensor([[2, 3]]), torch.tensor([2]))
    for _ in range(3):
        log_probs, state = steps.step(torch.zeros(1, dtype=torch.int64), state)
    assert log_probs.shape == (1, 7)
