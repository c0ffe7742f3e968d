"""The cross-entropy of a linear layer's logits in plain torch, whose derivatives torch knows."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from recur.ops.linear.op import linear


def linear_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, label_smoothing: float
) -> Tensor:
    """Return the sum of the losses of all rows, (); as of `op.linear_cross_entropy`."""
    return cross_entropy(linear(x, weight, bias), target, reduction="sum", label_smoothing=label_smoothing)
