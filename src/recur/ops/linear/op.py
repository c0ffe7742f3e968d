"""The linear layer as a function: which back end runs it."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.ops._checks import is_autocast
from recur.ops._dispatch import Explanation
from recur.ops.linear import cpu, reference

BACKENDS = ("cpu", "torch")
"""Fastest first, where the first runs."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, backend: str = "auto", owner: str = "Linear") -> Tensor:
    """Return W x + b for each row, as `torch.nn.functional.linear` does.

    Differentiable in each argument, as often as wanted.

    Args:
        x: (..., I).
        weight: (O, I); of x's dtype and device, unless autocast makes them alike.
        bias: (O,), or None.
        backend: "auto" for the one that is faster, "cpu" or "torch"; checked before.
        owner: What messages call the caller.

    Returns:
        (..., O).

    Raises:
        TypeError: x is no tensor, or has another dtype.
        ValueError: x has no dimension or not I features, or lies on another device.
        BackendError: The back end asked for cannot run this call.
    """
    # While torch.jit traces, sizes are tensors, and looking at them is a warning.
    if backend != "cpu" and (torch.compiler.is_compiling() or torch._C._is_tracing()):
        return reference.linear(x, weight, bias)
    _check(owner, x, weight)
    if backend == "torch":
        return reference.linear(x, weight, bias)
    reason = cpu.refusal(x, weight, bias, backend == "cpu")
    if reason is None:
        return cpu.run(x, weight, bias)
    if backend == "cpu":
        raise BackendError(f"{owner}: 'cpu' refused: {reason}. Choose another back end, or pass backend='auto'.")
    return reference.linear(x, weight, bias)


def explain(x: Tensor, weight: Tensor, bias: Tensor | None, *, backend: str, owner: str) -> Explanation:
    """Return which back end `linear` would use for the same arguments, and why the other does not run."""
    _check(owner, x, weight)
    reason = cpu.refusal(x, weight, bias, backend == "cpu")
    situation = [x.device.type, str(x.dtype).removeprefix("torch.")]
    if backend == "auto":
        chosen = "cpu" if reason is None else "torch"
        others = [("torch", "not needed: 'cpu' comes first")] if reason is None else [("cpu", reason)]
        return Explanation(owner, ", ".join(situation), chosen, tuple(others))
    situation.append(f"backend={backend!r}")
    others = [(name, f"not asked for: backend={backend!r}") for name in BACKENDS if name != backend]
    if backend == "cpu" and reason is not None:
        return Explanation(owner, ", ".join(situation), None, (("cpu", reason), *others))
    return Explanation(owner, ", ".join(situation), backend, tuple(others))


def _check(owner: str, x: Tensor, weight: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: x must be a torch.Tensor, but is {type(x).__name__}.")
    shape, inputs = x.shape, weight.shape[1]
    if not shape:
        raise ValueError(f"{owner}: x must have at least 1 dimension, but has none. Give it {inputs} features.")
    if shape[-1] != inputs:
        raise ValueError(
            f"{owner}: x has {shape[-1]} features but in_features is {inputs}. "
            f"Pass in_features={shape[-1]}, or give x of shape (..., {inputs})."
        )
    if x.dtype != weight.dtype and not is_autocast(x.device.type):
        raise TypeError(
            f"{owner}: x is {x.dtype}, but weight is {weight.dtype}. Convert it with x.to({weight.dtype}), "
            f"or the layer with layer.to({x.dtype})."
        )
    if x.device != weight.device:
        raise ValueError(
            f"{owner}: x is on {x.device}, but weight is on {weight.device}. Move it with x.to({str(weight.device)!r})."
        )
