"""The reference back end: a loop over the steps in plain torch, the truth that every other one is measured against."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from recur.ops._call import Call, Result, State, Weights

Step: TypeAlias = Callable[[Tensor, State, Weights], State]
"""One step of a cell: input (B, I), state and weights to the next state, whose first part is the output."""


class Reference:
    """A cell's step in a loop: any device, any dtype, differentiable any number of times, under every transform."""

    name = "reference"

    def __init__(self, step: Step) -> None:
        self._step = step

    def accepts(self, call: Call) -> str | None:
        """Accept everything."""
        return None

    def run(self, call: Call) -> Result:
        """Run the steps in order. Shapes as in `Call`."""
        steps = range(len(call.x_TBI))
        x_TBI, reset = call.x_TBI, call.reset
        alive_TB1 = None
        if call.lengths is not None:
            alive_TB1 = mask_of(call.lengths, len(x_TBI))[..., None]
            # What lies past the end may be anything, and 0 * NaN is NaN in the backward pass: drop it before the step.
            x_TBI = torch.where(alive_TB1, x_TBI, 0)
        outputs: list[Tensor] = []
        inputs = x_TBI.unbind(0)
        state = call.state
        for t in reversed(steps) if call.reverse else steps:
            before = state
            if reset is not None:
                state = _where(reset[t, :, None], call.anew, state)
            state = self._step(inputs[t], state, call.weights)
            output = state[0]
            if alive_TB1 is not None:
                output = torch.where(alive_TB1[t], output, 0)
                state = _where(alive_TB1[t], state, before)
            outputs.append(output)
        if call.reverse:
            outputs.reverse()
        return torch.stack(outputs), state


def mask_of(lengths: Tensor, num_steps: int) -> Tensor:
    """Return which steps lie before each row's end, (T, B) bool."""
    return torch.arange(num_steps, device=lengths.device)[:, None] < lengths


def _where(condition: Tensor, yes: State, no: State) -> State:
    return tuple(torch.where(condition, a, b) for a, b in zip(yes, no, strict=True))
