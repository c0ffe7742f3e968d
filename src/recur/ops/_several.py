"""Several calls in one function of autograd, so that they can run at the same time: directions, layers of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recur.ops._frame import BackwardPass, Frame, backward_both, is_by_reference, parts_of, through_reference
from recur.ops._kernels import ForwardPass, Saved, forward_both, kernels


def forward_stack(passes: Sequence[ForwardPass]) -> None:
    """Run passes of which each reads the outputs of the one before."""
    is_single = passes[0].found[0].dtype is torch.float32
    run = kernels().forward_stack32 if is_single else kernels().forward_stack64
    run([each.kernel for each in passes], [each.kept for each in passes], torch.get_num_threads())


class Both(torch.autograd.Function):
    """The kernels in autograd, for two calls that do not depend on each other.

    Takes both frames and what each is given, as many tensors. Returns what each returns, one after the other.
    """

    @staticmethod
    def forward(ctx: Any, frames: tuple[Frame, Frame], *given: Tensor | None) -> tuple[Tensor, ...]:
        """Return what the class says."""
        passes = [frame.forward_pass(part) for frame, part in zip(frames, parts_of(given, 2), strict=True)]
        forward_both(*passes)
        ctx.frames = frames
        ctx.num_given = len(given)
        kept = [(done.found[0], *done.saved, *frame.fixed()) for frame, done in zip(frames, passes, strict=True)]
        ctx.save_for_backward(*given, *kept[0], *kept[1])
        ctx.set_materialize_grads(False)
        return (*passes[0].found, *passes[1].found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of what was given."""
        # Once: a checkpoint computes them anew for it and lets them go.
        tensors = ctx.saved_tensors
        of_all = (tensors[: ctx.num_given], tensors[ctx.num_given :], ctx.needs_input_grad[1:], grads)
        of_each = zip(ctx.frames, *[parts_of(each, 2) for each in of_all], strict=True)
        found: list[Sequence[Tensor | None]] = []
        passes: list[BackwardPass] = []
        for frame, given, (output, *kept), wanted, own_grads in of_each:
            if all(grad is None for grad in own_grads):
                # Of two directions only the other one was used.
                found.append([None] * len(given))
            elif is_by_reference(own_grads):
                found.append(through_reference((frame,), given, own_grads, wanted))
            else:
                saved = Saved(*kept[: len(Saved._fields)])
                passes.append(frame.backward_pass(given, output, saved, own_grads, wanted))
                found.append(passes[-1].found)
        if len(passes) == 2:
            backward_both(*passes)
        elif passes:
            passes[0].run()
        return (None, *found[0], *found[1])


class Stacked(torch.autograd.Function):
    """The kernels in autograd, for calls of one form of which each has the outputs of the one before as its x.

    Takes the frames and what each is given, one after the other, with None for every x but the first. Returns the last
    outputs, and the final state of each.
    """

    @staticmethod
    def forward(ctx: Any, frames: Sequence[Frame], *all_given: Tensor | None) -> tuple[Tensor, ...]:
        """Return what the class says."""
        passes: list[ForwardPass] = []
        kept: list[Tensor | None] = []
        states: list[Tensor] = []
        x = all_given[0]
        for frame, given in zip(frames, parts_of(all_given, len(frames)), strict=True):
            passes.append(frame.forward_pass((x, *given[1:])))
            x, *state = passes[-1].found
            states += state
            kept += (x, *passes[-1].saved, *frame.fixed())
        forward_stack(passes)
        ctx.frames = frames
        ctx.num_given = len(all_given)
        ctx.save_for_backward(*all_given, *kept)
        ctx.set_materialize_grads(False)
        return (passes[-1].found[0], *states)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of what was given."""
        frames: Sequence[Frame] = ctx.frames
        # Once: a checkpoint computes them anew for it and lets them go.
        tensors = ctx.saved_tensors
        given_of_all, wanted_of_all = tensors[: ctx.num_given], ctx.needs_input_grad[1:]
        if is_by_reference(grads):
            return (None, *through_reference(frames, given_of_all, grads, wanted_of_all))
        all_given, wanted = parts_of(given_of_all, len(frames)), parts_of(wanted_of_all, len(frames))
        kept = parts_of(tensors[ctx.num_given :], len(frames))
        dy, dstates = grads[0], parts_of(grads[1:], len(frames))
        found: list[Sequence[Tensor | None]] = []
        passes: list[BackwardPass] = []
        for k in reversed(range(len(frames))):
            upstream = (dy, *dstates[k])
            if all(grad is None for grad in upstream):
                # Only layers below were used.
                found.append([None] * len(all_given[k]))
                continue
            output, *saved = kept[k][: 1 + len(Saved._fields)]
            x = all_given[0][0] if k == 0 else kept[k - 1][0]
            is_x_wanted = wanted[0][0] if k == 0 else any(any(each) for each in wanted[:k])
            ready = frames[k].backward_pass(
                (x, *all_given[k][1:]), output, Saved(*saved), upstream, (is_x_wanted, *wanted[k][1:])
            )
            passes.append(ready)
            dy = ready.found[0]
            found.append(ready.found if k == 0 else [None, *ready.found[1:]])
        if passes:
            is_single = tensors[0].dtype is torch.float32
            run = kernels().backward_stack32 if is_single else kernels().backward_stack64
            run([each.kernel for each in reversed(passes)], torch.get_num_threads())
        return (None, *[each for part in reversed(found) for each in part])
