"""Whether attributions can be believed: does deleting what they call important hurt more than deleting at random?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.gradients.attributions.attribution import Score, expanded_baseline, scores_of
from recur.kinds import is_number, is_whole

SHARES = (0.05, 0.1, 0.2, 0.4)
"""Shares of a row's steps that are deleted."""


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """How far a score falls when steps are deleted: those called most important, and as many at random.

    Attributes:
        shares: Shares of the steps that were deleted.
        chosen: Mean fall of the score when the steps with the largest attributions are deleted, one a share.
        random: Mean fall when as many steps are deleted at random, one a share.
        standard_error: Standard error, over the rows, of the difference of the two, one a share.
        is_faithful: Whether the difference, averaged over the shares, is above zero by more than twice its standard
            error over the rows.
    """

    shares: tuple[float, ...]
    chosen: tuple[float, ...]
    random: tuple[float, ...]
    standard_error: tuple[float, ...]
    is_faithful: bool

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "shares": list(self.shares),
            "chosen": list(self.chosen),
            "random": list(self.random),
            "standard_error": list(self.standard_error),
            "is_faithful": self.is_faithful,
        }


def check_by_deletion(
    score: Score,
    inputs: Tensor,
    attributions: Mapping[str, Tensor],
    baseline: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    shares: Sequence[float] = SHARES,
    draws: int = 10,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Deletion]:
    """Return how a score falls when what each method calls important is deleted, against deletion at random.

    Of a row with n steps, each share q deletes the max(1, round(q n)) steps with the largest attributions, those that
    speak most for the score (Samek et al. 2017, DeYoung et al. 2020); to delete a step is to put the baseline in its
    place. All methods are compared with the same random deletions.

    Args:
        score: As of `attribute`.
        inputs: What was explained, (B, T, F).
        attributions: By method, those of each step, (B, T), as `attribute` returns them.
        baseline: As of `attribute`.
        mask: Which steps are there, (B, T) bool; all when None. The others are never deleted.
        shares: Shares of the steps to delete, above 0 and below 1.
        draws: How often as many steps are drawn at random, from 1 on.
        seed: Of these draws.
        batch_size: Rows that `score` gets at once, at most.

    Returns:
        What came out, by method.

    Raises:
        TypeError: `inputs` or `baseline` is no float tensor.
        ValueError: A shape or a number is wrong, or there are fewer than two rows with a step.

    Example:
        >>> inputs = torch.arange(6.0).view(2, 3, 1)
        >>> found = check_by_deletion(lambda x, rows: x.sum((1, 2)), inputs, {"own": inputs[..., 0]}, shares=[0.4])
        >>> found["own"].chosen
        (3.5,)
    """
    base = expanded_baseline("check_by_deletion", inputs, baseline)
    size = inputs.shape[:2]
    mask = torch.ones(size, dtype=torch.bool, device=inputs.device) if mask is None else mask.to(inputs.device)
    for name, value in (*((f"attributions of {key!r}", own) for key, own in attributions.items()), ("mask", mask)):
        if value.shape != size:
            raise ValueError(f"check_by_deletion: {name} must be {tuple(size)} as inputs, but is {tuple(value.shape)}.")
    if not shares or not all(is_number(share) and 0 < share < 1 for share in shares):
        raise ValueError(f"check_by_deletion: shares must be above 0 and below 1, at least one, but are {shares!r}.")
    if not is_whole(draws, 1) or not is_whole(batch_size, 1):
        raise ValueError(
            f"check_by_deletion: draws and batch_size must be whole numbers from 1 on, but are {draws!r} and "
            f"{batch_size!r}."
        )
    rows = mask.any(1).nonzero().squeeze(1)
    if len(rows) < 2:
        raise ValueError("check_by_deletion: needs at least two rows with a step, for it compares means over rows.")
    whole = scores_of(score, inputs[rows], rows, batch_size)

    def falls(order: Tensor) -> Tensor:
        """Return how far the score of each row falls, (S, B), when its first steps by `order` are deleted."""
        ranks = _ranks(order.to(inputs.device).masked_fill(~mask, -torch.inf))
        found = []
        for share in shares:
            counts = (share * mask.sum(1, keepdim=True)).round().clamp_min(1)
            is_deleted = (ranks < counts) & mask
            variants = torch.where(is_deleted.unsqueeze(2), base, inputs)[rows]
            found.append((whole - scores_of(score, variants, rows, batch_size)).double())
        return torch.stack(found)

    generator = torch.Generator().manual_seed(seed)
    by_chance = [falls(torch.rand(size, generator=generator, dtype=torch.float64)) for _ in range(draws)]
    random = torch.stack(by_chance).mean(0)
    return {key: _compared(shares, falls(own.double()), random) for key, own in attributions.items()}


def _compared(shares: Sequence[float], chosen: Tensor, random: Tensor) -> Deletion:
    """Return what the falls of each share and row, (S, B), say."""
    mean, error = _mean_and_error((chosen - random).mean(0))
    return Deletion(
        shares=tuple(float(share) for share in shares),
        chosen=tuple(chosen.mean(1).tolist()),
        random=tuple(random.mean(1).tolist()),
        standard_error=tuple(_mean_and_error(own)[1] for own in chosen - random),
        is_faithful=mean > 2 * error,
    )


def _ranks(order: Tensor) -> Tensor:
    """Return the place of each step in its row, (B, T): 0 for the largest value, of equal ones the first."""
    return order.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean of (B,) and its standard error."""
    return float(values.mean()), float(values.std(correction=1)) / len(values) ** 0.5
