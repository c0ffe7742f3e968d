"""The keyword-only options of recurrent layers, beyond what torch's have: their types, defaults and checks."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor

from recur.kinds import is_number, is_whole

Initializer: TypeAlias = Callable[[Tensor], Any]
"""Fills a tensor in place, such as `torch.nn.init.orthogonal_`."""


class StackOptions(TypedDict, total=False):
    """What every recurrent layer takes, by keyword only; docs/layers.md has the table with papers and costs."""

    initial_state: Literal["zeros", "learned", "context"]
    """State before the first step when no `hx` is given: zeros; parameters, zero at first; or a linear function of the
    vector `context` (B, C) that is given to `forward`."""
    context_size: int | None
    """C, with initial_state="context"."""
    locked_dropout: bool
    """Whether `dropout` keeps one mask over all steps."""
    zoneout: float | tuple[float, ...]
    """Probability with which a unit of the state keeps its old value in training; one, or one for each of h and c."""
    skip: Literal["residual", "highway", "dense"] | None
    """What each layer from the second on gets beside the layer below: residual adds its input to its output, highway
    mixes both by a gate, dense gives it the outputs of all layers below and the stack's input."""
    merge: Literal["concat", "sum", "mean", "product"] | None
    """What becomes of the two directions; None returns them as a pair."""
    dilation: int | Sequence[int]
    """How many steps back the state of each layer comes from; one number, or one for each layer."""
    gradient_clip: float | None
    """Bound on each element of the gradient that a step passes back to the state before it."""
    state_batch_first: bool
    """Whether states are (B, L*D, H) instead of (L*D, B, H)."""


class LibraryOptions(StackOptions, total=False):
    """What every layer but `Recurrent` takes beside `StackOptions`; a cell of one's own has noise of its own."""

    recurrent_dropout: float
    """Probability with which units (of images, channels) are dropped within the recurrence in training."""
    weight_dropout: float
    """Probability with which elements of the recurrent weights are dropped in training, the same at all steps."""


class GatedOptions(LibraryOptions, total=False):
    """What `RNN`, `GRU`, `LSTM`, `IndRNN`, `MGU` and `LiGRU` take beside `LibraryOptions`."""

    layer_norm: bool
    """Normalise the pre-activations, and an LSTM's cell state on its way out."""
    recurrent_dropout_kind: Literal["state", "candidate"]
    """Where: the state before the recurrent product, one mask for all steps (Gal and Ghahramani), or the candidate, a
    mask for each step (Semeniuta et al.)."""
    output_clip: float | None
    """Bound on each element of the output."""
    init: Literal["torch", "orthogonal", "identity", "chrono"] | Mapping[str, Initializer]
    """How the weights are drawn; a mapping from names such as "weight_hh" to functions that fill a gate's block."""
    chrono_steps: int | None
    """Longest dependency in steps, with init="chrono"."""
    forget_bias: float | None
    """Sum of the two biases of the forget gate (of a GRU's update gate) when drawn; not added at run time."""
    recompute: int | None
    """Keep the state of every so many steps only, and compute what lies between again in the backward pass."""
    backend: str
    """"auto" for the fastest that can, or the name of one; see `explain`."""


class LSTMOptions(GatedOptions, total=False):
    """What `LSTM` takes beside `GatedOptions`."""

    peephole: bool
    """Let the gates see the cell state."""
    coupled: bool
    """One minus the forget gate in place of the input gate; the weights then have three blocks, f, g, o."""
    cell_clip: float | None
    """Bound on each element of the cell state."""


DEFAULTS: dict[str, Any] = {
    "initial_state": "zeros",
    "context_size": None,
    "locked_dropout": False,
    "zoneout": 0.0,
    "skip": None,
    "merge": "concat",
    "dilation": 1,
    "gradient_clip": None,
    "state_batch_first": False,
    "layer_norm": False,
    "recurrent_dropout": 0.0,
    "recurrent_dropout_kind": "state",
    "weight_dropout": 0.0,
    "output_clip": None,
    "init": "torch",
    "chrono_steps": None,
    "forget_bias": None,
    "recompute": None,
    "backend": "auto",
    "peephole": False,
    "coupled": False,
    "cell_clip": None,
}
"""Every option's default; whoever reads an option's value compares with this."""

_CHOICES: dict[str, tuple[object, ...]] = {
    "initial_state": ("zeros", "learned", "context"),
    "skip": (None, "residual", "highway", "dense"),
    "merge": (None, "concat", "sum", "mean", "product"),
    "recurrent_dropout_kind": ("state", "candidate"),
}
_FLAGS = ("locked_dropout", "state_batch_first", "layer_norm", "peephole", "coupled")
_SHARES = ("recurrent_dropout", "weight_dropout")
_COUNTS = {"context_size": 1, "chrono_steps": 2, "recompute": 1}
_BOUNDS = ("gradient_clip", "output_clip", "cell_clip")


def complete(
    owner: str, given: Mapping[str, Any], allowed: type[StackOptions], kind: type | None = None
) -> dict[str, Any]:
    """Return `given` with defaults for what is left out, all checked but for what only the layer can know.

    Args:
        owner: Who complains.
        given: Options by name.
        allowed: Which ones there are.
        kind: The class that was called, whose own arguments may have been meant too.

    Raises:
        TypeError: An option is not known, or is of the wrong kind.
        ValueError: A value makes no sense.
    """
    names = list(allowed.__annotations__)
    for name in given:
        if name not in names:
            own = [] if kind is None else _arguments(kind)
            # By less, any two names of sizes are alike.
            near = difflib.get_close_matches(name, own + names, n=1, cutoff=0.7)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            beside = f", beside {', '.join(own)}" if own else ""
            raise TypeError(f"{owner}: there is no option {name!r}.{hint} Its options are {', '.join(names)}{beside}.")
    options = {name: DEFAULTS[name] for name in names} | dict(given)
    for name, value in options.items():
        check_option(owner, name, value)
    return options


def _arguments(kind: type) -> list[str]:
    """Return the names of the arguments that a class lists."""
    listed = inspect.signature(kind).parameters.values()
    return [each.name for each in listed if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]


def check_option(owner: str, name: str, value: Any) -> None:
    """Raise TypeError or ValueError where an option has no such value, as far as the value alone tells."""
    if name in _CHOICES and value not in _CHOICES[name]:
        known = ", ".join(repr(choice) for choice in _CHOICES[name])
        raise ValueError(f"{owner}: {name} is {value!r}, but must be one of {known}.")
    if name in _FLAGS:
        check_flag(owner, name, value)
    if name in _SHARES:
        check_share(owner, name, value)
    if name in _BOUNDS and value is not None:
        check_number(owner, name, value)
        if not 0 < value < math.inf:
            raise ValueError(f"{owner}: {name} is {value}, but must be above 0 and finite; None is for no bound.")
    if name == "forget_bias" and value is not None:
        check_finite(owner, name, value)
    if name in _COUNTS and value is not None:
        check_size(owner, name, value, _COUNTS[name])


def check_flag(owner: str, name: str, value: object) -> None:
    """Raise TypeError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be a bool, but is {type(value).__name__}.")


def check_number(owner: str, name: str, value: object) -> None:
    """Raise TypeError unless `value` is a number."""
    if not is_number(value):
        raise TypeError(f"{owner}: {name} must be a number, but is {type(value).__name__}.")


def check_finite(owner: str, name: str, value: Any) -> None:
    """Raise unless `value` is a number, and neither infinite nor NaN."""
    check_number(owner, name, value)
    if not math.isfinite(value):
        raise ValueError(f"{owner}: {name} is {value}, but must be finite.")


def check_dtype(owner: str, dtype: torch.dtype | None) -> None:
    """Raise TypeError unless `dtype` is None or floating."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"{owner}: dtype must be floating, such as torch.float32, but is {dtype!r}.")


def check_share(owner: str, name: str, value: Any) -> None:
    """Raise unless `value` is a probability."""
    check_number(owner, name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{owner}: {name} is {value}, but must be from 0 to 1.")


def check_size(owner: str, name: str, value: Any, least: int) -> None:
    """Raise unless `value` is a whole number of at least `least`."""
    if not is_whole(value):
        raise TypeError(f"{owner}: {name} must be an int, but is {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{owner}: {name} is {value}, but must be at least {least}.")


def per_layer(owner: str, name: str, value: Any, num_layers: int, least: int = 1) -> tuple[int, ...]:
    """Return one number for each layer, from one for all or a list of them.

    Raises:
        TypeError: It is neither an int nor a list of them.
        ValueError: A number is below `least`, or there is another count of them.
    """
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"{owner}: {name} is empty. Give one number for all layers, or one for each.")
        if len(value) != num_layers:
            raise ValueError(
                f"{owner}: {name} has {len(value)} sizes, but num_layers is {num_layers}. Give one for each."
            )
        for size in value:
            check_size(owner, name, size, least)
        return tuple(value)
    check_size(owner, name, value, least)
    return (value,) * num_layers
