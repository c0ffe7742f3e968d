"""A model that reads sequences, as the probes see it: run piece by piece, held still, its layers and what they read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from recur.nn import RecurrentLayer, nest
from recur.nn.accelerate import accelerate
from recur.nn.contract import batch_first_of, check_one_direction, in_evaluation, output_and_state, state_tensors
from recur.ops._scan import mask_of


class SequenceModel:
    """A model `(x, state, ...) -> (output, state)`, run over pieces of a sequence.

    Args:
        owner: Who complains.
        model: The model.
        batch_first: Whether x and output are (B, T, ...) instead of (T, B, ...); None for what the model itself says
            in an attribute of that name; where it does not, for what all recurrent layers inside say; and else True.
        along: What else it is given, by name, with the rows and steps of x: `reset`, `times`, ...; None for nothing.

    Raises:
        TypeError: The model cannot be called.
        ValueError: A layer inside reads in both directions, or `batch_first` is not the model's own.
    """

    def __init__(
        self,
        owner: str,
        model: Callable[..., Any],
        *,
        batch_first: bool | None = None,
        along: Mapping[str, Tensor | None] | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"{owner}: model must be a module or a function, but is {type(model).__name__}.")
        check_one_direction(owner, model, "recur.gradients.attribute tells what any output rests on.")
        self.owner = owner
        self.model = model
        self.batch_first = batch_first_of(owner, model, batch_first)
        self.axis = 1 if self.batch_first else 0
        self.along = {name: value for name, value in (along or {}).items() if value is not None}

    def beside(self, along: Mapping[str, Tensor]) -> SequenceModel:
        """Return the same model, given something else along with x."""
        other = copy.copy(self)
        other.along = dict(along)
        return other

    def piece(self, value: Tensor, begin: int, end: int) -> Tensor:
        """Return the steps from `begin` to `end` of a tensor that has the rows and steps of x."""
        return value.narrow(self.axis, begin, end - begin)

    def run(self, x: Tensor, begin: int, end: int, state: Any) -> tuple[Any, Any]:
        """Return output and state of the steps from `begin` to `end`.

        Raises:
            TypeError: The model returns no output and state, or one that has no gradient.
        """
        along = {name: self.piece(value, begin, end) for name, value in self.along.items()}
        output, state = self.called(self.piece(x, begin, end), state, **along)
        state_tensors(self.owner, state)
        for name, leaf in nest.leaves(state):
            if not leaf.is_floating_point():
                raise TypeError(f"{self.owner}: the state {name} is {leaf.dtype}, and has no gradient.")
        return output, state

    def called(self, x: Tensor, state: Any, **along: Tensor) -> tuple[Any, Any]:
        """Return output and state, whatever that is made of.

        Raises:
            TypeError: The model returns no output and state.
        """
        return output_and_state(self.owner, self.model, self.model(x, state, **along))


def is_differentiable(state: Any) -> bool:
    """Return whether each part of a state is a tensor that can have a gradient."""
    return all(isinstance(leaf, Tensor) and leaf.is_floating_point() for _, leaf in nest.leaves(state))


@contextmanager
def held_still(model: Any, *, keeps_gradients: bool = False) -> Iterator[None]:
    """Keep a module in evaluation mode, without gradients for its parameters, torch's layers on this library's ops.

    A probe then draws no random number, computes no gradient of a weight, and sees what is inside torch's layers.
    Afterwards all is as it was.

    Args:
        model: What to hold; anything but a module is left alone.
        keeps_gradients: Whether parameters have gradients as before.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    trained = [] if keeps_gradients else [each for each in model.parameters() if each.requires_grad]
    accelerated = None
    with in_evaluation(model):
        try:
            accelerated = accelerate(model)
            for parameter in trained:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)
            if accelerated is not None:
                accelerated.undo()


class Reading(NamedTuple):
    """What one recurrent layer of a model read.

    Attributes:
        name: Of the layer in the model; empty when it is the model itself.
        layer: The layer.
        x: Its input, (B, T, ...) with its own `batch_first`, else (T, B, ...).
        state: The state that it began with, or None.
        lengths: True steps of each row, (B,), or None.
        along: What else it was given that has the rows and steps of x.
    """

    name: str
    layer: RecurrentLayer
    x: Tensor
    state: Any
    lengths: Any
    along: dict[str, Tensor]

    @property
    def alive(self) -> Tensor | None:
        """Which steps are true ones, (B, T) with the layer's `batch_first`, else (T, B), bool; None without lengths."""
        if self.lengths is None:
            return None
        is_batch_first = self.layer.batch_first
        alive = mask_of(torch.as_tensor(self.lengths).cpu(), self.x.shape[1 if is_batch_first else 0])
        return (alive.t() if is_batch_first else alive).to(self.x.device)

    @property
    def is_finite(self) -> bool:
        """Whether what was read at true steps is finite."""
        x = self.x if self.alive is None else self.x[self.alive]
        return bool(x.isfinite().all())


@contextmanager
def readings_of(model: Any) -> Iterator[list[Reading]]:
    """Note what each recurrent layer inside a module reads while it runs; one that runs twice is noted once."""
    found: list[Reading] = []
    names = {module: name for name, module in model.named_modules()} if isinstance(model, nn.Module) else {}
    layers = [module for module in names if isinstance(module, RecurrentLayer)]

    def note(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if any(reading.layer is module for reading in found):
            return
        given = dict(keywords)
        x = args[0] if args else given.pop("x", given.pop("input", None))
        state = args[1] if len(args) > 1 else given.pop("hx", None)
        lengths = given.pop("lengths", None)
        assert isinstance(module, RecurrentLayer)
        if isinstance(x, PackedSequence):
            x, lengths = pad_packed_sequence(x, batch_first=module.batch_first)
        if not isinstance(x, Tensor):
            return
        along = {
            name: value.detach()
            for name, value in given.items()
            if isinstance(value, Tensor) and value.shape[:2] == x.shape[:2]
        }
        start = None if state is None else nest.mapped(torch.Tensor.detach, state)
        found.append(Reading(names[module], module, x.detach(), start, lengths, along))

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
