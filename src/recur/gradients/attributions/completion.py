"""Integrated gradients at as many points as it takes for the shares to add up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.gradients.attributions.attribution import Score, attribute, expanded_baseline, scores_of

POINTS = (32, 128, 512)
"""At how many points the gradient is taken: more where the shares do not add up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CompleteShares:
    """What each step of B rows adds to their scores, against a neutral input.

    Attributes:
        shares: (B, T), or of each feature (B, T, F).
        answer: Scores of the inputs, (B,).
        neutral: Scores of the neutral inputs, (B,).
    """

    shares: Tensor
    answer: Tensor
    neutral: Tensor

    @property
    def gap(self) -> Tensor:
        """By how much of all shares in size their sum misses `answer - neutral`, (B,) float64; 0 where all are 0."""
        flat = self.shares.flatten(1).double()
        size = flat.abs().sum(1)
        missed = (flat.sum(1) - (self.answer.double() - self.neutral.double())).abs()
        return missed / torch.where(size > 0, size, 1)


def complete_shares(
    score: Score,
    inputs: Tensor,
    baseline: Tensor | None = None,
    *,
    most_gap: float,
    batch_size: int = 256,
    per_feature: bool = False,
) -> CompleteShares:
    """Return shares by integrated gradients (Sundararajan et al. 2017), at 32 points, or as many as it takes, to 512.

    Args:
        score: As of `recur.gradients.attribute`.
        inputs: What is explained, (B, T, F).
        baseline: As of `attribute`.
        most_gap: By how much of all shares in size their sum may miss; rows that miss by more get more points.
        batch_size: As of `attribute`.
        per_feature: Likewise.

    Raises:
        TypeError: As of `attribute`.
        ValueError: Likewise.

    Example:
        >>> inputs = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64)
        >>> found = complete_shares(lambda x, rows: x.prod(1).squeeze(1), inputs, most_gap=0.01)
        >>> found.shares.round(decimals=4), float(found.gap) < 1e-5
        (tensor([[1., 1.]], dtype=torch.float64), True)
    """
    base = expanded_baseline("complete_shares", inputs, baseline)
    every = torch.arange(len(inputs), device=inputs.device)
    answer, neutral = (scores_of(score, each, every, batch_size) for each in (inputs, base))
    found = CompleteShares(
        shares=inputs.new_zeros(inputs.shape if per_feature else inputs.shape[:2]), answer=answer, neutral=neutral
    )
    rows = every

    def of_rows(x: Tensor, own: Tensor) -> Tensor:
        return score(x, rows[own])

    for points in POINTS:
        found.shares[rows] = attribute(
            of_rows,
            inputs[rows],
            base[rows],
            num_steps=points,
            batch_size=batch_size,
            per_feature=per_feature,
        )
        rows = torch.nonzero(found.gap > most_gap).squeeze(1)
        if not len(rows):
            break
    return found
