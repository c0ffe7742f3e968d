"""The state that is carried from window to window, and when it is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT
from recur.gradients.truncation.history import detached

DOUBLE = torch.float64


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 5), (3, 7), (3, 30)])
def test_a_given_initial_state_has_its_gradient(
    k1: int, k2: int, kinds: Any, compare: Any, problem: Any, cut: Any, reach_of: Any
) -> None:
    drawn = problem(kinds["LSTM"], 11)
    first = tuple(torch.randn(2, 3, 4, dtype=DOUBLE, requires_grad=True) for _ in range(2))
    drawn.leaves |= {"h": first[0], "c": first[1]}
    windows = cut(11, k1)
    bptt = TruncatedBPTT(drawn.model, k1=k1, k2=k2)
    bptt.forget(first)
    found = drawn.gradients(drawn.by_windows(bptt, windows))
    compare(found, drawn.gradients(drawn.by_definition(windows, reach_of(k1, k2), first)))
    assert float(found["dh"].abs().min()) > 0
    # What is forgotten plays no part any more.
    bptt.forget()
    found = drawn.gradients(drawn.by_windows(bptt, windows))
    compare(found, drawn.gradients(drawn.by_definition(windows, reach_of(k1, k2))))
    assert float(found["dh"].abs().max()) == 0


def test_states_and_outputs_of_any_structure(compare: Any, nested: Any) -> None:
    model, x = nested, torch.randn(10, 2, 3, dtype=DOUBLE)
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
    assert type(bptt.carried["pair"]).__name__ == "Pair"
    assert bptt.carried["rest"][1][0] == "text"
    assert int(bptt.carried["rest"][0]) == 10 + 2 - 5
    assert not any(leaf.requires_grad for leaf in bptt.carried["pair"])


@pytest.mark.parametrize("k2", [3, 4, 8])
def test_the_state_is_the_one_that_was_seen_when_parameters_change(
    k2: int, kinds: Any, compare: Any, problem: Any
) -> None:
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


def test_a_window_that_failed_can_be_given_again(kinds: Any, compare: Any, problem: Any) -> None:
    drawn = problem(kinds["GRU"], 6)
    bptt, other = (TruncatedBPTT(drawn.model, k1=2, k2=3) for _ in range(2))
    for begin in (0, 2, 4):
        x = drawn.x[begin : begin + 2]
        handle = drawn.model.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bptt(x)
        handle.remove()
        compare({"y": bptt(x)}, {"y": other(x)})


def test_without_gradients_it_reads_on(kinds: Any, compare: Any, problem: Any, cut: Any) -> None:
    drawn = problem(kinds["LSTM"], 9)
    bptt = TruncatedBPTT(drawn.model, k1=2, k2=4)
    with torch.no_grad():
        found = torch.cat([bptt(drawn.x[begin:end]) for begin, end in cut(9, 2)])
        compare({"y": found}, {"y": drawn.model(drawn.x)[0]})


def test_gradients_of_x_flow_to_the_newest_steps(kinds: Any, compare: Any, problem: Any) -> None:
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


def test_rows_that_end_may_go_on(kinds: Any, compare: Any, problem: Any) -> None:
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

    batch_first = False

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.resets = layer, []

    def forward(self, x: Tensor, state: Any, reset: Tensor | None = None) -> Any:
        self.resets.append(reset)
        return self.layer(x, state, reset=reset)


@pytest.mark.parametrize("k2", [2, 5])
def test_dropped_rows_begin_anew(k2: int, kinds: Any, compare: Any, problem: Any) -> None:
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
    compare(found, drawn.check(2, k2, compare))


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
