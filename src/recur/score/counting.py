"""Which targets count, and means over those that do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from recur.kinds import is_number

Axes: TypeAlias = int | Sequence[int]
"""One dimension, or several."""


def floating(owner: str, name: str, value: Tensor) -> Tensor:
    """Return `value` if it is a floating tensor.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        found = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{owner}: {name} must be a floating torch.Tensor, but is {found}.")
    return value


def same_shape(owner: str, name: str, value: Tensor, target: Tensor) -> Tensor:
    """Return `value` if it is a floating tensor with the shape of `target`.

    Raises:
        TypeError: It is no floating tensor.
        ValueError: It has another shape.
    """
    if floating(owner, name, value).shape != target.shape:
        raise ValueError(
            f"{owner}: {name} has shape {tuple(value.shape)}, but must have the target's, {tuple(target.shape)}."
        )
    return value


def weights(owner: str, target: Tensor, weight: Tensor | None) -> Tensor:
    """Return how much each target counts, in the shape and dtype of `target`; 0 where it is missing, which is NaN.

    Args:
        owner: Who asks, for errors.
        target: Any shape, floating.
        weight: Broadcast to `target`; floating from 0 on, or bool. None counts all that is there.

    Raises:
        TypeError: `target` is no floating tensor, or `weight` is no tensor of numbers or bools.
        ValueError: A weight is below 0 or not finite, or the shapes do not agree.
    """
    there = ~floating(owner, "target", target).isnan()
    if weight is None:
        return there.to(target.dtype)
    if not isinstance(weight, Tensor) or weight.is_complex():
        found = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"{owner}: weight must be a torch.Tensor of numbers or bools, but is {found}.")
    weight = weight.to(target.device, target.dtype)
    # NaN passes through both.
    least, most = weight.aminmax() if weight.numel() else (weight.sum(), weight.sum())
    if not bool((least >= 0) & (most < math.inf)):
        raise ValueError(f"{owner}: a weight is negative or not finite, but each must be a number from 0 on.")
    try:
        weight = weight.expand(target.shape)
    except RuntimeError:
        raise ValueError(
            f"{owner}: weight has shape {tuple(weight.shape)}, which does not fit a target of {tuple(target.shape)}."
        ) from None
    return torch.where(there, weight, 0)


def present(owner: str, values: Tensor, mask: Tensor | None) -> Tensor:
    """Return which values are there, bool: those that are not NaN and, where a mask is given, True in it.

    Raises:
        TypeError: `mask` is no bool tensor.
        ValueError: It has another shape.
    """
    there = ~values.isnan()
    if mask is None:
        return there
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{owner}: mask must be a torch.bool tensor, but is {found}.")
    if mask.shape != values.shape:
        raise ValueError(f"{owner}: mask has shape {tuple(mask.shape)}, but the values have {tuple(values.shape)}.")
    return there & mask.to(values.device)


def counted(weight: Tensor, *values: Tensor) -> list[Tensor]:
    """Return `values` with zeros where `weight` is 0, so that what lies there reaches neither sum nor gradient."""
    counts = weight > 0
    return [torch.where(counts, value, 0) for value in values]


def kept_axes(owner: str, keep: Axes, num_axes: int) -> tuple[int, ...]:
    """Return the dimensions that are not averaged, from 0 on and in order.

    Raises:
        ValueError: One does not exist.
    """
    axes = (keep,) if isinstance(keep, int) else tuple(keep)
    for axis in axes:
        if not -num_axes <= axis < num_axes:
            raise ValueError(f"{owner}: keep names dimension {axis}, but the target has {num_axes} dimensions.")
    return tuple(sorted({axis % num_axes for axis in axes}))


def weighted_mean(owner: str, values: Tensor, weight: Tensor, keep: Axes) -> Tensor:
    """Return the mean of `values` over all dimensions but those of `keep`; NaN where nothing counts.

    Args:
        owner: Who asks, for errors.
        values: Any shape, floating, finite wherever `weight` is 0.
        weight: The same shape.
        keep: Dimensions that remain.

    Raises:
        ValueError: `keep` names a dimension that is not there.
    """
    kept = kept_axes(owner, keep, values.dim())
    others = [axis for axis in range(values.dim()) if axis not in kept]
    if not others:
        return torch.where(weight > 0, values, torch.nan)
    return (values * weight).sum(others) / weight.sum(others)


def fraction(owner: str, name: str, value: float) -> float:
    """Return a number between 0 and 1, both not included.

    Raises:
        TypeError: It is no number.
        ValueError: It is out of range.
    """
    if not is_number(value):
        raise TypeError(f"{owner}: {name} must be a number, but is {type(value).__name__}.")
    if not 0 < value < 1:
        raise ValueError(f"{owner}: {name} is {value}, but must lie between 0 and 1.")
    return float(value)
