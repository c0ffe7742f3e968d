"""The linear layer and its gradients in plain torch, whose derivatives torch knows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch.nn import functional


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return W x + b for each row."""
    return functional.linear(x, weight, bias)


def gradients(x: Tensor | None, weight: Tensor | None, dy: Tensor, wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, weight and bias that are wanted.

    Args:
        x: (..., I); needed for that of the weight.
        weight: (O, I); needed for that of x.
        dy: (..., O).
        wanted: For each of the three.
    """
    dx = dweight = dbias = None
    rows = prod(dy.shape[:-1])
    dy_NO = dy.reshape(rows, dy.shape[-1])
    if wanted[0]:
        assert weight is not None
        dx = dy @ weight
    if wanted[1]:
        assert x is not None
        dweight = dy_NO.t() @ x.reshape(rows, x.shape[-1])
    if wanted[2]:
        dbias = dy_NO.sum(0)
    return dx, dweight, dbias
