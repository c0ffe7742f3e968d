"""Scores of forecasts that are quantiles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from recur.kinds import is_number
from recur.score.counting import Axes, floating, kept_axes, weighted_mean, weights


def pinball(
    target: Tensor,
    quantiles: Tensor,
    levels: Sequence[float],
    *,
    weight: Tensor | None = None,
    keep: Axes = (),
) -> Tensor:
    """Return the mean pinball loss of quantile forecasts, at each level.

    Source: Koenker & Bassett (1978): max(q (y - f), (q - 1) (y - f)), which the true q-quantile makes smallest.

    Args:
        target: What came, (...), floating. NaN is missing and does not count.
        quantiles: What was said, (..., Q), in the order of `levels`.
        levels: Q probabilities between 0 and 1, growing.
        weight: How much each target counts, broadcast to `target`, floating or bool; None counts each as 1.
        keep: Dimensions of `target` that are not averaged.

    Returns:
        The kept dimensions and (Q,), in the target's unit; NaN where nothing counts.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: Shapes do not agree, or levels or weights are out of range.

    Example:
        >>> pinball(torch.tensor([10.0, 0.0]), torch.tensor([[0.0, 8.0], [0.0, 8.0]]), [0.1, 0.9])
        tensor([0.5000, 1.3000])
    """
    levels = growing_levels("pinball", levels)
    weight = weights("pinball", target, weight)
    if floating("pinball", "quantiles", quantiles).shape != (*target.shape, len(levels)):
        raise ValueError(
            f"pinball: quantiles has shape {tuple(quantiles.shape)}, but a target of {tuple(target.shape)} and "
            f"{len(levels)} levels need {(*target.shape, len(levels))}."
        )
    weight = weight.unsqueeze(-1)
    counts = weight > 0
    error = torch.where(counts, target.unsqueeze(-1), 0) - torch.where(counts, quantiles, 0)
    level = torch.tensor(levels, dtype=error.dtype, device=error.device)
    loss = torch.maximum(level * error, (level - 1) * error)
    axes = kept_axes("pinball", keep, target.dim())
    return weighted_mean("pinball", loss, weight.expand_as(loss), (*axes, target.dim()))


def quantile_crps(
    target: Tensor,
    quantiles: Tensor,
    levels: Sequence[float],
    *,
    weight: Tensor | None = None,
    keep: Axes = (),
) -> Tensor:
    """Return the continuous ranked probability score, as far as some quantiles tell it.

    The score is twice the integral of the pinball loss over all levels (Gneiting & Ranjan 2011). Here each
    level stands for all that are closer to it than to another. So the median alone gives the absolute error, and the
    levels (k - 1/2) / K of a sample's K values give `sample_crps` of it.

    Arguments and errors are those of `pinball`.

    Returns:
        The kept dimensions, in the target's unit; NaN where nothing counts.

    Example:
        >>> quantile_crps(torch.tensor([10.0]), torch.tensor([[8.0]]), [0.5])
        tensor(2.)
    """
    levels = growing_levels("quantile_crps", levels)
    edges = [0.0, *((low + high) / 2 for low, high in itertools.pairwise(levels)), 1.0]
    losses = pinball(target, quantiles, levels, weight=weight, keep=keep)
    shares = [high - low for low, high in itertools.pairwise(edges)]
    return 2 * (losses * torch.tensor(shares, dtype=losses.dtype, device=losses.device)).sum(-1)


def growing_levels(owner: str, levels: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities as a tuple, checked.

    Raises:
        TypeError: One is no number.
        ValueError: There are none, one is not between 0 and 1, or they do not grow.
    """
    given = tuple(levels)
    for level in given:
        if not is_number(level):
            raise TypeError(f"{owner}: each level must be a number, but one is {level!r}.")
    if not given or not all(0 < level < 1 for level in given) or sorted(set(given)) != list(given):
        raise ValueError(f"{owner}: levels must be at least one number between 0 and 1, growing, but are {given}.")
    return given
