"""The loop over the steps in plain torch, and with it the reference: what every other back end is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.ops._call import SILENCE, Call, Result, State
from recur.ops._cell import Masks, Step
from recur.ops._rolled import is_rolled, rolled_scan

AnyStep: TypeAlias = Callable[[int, Tensor, State], tuple[Tensor, State, dict[str, Tensor]]]
"""Number of the step, input (B, ...) and state to output, next state, and what is recorded beside the state."""

UNKNOWN_NOISE = (
    "zoneout and recurrent dropout draw a mask for each step in training, and while exporting their number is open; "
    "call .eval() first, or export for a fixed number of steps"
)


class Reference:
    """A cell's step in a loop: any device, any dtype, differentiable any number of times, under every transform."""

    name = "reference"

    def __init__(self, step: Step, states: Sequence[str] = ("h",)) -> None:
        self._step = step
        self._states = states

    def accepts(self, call: Call) -> str | None:
        """Accept everything but masks for an unknown number of steps."""
        masks = (call.noise.candidate, *call.noise.zoneout)
        if call.noise is not SILENCE and any(mask is not None and is_rolled(mask) for mask in masks):
            return UNKNOWN_NOISE
        return None

    def run(self, call: Call) -> Result:
        """Run the steps in order. Shapes as in `Call`."""
        call = call.cast()
        candidate = call.noise.candidate

        def step(t: int, x_BI: Tensor, state: State) -> tuple[Tensor, State, dict[str, Tensor]]:
            now = None if candidate is None else candidate[t if candidate.shape[0] > 1 else 0]
            new, gates = self._step(x_BI, state, call.weights, call.options, Masks(call.noise.state, now))
            return new[0], new, gates

        return scan(
            step,
            call.x_TBI,
            call.state,
            names=self._states,
            lengths=call.lengths,
            reset=call.reset,
            anew=call.anew,
            reverse=call.reverse,
            zoneout=call.noise.zoneout,
            gradient_clip=call.options.gradient_clip,
            records=call.records,
        )


def scan(
    step: AnyStep,
    x_TBI: Tensor,
    state: State,
    *,
    names: Sequence[str],
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    anew: State | None = None,
    reverse: bool = False,
    zoneout: Sequence[Tensor | None] = (),
    gradient_clip: float | None = None,
    records: bool = False,
) -> Result:
    """Return outputs, final state and record of a step repeated over time.

    Args:
        step: One step. Where its output is the first part of the new state itself, zoneout holds for the output too.
        x_TBI: Inputs, (T, B, ...).
        state: Before the first step, each (B, ...).
        names: Of the parts of the state, for the record.
        lengths: True steps of each row, (B,), or None.
        reset: Where the state is replaced before the step, (T, B), or None.
        anew: By what.
        reverse: Whether the steps run from each row's last to its first.
        zoneout: For each part of the state the share that is kept, as in `Noise`; empty for none.
        gradient_clip: Bound on each element of the gradient passed back from step to step, or None.
        records: Whether the record is wanted.
    """
    num_steps = x_TBI.shape[0]
    alive_TB = None
    if lengths is not None:
        alive_TB = mask_of(lengths, num_steps)
        # What lies past the end may be anything, and 0 * NaN is NaN in the backward pass: drop it before the step.
        x_TBI = torch.where(beside(alive_TB, x_TBI), x_TBI, 0)
    # An exported program has no backward pass of its own making.
    clip = None if torch.compiler.is_exporting() else gradient_clip

    def advance(
        t: int, x_BI: Tensor, state: State, alive_B: Tensor | None, reset_B: Tensor | None
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        before = state
        if reset_B is not None:
            assert anew is not None
            state = _where(reset_B, anew, state)
        if clip is not None:
            state = tuple([clip_gradient(part, clip) for part in state])
        output, new, more = step(t, x_BI, state)
        if zoneout:
            is_output_state = output is new[0]
            new = tuple([_kept(old, part, keep, t) for old, part, keep in zip(state, new, zoneout, strict=True)])
            output = new[0] if is_output_state else output
        record = dict(zip(names, new, strict=True)) | more if records else {}
        if alive_B is not None:
            output = torch.where(beside(alive_B, output), output, 0)
            new = _where(alive_B, new, before)
            record = {name: torch.where(beside(alive_B, value), value, 0) for name, value in record.items()}
        return output, new, record

    if is_rolled(x_TBI):
        if any(keep is not None and is_rolled(keep) for keep in zoneout):
            raise BackendError(UNKNOWN_NOISE)
        return rolled_scan(advance, x_TBI, state, alive_TB, reset, reverse)
    order = range(num_steps)
    outputs: list[Tensor] = []
    record: dict[str, list[Tensor]] = {}
    inputs = x_TBI.unbind(0)
    for t in reversed(order) if reverse else order:
        alive_B, reset_B = (None if mask is None else mask[t] for mask in (alive_TB, reset))
        output, state, seen = advance(t, inputs[t], state, alive_B, reset_B)
        outputs.append(output)
        for name, value in seen.items():
            record.setdefault(name, []).append(value)
    for each in (outputs, *record.values()) if reverse else ():
        each.reverse()
    return Result(torch.stack(outputs), state, {name: torch.stack(values) for name, values in record.items()})


def mask_of(lengths: Tensor, num_steps: int) -> Tensor:
    """Return which steps lie before each row's end, (T, B) bool."""
    return torch.arange(num_steps, device=lengths.device)[:, None] < lengths


def clip_gradient(value: Tensor, bound: float) -> Tensor:
    """Return `value`, whose gradient is held within -bound and bound, element by element."""
    # torch.compile takes no function that has a forward-mode derivative of its own.
    function = _ClipGradient if torch.compiler.is_compiling() else _ClipGradientBothWays
    clipped: Tensor = function.apply(value, bound)  # type: ignore[no-untyped-call]
    return clipped


class _ClipGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, bound: float) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.bound = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.clamp(-ctx.bound, ctx.bound), None


class _ClipGradientBothWays(_ClipGradient):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return tangent.view_as(tangent)


def _kept(old: Tensor, new: Tensor, keep: Tensor | None, t: int) -> Tensor:
    """Return what zoneout makes of a part of the state."""
    if keep is None:
        return new
    now, old = keep[t if len(keep) > 1 else 0].to(new.dtype), old.to(new.dtype)
    return now * old + (1 - now) * new


def beside(mask: Tensor, value: Tensor) -> Tensor:
    """Return `mask` with as many dimensions as `value`, those that are missing behind."""
    return mask.reshape(mask.shape + (1,) * (value.dim() - mask.dim()))


def _where(condition_B: Tensor, yes: State, no: State) -> State:
    """Return each part of the one state or the other; under autocast the one that a cell just gave may be narrower."""
    pairs = zip(yes, no, strict=True)
    return tuple([torch.where(beside(condition_B, b), a, b.to(a.dtype)) for a, b in pairs])
