"""What a network does while it reads a series: its states and gates, and what it says will come next."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recur.gradients.probes.sequence_model import SequenceModel, is_differentiable
from recur.gradients.probes.state_vector import StateVector, vector_of
from recur.models.layer_recording import LayerRecorder, LayerRecording

_WINDOW = 256
"""Steps that are run at once."""

_OWNER = "inspect_series"

Loss = Callable[[Any, Any], Tensor]
"""Output and target (B, T, C) to the loss of each step, (B, T)."""


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of each step, the mean over the channels, (B, T)."""
    return (output - target).square().mean(2)


class SeriesModel:
    """A model that says of a series what comes next, run on (B, T, C) whichever way it has its steps.

    Args:
        module: Called as forward(x, state) -> (output, state).
        batch_first: Whether it reads (B, T, C) instead of (T, B, C); None for what it says itself.

    Raises:
        TypeError: The module does not take x and state.
        ValueError: A layer inside reads in both directions, or `batch_first` is not the module's own.
    """

    def __init__(self, module: nn.Module, batch_first: bool | None = None) -> None:
        self.module = module
        self.sequence = SequenceModel(_OWNER, module, batch_first=batch_first)
        signature = inspect.signature(module.forward)
        try:
            signature.bind(None, None)
        except TypeError as error:
            raise TypeError(
                f"{_OWNER}: the model must be called as forward(x, state) -> (output, state), but takes {signature}; "
                "let it take the state, None at first."
            ) from error

    def laid(self, value: Tensor) -> Tensor:
        """Return (B, T, ...) as the model has its rows and steps; and what the model gives as (B, T, ...)."""
        return value if self.sequence.batch_first else value.transpose(0, 1)

    def run(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return what the model says after each step of x (B, T, C), as x, and its state.

        Raises:
            TypeError: It returns no output and state.
            ValueError: The output is of another shape.
        """
        given = self.laid(x)
        output, state = self.sequence.called(given, state)
        if state is None:
            raise TypeError(
                f"{_OWNER}: {type(self.module).__name__} must return (output, state), but returned None as the state; "
                "return the one after the last step, from which it goes on."
            )
        if not isinstance(output, Tensor) or output.shape != given.shape:
            shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"{_OWNER}: the model must return the values that follow each step, {tuple(given.shape)}, but returned "
                f"{shown}; wrap it in a module that does."
            )
        return self.laid(output), state


@dataclass(frozen=True, kw_only=True)
class SeriesRecording:
    """What a network does while it reads N steps of C channels.

    Attributes:
        x: What it read, (N, C), in its dtype and place.
        layers: Each layer that ran once over every step.
        output: What it said after each step, (N, C).
        losses: Loss of each step but the first, given all before it, (N - 1,) float64.
    """

    x: Tensor
    layers: tuple[LayerRecording, ...]
    output: Tensor
    losses: NDArray[np.float64]


def record_series(model: SeriesModel, values: NDArray[np.float64], loss: Loss = squared_error) -> SeriesRecording:
    """Return what a network does while it reads `values`, (N, C), the state carried all through.

    Args:
        model: Its module held still, see `recur.gradients.probes.sequence_model.held_still`.
        values: The series.
        loss: Loss of each step.

    Raises:
        TypeError: The model returns no output and state.
        ValueError: The model has no layer that can record, its output or the loss is of another shape, or its states
            or the loss are not finite.
    """
    module = model.module
    floats = (each for each in itertools.chain(module.parameters(), module.buffers()) if each.is_floating_point())
    like = next(floats, torch.zeros(()))
    x = torch.from_numpy(values).to(like).unsqueeze(0)
    outputs, state = [], None
    with torch.no_grad(), LayerRecorder(module) as recorder:
        for own in torch.split(x, _WINDOW, dim=1):
            output, state = model.run(own, state)
            outputs.append(output)
        recordings = recorder.recordings()
    for one in recordings:
        for name, part in one.parts.items():
            if not np.isfinite(part).all():
                raise ValueError(f"inspect_series: {name} of {one.name} is not finite; the weights are too large.")
    output = torch.cat(outputs, dim=1)
    losses = step_losses(loss, output[:, :-1], x[:, 1:]) if len(values) > 1 else x.new_zeros(1, 0)
    if not bool(torch.isfinite(losses).all()):
        step = int((~torch.isfinite(losses[0])).nonzero()[0]) + 1
        raise ValueError(
            f"inspect_series: the loss of step {step} is {float(losses[0, step - 1])}; scale the series, or look at "
            "the weights."
        )
    # A layer that ran twice in a step, or not in each, has no place beside the series.
    layers = [one for one in recordings if all(len(part) == len(values) for part in one.parts.values())]
    if not layers:
        raise ValueError(
            f"inspect_series: {type(module).__name__} has no recurrent layer, of recur.nn or torch.nn, that runs once "
            "over every step, so there are no states to show."
        )
    return SeriesRecording(
        x=x[0], layers=tuple(layers), output=output[0], losses=losses[0].detach().cpu().double().numpy()
    )


def step_losses(loss: Loss, output: Tensor, target: Tensor) -> Tensor:
    """Return the loss of each step, (B, T).

    Raises:
        ValueError: It is of another shape.
    """
    found = loss(output, target)
    if not isinstance(found, Tensor) or found.shape != target.shape[:2]:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"inspect_series: loss must return that of each step, (B, T) = {tuple(target.shape[:2])}, but returned "
            f"{shape}. Take the mean over the channels alone."
        )
    return found


def states_before(model: SeriesModel, x: Tensor, steps: Sequence[int]) -> tuple[StateVector, Tensor] | None:
    """Return how the state of a model is laid out, and the vectors of the states before S steps, (S, n).

    Args:
        model: Its module held still.
        x: The series, (N, C).
        steps: Steps from 1 on.

    Returns:
        None where a part of the state has no gradient, such as a count of steps.
    """
    rows, found, state, begin = x.unsqueeze(0), {}, None, 0
    with torch.no_grad():
        for step in sorted(set(steps)):
            for own in torch.split(rows[:, begin:step], _WINDOW, dim=1):
                _, state = model.run(own, state)
            found[step], begin = state, step
        if not is_differentiable(state):
            return None
        vector = vector_of(model.sequence, model.laid(rows))
        return vector, torch.cat([vector.of(found[step]) for step in steps])
