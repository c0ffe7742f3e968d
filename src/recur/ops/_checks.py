"""What ops and layers check before a back end sees a tensor. `owner` is who complains: "lstm", "LSTM"."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Call


def check_call(call: Call, num_gates: int, state_names: tuple[str, ...], names_of_more: tuple[str, ...] = ()) -> None:
    """Raise unless every tensor of an op's call fits the others.

    Args:
        call: The call as the user gave it.
        num_gates: Blocks of H rows in weight_ih.
        state_names: Names of the parts of the state. The first is the output and as wide as weight_hh's columns; the
            others are H wide.
        names_of_more: Names of `Weights.more`; an LSTM's projection is called weight_hr.

    Raises:
        TypeError: Something is no tensor or has the wrong dtype.
        ValueError: A shape, a device or a value of `lengths` is wrong.
    """
    owner, x = call.op, call.x_TBI
    weights = call.weights
    weight_ih = weights.weight_ih
    tensors = {"x": x, **weights.named(names_of_more), **dict(zip(state_names, call.state, strict=True))}
    names_at_reset = [f"reset_state {name}" for name in state_names] if call.reset_state is not None else []
    tensors |= dict(zip(names_at_reset, call.reset_state or (), strict=True))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{owner}: {name} must be a torch.Tensor, but is {type(tensor).__name__}.")
    for name in ("x", "weight_ih", "weight_hh"):
        rank = 3 if name == "x" else 2
        if tensors[name].dim() != rank:
            raise ValueError(f"{owner}: {name} must have {rank} dimensions, but has shape {shape_of(tensors[name])}.")
    if (weights.bias_ih is None) != (weights.bias_hh is None):
        raise ValueError(f"{owner}: give bias_ih and bias_hh together, or neither.")
    if len(weight_ih) % num_gates:
        raise ValueError(f"{owner}: weight_ih has {len(weight_ih)} rows, which is no multiple of {num_gates} gates.")
    rows, hidden_size = len(weight_ih), len(weight_ih) // num_gates
    batch, out_size = x.shape[1], weights.weight_hh.shape[1]
    expected: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, x.shape[2]),
        "weight_hh": (rows, out_size if "weight_hr" in tensors else hidden_size),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "weight_hr": (out_size, hidden_size),
        **dict.fromkeys(state_names, (batch, hidden_size)),
        state_names[0]: (batch, out_size),
    }
    expected |= {name: expected[name.removeprefix("reset_state ")] for name in names_at_reset}
    for name, tensor in tensors.items():
        if name != "x" and tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{owner}: {name} must have shape {expected[name]} beside x of shape {shape_of(x)}, "
                f"but has {shape_of(tensor)}."
            )
        check_like(owner, name, tensor, weight_ih, "weight_ih")
    check_steps(owner, x)
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
    for axis, what in ((0, "steps"), (1, "rows")):
        if x_TBI.shape[axis] == 0:
            raise ValueError(f"{owner}: x has no {what}; give at least one.")


def check_lengths(owner: str, lengths: Tensor, num_steps: int, batch: int) -> None:
    """Raise unless `lengths` is whole numbers from 0 to `num_steps`, one for each row."""
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise TypeError(f"{owner}: lengths must be whole numbers, but is {lengths.dtype}.")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(f"{owner}: lengths must have shape ({batch},), one for each row, but has {shape_of(lengths)}.")
    if not has_values(lengths):
        return
    low, high = (int(v) for v in torch.aminmax(lengths))
    if low < 0:
        raise ValueError(f"{owner}: lengths has {low}; a length is at least 0.")
    if high > num_steps:
        raise ValueError(f"{owner}: lengths has {high}, but x has {num_steps} steps.")


def has_values(tensor: Tensor) -> bool:
    """Return whether the values are there to look at: not while compiling, and not on the device meta."""
    return not (tensor.is_meta or torch.compiler.is_compiling())


def is_autocast(device: str) -> bool:
    """Return whether autocast is on for a type of device; some types, such as meta, do not know it."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


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
