"""The loop over the steps in plain torch, and with it the reference: what every other back end is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from recur.ops._call import Call, Result, State
from recur.ops._cell import Masks, Step

AnyStep: TypeAlias = Callable[[int, Tensor, State], tuple[Tensor, State, dict[str, Tensor]]]
"""Number of the step, input (B, ...) and state to output, next state, and what is recorded beside the state."""


class Reference:
    """A cell's step in a loop: any device, any dtype, differentiable any number of times, under every transform."""

    name = "reference"

    def __init__(self, step: Step, states: Sequence[str] = ("h",)) -> None:
        self._step = step
        self._states = states

    def accepts(self, call: Call) -> str | None:
        """Accept everything."""
        return None

    def run(self, call: Call) -> Result:
        """Run the steps in order. Shapes as in `Call`."""
        candidate = call.noise.candidate

        def step(t: int, x_BI: Tensor, state: State) -> tuple[Tensor, State, dict[str, Tensor]]:
            now = None if candidate is None else candidate[t if len(candidate) > 1 else 0]
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
            is_output_state=True,
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
    is_output_state: bool = False,
) -> Result:
    """Return outputs, final state and record of a step repeated over time.

    Args:
        step: One step.
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
        is_output_state: Whether the output is the first part of the state, after zoneout.
    """
    order = range(len(x_TBI))
    alive_TB = None
    if lengths is not None:
        alive_TB = mask_of(lengths, len(x_TBI))
        # What lies past the end may be anything, and 0 * NaN is NaN in the backward pass: drop it before the step.
        x_TBI = torch.where(_beside(alive_TB, x_TBI), x_TBI, 0)
    outputs: list[Tensor] = []
    record: dict[str, list[Tensor]] = {}
    inputs = x_TBI.unbind(0)
    for t in reversed(order) if reverse else order:
        before = state
        if reset is not None:
            assert anew is not None
            state = _where(reset[t], anew, state)
        if gradient_clip is not None:
            state = tuple([clip_gradient(part, gradient_clip) for part in state])
        output, new, more = step(t, inputs[t], state)
        if zoneout:
            new = tuple([_kept(old, part, keep, t) for old, part, keep in zip(state, new, zoneout, strict=True)])
            output = new[0] if is_output_state else output
        if alive_TB is not None:
            output = torch.where(_beside(alive_TB[t], output), output, 0)
            new = _where(alive_TB[t], new, before)
        state = new
        outputs.append(output)
        if records:
            for name, value in (dict(zip(names, new, strict=True)) | more).items():
                is_over = alive_TB is not None
                record.setdefault(name, []).append(
                    torch.where(_beside(alive_TB[t], value), value, 0) if is_over else value  # type: ignore[index]
                )
    for each in (outputs, *record.values()) if reverse else ():
        each.reverse()
    return Result(torch.stack(outputs), state, {name: torch.stack(values) for name, values in record.items()})


def mask_of(lengths: Tensor, num_steps: int) -> Tensor:
    """Return which steps lie before each row's end, (T, B) bool."""
    return torch.arange(num_steps, device=lengths.device)[:, None] < lengths


def clip_gradient(value: Tensor, bound: float) -> Tensor:
    """Return `value`, whose gradient is held within -bound and bound, element by element."""
    clipped: Tensor = _ClipGradient.apply(value, bound)  # type: ignore[no-untyped-call]
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

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return tangent.view_as(tangent)


def _kept(old: Tensor, new: Tensor, keep: Tensor | None, t: int) -> Tensor:
    """Return what zoneout makes of a part of the state."""
    if keep is None:
        return new
    now = keep[t if len(keep) > 1 else 0]
    return now * old + (1 - now) * new


def _beside(mask: Tensor, value: Tensor) -> Tensor:
    """Return `mask` with as many dimensions as `value`, those that are missing behind."""
    return mask.reshape(mask.shape + (1,) * (value.dim() - mask.dim()))


def _where(condition_B: Tensor, yes: State, no: State) -> State:
    return tuple([torch.where(_beside(condition_B, b), a, b) for a, b in zip(yes, no, strict=True)])
