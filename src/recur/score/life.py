"""The score of predicted remaining useful life."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.score.counting import counted, same_shape, weights


def nasa_score(target: Tensor, forecast: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Return NASA's score of remaining useful life: a sum over units, 0 at best, in which late costs more than early.

    Source: Saxena et al. (2008), of the PHM08 challenge and C-MAPSS: with d the predicted minus the true
    life, exp(-d / 13) - 1 where the prediction is early (d < 0), and exp(d / 10) - 1 where it is late.

    Args:
        target: True lives, any shape, floating, in cycles. NaN is missing and does not count.
        forecast: Predicted lives, the same shape.
        weight: How often each unit counts, broadcast to `target`, floating or bool; None counts each once.

    Returns:
        (): the sum over units.

    Raises:
        TypeError: An argument is no floating tensor.
        ValueError: Shapes do not agree, or a weight is negative or not finite.

    Example:
        >>> nasa_score(torch.tensor([100.0, 100.0]), torch.tensor([110.0, 87.0]))
        tensor(3.4366)
    """
    weight = weights("nasa_score", target, weight)
    target, forecast = counted(weight, target, same_shape("nasa_score", "forecast", forecast, target))
    late = forecast - target
    return (torch.expm1(torch.where(late < 0, -late / 13, late / 10)) * weight).sum()
