"""The length of the season of series, found from their autocorrelation."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.kinds import is_whole
from recur.score.counting import floating, present

_LEAST_SHARE = 0.05
_LEAST_DEVIATIONS = 4.5
_SHARE_OF_BEST = 0.5


def find_season(history: Tensor, *, mask: Tensor | None = None, longest: int | None = None) -> int:
    """Return the number of steps after which series repeat; 1 where they do not.

    A season of k steps shows as high autocorrelation at k and 2 k, and low at k / 2 and 3 k / 2. The contrast of the
    two, (r_k + r_2k - r_k/2 - r_3k/2) / 2, is negative or near zero for noise, a trend, and the multiples 2 k, 4 k and
    so on. It is taken from the series without their straight lines, each divided by its variance and all pooled.

    A lag may be the season if the contrast has a peak there of at least 4.5 times what it varies by without a season:
    Bartlett's formula, sqrt((1 + 2 sum r_j^2) / n) over n pairs, with the memory of the series up to half a season, so
    that noise and random walks do not pass. Of these the season is the shortest that takes away at least half as much
    of the variation as the best does: the contrast relative to that of a perfect season, 1 - (r_k/2 + r_3k/2) / 2.

    Args:
        history: Training part of each series, (..., T), floating; the same season is looked for in all. NaN is missing.
        mask: (..., T) bool, where a value is there; None is everywhere but at NaN.
        longest: The longest season looked for; None is T // 4, of which four are there.

    Returns:
        The season, from 2 to `longest`, or 1.

    Raises:
        TypeError: `history` is no floating tensor, `mask` no bool tensor, or `longest` no whole number.
        ValueError: `history` has no dimension, `mask` has another shape, or `longest` is below 1.

    Example:
        >>> steps = torch.arange(200.0)
        >>> find_season(torch.sin(2 * torch.pi * steps / 24) + steps / 50), find_season(steps)
        (24, 1)
    """
    if floating("find_season", "history", history).dim() == 0:
        raise ValueError("find_season: history must have shape (..., T), but has no dimension.")
    if longest is not None and not is_whole(longest):
        raise TypeError(f"find_season: longest must be an int, but is {type(longest).__name__}.")
    if longest is not None and longest < 1:
        raise ValueError(f"find_season: longest is {longest}, but must be at least 1.")
    there = present("find_season", history, mask)
    num_steps = history.shape[-1]
    longest = min(num_steps // 4, num_steps if longest is None else longest)
    if longest < 2:
        return 1
    correlation, pairs = _autocorrelation(history.reshape(-1, num_steps), there.reshape(-1, num_steps))
    # One lag further, to tell whether the longest has a peak.
    lags = torch.arange(2, longest + 2, device=history.device)
    low = (correlation[lags // 2] + correlation[(lags + 1) // 2]) / 2
    low_too = (correlation[3 * lags // 2] + correlation[(3 * lags + 1) // 2]) / 2
    contrast = (correlation[lags] + correlation[2 * lags] - low - low_too) / 2
    edge = contrast.new_full((1,), -torch.inf)
    is_peak = (contrast >= torch.cat([edge, contrast[:-1]])) & (contrast >= torch.cat([contrast[1:], -edge]))
    memory = 1 + 2 * torch.cat([edge.new_zeros(1), correlation[1:].square().cumsum(0)])[(lags - 1) // 2]
    is_season = is_peak & (contrast >= _LEAST_DEVIATIONS * (memory / pairs[lags].clamp(min=1)).sqrt())
    taken = contrast / (1 - (low + low_too) / 2).clamp(min=1e-12)
    is_season &= taken >= _LEAST_SHARE
    if not bool(is_season.any()):
        return 1
    return int(lags[is_season & (taken >= _SHARE_OF_BEST * taken[is_season].max())][0])


def _autocorrelation(history: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the autocorrelation of rows without their straight lines, pooled, at lags 0 to T - 1, and its pairs."""
    num_steps = history.shape[-1]
    values = torch.where(there, history, 0).double()
    present = there.double()
    count = present.sum(-1, keepdim=True).clamp(min=1)
    time = torch.arange(num_steps, device=history.device, dtype=torch.float64).expand_as(values)
    time = (time - (time * present).sum(-1, keepdim=True) / count) * present
    values = (values - values.sum(-1, keepdim=True) / count) * present
    spread = values.square().sum(-1, keepdim=True)
    slope = (time * values).sum(-1, keepdim=True) / time.square().sum(-1, keepdim=True).clamp(min=1)
    values = values - slope * time
    energy = values.square().sum(-1, keepdim=True)
    # A row that is constant or a straight line leaves nothing but rounding.
    is_usable = energy > 1e-12 * spread
    values = torch.where(is_usable, values / (energy / count).clamp(min=1e-300).sqrt(), 0)
    present = present * is_usable
    size = 2 * num_steps
    products, pairs = (
        torch.fft.irfft(torch.fft.rfft(each, size).abs().square(), size)[:, :num_steps].sum(0)
        for each in (values, present)
    )
    pairs = pairs.round()
    return torch.where(pairs > 0, products / pairs.clamp(min=1), 0), pairs
