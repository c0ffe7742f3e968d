"""Bounds on the gradient before a step (Pascanu, Mikolov & Bengio 2013)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def clip_gradients(
    parameters: Iterable[nn.Parameter], *, max_norm: float | None = None, max_value: float | None = None
) -> Tensor:
    """Clip the gradients in place and return the norm that they had before.

    Args:
        parameters: Those without a gradient are passed over.
        max_norm: Bound on the global L2 norm; larger gradients are scaled to it as one vector.
        max_value: Bound on the absolute value of each element.

    Returns:
        Global L2 norm of the gradients before clipping, () of their dtype; not finite when any of them is not.

    Raises:
        ValueError: Both bounds are given.
    """
    if max_norm is not None and max_value is not None:
        raise ValueError("clip_gradients: give max_norm or max_value, not both")
    chosen = [p for p in parameters if p.grad is not None]
    if max_norm is not None:
        return nn.utils.clip_grad_norm_(chosen, max_norm)
    norm = nn.utils.get_total_norm([p.grad for p in chosen if p.grad is not None])
    if chosen and max_value is not None and bool(torch.isfinite(norm)):
        nn.utils.clip_grad_value_(chosen, max_value)
    return norm
