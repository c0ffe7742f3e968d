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
        max_norm: Bound on the global L2 norm, above 0; larger gradients are scaled to it as one vector.
        max_value: Bound on the absolute value of each element, above 0.

    Returns:
        Global L2 norm of the gradients before clipping, () of their dtype; not finite when any of them is not.

    Raises:
        ValueError: Both bounds are given, or one is not above 0.
    """
    if max_norm is not None and max_value is not None:
        raise ValueError("clip_gradients: max_norm and max_value are both given. Give one of them.")
    for name, bound in (("max_norm", max_norm), ("max_value", max_value)):
        # A negative one would turn the gradient around.
        if bound is not None and not bound > 0:
            raise ValueError(f"clip_gradients: {name} is {bound}, but must be above 0. Leave it out to clip nothing.")
    chosen = [p for p in parameters if p.grad is not None]
    if max_norm is not None:
        return nn.utils.clip_grad_norm_(chosen, max_norm)
    norm = nn.utils.get_total_norm([p.grad for p in chosen if p.grad is not None])
    if chosen and max_value is not None and bool(torch.isfinite(norm)):
        nn.utils.clip_grad_value_(chosen, max_value)
    return norm
