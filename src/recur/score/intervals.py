"""Coverage, width and score of prediction intervals."""

from __future__ import annotations

from torch import Tensor

from recur.score.counting import Axes, counted, fraction, same_shape, weighted_mean, weights


def coverage(target: Tensor, lower: Tensor, upper: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the share of targets that lie within their interval, ends included.

    Args:
        target: What came, any shape such as (N, horizon), floating. NaN is missing and does not count.
        lower: Lower ends, the same shape.
        upper: Upper ends, the same shape.
        weight: How much each target counts, broadcast to `target`, floating or bool; None counts each as 1.
        keep: Dimensions that are not averaged: -1 gives the coverage at each step of the horizon.

    Returns:
        The shape of the kept dimensions, () without; NaN where nothing counts.

    Raises:
        TypeError: An argument is no floating tensor.
        ValueError: Shapes do not agree, a weight is negative or not finite, or `keep` names no dimension.

    Example:
        >>> import torch
        >>> coverage(torch.tensor([1.0, 5.0]), torch.zeros(2), torch.full((2,), 2.0))
        tensor(0.5000)
    """
    weight, target, lower, upper = _checked("coverage", target, lower, upper, weight)
    return weighted_mean("coverage", ((lower <= target) & (target <= upper)).to(target.dtype), weight, keep)


def width(target: Tensor, lower: Tensor, upper: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the mean width of the intervals of targets that count, in the target's unit.

    Arguments, result and errors are those of `coverage`.

    Example:
        >>> import torch
        >>> width(torch.tensor([1.0, torch.nan]), torch.zeros(2), torch.tensor([2.0, 9.0]))
        tensor(2.)
    """
    weight, _, lower, upper = _checked("width", target, lower, upper, weight)
    return weighted_mean("width", upper - lower, weight, keep)


def interval_score(
    target: Tensor,
    lower: Tensor,
    upper: Tensor,
    confidence: float,
    *,
    weight: Tensor | None = None,
    keep: Axes = (),
) -> Tensor:
    """Return the mean interval score (Winkler score): the width, and a fine for each target that lies outside.

    Source: Winkler (1972); Gneiting & Raftery (2007), equation 43: the fine is 2 / (1 - confidence) times the distance
    to the interval. The interval between the true quantiles has the smallest.

    Args:
        target: As for `coverage`.
        lower: As for `coverage`.
        upper: As for `coverage`.
        confidence: The share of targets that the intervals are meant to hold, between 0 and 1.
        weight: As for `coverage`.
        keep: As for `coverage`.

    Returns:
        As `coverage`, in the target's unit.

    Raises:
        TypeError: An argument is no floating tensor, or `confidence` no number.
        ValueError: As for `coverage`; or `confidence` is not between 0 and 1.

    Example:
        >>> import torch
        >>> interval_score(torch.tensor([1.0, 5.0]), torch.zeros(2), torch.full((2,), 2.0), 0.5)
        tensor(8.)
    """
    confidence = fraction("interval_score", "confidence", confidence)
    weight, target, lower, upper = _checked("interval_score", target, lower, upper, weight)
    outside = (lower - target).clamp(min=0) + (target - upper).clamp(min=0)
    return weighted_mean("interval_score", upper - lower + outside * (2 / (1 - confidence)), weight, keep)


def _checked(owner: str, target: Tensor, lower: Tensor, upper: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Return weight, target and ends, the latter 0 where the target does not count."""
    weight = weights(owner, target, weight)
    same_shape(owner, "lower", lower, target)
    same_shape(owner, "upper", upper, target)
    return [weight, *counted(weight, target, lower, upper)]
