"""What ops and layers check before a back end sees a tensor. `owner` is who complains: "lstm", "LSTM"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, UnionType

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur.ops._call import SILENCE, Call, Noise, Options
from recur.ops._cell import Cell

_KINDS: Mapping[str, tuple[type | UnionType, str]] = MappingProxyType(
    {
        "state": (list | tuple, "a list or tuple of tensors, one for each part of the state"),
        "weights": (Mapping, "a mapping from names such as 'weight_ih' to tensors"),
        "options": (Options, "a recur.ops.Options"),
        "noise": (Noise, "a recur.ops.Noise"),
        "lengths": (Tensor | None, "a torch.Tensor (B,), such as torch.tensor(lengths)"),
        "reset_state": (list | tuple | None, "a list or tuple of tensors, one for each part of the state"),
        "reverse": (bool, "a bool"),
        "records": (bool, "a bool"),
    }
)
"""What each argument of an op has to be before anything else is asked of it, and how that is said."""


def check_kinds(owner: str, **given: object) -> None:
    """Raise TypeError unless each of these arguments of an op is of its kind."""
    for name, value in given.items():
        kind, wanted = _KINDS[name]
        if not isinstance(value, kind):
            raise TypeError(f"{owner}: {name} must be {wanted}, but is {type(value).__name__}.")


def is_backward_wanted() -> bool:
    """Return whether torch's functions are to keep what a backward pass needs.

    While a call is traced the answer is always the same, because the tracer calls twice, once without gradients, and
    compares.
    """
    return torch.is_grad_enabled() or torch._C._is_tracing()


def is_looked_into() -> bool:
    """Return whether torch sees more in tensors than their memory: `torch.func`, or a mode of its dispatcher."""
    return bool(torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack())


def is_plain_call(tensor: Tensor) -> bool:
    """Return whether a function with a backward pass of its own may run on a tensor, and look at its values.

    Not where torch compiles or traces, where `torch.func` or forward mode follows, nor on the device meta.
    """
    return not (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or is_looked_into()
        or forward_ad._current_level >= 0
        or tensor.is_meta
    )


def check_call(call: Call, cell: Cell) -> None:
    """Raise unless every tensor of an op's call fits the others and the cell.

    Raises:
        TypeError: Something is no tensor or has the wrong dtype.
        ValueError: A shape, a device or a value of `lengths` is wrong, or a weight or a state is missing or not known.
    """
    owner, x, weight_ih = call.op, call.x_TBI, call.weights.weight_ih
    weights = call.weights.named()
    names = [f"{name}0" for name in cell.states]
    _check_count(owner, "state", names, call.state)
    tensors = {"x": x, **weights, **dict(zip(names, call.state, strict=True))}
    names_at_reset = [f"reset_state {name}" for name in names] if call.reset_state is not None else []
    if call.reset_state is not None:
        _check_count(owner, "reset_state", names, call.reset_state)
        tensors |= dict(zip(names_at_reset, call.reset_state, strict=True))
    for name in ("weight_ih", "weight_hh"):
        if name not in tensors:
            raise ValueError(f"{owner}: {name} is missing; give it.")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{owner}: {name} must be a torch.Tensor, but is {type(tensor).__name__}.")
    for name, rank in (("x", 3), ("weight_ih", 2), ("weight_hh", 1 if cell.is_independent else 2)):
        if tensors[name].dim() != rank:
            raise ValueError(f"{owner}: {name} must have {rank} dimensions, but has shape {shape_of(tensors[name])}.")
    if ("bias_ih" in weights) != ("bias_hh" in weights):
        raise ValueError(f"{owner}: give bias_ih and bias_hh together, or neither.")
    num_gates = len(cell.gates)
    if len(weight_ih) % num_gates:
        raise ValueError(f"{owner}: weight_ih has {len(weight_ih)} rows, which is no multiple of {num_gates} gates.")
    hidden_size, batch = len(weight_ih) // num_gates, x.shape[1]
    proj_size = call.weights.weight_hh.shape[1] if "weight_hr" in weights else 0
    shapes = cell.shapes(x.shape[2], hidden_size, proj_size, "bias_ih" in weights)
    sizes = cell.state_sizes(hidden_size, proj_size)
    expected = shapes | {name: (batch, size) for name, size in zip(names, sizes, strict=True)}
    expected |= {name: expected[name.removeprefix("reset_state ")] for name in names_at_reset}
    for name in shapes.keys() ^ weights.keys():
        what = "is missing; give it" if name in shapes else "is not a weight of this form of the cell; leave it out"
        raise ValueError(f"{owner}: {name} {what}. Its weights are {', '.join(shapes)}.")
    for name, tensor in tensors.items():
        if name != "x" and tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{owner}: {name} must have shape {expected[name]} beside x of shape {shape_of(x)}, "
                f"but has {shape_of(tensor)}."
            )
        check_like(owner, name, tensor, weight_ih, "weight_ih")
    check_steps(owner, x)
    if call.noise is not SILENCE:
        _check_noise(call, cell, hidden_size, proj_size)
    if call.lengths is not None:
        check_lengths(owner, call.lengths, len(x), batch)
        if call.lengths.dtype != torch.int64 or call.lengths.device != x.device:
            raise TypeError(
                f"{owner}: lengths must be torch.int64 on {x.device}, but is {call.lengths.dtype} on "
                f"{call.lengths.device}. Convert it with lengths.to({str(x.device)!r}, torch.int64)."
            )
    if call.reset_state is not None and call.reset is None:
        raise ValueError(f"{owner}: reset_state says what a reset goes back to, but there is no reset. Give both.")
    if call.reset is not None:
        check_reset(owner, call.reset, (len(x), batch), "(T, B)")
        if call.reset.device != x.device:
            raise ValueError(f"{owner}: reset is on {call.reset.device}, but x is on {x.device}. Move it there.")


def _check_noise(call: Call, cell: Cell, hidden_size: int, proj_size: int) -> None:
    owner, x, noise = call.op, call.x_TBI, call.noise
    num_steps, batch = x.shape[:2]
    sizes = cell.state_sizes(hidden_size, proj_size)
    if noise.candidate is not None and len(cell.gates) == 1:
        raise ValueError(
            f"{owner}: noise.candidate is for cells with a candidate, which this one has not. Leave it out."
        )
    if noise.zoneout and len(noise.zoneout) != len(sizes):
        raise ValueError(f"{owner}: noise.zoneout must have {len(sizes)} parts, but has {len(noise.zoneout)}.")
    masks: list[tuple[str, Tensor | None, tuple[tuple[int, ...], ...]]] = []
    masks.append(("noise.state", noise.state, ((batch, sizes[0]),)))
    full = (num_steps, batch, hidden_size)
    masks.append(("noise.candidate", noise.candidate, (full, (1, *full[1:]))))
    for number, mask in enumerate(noise.zoneout):
        full = (num_steps, batch, sizes[number])
        masks.append((f"noise.zoneout[{number}]", mask, (full, (1, 1, 1))))
    for name, mask, shapes in masks:
        if mask is None:
            continue
        if tuple(mask.shape) not in shapes:
            known = " or ".join(map(str, shapes))
            raise ValueError(f"{owner}: {name} must have shape {known}, but has {shape_of(mask)}.")
        check_like(owner, name, mask, call.weights.weight_ih, "weight_ih")


def _check_count(owner: str, what: str, names: list[str], given: Sequence[object]) -> None:
    if len(given) != len(names):
        raise ValueError(f"{owner}: {what} must have {len(names)} parts, ({', '.join(names)}), but has {len(given)}.")


def check_like(owner: str, name: str, tensor: Tensor, weight: Tensor, weight_name: str) -> None:
    """Raise unless `tensor` is floating, on the weights' device, and of their dtype or made so by autocast."""
    if tensor.device != weight.device:
        raise ValueError(
            f"{owner}: {name} is on {tensor.device}, but {weight_name} is on {weight.device}. "
            f"Move it with {name}.to({str(weight.device)!r})."
        )
    if tensor.dtype != weight.dtype and not (
        tensor.is_floating_point()
        # Autocast leaves float64 as it is.
        and torch.float64 not in (tensor.dtype, weight.dtype)
        and is_autocast(tensor.device.type)
    ):
        raise TypeError(
            f"{owner}: {name} is {tensor.dtype}, but {weight_name} is {weight.dtype}. "
            f"Convert it with {name}.to({weight.dtype})."
        )
    if not tensor.is_floating_point():
        raise TypeError(f"{owner}: {name} must be floating, but is {tensor.dtype}.")


def check_steps(owner: str, x_TBI: Tensor) -> None:
    """Raise ValueError when there is no step or no row."""
    if x_TBI.shape[0] == 0 or x_TBI.shape[1] == 0:
        raise ValueError(f"{owner}: x has no {'steps' if x_TBI.shape[0] == 0 else 'rows'}; give at least one.")


def check_lengths(owner: str, lengths: Tensor, num_steps: int, batch: int, of: str = "x") -> None:
    """Raise unless `lengths` is whole numbers from 0 to `num_steps`, the steps of what is named, one for each row."""
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        hint = "Of a mask of the true steps give mask.sum(0), or where the batch comes first mask.sum(1)."
        if lengths.dtype != torch.bool:
            hint = "Convert it with lengths.to(torch.int64)."
        raise TypeError(f"{owner}: lengths must be whole numbers, but is {lengths.dtype}. {hint}")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(f"{owner}: lengths must have shape ({batch},), one for each row, but has {shape_of(lengths)}.")
    if not has_values(lengths):
        return
    # Torch does not find the least of every kind of whole number, such as uint16.
    low, high = (int(v) for v in torch.aminmax(lengths.to(torch.int64)))
    if low < 0:
        raise ValueError(f"{owner}: lengths has {low}; a length is at least 0.")
    if high > num_steps:
        raise ValueError(f"{owner}: lengths has {high}, but {of} has {num_steps} steps.")


def has_values(tensor: Tensor) -> bool:
    """Return whether the values are there to look at.

    They are not while compiling, on the device meta, mapped by vmap, in a fake tensor, or while `make_fx` traces.
    """
    if torch.compiler.is_compiling():
        return False
    # Most calls are under no mode at all.
    if torch._C._len_torch_dispatch_stack() and any(torch._C._get_dispatch_mode(mode) is not None for mode in _SHADOWS):
        return False
    # What torch.func.grad follows may be what vmap maps.
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        if torch._C._functorch.is_batchedtensor(tensor):
            return False
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return not tensor.is_meta


_SHADOWS = (torch._C._TorchDispatchModeKey.FAKE, torch._C._TorchDispatchModeKey.PROXY)
"""Modes of torch in which a tensor stands for others that it will be run with."""


def is_autocast(device: str) -> bool:
    """Return whether autocast is on for a type of device; some types, such as meta, do not know it."""
    # A CPU always knows it, and each call of a layer comes here.
    return (device == "cpu" or torch.amp.is_autocast_available(device)) and torch.is_autocast_enabled(device)


def check_reset(owner: str, reset: object, shape: tuple[int, ...], letters: str) -> None:
    """Raise unless `reset` is a bool tensor of the given shape, named by its letters."""
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        what = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise TypeError(f"{owner}: reset must be a torch.bool tensor, but is {what}.")
    if tuple(reset.shape) != shape:
        raise ValueError(f"{owner}: reset must have shape {letters} = {shape}, but has {shape_of(reset)}.")


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape as it is printed in messages."""
    return tuple(tensor.shape)
