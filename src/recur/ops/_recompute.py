"""Backward passes over sequences too long to keep every step: only the state before each segment is kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recur.ops._call import SILENCE, Call, Noise
from recur.ops._frame import Frame, is_by_reference, through_reference
from recur.ops._kernels import Given, empty, forward_pass


class Segments(torch.autograd.Function):
    """The kernels in autograd, a segment of steps at a time; the backward pass computes each one again first.

    What is kept grows with the number of segments instead of steps, and a training step takes one forward pass longer.

    Source: Chen et al. (2016), Training deep nets with sublinear memory cost.
    """

    @staticmethod
    def forward(ctx: Any, frame: Frame, *given: Tensor | None) -> tuple[Tensor, ...]:
        """Return outputs and final state."""
        x, h, c, *_ = given
        assert x is not None
        assert h is not None
        output = empty(x, (*x.shape[:2], h.shape[1]))
        now: Given = (h, c)
        starts: list[Tensor | None] = []
        for begin, end in _bounds(frame.rest, len(x)):
            starts += now
            part = _part(frame.rest, begin, end)
            _, *final = forward_pass(frame.kind, part, _at(given, now, begin, end), output=output[begin:end]).run()
            now = (*final, None)[:2]
        ctx.frame = frame
        ctx.num_given = len(given)
        ctx.save_for_backward(*given, *starts, *frame.fixed())
        ctx.set_materialize_grads(False)
        return (output, *[part for part in now if part is not None])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of what was given."""
        frame: Frame = ctx.frame
        # Once: a checkpoint computes them anew for it and lets them go.
        kept = ctx.saved_tensors
        given, starts = kept[: ctx.num_given], kept[ctx.num_given :]
        wanted = ctx.needs_input_grad[1:]
        if is_by_reference(grads):
            return (None, *through_reference((frame,), given, grads, wanted))
        return (None, *_backward(frame, given, starts, grads, wanted))


def _backward(frame: Frame, given: Given, starts: Given, grads: Given, wanted: tuple[bool, ...]) -> list[Tensor | None]:
    x, _, c, h_anew, *_ = given
    assert x is not None
    dy, *carried = grads
    found: list[Tensor | None] = [None] * len(given)
    if wanted[0]:
        found[0] = empty(x, tuple(x.shape))
    # The state before a segment is what the one before it gave, so its gradient goes on in any case.
    has_reset = frame.rest.reset is not None
    state_wanted = (True, c is not None)
    inner = (wanted[0], *state_wanted, has_reset, has_reset and c is not None, *wanted[5:])
    # Without a state of its own a reset goes back to the initial one.
    anew = 3 if h_anew is not None else 1
    places = (0, 0, 0, anew, anew + 1, *range(5, len(given)))
    bounds = _bounds(frame.rest, len(x))
    for number in reversed(range(len(bounds))):
        begin, end = bounds[number]
        at = _at(given, starts[2 * number : 2 * number + 2], begin, end)
        segment = Frame(frame.kind, frame.reference, frame.call(given))
        segment.rest = _part(frame.rest, begin, end)
        (output, *_), saved = segment.forward(at)
        part = None if dy is None else dy[begin:end]
        dx, *rest = segment.backward_pass(at, output, saved, (part, *carried), inner).run()
        if found[0] is not None and dx is not None:
            found[0][begin:end] = dx
        carried = [each for each in rest[:2] if each is not None]
        for place, more in zip(places[3:], rest[2:], strict=True):
            _add(found, place, more, wanted)
    for place, more in enumerate(carried, 1):
        _add(found, place, more, wanted)
    return found


def _add(found: list[Tensor | None], place: int, more: Tensor | None, wanted: tuple[bool, ...]) -> None:
    """Add to one of the sums over segments, which begins with its first term."""
    if more is None or not wanted[place]:
        return
    so_far = found[place]
    found[place] = more if so_far is None else so_far.add_(more)


def _bounds(call: Call, num_steps: int) -> list[tuple[int, int]]:
    """Return the segments in the order in which they are computed."""
    assert call.recompute is not None
    bounds = [(begin, min(begin + call.recompute, num_steps)) for begin in range(0, num_steps, call.recompute)]
    return bounds[::-1] if call.reverse else bounds


def _at(given: Given, state: Given, begin: int, end: int) -> Given:
    """Return what a segment is given; a reset in it goes back to where the whole began."""
    x, h, c, h_anew, c_anew, *weights = given
    assert x is not None
    anew = (h, c) if h_anew is None else (h_anew, c_anew)
    return (x[begin:end], *state, *anew, *weights)


def _part(call: Call, begin: int, end: int) -> Call:
    """Return a call of the steps from `begin` to `end`, but for its differentiable tensors."""
    noise = call.noise
    if noise is not SILENCE:
        zoneout = tuple([_steps(keep, begin, end) for keep in noise.zoneout])
        noise = Noise(noise.state, _steps(noise.candidate, begin, end), zoneout)
    return call._replace(
        lengths=None if call.lengths is None else (call.lengths - begin).clamp(0, end - begin),
        reset=None if call.reset is None else call.reset[begin:end],
        noise=noise,
        recompute=None,
    )


def _steps(mask: Tensor | None, begin: int, end: int) -> Tensor | None:
    return mask if mask is None or len(mask) == 1 else mask[begin:end]
