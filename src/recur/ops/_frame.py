"""One call of the kernels for the CPU, forward and backward, for whoever follows its derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.ops._call import SILENCE, Call, Weights
from recur.ops._kernels import (
    GATES,
    MORE,
    NUM_COMMON,
    NUM_GATES,
    NUM_SLOTS,
    SLOTS,
    ForwardPass,
    Given,
    Saved,
    addresses,
    described,
    empty,
    forward_pass,
    padded,
    set_dense,
    set_more,
    with_features_together,
)
from recur.ops._scan import Reference, mask_of


class BackwardPass(NamedTuple):
    """A backward pass that is all prepared.

    Attributes:
        kernel: The kernels' description of it.
        found: The gradients, which the kernels will write; None for those that are not wanted.
        alive: Other tensors whose memory they read.
    """

    kernel: Any
    found: list[Tensor | None]
    alive: tuple[Any, ...]

    def run(self) -> list[Tensor | None]:
        """Run it by itself, and return the gradients."""
        self.kernel.backward(torch.get_num_threads())
        return self.found


def backward_both(one: BackwardPass, other: BackwardPass) -> None:
    """Run two passes that do not depend on each other, at the same time where that is faster."""
    one.kernel.backward_with(other.kernel, torch.get_num_threads())


class Frame:
    """One call without its differentiable tensors, which autograd wants one by one."""

    def __init__(self, kind: str, reference: Reference, call: Call) -> None:
        self.kind = kind
        self.reference = reference
        self.num_states = len(call.state)
        self.hidden_size = call.weights.weight_ih.shape[0] // NUM_GATES[kind]
        self.gates = GATES[kind]
        self.rest = call.without_tensors()

    def fixed(self) -> tuple[Tensor | None, ...]:
        """Return the tensors that have no gradient; saved too, so that one which is written over is an error."""
        rest, noise = self.rest, self.rest.noise
        if noise is SILENCE:
            return rest.lengths, rest.reset
        return rest.lengths, rest.reset, noise.state, noise.candidate, *noise.zoneout

    def call(self, given: Given) -> Call:
        """Return the call again, with these tensors in it."""
        x, h, c, h_anew, c_anew, weight_ih, weight_hh, bias_ih, bias_hh, *rest = given
        more = {name: weight for name, weight in zip(MORE, rest, strict=False) if weight is not None}
        assert x is not None
        assert weight_ih is not None
        assert weight_hh is not None
        return self.rest._replace(
            x_TBI=x,
            state=tuple([part for part in (h, c) if part is not None]),
            weights=Weights(weight_ih, weight_hh, bias_ih, bias_hh, more),
            reset_state=None if h_anew is None else tuple([part for part in (h_anew, c_anew) if part is not None]),
        )

    def forward_pass(self, given: Given) -> ForwardPass:
        """Prepare a forward pass that saves what the backward pass needs."""
        return forward_pass(self.kind, self.rest, given, is_saving=True)

    def forward(self, given: Given) -> tuple[tuple[Tensor, ...], Saved]:
        """Return the outputs, the final state and the record, and what the backward pass needs."""
        ready = self.forward_pass(given)
        found = ready.run()
        if self.rest.records:
            found = (*found, *self.recorded(ready.saved, found[0]))
        return found, ready.saved

    def in_slots(self, gates: Tensor, num_steps: int) -> list[Tensor]:
        """Return each gate, (T, B, H), of what lies in slots."""
        slots = gates.reshape(num_steps, -1, NUM_SLOTS[self.kind], padded(self.hidden_size, gates.itemsize))
        return [slots[:, :, slot, : self.hidden_size] for slot in SLOTS[self.kind]]

    def recorded(self, saved: Saved, output: Tensor) -> list[Tensor]:
        """Return the value of each gate, then a cell state if there is one, (T, B, H) each, zero past the end."""
        assert saved.gates is not None
        num_steps, batch, _ = output.shape
        found = self.in_slots(saved.gates, num_steps)
        if saved.cells is not None:
            found.append(saved.cells.view(num_steps, batch, self.hidden_size))
        if self.rest.lengths is None:
            return [each.clone(memory_format=torch.contiguous_format) for each in found]
        alive = mask_of(self.rest.lengths, num_steps)[..., None]
        return [torch.where(alive, each, 0) for each in found]

    def record(self, output: Tensor, recorded: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the record by name, in the order of the reference."""
        gates, cells = recorded[: len(self.gates)], recorded[len(self.gates) :]
        named = {"h": output} | ({"c": cells[0]} if cells else {})
        for name, value in zip(self.gates, gates, strict=True):
            if self.kind == "lstm_coupled" and name == "f":
                lengths = self.rest.lengths
                alive = 1 if lengths is None else mask_of(lengths, len(output))[..., None]
                named["i"] = (1 - value) * alive
            named[name] = value
        return named

    def backward_pass(
        self,
        given: Given,
        output: Tensor,
        saved: Saved,
        grads: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> BackwardPass:
        """Prepare the pass that computes the gradient of each given tensor that is wanted."""
        kernel, dense, alive = described(self.kind, self.rest, given)
        step, row, _ = output.stride()
        kernel.set_outputs(output.data_ptr(), step, row, 0, 0)
        kernel.set_saved(*addresses(saved))
        dy, dh_n, dc_n = (*grads[: 1 + self.num_states], None)[:3]
        upstream = [None if dy is None else with_features_together(dy)]
        upstream += [None if each is None else each.contiguous() for each in (dh_n, dc_n)]
        place, *places = addresses(upstream)
        kernel.set_upstream(place, *_strides(upstream[0]), *places)
        recorded = grads[1 + self.num_states :]
        for gate, grad in enumerate(recorded[: len(self.gates)]):
            set_dense(lambda address, gate=gate: kernel.set_dgate(gate, address), grad, alive)
        for grad in recorded[len(self.gates) :]:
            set_dense(kernel.set_dcells, grad, alive)
        found = [
            empty(tensor, tensor.shape) if is_wanted and tensor is not None else None
            for tensor, is_wanted in zip(dense, wanted, strict=True)
        ]
        places = addresses(found)
        if self.rest.reset is not None and given[3] is None:
            # A reset goes back to the initial state itself.
            places[3:5] = places[1:3]
        kernel.set_gradients(*_strides(found[0]), *places[:NUM_COMMON])
        set_more(kernel, "set_d", places)
        return BackwardPass(kernel, found, (dense, alive, upstream))

    def equations(self, given: Given) -> list[Tensor]:
        """Return what `forward` returns, by the reference."""
        result = self.reference.run(self.call(given))
        outputs = [result.output, *result.state]
        if self.rest.records:
            outputs += [result.record[name] for name in self.gates]
            outputs += [result.record["c"]] if "c" in result.record else []
        return outputs


def _strides(sequence: Tensor | None) -> tuple[int, int]:
    """Return how far steps and rows of (T, B, F) lie apart."""
    return (0, 0) if sequence is None else (sequence.stride(0), sequence.stride(1))


def is_by_reference(grads: Sequence[Tensor | None]) -> bool:
    """Return whether gradients are to be differentiated again, or are those of several backward passes in one.

    The latter (`is_grads_batched`, `vectorize`) have no memory of their own that kernels could read.
    """
    return torch.is_grad_enabled() or any(grad is not None and not torch._C._has_storage(grad) for grad in grads)


def parts_of(of_all: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Return what is of each of so many calls, of which all have the same number."""
    size = len(of_all) // count
    return [of_all[k * size : (k + 1) * size] for k in range(count)]


def through_reference(
    frames: Sequence[Frame], given: Given, grads: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients, as functions that can be differentiated again where that is asked for.

    Args:
        frames: One, or the layers of a stack, each of which has the outputs of the one before as its x.
        given: What each is given, one after the other; of a stack only the first x counts.
        grads: Of the last outputs, and of all else that each returns.
        wanted: Which gradients are.
    """
    is_differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # A tensor may have been made of another one; of a view of each, the gradient is that of this call alone.
        views = [None if each is None else each.view_as(each) for each in given]
        output, others = views[0], list[Tensor]()
        for frame, own in zip(frames, parts_of(views, len(frames)), strict=True):
            output, *rest = frame.equations((output, *own[1:]))
            others += rest
        assert output is not None
        pairs = [(made, grad) for made, grad in zip((output, *others), grads, strict=True) if grad is not None]
        asked = [view for view, is_wanted in zip(views, wanted, strict=True) if is_wanted and view is not None]
        if not pairs or not asked:
            return [None] * len(given)
        found = iter(
            torch.autograd.grad(
                [made for made, _ in pairs],
                asked,
                [grad for _, grad in pairs],
                create_graph=is_differentiable,
                allow_unused=True,
            )
        )
    return [
        next(found) if is_wanted and view is not None else None for view, is_wanted in zip(views, wanted, strict=True)
    ]
