"""What a model that reads sequences, (x, state) -> (output, state), has to keep to, and where it has its steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from recur.nn import nest
from recur.nn.stack import Stack
from recur.ops._checks import shape_of


def batch_first_of(owner: str, model: Callable[..., Any], batch_first: bool | None) -> bool:
    """Return whether what a model reads is (B, T, ...) instead of (T, B, ...).

    Args:
        owner: Who complains.
        model: The model; recurrent layers say it in an attribute `batch_first`, and a network may.
        batch_first: What the user says. None for what the model says; where it does not, for what all recurrent layers
            inside say, of this library or of torch; and where those differ, or there are none, for True.

    Raises:
        TypeError: `batch_first` is neither a bool nor None.
        ValueError: The model says otherwise.
    """
    if batch_first is not None and not isinstance(batch_first, bool):
        raise TypeError(f"{owner}: batch_first must be a bool or None, but is {type(batch_first).__name__}.")
    own = getattr(model, "batch_first", None)
    if not isinstance(own, bool):
        return _batch_first_inside(model) if batch_first is None else batch_first
    if batch_first not in (None, own):
        raise ValueError(
            f"{owner}: batch_first is {batch_first}, but {type(model).__name__} has batch_first={own}. Leave it out."
        )
    return own


def _batch_first_inside(model: Callable[..., Any]) -> bool:
    module = _module_of(model)
    inside = () if module is None else module.modules()
    said = {each.batch_first for each in inside if isinstance(each, Stack | nn.RNNBase)}
    return said != {False}


def _module_of(model: Callable[..., Any]) -> nn.Module | None:
    """Return a module itself, or the one whose method a model is; None of other callables."""
    module = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return module if isinstance(module, nn.Module) else None


def check_one_direction(owner: str, model: Callable[..., Any], remedy: str = "") -> None:
    """Raise unless every layer in a model reads forward only.

    Args:
        owner: Who complains.
        model: A module, or one's method; of other callables nothing is known.
        remedy: What to do instead, a sentence.

    Raises:
        ValueError: A layer reads in both directions, so that it cannot be run piece by piece.
    """
    module = _module_of(model)
    for path, each in () if module is None else module.named_modules():
        if getattr(each, "bidirectional", False) is True:
            what = f"{path}, {type(each).__name__}," if path else type(each).__name__
            raise ValueError(
                f"{owner}: {what} reads in both directions, and the backward one begins at the end, so "
                f"it cannot be run piece by piece. {remedy or 'Take a layer of one direction.'}"
            )


def takes(model: Callable[..., Any], name: str) -> bool:
    """Return whether a model can be given something by that name."""
    called = model.forward if isinstance(model, nn.Module) else model
    try:
        parameters = inspect.signature(called).parameters
    except ValueError:
        # Of some built-in callables nothing is known; a call will show it.
        return True
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def output_and_state(owner: str, model: Callable[..., Any], found: Any) -> tuple[Any, Any]:
    """Return what a model returned as output and state.

    Args:
        owner: Who complains.
        model: The model.
        found: What it returned.

    Raises:
        TypeError: It is no pair.
    """
    if not isinstance(found, tuple) or len(found) != 2:
        shown = nest.shown(nest.mapped(lambda leaf: type(leaf).__name__, found))
        raise TypeError(
            f"{owner}: {_name(model)} must return (output, state), but returned {shown}. Return the state after the "
            "last step too."
        )
    output, state = found
    return output, state


def check_output(owner: str, model: Callable[..., Any], output: Any, *, axis: int, num_steps: int) -> None:
    """Raise unless an output, a tensor or a nest of them, has the steps that the model was given.

    Args:
        owner: Who complains.
        model: The model.
        output: What it returned beside its state.
        axis: The dimension of the steps.
        num_steps: How many it was given.

    Raises:
        TypeError: Something in it is no tensor.
        ValueError: Something in it has other steps.
    """
    for path, leaf in nest.leaves(output):
        place = f"output.{path}" if path else "output"
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{owner}: {_name(model)} must return tensors, but its {place} is {type(leaf).__name__}.")
        if leaf.dim() <= axis or leaf.shape[axis] != num_steps:
            raise ValueError(
                f"{owner}: {_name(model)} was given {num_steps} steps in dimension {axis}, but its {place} has shape "
                f"{shape_of(leaf)}. Say by batch_first where the steps are, or give the recurrent part alone."
            )


def state_tensors(owner: str, state: Any) -> tuple[Tensor, ...]:
    """Return the tensors that a state is made of.

    Raises:
        TypeError: Something in it is no tensor.
    """
    found = []
    for path, leaf in nest.leaves(state):
        if not isinstance(leaf, Tensor):
            place = f"state.{path}" if path else "state"
            raise TypeError(f"{owner}: a state must be made of tensors, but {place} is {type(leaf).__name__}.")
        found.append(leaf)
    return tuple(found)


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """Keep a module, and all within it, in evaluation mode for a while."""
    training = [each for each in module.modules() if each.training]
    try:
        module.eval()
        yield
    finally:
        for each in training:
            each.training = True


def _name(model: Callable[..., Any]) -> str:
    return type(model).__name__ if isinstance(model, nn.Module) else "the model"
