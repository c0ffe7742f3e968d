"""Whether series stay at a level, or leave it."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.score.counting import floating, present


def find_level_shift(history: Tensor, *, mask: Tensor | None = None) -> float:
    """Return how far series have moved: their last quarter against what came before, in standard deviations of that.

    Of noise it is near 0, of a series that rises and falls within its quarter small, of a line that grows steadily
    2.3. Below a half, the levels to come are mostly those that were seen.

    Args:
        history: Training part of each series, (..., T), floating. NaN is missing.
        mask: (..., T) bool, where a value is there; None is everywhere but at NaN.

    Returns:
        The median over the series; infinite where a constant ended, and 0 if no series has a value in both parts.

    Raises:
        TypeError: `history` is no floating tensor, or `mask` no bool tensor.
        ValueError: `history` has no dimension, or `mask` has another shape.

    Example:
        >>> round(find_level_shift(torch.arange(400.0)), 1), find_level_shift(torch.arange(400.0) % 10)
        (2.3, 0.0)
    """
    if floating("find_level_shift", "history", history).dim() == 0:
        raise ValueError("find_level_shift: history must have shape (..., T), but has no dimension.")
    there = present("find_level_shift", history, mask)
    if not there.any():
        return 0.0
    values = torch.where(there, history, 0).reshape(-1, history.shape[-1]).double()
    there = there.reshape(values.shape)
    begin = history.shape[-1] - history.shape[-1] // 4
    before, spread = _moments(values[:, :begin], there[:, :begin])
    after, _ = _moments(values[:, begin:], there[:, begin:])
    shift = (after - before).abs()
    shift = torch.where(shift > 0, shift / spread, shift)
    shift = shift[~shift.isnan()]
    return float(shift.median()) if len(shift) else 0.0


def _moments(values: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each row, (N,); NaN where a row has no value."""
    count = there.sum(1)
    mean = values.sum(1) / count
    away = torch.where(there, values - mean[:, None], 0)
    return mean, (away.square().sum(1) / count).sqrt()
