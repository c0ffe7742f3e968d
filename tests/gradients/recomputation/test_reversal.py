"""The way back through time: how often steps are run, what is kept meanwhile, and what autograd may ask."""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recur.gradients import Checkpointed
from recur.gradients.recomputation import reversal
from recur.gradients.recomputation.reversal import _Shelf
from recur.gradients.recomputation.schedule import num_runs
from recur.gradients.recomputation.segments import Segments
from recur.nn import GRU, LSTM

T, B = 11, 3


@pytest.mark.parametrize(
    ("num_steps", "length", "slots"), [(1, 1, None), (7, 7, None), (24, 2, None), (24, 2, 3), (24, 1, 1), (25, 2, 2)]
)
def test_steps_are_run_as_often_as_the_schedule_says(
    loop: Any, checkpointed: Any, num_steps: int, length: int, slots: int | None
) -> None:
    model = loop
    x = torch.randn(B, num_steps, 4, dtype=torch.float64)
    little = checkpointed(model, length, slots)
    plan = little.plan(x)
    # What is measured and checked before the first call does not count.
    little(x)
    model.cell.runs = model.calls = 0
    output, _ = little(x)
    output.sum().backward()
    segments = -(-num_steps // length)
    assert model.calls == num_runs(segments, max(segments - 1, 1) if slots is None else slots)
    assert model.cell.runs == plan.forward_steps
    assert plan.passes == plan.forward_steps / num_steps


@pytest.mark.parametrize("slots", [1, 2, 4, 14])
def test_no_more_states_are_kept_than_there_are_slots(
    checkpointed: Any, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(3, 4)

        def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
            nonlocal most
            most = max(most, len(alive))
            output, state = self.layer(x, state)
            # Of its own, so that what is kept of it is this memory.
            state = state.clone()
            alive.add(state.untyped_storage())
            return output, state

    x = torch.randn(15, 2, 3)
    little = checkpointed(Watched(), 1, slots, batch_first=False)
    little(x)
    alive.clear()
    most = 0
    shelves: list[_Shelf] = []
    monkeypatch.setattr(reversal, "_Shelf", lambda *given: shelves.append(_Shelf(*given)) or shelves[-1])
    output, state = little(x)
    del state
    output.sum().backward()
    # They lie in slots; beside them there is the state in hand and the next one.
    (shelf,) = shelves
    (rows,) = shelf._rows.values()
    assert rows.shape == (slots, 1, 2, 4)
    assert most <= 2


def test_a_state_that_changes_its_form_is_kept_by_itself(checkpointed: Any) -> None:
    class Growing(nn.Module):
        """Sums all that it has seen, with ever more weight on the first."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))

        def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
            seen = x if state is None else torch.cat([state, x])
            return x * self.weight + seen.tanh().sum(0), seen * self.weight

    model = Growing()
    x = torch.randn(12, 2, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for slots in (2, 5):
        output, state = checkpointed(model, 2, slots, batch_first=False)(x)
        found.append(torch.autograd.grad(output.sum() + state.sin().sum(), [x, model.weight]))
    outputs, state = [], None
    for part in x.split(2):
        output, state = model(part, state)
        outputs.append(output)
    want = torch.autograd.grad(torch.cat(outputs).sum() + state.sin().sum(), [x, model.weight])
    for got in found:
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_a_backward_pass_that_is_broken_off_leaves_nothing_half_done(checkpointed: Any, loop: Any) -> None:
    x = torch.randn(B, T, 4, dtype=torch.float64)
    output, _ = checkpointed(loop, 2, 2)(x)
    forward, calls = loop.cell.forward, []

    def break_off(*given: Any) -> Any:
        calls.append(0)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return forward(*given)

    loop.cell.forward = break_off
    with pytest.raises(KeyboardInterrupt):
        output.sum().backward(retain_graph=True)
    del loop.cell.forward
    loop.zero_grad()
    want = torch.autograd.grad(loop(x)[0].sum(), list(loop.parameters()))
    got = torch.autograd.grad(output.sum(), list(loop.parameters()))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_a_state_that_is_kept_does_not_keep_the_output_that_it_lies_in() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
            output = x.cumsum(0) + (0 if state is None else state)
            return output, output[-1]

    segments = Segments("Here", Last(), 0, ())
    given = segments.take(torch.arange(24.0).view(12, 2), None, {})
    start = segments.start(given)
    for begin in (0, 5):
        _, start = segments.advance(begin, begin + 5, given, start)
    assert start.state.untyped_storage().nbytes() == start.state.nbytes
    assert start.state.tolist() == [90, 100]


def kept(module: Any, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, beside the input and the weights."""
    found: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output, _ = module(x)
    for tensor in (x, *module.parameters()):
        found.pop(tensor.untyped_storage().data_ptr(), None)
    assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


def test_what_is_kept_grows_with_segments_and_not_with_steps() -> None:
    layer = LSTM(8, 32)
    x = torch.randn(600, 2, 8)
    little = Checkpointed(layer, checkpoint_every=20)
    little(x)
    # Gates, cell state and output of a segment; the states in slots are no saved tensors.
    step = 2 * 32 * 4 * 6
    assert kept(layer, x) > 600 * step * 0.9
    assert kept(little, x) < 20 * step * 1.5


def test_second_derivatives(agree: Any, checkpointed: Any) -> None:
    layer = GRU(2, 3, dtype=torch.float64)
    little = checkpointed(layer, 2, 1)
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    h = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, h: little(x, h), (x, h))
    found = []
    for module in (layer, little):
        (first,) = torch.autograd.grad(module(x, h)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [*layer.parameters(), x, h]))
    agree(list(found[1]), list(found[0]))


def test_a_graph_that_is_retained_goes_back_twice(agree: Any, checkpointed: Any) -> None:
    layer = LSTM(3, 5, zoneout=0.2, dtype=torch.float64)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    output, _ = checkpointed(layer, 2, 2)(x)
    grads = [torch.autograd.grad(output.sum(), list(layer.parameters()), retain_graph=True) for _ in range(2)]
    agree(list(grads[1]), list(grads[0]))
    output.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()


def test_frozen_parameters_and_hooks() -> None:
    layer = GRU(3, 5, dtype=torch.float64)
    layer.weight_ih_l0.requires_grad_(False)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    layer(x)[0].square().sum().backward()
    assert layer.weight_hh_l0.grad is not None
    want = 2 * layer.weight_hh_l0.grad
    layer.zero_grad()
    calls = []
    layer.weight_hh_l0.register_hook(lambda grad: calls.append(0) or grad * 2)
    Checkpointed(layer, checkpoint_every=3)(x)[0].square().sum().backward()
    # Once for the whole sequence, as without segments.
    assert len(calls) == 1
    torch.testing.assert_close(layer.weight_hh_l0.grad, want, rtol=0, atol=1e-10)
    assert layer.weight_ih_l0.grad is None


def test_parameters_that_were_written_over_are_an_error() -> None:
    layer = GRU(3, 5)
    output, _ = Checkpointed(layer, checkpoint_every=3)(torch.randn(T, B, 3))
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_functional_call_and_parametrized_weights(run: Any, agree: Any, checkpointed: Any) -> None:
    recurrent = GRU(3, 5, dtype=torch.float64)
    nn.utils.parametrizations.weight_norm(recurrent, "weight_hh_l0")
    x = torch.randn(T, B, 3, dtype=torch.float64)
    agree(run(checkpointed(recurrent, 3, 2), x), run(recurrent, x))
    little = Checkpointed(recurrent, checkpoint_every=3)
    others = {name: torch.randn_like(p, requires_grad=True) for name, p in recurrent.named_parameters()}
    found = []
    for module, prefix in ((recurrent, ""), (little, "layer.")):
        named = {f"{prefix}{name}": p for name, p in others.items()}
        output, _ = torch.func.functional_call(module, named, (x,))
        found.append(torch.autograd.grad(output.square().sum(), list(others.values())))
    agree(list(found[1]), list(found[0]))
    with parametrize.cached(), pytest.raises(RuntimeError, match=r"kept by parametrize\.cached\(\)"):
        little(x)


def test_autocast() -> None:
    layer = nn.LSTM(4, 16)
    x = torch.randn(20, 4, 4)
    little = Checkpointed(layer, checkpoint_every=6)
    found = []
    for module in (layer, little):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            output, _ = module(x)
        output.float().square().sum().backward()
        found.append([output.detach(), *[p.grad.clone() for p in layer.parameters()]])
    assert found[1][0].dtype == torch.bfloat16
    for one, other in zip(found[1], found[0], strict=True):
        # Eight bits; sums over time are taken in another order.
        assert float((one - other).abs().max()) <= 20 * 2**-8 * float(other.abs().max())


def test_without_gradients_the_layer_is_called_as_it_is(loop: Any) -> None:
    model = loop
    little = Checkpointed(model, checkpoint_every=2)
    x = torch.randn(B, T, 4, dtype=torch.float64)
    with torch.no_grad():
        little(x)
    assert model.calls == 1
    model.requires_grad_(False)
    little(x)
    assert model.calls == 2


def test_compiled_exported_copied_and_pickled(run: Any) -> None:
    layer = GRU(3, 5)
    x = torch.randn(T, B, 3)
    little = Checkpointed(layer, checkpoint_every=3)
    want = run(layer, x)
    for module in (torch.compile(little, backend="eager"), copy.deepcopy(little), pickle.loads(pickle.dumps(little))):
        for one, other in zip(run(module, x), want, strict=True):
            torch.testing.assert_close(one, other)
    exported = torch.export.export(little.eval(), (x,)).module()
    torch.testing.assert_close(exported(x)[0], layer(x)[0])
    assert list(little.state_dict()) == [f"layer.{name}" for name in layer.state_dict()]


def test_transforms_are_refused() -> None:
    little = Checkpointed(GRU(3, 5), checkpoint_every=3)
    with pytest.raises(RuntimeError, match=r"^Checkpointed: transforms of torch\.func do not go through"):
        torch.func.grad(lambda x: little(x)[0].sum())(torch.randn(T, B, 3))
