"""Gradients by windows against the definition, unrolled step by step, and against full back-propagation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT

DOUBLE = torch.float64


FORMS = {
    "plain": {},
    "lengths": {"is_ragged": True},
    "resets": {"has_resets": True},
    "both": {"is_ragged": True, "has_resets": True},
}


@pytest.mark.parametrize("form", ["plain", "both"])
def test_every_layer_has_the_gradients_of_the_definition(kind_on: Any, form: str, compare: Any, problem: Any) -> None:
    kind, backend = kind_on
    drawn = problem(kind, 11, **FORMS[form], **backend)
    drawn.check(3, 7, compare)
    drawn.check(3, 3, compare)


SIZES = [(1, 1, 5), (1, 4, 7), (2, 5, 11), (4, 6, 11), (4, 8, 12), (5, 6, 9), (3, 40, 8), (20, 20, 8), (20, 30, 8)]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "GRU_before", "LSTM_proj", "LSTM_peephole"])
def test_any_k1_and_k2_on_any_back_end(name: str, backend: str, kinds: Any, compare: Any, problem: Any) -> None:
    for k1, k2, num_steps in SIZES:
        drawn = problem(kinds[name], num_steps, is_ragged=k1 % 2 == 0, has_resets=k2 % 2 == 0, backend=backend)
        drawn.check(k1, k2, compare)


def check_full(drawn: Any, sizes: Sequence[tuple[int, int]], compare: Any, cut: Any) -> None:
    output, _ = drawn.model(drawn.x, **drawn.at(0, 10))
    full = drawn.gradients(iter([(output * drawn.upstream).sum()]))
    assert max(float(gradient.abs().max()) for gradient in full.values()) > 0.1
    for k1, k2 in sizes:
        bptt = TruncatedBPTT(drawn.model, k1=k1, k2=k2)
        compare(drawn.gradients(drawn.by_windows(bptt, cut(10, k1))), full)


def test_as_long_as_the_sequence_it_is_full_back_propagation(kind: Any, compare: Any, problem: Any, cut: Any) -> None:
    # The definition, which every layer has, already goes back through all steps; here the layer is run in one call.
    check_full(problem(kind, 10, **FORMS["both"]), [(4, 25)], compare, cut)


@pytest.mark.parametrize("form", FORMS)
def test_so_it_is_in_any_form(form: str, kinds: Any, compare: Any, problem: Any, cut: Any) -> None:
    check_full(problem(kinds["LSTM"], 10, **FORMS[form]), [(3, 10), (4, 25), (1, 10)], compare, cut)


def test_what_is_truncated_makes_a_difference(kinds: Any, problem: Any, cut: Any) -> None:
    drawn = problem(kinds["LSTM"], 12)
    found = [drawn.gradients(drawn.by_windows(TruncatedBPTT(drawn.model, k1=3, k2=k2), cut(12, 3))) for k2 in (3, 6)]
    for name, gradient in found[0].items():
        # The weights of the outputs that no state depends on are all there is that k2 does not matter for.
        assert float((gradient - found[1][name]).abs().max()) > 1e-4, name


@pytest.mark.parametrize("sizes", [[2, 3, 5, 1, 1, 4, 2], [5, 5, 1, 5, 2], [1] * 18, [4, 1, 4, 1, 4, 4]])
@pytest.mark.parametrize(("k1", "k2"), [(3, 6), (3, 5), (1, 5), (5, 5), (2, 100)])
def test_windows_of_other_lengths_than_predicted(
    sizes: list[int], k1: int, k2: int, kinds: Any, compare: Any, problem: Any, cut: Any
) -> None:
    drawn = problem(kinds["GRU"], 18, has_resets=True)
    drawn.check(k1, k2, compare, cut(18, [min(n, k1) if k1 == k2 else n for n in sizes]))


class RNNCell(nn.Module):
    """The equation alone, in plain torch."""

    batch_first = False

    def __init__(self) -> None:
        super().__init__()
        self.w_x, self.w_h = (nn.Parameter(torch.randn(4, n, dtype=DOUBLE) * 0.6) for n in (3, 4))
        self.first = nn.Parameter(torch.randn(4, dtype=DOUBLE))

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(x @ self.w_x.T + h @ self.w_h.T)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        h = self.first.expand(x.shape[1], -1) if state is None else state
        outputs = []
        for x_t in x:
            h = self.step(x_t, h)
            outputs.append(h)
        return torch.stack(outputs), h


@pytest.mark.parametrize(("k1", "k2"), [(1, 3), (2, 5), (3, 4), (4, 4)])
def test_against_the_sum_over_steps_and_delays(k1: int, k2: int, compare: Any, problem_of: Any, cut: Any) -> None:
    """dE/dW by hand: delta = dE/dh goes back through diag(1 - h^2) W, and is dropped behind k2 steps."""
    cell, num_steps = RNNCell(), 12
    x, upstream = torch.randn(num_steps, 2, 3, dtype=DOUBLE), torch.randn(num_steps, 2, 4, dtype=DOUBLE)
    with torch.no_grad():
        h = [cell.first.expand(2, -1)]
        for x_t in x:
            h.append(cell.step(x_t, h[-1]))
        expected = {"dw_x": torch.zeros(4, 3, dtype=DOUBLE), "dw_h": torch.zeros(4, 4, dtype=DOUBLE)}
        expected["dfirst"] = torch.zeros(4, dtype=DOUBLE)
        for end in range(k1, num_steps + 1, k1):
            for t in range(end - k1, end):
                delta = upstream[t]
                for back in range(t, max(end - k2, 0) - 1, -1):
                    delta = delta * (1 - h[back + 1].square())
                    expected["dw_x"] += delta.T @ x[back]
                    expected["dw_h"] += delta.T @ h[back]
                    delta = delta @ cell.w_h
                if end - k2 <= 0:
                    expected["dfirst"] += delta.sum(0)
    drawn = problem_of(cell, x, upstream, dict(cell.named_parameters()))
    compare(drawn.gradients(drawn.by_windows(TruncatedBPTT(cell, k1=k1, k2=k2), cut(num_steps, k1))), expected)


def test_torchs_own_layer(compare: Any, problem_of: Any) -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dtype=DOUBLE)
    drawn = problem_of(layer, torch.randn(11, 3, 3, dtype=DOUBLE), torch.randn(11, 3, 4, dtype=DOUBLE), {})
    drawn.leaves = dict(layer.named_parameters())
    for k1, k2 in ((3, 7), (4, 4), (2, 50)):
        drawn.check(k1, k2, compare)


def test_batch_first(kinds: Any, compare: Any, problem: Any, cut: Any) -> None:
    drawn = problem(kinds["GRU"], 11, is_ragged=True, has_resets=True)
    expected = drawn.gradients(drawn.by_windows(TruncatedBPTT(drawn.model, k1=3, k2=5), cut(11, 3)))
    turned = recur_nn.GRU(3, 4, num_layers=2, initial_state="learned", batch_first=True, dtype=DOUBLE)
    turned.load_state_dict(drawn.model.state_dict())
    # As the layer says.
    bptt = TruncatedBPTT(turned, k1=3, k2=5)
    drawn.leaves = dict(turned.named_parameters())

    def losses() -> Iterator[Tensor]:
        for begin, end in cut(11, 3):
            given = drawn.at(begin, end)
            output = bptt(drawn.x[begin:end].transpose(0, 1), reset=given["reset"].T, lengths=given["lengths"].tolist())
            yield (output.transpose(0, 1) * drawn.upstream[begin:end]).sum()

    compare(drawn.gradients(losses()), expected)


def test_a_network_that_does_not_say_is_batch_first(compare: Any) -> None:
    layer = recur_nn.GRU(3, 4, batch_first=True, dtype=DOUBLE)
    x = torch.randn(2, 10, 3, dtype=DOUBLE)
    for bptt in (TruncatedBPTT(layer, k1=4), TruncatedBPTT(lambda x, state: layer(x, state), k1=4)):
        windows = list(bptt.windows(x))
        assert [tuple(window.x.shape) for window in windows] == [(2, 4, 3), (2, 4, 3), (2, 2, 3)]
        compare({"y": torch.cat([bptt(window.x) for window in windows], 1)}, {"y": layer(x)[0]})
