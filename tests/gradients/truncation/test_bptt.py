"""Gradients by windows against the definition, unrolled step by step, and against full back-propagation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT, Window
from recur.gradients.truncation.history import detached
from recur.nn.nest import mapped

DOUBLE = torch.float64
Named = dict[str, Tensor]


@dataclass
class Problem:
    """A model and what goes into it, time first; a loss of random weights on all outputs."""

    model: Any
    x: Tensor
    upstream: Tensor
    leaves: Named
    given: Named = field(default_factory=dict)
    lengths: Tensor | None = None

    def at(self, begin: int, end: int) -> dict[str, Any]:
        """What the model is given by name from step `begin` to `end`."""
        found: dict[str, Any] = {name: value[begin:end] for name, value in self.given.items()}
        if self.lengths is not None:
            found["lengths"] = (self.lengths - begin).clamp(0, end - begin)
        return found

    def gradients(self, losses: Iterator[Tensor]) -> Named:
        """The gradients of all losses, each propagated before the next is computed."""
        total = {f"d{name}": torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        for loss in losses:
            found = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
            for name, gradient in zip(total, found, strict=True):
                total[name] += 0 if gradient is None else gradient
        return total


def problem(kind: Any, num_steps: int, *, is_ragged: bool = False, has_resets: bool = False, **options: Any) -> Problem:
    layer = kind.make(3, 4, num_layers=2, initial_state="learned", **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    x = torch.randn(num_steps, 3, 3, *kind.spatial, dtype=DOUBLE)
    given = {} if kind.timed is None else kind.timed(num_steps, 3)
    if has_resets:
        given["reset"] = torch.rand(num_steps, 3) < 0.2
    lengths = torch.tensor([num_steps, 0, num_steps // 2 + 1]) if is_ragged else None
    with torch.no_grad():
        output, _ = layer(x, **given)
    return Problem(layer, x, torch.randn_like(output), dict(layer.named_parameters()), given, lengths)


def cut(num_steps: int, sizes: int | Sequence[int]) -> list[tuple[int, int]]:
    """The windows' beginnings and ends."""
    if isinstance(sizes, int):
        return [(begin, min(begin + sizes, num_steps)) for begin in range(0, num_steps, sizes)]
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    assert ends[-1] == num_steps
    return list(itertools.pairwise(ends))


def by_definition(
    problem: Problem, windows: list[tuple[int, int]], reach: Callable[[int, int], int], state: Any = None
) -> Iterator[Tensor]:
    """The loss of each window, its steps unrolled one by one from the state before step `reach(begin, end)`."""

    def step(t: int, state: Any) -> Any:
        return problem.model(problem.x[t : t + 1], state, **problem.at(t, t + 1))

    states = [state]
    with torch.no_grad():
        for t in range(len(problem.x)):
            states.append(step(t, states[-1])[1])
    for begin, end in windows:
        start = reach(begin, end)
        state, loss = states[start], 0.0
        for t in range(start, end):
            output, state = step(t, state)
            if t >= begin:
                loss = loss + (output[0] * problem.upstream[t]).sum()
        yield loss


def by_windows(problem: Problem, bptt: TruncatedBPTT, windows: list[tuple[int, int]]) -> Iterator[Tensor]:
    for begin, end in windows:
        output = bptt(problem.x[begin:end], **problem.at(begin, end))
        assert output.shape == problem.upstream[begin:end].shape
        yield (output * problem.upstream[begin:end]).sum()


def reach_of(k1: int, k2: int) -> Callable[[int, int], int]:
    return lambda begin, end: begin if k2 == k1 else max(end - k2, 0)


def check(problem: Problem, k1: int, k2: int, compare: Any, windows: list[tuple[int, int]] | None = None) -> Named:
    windows = cut(len(problem.x), k1) if windows is None else windows
    expected = problem.gradients(by_definition(problem, windows, reach_of(k1, k2)))
    found = problem.gradients(by_windows(problem, TruncatedBPTT(problem.model, k1=k1, k2=k2), windows))
    compare(found, expected)
    return found


# --- the definition ---------------------------------------------------------------------------------------------------

FORMS = {
    "plain": {},
    "lengths": {"is_ragged": True},
    "resets": {"has_resets": True},
    "both": {"is_ragged": True, "has_resets": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_layer_has_the_gradients_of_the_definition(kind_on: Any, form: str, compare: Any) -> None:
    kind, backend = kind_on
    drawn = problem(kind, 11, **FORMS[form], **backend)
    check(drawn, 3, 7, compare)
    check(drawn, 3, 3, compare)


SIZES = [(1, 1, 5), (1, 4, 7), (2, 5, 11), (4, 6, 11), (4, 8, 12), (5, 6, 9), (3, 40, 8), (20, 20, 8), (20, 30, 8)]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "GRU_before", "LSTM_proj", "LSTM_peephole"])
def test_any_k1_and_k2_on_any_back_end(name: str, backend: str, kinds: Any, compare: Any) -> None:
    for k1, k2, num_steps in SIZES:
        drawn = problem(kinds[name], num_steps, is_ragged=k1 % 2 == 0, has_resets=k2 % 2 == 0, backend=backend)
        check(drawn, k1, k2, compare)


@pytest.mark.parametrize("form", FORMS)
def test_as_long_as_the_sequence_it_is_full_back_propagation(kind: Any, form: str, compare: Any) -> None:
    drawn = problem(kind, 10, **FORMS[form])
    output, _ = drawn.model(drawn.x, **drawn.at(0, 10))
    full = drawn.gradients(iter([(output * drawn.upstream).sum()]))
    assert max(float(gradient.abs().max()) for gradient in full.values()) > 0.1
    for k1, k2 in ((3, 10), (4, 25), (1, 10)):
        bptt = TruncatedBPTT(drawn.model, k1=k1, k2=k2)
        compare(drawn.gradients(by_windows(drawn, bptt, cut(10, k1))), full)


def test_what_is_truncated_makes_a_difference(kinds: Any) -> None:
    drawn = problem(kinds["LSTM"], 12)
    found = [drawn.gradients(by_windows(drawn, TruncatedBPTT(drawn.model, k1=3, k2=k2), cut(12, 3))) for k2 in (3, 6)]
    for name, gradient in found[0].items():
        # The weights of the outputs that no state depends on are all there is that k2 does not matter for.
        assert float((gradient - found[1][name]).abs().max()) > 1e-4, name


@pytest.mark.parametrize("sizes", [[2, 3, 5, 1, 1, 4, 2], [5, 5, 1, 5, 2], [1] * 18, [4, 1, 4, 1, 4, 4]])
@pytest.mark.parametrize(("k1", "k2"), [(3, 6), (3, 5), (1, 5), (5, 5), (2, 100)])
def test_windows_of_other_lengths_than_predicted(sizes: list[int], k1: int, k2: int, kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 18, has_resets=True)
    check(drawn, k1, k2, compare, cut(18, [min(n, k1) if k1 == k2 else n for n in sizes]))


class RNNCell(nn.Module):
    """The equation alone, in plain torch."""

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
def test_against_the_sum_over_steps_and_delays(k1: int, k2: int, compare: Any) -> None:
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
    drawn = Problem(cell, x, upstream, dict(cell.named_parameters()))
    compare(drawn.gradients(by_windows(drawn, TruncatedBPTT(cell, k1=k1, k2=k2), cut(num_steps, k1))), expected)


def test_torchs_own_layer(compare: Any) -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dtype=DOUBLE)
    drawn = Problem(layer, torch.randn(11, 3, 3, dtype=DOUBLE), torch.randn(11, 3, 4, dtype=DOUBLE), {})
    drawn.leaves = dict(layer.named_parameters())
    for k1, k2 in ((3, 7), (4, 4), (2, 50)):
        check(drawn, k1, k2, compare)


def test_batch_first(kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 11, is_ragged=True, has_resets=True)
    expected = drawn.gradients(by_windows(drawn, TruncatedBPTT(drawn.model, k1=3, k2=5), cut(11, 3)))
    turned = recur_nn.GRU(3, 4, num_layers=2, initial_state="learned", batch_first=True, dtype=DOUBLE)
    turned.load_state_dict(drawn.model.state_dict())
    bptt = TruncatedBPTT(turned, k1=3, k2=5, batch_first=True)
    drawn.leaves = dict(turned.named_parameters())

    def losses() -> Iterator[Tensor]:
        for begin, end in cut(11, 3):
            given = drawn.at(begin, end)
            output = bptt(drawn.x[begin:end].transpose(0, 1), reset=given["reset"].T, lengths=given["lengths"].tolist())
            yield (output.transpose(0, 1) * drawn.upstream[begin:end]).sum()

    compare(drawn.gradients(losses()), expected)


# --- the state --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 5), (3, 7), (3, 30)])
def test_a_given_initial_state_has_its_gradient(k1: int, k2: int, kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["LSTM"], 11)
    first = tuple(torch.randn(2, 3, 4, dtype=DOUBLE, requires_grad=True) for _ in range(2))
    drawn.leaves |= {"h": first[0], "c": first[1]}
    windows = cut(11, k1)
    bptt = TruncatedBPTT(drawn.model, k1=k1, k2=k2)
    bptt.forget(first)
    found = drawn.gradients(by_windows(drawn, bptt, windows))
    compare(found, drawn.gradients(by_definition(drawn, windows, reach_of(k1, k2), first)))
    assert float(found["dh"].abs().min()) > 0
    # What is forgotten plays no part any more.
    bptt.forget()
    found = drawn.gradients(by_windows(drawn, bptt, windows))
    compare(found, drawn.gradients(by_definition(drawn, windows, reach_of(k1, k2))))
    assert float(found["dh"].abs().max()) == 0


class Pair(NamedTuple):
    slow: Tensor
    fast: Tensor


class Nested(nn.Module):
    """A state of every kind of branch, with a counter that has no gradient, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = recur_nn.GRU(3, 4, dtype=DOUBLE)

    def forward(self, x: Tensor, state: Any) -> Any:
        if state is None:
            h, count = torch.zeros(1, x.shape[1], 4, dtype=DOUBLE), torch.zeros((), dtype=torch.int64)
            state = {"pair": Pair(h, h), "rest": [count, ("text", h)]}
        output, h = self.cell(x, state["pair"].fast)
        slow, sums = state["pair"].slow, []
        for step in output:
            slow = slow * 0.5 + step
            sums.append(slow[0])
        count = state["rest"][0] + len(x)
        return (output, {"sum": torch.stack(sums)}), {"pair": Pair(slow, h), "rest": [count, ("text", h)]}


def test_states_and_outputs_of_any_structure(compare: Any) -> None:
    model, x = Nested(), torch.randn(10, 2, 3, dtype=DOUBLE)
    bptt, names = TruncatedBPTT(model, k1=2, k2=5), [name for name, _ in model.named_parameters()]
    states = [None]
    for t in range(10):
        states.append(detached(model(x[t : t + 1], states[-1])[1]))
    for end in range(2, 12, 2):
        output, more = bptt(x[end - 2 : end])
        found = torch.autograd.grad((output.sin() + more["sum"].cos()).sum(), list(model.parameters()))
        state, loss = states[max(end - 5, 0)], 0.0
        for t in range(max(end - 5, 0), end):
            (output, more), state = model(x[t : t + 1], state)
            loss = loss + (output.sin() + more["sum"].cos()).sum() * (t >= end - 2)
        expected = torch.autograd.grad(loss, list(model.parameters()))
        compare(dict(zip(names, found, strict=True)), dict(zip(names, expected, strict=True)))
    assert isinstance(bptt.carried["pair"], Pair)
    assert bptt.carried["rest"][1][0] == "text"
    assert int(bptt.carried["rest"][0]) == 10 + 2 - 5
    assert not any(leaf.requires_grad for leaf in bptt.carried["pair"])


@pytest.mark.parametrize("k2", [3, 4, 8])
def test_the_state_is_the_one_that_was_seen_when_parameters_change(k2: int, kinds: Any, compare: Any) -> None:
    """Each window is run from a state of older parameters, kept when the window before passed by."""
    drawn = problem(kinds["GRU"], 15)
    expected_model = kinds["GRU"].make(3, 4, num_layers=2, initial_state="learned")
    expected_model.load_state_dict(drawn.model.state_dict())
    bptt = TruncatedBPTT(drawn.model, k1=3, k2=k2)
    seen: dict[int, Any] = {0: None}
    for begin in range(0, 15, 3):
        output = bptt(drawn.x[begin : begin + 3])
        start = max(begin + 3 - k2, 0)
        state, outputs = seen[start], []
        for t in range(start, begin + 3):
            out, state = expected_model(drawn.x[t : t + 1], state)
            seen[t + 1] = state.detach()
            outputs.append(out)
        compare({"output": output}, {"output": torch.cat(outputs[-3:])})
        for model, result in ((drawn.model, output), (expected_model, torch.cat(outputs[-3:]))):
            model.zero_grad()
            (result * drawn.upstream[begin : begin + 3]).sum().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.1 * parameter.grad
        compare(dict(drawn.model.named_parameters()), dict(expected_model.named_parameters()))


def test_only_what_is_needed_is_kept() -> None:
    layer = recur_nn.GRU(3, 4)
    bptt = TruncatedBPTT(layer, k1=2, k2=5)
    for _ in range(20):
        bptt(torch.randn(2, 3, 3))
        assert len(bptt.state_dict()["snapshots"]) <= 2
        assert sum(len(piece["x"]) for piece in bptt.state_dict()["pieces"]) <= 5
    plain = TruncatedBPTT(layer, k1=2)
    calls: list[int] = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        y = plain(torch.randn(2, 3, 3))
        assert y.requires_grad
        assert not plain.carried.requires_grad
        assert plain.state_dict()["pieces"] == []
        assert len(plain.state_dict()["snapshots"]) == 1
    assert len(calls) == 3


def test_steps_are_run_again_without_a_gradient_only_where_a_window_is_no_k1_steps_long() -> None:
    layer = recur_nn.GRU(3, 4)
    bptt = TruncatedBPTT(layer, k1=4, k2=10)
    calls: list[tuple[int, bool]] = []
    layer.register_forward_pre_hook(lambda _, given: calls.append((len(given[0]), torch.is_grad_enabled())))
    for size, expected in (
        (4, [(4, True)]),
        (4, [(2, True), (2, True), (4, True)]),
        (4, [(4, True), (2, True), (4, True)]),
        # It reaches back to step 3, between the states before steps 2 and 6.
        (1, [(1, False), (4, True), (5, True), (1, True)]),
        # To step 9, where the state before step 7 is kept.
        (6, [(2, False), (4, True), (6, True)]),
    ):
        calls.clear()
        bptt(torch.randn(size, 2, 3))
        assert calls == expected


def test_a_window_that_failed_can_be_given_again(kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 6)
    bptt, other = (TruncatedBPTT(drawn.model, k1=2, k2=3) for _ in range(2))
    for begin in (0, 2, 4):
        x = drawn.x[begin : begin + 2]
        handle = drawn.model.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bptt(x)
        handle.remove()
        compare({"y": bptt(x)}, {"y": other(x)})


def test_without_gradients_it_reads_on(kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["LSTM"], 9)
    bptt = TruncatedBPTT(drawn.model, k1=2, k2=4)
    with torch.no_grad():
        found = torch.cat([bptt(drawn.x[begin:end]) for begin, end in cut(9, 2)])
        compare({"y": found}, {"y": drawn.model(drawn.x)[0]})


def test_gradients_of_x_flow_to_the_newest_steps(kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 6)
    encoder = nn.Linear(3, 3, dtype=DOUBLE)
    bptt = TruncatedBPTT(drawn.model, k1=2, k2=4)
    for begin in (0, 2, 4):
        # A second backward pass through an encoder's graph would be an error.
        (bptt(encoder(drawn.x[begin : begin + 2])) * drawn.upstream[begin : begin + 2]).sum().backward()
    found = encoder.weight.grad
    encoder.zero_grad()
    code = encoder(drawn.x)
    for begin in (0, 2, 4):
        old = code[:begin].detach()
        start = max(begin - 2, 0)
        with torch.no_grad():
            state = drawn.model(code[:start])[1] if start else None
        output, _ = drawn.model(torch.cat([old[start:], code[begin : begin + 2]]), state)
        (output[-2:] * drawn.upstream[begin : begin + 2]).sum().backward(retain_graph=True)
    compare({"weight": found}, {"weight": encoder.weight.grad})


def test_rows_that_end_may_go_on(kinds: Any, compare: Any) -> None:
    """Rows are refilled, and chunks of live streams have gaps: such a window is a call of its own."""
    drawn = problem(kinds["LSTM"], 12)
    lengths = [[3, 2, 0], [1, 3, 3], [3, 0, 0], [3, 3, 1]]
    reset = torch.zeros(12, 3, dtype=torch.bool)
    reset[3, 1] = True
    bptt = TruncatedBPTT(drawn.model, k1=3, k2=7)
    found = drawn.gradients(
        (bptt(drawn.x[t : t + 3], reset=reset[t : t + 3], lengths=lengths[t // 3]) * drawn.upstream[t : t + 3]).sum()
        for t in range(0, 12, 3)
    )

    def step(t: int, state: Any) -> Any:
        alive = [int(t % 3 < n) for n in lengths[t // 3]]
        return drawn.model(drawn.x[t : t + 1], state, reset=reset[t : t + 1], lengths=alive)

    def losses() -> Iterator[Tensor]:
        states = [None]
        for t in range(12):
            states.append(detached(step(t, states[-1])[1]))
        for end in (3, 6, 9, 12):
            start = max(end - 7, 0)
            state, loss = states[start], 0.0
            for t in range(start, end):
                output, state = step(t, state)
                loss = loss + (output[0] * drawn.upstream[t]).sum() * (t >= end - 3)
            yield loss

    compare(found, drawn.gradients(losses()))


# --- dropping the state -----------------------------------------------------------------------------------------------


class Watched(nn.Module):
    """A layer that notes the resets it is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.resets = layer, []

    def forward(self, x: Tensor, state: Any, reset: Tensor | None = None) -> Any:
        self.resets.append(reset)
        return self.layer(x, state, reset=reset)


@pytest.mark.parametrize("k2", [2, 5])
def test_dropped_rows_begin_anew(k2: int, kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 12)
    own = torch.rand(12, 3) < 0.1
    bptt = TruncatedBPTT(drawn.model, k1=2, k2=k2, drop_state=0.5, generator=torch.Generator().manual_seed(4))
    found = drawn.gradients(
        (bptt(drawn.x[t : t + 2], reset=own[t : t + 2]) * drawn.upstream[t : t + 2]).sum() for t in range(0, 12, 2)
    )
    generator, reset = torch.Generator().manual_seed(4), own.clone()
    for t in range(2, 12, 2):
        reset[t] |= torch.rand(3, generator=generator) < 0.5
    assert int(reset.sum()) > int(own.sum()) + 3
    drawn.given = {"reset": reset}
    compare(found, check(drawn, 2, k2, compare))


def test_how_often_the_state_is_dropped() -> None:
    layer = Watched(recur_nn.GRU(1, 1))
    bptt = TruncatedBPTT(layer, drop_state=0.3)
    x = torch.zeros(2, 4000, 1)
    bptt(x)
    assert layer.resets == [None], "at the beginning there is nothing to drop"
    for _ in range(5):
        bptt(x)
    for reset in layer.resets[1:]:
        # The share of 4000 rows strays by sqrt(0.3 * 0.7 / 4000) = 0.0072; five times that.
        assert float(reset[0].double().mean()) == pytest.approx(0.3, abs=0.036)
        assert not bool(reset[1].any())
    # Each window draws anew.
    assert not torch.equal(layer.resets[1], layer.resets[2])
    layer.eval()
    bptt(x)
    assert layer.resets[-1] is None


def test_torch_s_generator_is_the_default() -> None:
    layer = Watched(recur_nn.GRU(1, 1))
    resets = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        bptt = TruncatedBPTT(layer, drop_state=0.5)
        bptt(torch.zeros(1, 50, 1))
        bptt(torch.zeros(1, 50, 1))
        resets.append(layer.resets[-1])
    assert torch.equal(resets[0], resets[1])
    assert not torch.equal(resets[0], resets[2])


def test_a_given_reset_is_not_written_into() -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(1, 1), drop_state=1.0)
    reset = torch.zeros(2, 3, dtype=torch.bool)
    bptt(torch.zeros(2, 3, 1), reset=reset)
    bptt(torch.zeros(2, 3, 1), reset=reset)
    assert not bool(reset.any())


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
def test_loss_of_a_window(batch_first: bool) -> None:
    losses, weight = torch.rand(5, 3, dtype=DOUBLE), torch.rand(5, 3, dtype=DOUBLE)
    counts = torch.tensor([5, 0, 2])
    alive = torch.arange(5)[:, None] < counts

    def of(reduction: str, weight: Tensor | None = None, lengths: Any = None) -> float:
        bptt = TruncatedBPTT(nn.Identity(), batch_first=batch_first, reduction=reduction)  # type: ignore[arg-type]
        turned = [None if v is None else v.T if batch_first else v for v in (losses, weight)]
        return float(bptt.loss(*turned, lengths=lengths))  # type: ignore[arg-type]

    assert of("sum") == pytest.approx(float(losses.sum() / 3), rel=1e-14)
    assert of("mean") == pytest.approx(float(losses.mean()), rel=1e-14)
    assert of("sum", weight) == pytest.approx(float((losses * weight).sum() / 3), rel=1e-14)
    assert of("mean", weight) == pytest.approx(float((losses * weight).sum() / weight.sum()), rel=1e-14)
    assert of("sum", None, counts) == pytest.approx(float(losses[alive].sum() / 3), rel=1e-14)
    assert of("mean", None, [5, 0, 2]) == pytest.approx(float(losses[alive].mean()), rel=1e-14)
    both = float((losses * weight)[alive].sum() / weight[alive].sum())
    assert of("mean", weight, counts) == pytest.approx(both, rel=1e-14)
    assert of("mean", torch.zeros_like(losses)) == of("sum", torch.zeros_like(losses)) == 0


def test_what_does_not_count_may_be_anything() -> None:
    losses = torch.tensor([[1.0, torch.nan], [3.0, torch.inf]], requires_grad=True)
    loss = TruncatedBPTT(nn.Identity(), reduction="mean").loss(losses, lengths=[2, 0])
    loss.backward()
    assert float(loss.detach()) == 2
    assert losses.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_sums_of_windows_are_the_sum_of_the_whole_however_cut(kinds: Any, compare: Any) -> None:
    drawn = problem(kinds["GRU"], 10)
    target = torch.randn(10, 3, 4, dtype=DOUBLE)
    full = TruncatedBPTT(drawn.model)
    expected = drawn.gradients(iter([full.loss((full(drawn.x) - target).square().sum(2))]))
    for k1 in (1, 3, 4):
        bptt = TruncatedBPTT(drawn.model, k1=k1, k2=10)
        windows = bptt.windows(drawn.x, target)
        found = drawn.gradients(bptt.loss((bptt(w.x) - w.others[0]).square().sum(2)) for w in windows)
        compare(found, expected)
        assert bptt.learning_rate_scale(7) == 1.0
    assert TruncatedBPTT(drawn.model, k1=4, reduction="mean").learning_rate_scale(7) == 1.75


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k2", [3, 5, 8])
@pytest.mark.parametrize("stopped_at", [0, 3, 9, 15])
def test_a_saved_run_goes_on_bit_for_bit(k2: int, stopped_at: int, kinds: Any, tmp_path: Any) -> None:
    drawn = problem(kinds["LSTM"], 21, is_ragged=True)

    def made(seed: int) -> TruncatedBPTT:
        generator = torch.Generator().manual_seed(seed)
        return TruncatedBPTT(drawn.model, k1=3, k2=k2, drop_state=0.4, generator=generator)

    def outputs(bptt: TruncatedBPTT, begin: int, end: int) -> list[Tensor]:
        found = []
        for t in range(begin, end, 3):
            output = bptt(drawn.x[t : t + 3], **drawn.at(t, t + 3))
            gradients = torch.autograd.grad((output * drawn.upstream[t : t + 3]).sum(), list(drawn.leaves.values()),
                                            allow_unused=True)  # fmt: skip
            found += [output, *(g for g in gradients if g is not None)]
        return found

    whole = made(5)
    outputs(whole, 0, stopped_at)
    path = tmp_path / "saved.pt"
    torch.save(whole.state_dict(), path)
    rest = outputs(whole, stopped_at, 21)
    assert path.stat().st_size < 30_000, "views of all of x are not saved with it"
    other = made(6)
    outputs(other, 0, 6)
    other.load_state_dict(torch.load(path, weights_only=True))
    again = outputs(other, stopped_at, 21)
    assert len(again) == len(rest)
    assert all(torch.equal(a, b) for a, b in zip(again, rest, strict=True))


class Feed:
    """An iterable; of a list Lightning would take each element for a loader."""

    def __init__(self, windows: list[Window]) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Window]:
        return iter(self._windows)


class Forecaster(LightningModule):
    """A module of a user's own, as the documentation tells to write it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = recur_nn.GRU(3, 5, batch_first=True), nn.Linear(5, 1)
        self.bptt = TruncatedBPTT(self.layer, k1=4, k2=10, batch_first=True, drop_state=0.3)
        self.losses: list[float] = []

    def training_step(self, window: Window, number: int) -> Tensor:
        if window.is_first:
            self.bptt.forget()
        y = self.output(self.bptt(window.x, lengths=window.lengths))
        loss = self.bptt.loss((y[..., 0] - window.others[0]).square(), lengths=window.lengths)
        self.losses.append(float(loss.detach()))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["bptt"] = self.bptt.state_dict() | {"random": torch.get_rng_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["bptt"].pop("random"))
        self.bptt.load_state_dict(checkpoint["bptt"])

    def on_train_start(self) -> None:
        self.bptt.to(self.device)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_in_a_lightning_module_that_is_stopped_and_resumed(tmp_path: Path) -> None:
    x, target = torch.randn(3, 30, 3), torch.randn(3, 30)
    windows = list(TruncatedBPTT(nn.Identity(), k1=4, batch_first=True).windows(x, target, lengths=[30, 9, 22]))

    def fit(module: Forecaster, windows: list[Window], path: Path | None = None) -> Trainer:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            max_steps=8,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, Feed(windows), ckpt_path=path, weights_only=True)
        return trainer

    class Stopping(Forecaster):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.should_stop = self.global_step == 5

    whole, first, second = Forecaster(), Stopping(), Forecaster()
    torch.manual_seed(1)
    fit(whole, windows)
    torch.manual_seed(1)
    fit(first, windows).save_checkpoint(tmp_path / "stopped.ckpt")
    fit(second, windows[5:], tmp_path / "stopped.ckpt")
    assert whole.losses == first.losses + second.losses
    assert len(first.losses) == 5
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_named_tuples_are_restored_by_an_example(tmp_path: Any) -> None:
    model, x = Nested(), torch.randn(8, 2, 3, dtype=DOUBLE)
    bptt = TruncatedBPTT(model, k1=2, k2=3)
    for t in (0, 2, 4):
        bptt(x[t : t + 2])
    torch.save(bptt.state_dict(), tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    other = TruncatedBPTT(model, k1=2, k2=3)
    wanted = r"\{pair: Pair\(slow: \*, fast: \*\), rest: \[\*, \(\*, \*\)\]\}"
    for like, got in ((None, "not given"), ((1, 2), r"\(\*, \*\)")):
        message = (
            rf"^TruncatedBPTT: the saved state is {wanted}, but like is {got}\. Pass like=, a state of the model\.$"
        )
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(saved, like=like)
    other.load_state_dict(saved, like=model(x, None)[1])
    assert torch.equal(other(x[6:])[0], bptt(x[6:])[0])


def test_what_was_saved_does_not_change_afterwards() -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(3, 4), k1=2, k2=3)
    x = torch.randn(2, 1, 3)
    bptt(x)
    saved = bptt.state_dict()
    before = mapped(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, saved)
    x.zero_()
    bptt.carried.zero_()
    bptt(torch.randn(2, 1, 3))
    assert torch.equal(saved["pieces"][0]["x"], before["pieces"][0]["x"])
    assert torch.equal(saved["snapshots"][-1]["state"], before["snapshots"][-1]["state"])


def test_what_is_carried_moves_to_a_device() -> None:
    bptt = TruncatedBPTT(recur_nn.LSTM(3, 4), k1=2, k2=3)
    bptt(torch.randn(2, 1, 3), lengths=[1])
    bptt.to("meta")
    assert {part.device.type for part in bptt.carried} == {"meta"}
    piece = bptt.state_dict()["pieces"][0]
    assert (piece["x"].device.type, piece["lengths"].device.type) == ("meta", "meta")
