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

_PROTOCOL = "inspect_series: the model must be called as forward(x, state) -> (output, state)"

Loss = Callable[[Any, Any], Tensor]
"""Output and target (B, T, C) to the loss of each step, (B, T)."""


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of each step, the mean over the channels, (B, T)."""
    return (output - target).square().mean(2)


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


def record_series(model: nn.Module, values: NDArray[np.float64], loss: Loss = squared_error) -> SeriesRecording:
    """Return what a network does while it reads `values`, (N, C), the state carried all through.

    Args:
        model: Held still, see `recur.gradients.probes.sequence_model.held_still`.
        values: The series.
        loss: Loss of each step.

    Raises:
        TypeError: The model is not called as forward(x, state) -> (output, state).
        ValueError: The model has no layer that can record, its output or the loss is of another shape, or its states
            or the loss are not finite.
    """
    _check_arguments(model)
    floats = (each for each in itertools.chain(model.parameters(), model.buffers()) if each.is_floating_point())
    like = next(floats, torch.zeros(()))
    x = torch.from_numpy(values).to(like).unsqueeze(0)
    outputs, state = [], None
    with torch.no_grad(), LayerRecorder(model) as recorder:
        for own in torch.split(x, _WINDOW, dim=1):
            output, state = _run(model, own, state)
            outputs.append(output)
        recordings = recorder.recordings()
    for one in recordings:
        for name, part in one.parts.items():
            if not np.isfinite(part).all():
                raise ValueError(f"inspect_series: {name} of {one.name} is not finite; the weights are too large.")
    output = torch.cat(outputs, dim=1)
    losses = loss_of(loss, output[:, :-1], x[:, 1:]) if len(values) > 1 else x.new_zeros(1, 0)
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
            f"inspect_series: {type(model).__name__} has no recurrent layer, of recur.nn or torch.nn, that runs once "
            "over every step, so there are no states to show."
        )
    return SeriesRecording(
        x=x[0], layers=tuple(layers), output=output[0], losses=losses[0].detach().cpu().double().numpy()
    )


def loss_of(loss: Loss, output: Tensor, target: Tensor) -> Tensor:
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


def states_before(model: nn.Module, x: Tensor, steps: Sequence[int]) -> tuple[StateVector, Tensor] | None:
    """Return how the state of a model is laid out, and the vectors of the states before S steps, (S, n).

    Args:
        model: Held still.
        x: The series, (N, C).
        steps: Steps from 1 on.

    Returns:
        None where a part of the state has no gradient, such as a count of steps.
    """
    rows, found, state, begin = x.unsqueeze(0), {}, None, 0
    with torch.no_grad():
        for step in sorted(set(steps)):
            for own in torch.split(rows[:, begin:step], _WINDOW, dim=1):
                _, state = _run(model, own, state)
            found[step], begin = state, step
        if not is_differentiable(state):
            return None
        vector = vector_of(SequenceModel("inspect_series", model, batch_first=True), rows)
        return vector, torch.cat([vector.of(found[step]) for step in steps])


def _run(model: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    found = model(x, state)
    if not (isinstance(found, tuple) and len(found) == 2):
        raise TypeError(f"{_PROTOCOL}, but returned {_kind(found)}; return the state after the last step too.")
    output, state = found
    if state is None:
        raise TypeError(
            f"{_PROTOCOL}, but returned None as the state; return the one after the last step, from which it goes on."
        )
    if not isinstance(output, Tensor) or output.shape != x.shape:
        raise ValueError(
            f"inspect_series: the model must return the values that follow each step, {tuple(x.shape)}, but returned "
            f"{tuple(output.shape) if isinstance(output, Tensor) else _kind(output)}; wrap it in a module that does."
        )
    return output, state


def _kind(value: object) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"


def _check_arguments(model: nn.Module) -> None:
    try:
        inspect.signature(model.forward).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"{_PROTOCOL}, but takes {inspect.signature(model.forward)}; let it take the state, None at first."
        ) from error
