"""The cross-entropy of a linear layer's logits as a function: which way it is computed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recur.ops.linear.op import linear
from recur.ops.linear_cross_entropy import chunked, reference


def linear_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Return the sum of the cross-entropies of softmax(W x + b) over all rows, in nats.

    Of many rows and a large vocabulary the logits are made and forgotten some rows at a time, with the gradients on the
    way, so that never all N V of them are held. Differentiable in x, weight and bias, as often as wanted.

    Args:
        x: (N, I) floating point.
        weight: (V, I); of x's dtype and device, as bias.
        bias: (V,), or None.
        target: The right one of V for each row, (N,) int64.
        label_smoothing: Share of the target probability that is spread over all V (Szegedy et al. 2016, section 7).

    Returns:
        ().

    Example:
        >>> x, weight = torch.zeros(3, 4), torch.zeros(8, 4)
        >>> linear_cross_entropy(x, weight, None, torch.tensor([0, 7, 3]))
        tensor(6.2383)
    """
    if chunked.refusal(x, weight) is not None:
        return reference.linear_cross_entropy(x, weight, bias, target, label_smoothing)
    return chunked.linear_cross_entropy(x, weight, bias, target, label_smoothing)


def linear_log_probs(x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor) -> Tensor:
    """Return the logarithm of the probability of the right one in softmax(W x + b), (N,).

    Of many rows the logits are made some rows at a time; where gradients are recorded all are kept for these.

    Args:
        x: As of `linear_cross_entropy`, as all others.
        weight: Likewise.
        bias: Likewise.
        target: Likewise.

    Example:
        >>> linear_log_probs(torch.zeros(2, 4), torch.zeros(8, 4), None, torch.tensor([0, 7]))
        tensor([-2.0794, -2.0794])
    """
    rows = max(1, chunked.CHUNK // len(weight))
    return torch.cat(
        [
            -cross_entropy(linear(some, weight, bias), right, reduction="none")
            for some, right in zip(torch.split(x, rows), torch.split(target, rows), strict=True)
        ]
    )
