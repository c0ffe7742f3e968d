"""How much of each rule a forecast starts from, chosen in closed form by how well each mix tells the training part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_FIRST_SHARE, _NUM_BLOCKS = 0.4, 6
"""The mixes are fitted to what comes before each of so many blocks of the rest, and judged on the block."""

_RIDGE = 0.01
"""Of the squares' sum of each weight's own rule."""

_SHARPNESS = 10.0
"""A mix whose error is a tenth larger than the best one's counts about a third of it."""

_LEAST_SPREAD = 1e-3

_LAST, _SEASON, _UNIT = 0, 2, 4
"""Places of some of the `ANCHORS`."""

_Fitted = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes anchors (M, P, C, 5), what came beyond the mean (M, P, C), and its weight, and returns weights (P, C, 5)."""


def fit_start(
    anchors: Tensor, beyond: Tensor, weight: Tensor, series: Tensor, row: Tensor, *, has_season: bool
) -> tuple[Tensor, Tensor]:
    """Return the weights and spreads of a `ForecastStart` for M origins of the training part.

    Seven mixes are fitted: the last value, the mean, the value a season ago; the last value and one drift; least
    squares of the last value, of all rules without the unit, and of all. Each is judged by its mean absolute error on
    blocks of origins, fitted to those before the block, whose targets do not reach into it (Tashman 2000). What is
    returned is the mean of all mixes, fitted to all origins, where each counts by (least error / its error)^10: of few
    values no one can be chosen for sure, and the mean of several is seldom worse than the best (Timmermann 2006).

    Args:
        anchors: Beyond the mean, in units of the normalisation's scale, (M, P, C, 5) float64.
        beyond: What came, likewise, (M, P, C) float64.
        weight: How much each counts, 0 where it is missing, (M, P, C) float64.
        series: Which series each origin is in, (M,) int64.
        row: Of the panel of each origin's first target, (M,) int64.
        has_season: Whether the series have a season.

    Returns:
        (P, C, 5) and (P, C) float64; for targets that no block tells of, the naive rule and 1.

    Example:
        >>> walk = torch.randn(200, generator=torch.Generator().manual_seed(0)).cumsum(0).double()
        >>> anchors = torch.zeros(199, 1, 1, 5, dtype=torch.float64)
        >>> anchors[:, 0, 0, 0], anchors[..., 4] = walk[:-1], 1
        >>> ones, rows = torch.ones(199, 1, 1, dtype=torch.float64), torch.arange(199)
        >>> found, spread = fit_start(anchors, walk[1:, None, None], ones, 0 * rows, rows, has_season=False)
        >>> round(float(found[0, 0, 0]), 1), round(float(spread), 1)
        (1.0, 0.9)
    """
    mixes = _mixes(anchors, has_season=has_season)
    share = _share_of_series(series, row)
    cuts = torch.linspace(_FIRST_SHARE, 1, _NUM_BLOCKS + 1, dtype=torch.float64)
    horizon = beyond.shape[1]
    away: list[list[Tensor]] = [[] for _ in mixes]
    counted: list[Tensor] = []
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        is_judged = (share >= begin) & (share < end)
        is_before = _ends_before(series, row + horizon, row, share >= begin)
        if not is_judged.any() or not is_before.any():
            continue
        counted.append(weight[is_judged])
        for own, fitted in zip(away, mixes, strict=True):
            found = fitted(anchors[is_before], beyond[is_before], weight[is_before])
            own.append(beyond[is_judged] - (anchors[is_judged] * found).sum(-1))
    naive = torch.zeros(anchors.shape[1:], dtype=torch.float64)
    naive[..., _LAST] = 1
    if not counted:
        return naive, torch.ones(anchors.shape[1:3], dtype=torch.float64)
    counts = torch.cat(counted)
    errors = torch.stack([torch.cat(own) for own in away])
    # (mixes, C)
    least = 1e-9
    size = (errors.abs() * counts).sum((1, 2)) / counts.sum((0, 1)).clamp(min=1e-300) + least
    part = (size.amin(0) / size) ** _SHARPNESS
    part = part / part.sum(0)
    weights = torch.stack([fitted(anchors, beyond, weight) for fitted in mixes])
    mixed = (part[:, None, :, None] * weights).sum(0)
    is_told = counts.sum((0, 1)) > 0
    # Of normal errors the mean absolute one is sqrt(2 / pi) of the deviation.
    missed = ((part[:, None, None] * errors).sum(0).abs() * counts).sum(0) / counts.sum(0).clamp(min=1e-300)
    spread = (missed * (torch.pi / 2) ** 0.5).clamp(min=_LEAST_SPREAD)
    spread = torch.where(counts.sum(0) > 0, spread, 1.0)
    return torch.where(is_told[:, None], mixed, naive), spread


def _mixes(anchors: Tensor, *, has_season: bool) -> list[_Fitted]:
    every = range(anchors.shape[-1])
    rules = [each for each in every if each != _UNIT and (has_season or each < _SEASON)]

    def fixed(*places: int) -> _Fitted:
        def fitted(anchors: Tensor, beyond: Tensor, weight: Tensor) -> Tensor:
            found = anchors.new_zeros(anchors.shape[1:])
            found[..., list(places)] = 1
            return found

        return fitted

    def least_squares(places: list[int], ridge: float) -> _Fitted:
        return lambda anchors, beyond, weight: _least_squares(anchors, beyond, weight, places, ridge)

    naive = [fixed(_LAST), fixed(), *([fixed(_SEASON)] if has_season else [])]
    return [
        *naive,
        _drift,
        least_squares([_LAST], 0),
        least_squares(rules, _RIDGE),
        least_squares([*rules, _UNIT], _RIDGE),
    ]


def _drift(anchors: Tensor, beyond: Tensor, weight: Tensor) -> Tensor:
    """Return the last value, and so many units for each step ahead as least squares say, alike for all steps."""
    ahead = torch.arange(1, beyond.shape[1] + 1, dtype=beyond.dtype)[:, None]
    way = anchors[..., _UNIT] * ahead
    left = beyond - anchors[..., _LAST]
    squares = (weight * way.square()).sum((0, 1))
    slope = (weight * way * left).sum((0, 1)) / squares.clamp(min=1e-300)
    found = anchors.new_zeros(anchors.shape[1:])
    found[..., _LAST], found[..., _UNIT] = 1, slope * ahead
    return found


def _least_squares(anchors: Tensor, beyond: Tensor, weight: Tensor, places: list[int], ridge: float) -> Tensor:
    """Return the weights of some anchors that least squares say for each step and target; the others are 0."""
    chosen = anchors[..., places]
    products = torch.einsum("mpci,mpcj,mpc->pcij", chosen, chosen, weight)
    right = torch.einsum("mpci,mpc,mpc->pci", chosen, beyond, weight)
    own = products.diagonal(dim1=-2, dim2=-1)
    # Where a rule says nothing, or the same as another one, the equations have many answers.
    products = products + torch.diag_embed(ridge * own + 1e-9 * own.amax(-1, keepdim=True) + 1e-30)
    found = anchors.new_zeros(anchors.shape[1:])
    found[..., places] = torch.linalg.solve(products, right[..., None])[..., 0]
    return found


def _share_of_series(series: Tensor, row: Tensor) -> Tensor:
    """Return for each origin which share of those of its series comes before it, (M,) float64."""
    order = (series.double() * (float(row.max()) + 1) + row).argsort()
    _, place, counts = torch.unique_consecutive(series[order], return_inverse=True, return_counts=True)
    begins = counts.cumsum(0) - counts
    found = torch.empty(len(series), dtype=torch.float64)
    found[order] = (torch.arange(len(series)) - begins[place]).double() / counts[place]
    return found


def _ends_before(series: Tensor, end: Tensor, row: Tensor, is_later: Tensor) -> Tensor:
    """Return which origins' targets end before the first of the later origins of the same series, (M,) bool."""
    first = torch.full((int(series.max()) + 1,), torch.iinfo(torch.int64).max)
    first.scatter_reduce_(0, series[is_later], row[is_later], "amin")
    return ~is_later & (end <= first[series])
