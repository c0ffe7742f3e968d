"""The loss of a window from the losses of its steps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recur.nn.sequences import Lengths, lengths_of
from recur.ops._scan import mask_of

_OWNER = "TruncatedBPTT"


def loss_of(
    losses: Tensor,
    weight: Tensor | None,
    lengths: Lengths | None,
    *,
    reduction: Literal["sum", "mean"],
    time: int,
) -> Tensor:
    """Return what `TruncatedBPTT.loss` does.

    Args:
        losses: One for each step of each row, (T, B), or (B, T).
        weight: As `losses`, or None.
        lengths: True steps of each row, (B,), or None.
        reduction: The sum over the steps of the mean over the rows, or the mean over all elements that count.
        time: Dimension of the steps.

    Raises:
        TypeError: losses, weight or lengths is of the wrong kind.
        ValueError: A shape or a length does not fit.
    """
    for name, value in (("losses", losses), ("weight", weight)):
        if not isinstance(value, Tensor) and not (name == "weight" and value is None):
            raise TypeError(f"{_OWNER}: {name} must be a torch.Tensor, but is {type(value).__name__}.")
    if losses.dim() != 2:
        letters = "B, T" if time else "T, B"
        raise ValueError(
            f"{_OWNER}: losses must have shape ({letters}), one for each step of each row, but has shape "
            f"{tuple(losses.shape)}. Reduce over features, not over steps or rows."
        )
    if weight is not None and weight.shape != losses.shape:
        raise ValueError(
            f"{_OWNER}: weight must have the shape of losses, {tuple(losses.shape)}, but has {tuple(weight.shape)}."
        )
    steps, rows = losses.shape[time], losses.shape[1 - time]
    if lengths is not None:
        is_within = mask_of(lengths_of(_OWNER, lengths, steps, rows).to(losses.device), steps)
        counts = (is_within.t() if time else is_within).to(losses.dtype)
        weight = counts if weight is None else weight * counts
    if weight is not None:
        # What does not count may hold anything, also what is not finite.
        losses = (losses * weight).masked_fill(weight == 0, 0.0)
    total = losses.sum()
    if reduction == "sum":
        return total / rows
    if weight is None:
        return total / losses.numel()
    count = weight.sum()
    return total / torch.where(count > 0, count, 1.0)
