"""The back end of compiled kernels for the CPU: forward and backward through time in one call each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur import engine
from recur.ops import _operators
from recur.ops._call import SILENCE, Call, Result, State
from recur.ops._checks import has_values
from recur.ops._frame import Frame, is_by_reference, through_reference
from recur.ops._kernels import (
    DTYPES,
    MORE,
    NUM_GATES,
    ForwardPass,
    Given,
    Saved,
    cell_kind,
    described,
    forward_both,
    forward_pass,
    kernels,
)
from recur.ops._recompute import Segments
from recur.ops._scan import Reference
from recur.ops._several import Both, Stacked, forward_stack


class Cpu:
    """Kernels for every option but nonlinearities that are functions of Python, in float32, float64 and bfloat16.

    In bfloat16, and under autocast to it, the factors of products are rounded; products, sums and the state within a
    call are float32, and so are the gradients of float32 weights. Where the processor has no instructions for it
    (`avx512_bf16`, `avx512_amx`), or there are less than 8 rows in all, all of it is float32, for that is faster there.

    The same call gives the same result, bit for bit, for the same number of threads. A call that is compiled or
    transformed runs as one operator of torch, `recur::recurrence`; an eager one goes straight to the kernels, which
    saves the operator's 40 us.
    """

    name = "cpu"

    def __init__(self, kind: str, reference: Reference) -> None:
        """Make the back end of one form of an op.

        Args:
            kind: The cell, as the kernels call it.
            reference: The op's reference, which computes derivatives of derivatives.
        """
        self._kind = kind
        self._reference = reference

    def accepts(self, call: Call) -> str | None:
        """Refuse what the kernels cannot do, see `Backend.accepts`."""
        x = call.x_TBI
        if x.device.type != "cpu":
            return f"its kernels run on a CPU, and x is on {x.device}"
        if call.dtype not in _DTYPES or x.dtype not in _DTYPES:
            return f"its kernels compute in float32, float64 and bfloat16, and x is {_of(call)}"
        reason = engine.missing_kernels()
        if reason is not None:
            return reason
        if torch.compiler.is_compiling():
            if torch.compiler.is_exporting() and not call.is_forced:
                return "an exported program is to run without recur; pass backend='cpu' for one that has its kernels"
            if torch._C._are_functorch_transforms_active():
                return "its operator is not compiled within torch.func transforms such as vmap"
        elif torch._C._is_tracing():
            return "torch.jit does not trace its kernels"
        if forward_ad._current_level >= 0:
            return "its kernels have no forward-mode derivative"
        if not isinstance(call.options.nonlinearity, str):
            return "its kernels know tanh and relu only, not a function as nonlinearity"
        noise = call.noise
        if noise is not SILENCE:
            masks = (noise.state, noise.candidate, *noise.zoneout)
            if any(mask is not None and mask.requires_grad for mask in masks):
                return "its kernels take no gradient of a mask"
        return None

    def run(self, call: Call) -> Result:
        """Run the call, see `Backend.run`."""
        if call.dtype is torch.bfloat16:
            return self.run(_in_float32(call)).to(torch.bfloat16)
        given = _given(call)
        is_learning, is_operator = _follows(call, given)
        if not (is_learning or is_operator or call.records):
            output, *final = forward_pass(self._kind, call, given).run()
            return Result(output, tuple(final))
        frame = Frame(self._kind, self._reference, call)
        found: tuple[Tensor, ...]
        if is_operator:
            found = _operators.run(frame, given, is_learning)
        elif is_learning and _recomputes(call):
            found = Segments.apply(frame, *given)  # type: ignore[no-untyped-call]
        elif is_learning:
            found = _Through.apply(frame, *given)  # type: ignore[no-untyped-call]
        else:
            found = frame.forward(given)[0]
        output, *rest = found
        final, rest = rest[: len(call.state)], rest[len(call.state) :]
        return Result(output, tuple(final), frame.record(output, rest) if call.records else {})

    def run_both(self, one: Call, other: Call) -> tuple[Result, Result]:
        """Run both directions of a layer: at the same time, each on half of the threads, where that is faster.

        To autograd they are one function then, so what is made of either is to be differentiated at once.
        """
        if one.dtype is torch.bfloat16:
            one = _in_float32(one)
            first, second = self.run_both(one, _in_float32(other._replace(x_TBI=one.x_TBI)))
            return first.to(torch.bfloat16), second.to(torch.bfloat16)
        given, given_other = _given(one), _given(other)
        is_learning, is_operator = _follows(one, given)
        is_alike = is_learning == _follows(other, given_other)[0]
        if is_operator or one.records or not is_alike or (is_learning and _recomputes(one)):
            return self.run(one), self.run(other)
        if is_learning:
            frames = (Frame(self._kind, self._reference, one), Frame(self._kind, self._reference, other))
            found = Both.apply(frames, *given, *given_other)  # type: ignore[no-untyped-call]
            half = len(found) // 2
            return Result(found[0], found[1:half]), Result(found[half], found[half + 1 :])
        passes = forward_pass(self._kind, one, given), forward_pass(self._kind, other, given_other)
        forward_both(*passes)
        first, second = [Result(done.found[0], done.found[1:]) for done in passes]
        return first, second

    def takes_stack(self, calls: Sequence[Call]) -> bool:
        """Return whether layers of these run at the same time, see `TakesSeveral.takes_stack`."""
        first = calls[0]
        # Bfloat16 is rounded from layer to layer.
        if self.accepts(first) is not None or first.dtype is torch.bfloat16:
            return False
        num_steps, batch, width = first.x_TBI.shape
        sizes = []
        for call in calls:
            sizes.append((width, call.weights.weight_ih.shape[0] // NUM_GATES[self._kind], call.state[0].shape[1]))
            width = sizes[-1][2]
        are_relayed = kernels().are_any_relayed32 if first.dtype is torch.float32 else kernels().are_any_relayed64
        if not are_relayed(cell_kind(self._kind), num_steps, batch, sizes, torch.get_num_threads()):
            return False
        is_learning, is_operator = _follows(first, _given(first))
        if is_operator or (is_learning and _recomputes(first)):
            return False
        for call in calls[1:]:
            # What has no gradient below saves nothing.
            if self.accepts(call) is not None or (not is_learning and _follows(call, _given(call))[0]):
                return False
        return True

    def run_stack(self, calls: Sequence[Call]) -> tuple[Tensor, list[State]]:
        """Run the layers of a stack at the same time, some steps apart."""
        all_given = [_given(call) if k == 0 else (None, *_given(call)[1:]) for k, call in enumerate(calls)]
        if _follows(calls[0], all_given[0])[0]:
            size = len(calls[0].state)
            frames = [Frame(self._kind, self._reference, call) for call in calls]
            output, *rest = Stacked.apply(frames, *[each for given in all_given for each in given])  # type: ignore[no-untyped-call]
            return output, [tuple(rest[k * size : (k + 1) * size]) for k in range(len(calls))]
        passes: list[ForwardPass] = []
        for call, given in zip(calls, all_given, strict=True):
            x = given[0] if not passes else passes[-1].found[0]
            passes.append(forward_pass(self._kind, call, (x, *given[1:])))
        forward_stack(passes)
        return passes[-1].found[0], [each.found[1:] for each in passes]


def _in_float32(call: Call) -> Call:
    # Only factors of products are as coarse as bfloat16; the state and every sum are not.
    return call.to(torch.float32)._replace(autocast=None, bfloat16=True)


def _follows(call: Call, given: Given) -> tuple[bool, bool]:
    """Return whether derivatives will be wanted, and whether the call has to be an operator of torch."""
    is_transformed = torch._C._are_functorch_transforms_active()
    # What torch.func differentiates tells so only at its own level.
    is_learning = torch.is_grad_enabled() and (
        is_transformed or any(each is not None and each.requires_grad for each in given)
    )
    return is_learning, is_transformed or not has_values(call.x_TBI)


def _recomputes(call: Call) -> bool:
    return call.recompute is not None and call.recompute < len(call.x_TBI) and not call.records


_DTYPES = (*DTYPES, torch.bfloat16)


def _of(call: Call) -> str:
    return f"{call.x_TBI.dtype}" if call.autocast is None else f"{call.x_TBI.dtype} under autocast to {call.autocast}"


_NO_ANEW: Given = (None, None)


def stepping(backend: Cpu, calls: Sequence[Call], outputs: Sequence[Tensor]) -> tuple[Any, list[Any]]:
    """Return layers that take steps in place, one upon the other, and the tensors whose memory they use.

    Args:
        backend: Of all of them.
        calls: One step of each layer, whose dense states are brought on.
        outputs: Where each layer writes its output, (B, H or P).
    """
    made = (kernels().Stepping32 if outputs[0].dtype is torch.float32 else kernels().Stepping64)()
    kept: list[Any] = []
    for call, output in zip(calls, outputs, strict=True):
        kernel, dense, alive = described(backend._kind, call, _given(call))
        h, c = dense[1:3]
        kernel.set_outputs(output.data_ptr(), 0, output.stride(0), h.data_ptr(), 0 if c is None else c.data_ptr())
        made.add(kernel)
        kept += [dense, alive, output]
    return made, kept


def _given(call: Call) -> Given:
    """Return the differentiable tensors of a call in the order of the kernels."""
    state, weights = call.state, call.weights
    two = state if len(state) == 2 else (state[0], None)
    anew = _NO_ANEW if call.reset_state is None else (*call.reset_state, None)[:2]
    common = (call.x_TBI, *two, *anew, *weights[:4])
    return (*common, *[weights.more.get(name) for name in MORE]) if weights.more else common


class _Through(torch.autograd.Function):
    """The kernels in autograd; derivatives of derivatives go through the reference."""

    @staticmethod
    def forward(ctx: Any, frame: Frame, *given: Tensor | None) -> tuple[Tensor, ...]:
        found, saved = frame.forward(given)
        ctx.frame = frame
        ctx.num_given = len(given)
        ctx.save_for_backward(*given, found[0], *saved, *frame.fixed())
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        frame: Frame = ctx.frame
        # Once: a checkpoint computes them anew for it and lets them go.
        kept = ctx.saved_tensors
        given, (output, *saved) = kept[: ctx.num_given], kept[ctx.num_given : ctx.num_given + 1 + len(Saved._fields)]
        wanted = ctx.needs_input_grad[1:]
        if is_by_reference(grads):
            return (None, *through_reference((frame,), given, grads, wanted))
        return (None, *frame.backward_pass(given, output, Saved(*saved), grads, wanted).run())
