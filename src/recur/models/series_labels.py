"""What networks that tell labels of series have in common: checks of the labels, and the mean of their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


def check_labels(owner: str, batch: SeriesBatch, *, per_step: bool) -> None:
    """Raise ValueError unless a batch has labels of steps where `per_step`, else of series."""
    if batch.target.dim() != 1 + per_step:
        has, wants = ("series", "steps") if per_step else ("steps", "series")
        raise ValueError(
            f"{owner}: the labels are of {has}, {tuple(batch.target.shape)}, but per_step={per_step} tells of {wants}. "
            f"Give per_step={not per_step}, or the other labels."
        )


def weighted_loss(losses: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of losses, (); zero where nothing counts, with a gradient of zeros."""
    total = weight.sum()
    return (torch.where(weight > 0, losses, 0) * weight).sum() / torch.where(total > 0, total, 1)


def steps_between(batch: SeriesBatch) -> Tensor:
    """Return the times since the step before of all steps of a batch but the first of each row, (N,)."""
    is_later = torch.arange(1, batch.x.shape[1], device=batch.lengths.device) < batch.lengths[:, None]
    return batch.times.diff(dim=1)[is_later]
