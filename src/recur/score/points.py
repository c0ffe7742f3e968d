"""Errors of point forecasts: MAE, RMSE, sMAPE, MASE."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.kinds import is_whole
from recur.score.counting import Axes, counted, floating, same_shape, weighted_mean, weights


def mae(target: Tensor, forecast: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the mean absolute error, in the target's unit.

    Args:
        target: What came, any shape such as (N, horizon), floating. NaN is missing and does not count.
        forecast: What was said, the same shape.
        weight: How much each target counts, broadcast to `target`, floating or bool; None counts each as 1.
        keep: Dimensions that are not averaged: -1 gives the error at each step of the horizon.

    Returns:
        The shape of the kept dimensions, () without; NaN where nothing counts.

    Raises:
        TypeError: An argument is no floating tensor.
        ValueError: Shapes do not agree, a weight is negative or not finite, or `keep` names no dimension.

    Example:
        >>> target = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
        >>> mae(target, torch.zeros(2, 2)), mae(target, torch.zeros(2, 2), keep=-1)
        (tensor(2.), tensor([2., 2.]))
    """
    weight, error = _error("mae", target, forecast, weight)
    return weighted_mean("mae", error.abs(), weight, keep)


def rmse(target: Tensor, forecast: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the root of the mean squared error, in the target's unit.

    Arguments, result and errors are those of `mae`.

    Example:
        >>> rmse(torch.tensor([3.0, 4.0]), torch.zeros(2))
        tensor(3.5355)
    """
    weight, error = _error("rmse", target, forecast, weight)
    return weighted_mean("rmse", error.square(), weight, keep).sqrt()


def smape(target: Tensor, forecast: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the symmetric mean absolute percentage error, from 0 to 200.

    The mean of 200 |y - f| / (|y| + |f|), and 0 where both are 0, as in the M3 and M4 competitions (Makridakis &
    Hibon 2000). It is meant for what cannot be negative.

    Arguments, result and errors are those of `mae`.

    Example:
        >>> smape(torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0]))
        tensor(50.)
    """
    weight, error = _error("smape", target, forecast, weight)
    target, forecast = counted(weight, target, forecast)
    size = target.abs() + forecast.abs()
    share = error.abs() / torch.where(size == 0, 1, size)
    return 200 * weighted_mean("smape", share, weight, keep)


def mase(target: Tensor, forecast: Tensor, scale: Tensor, *, weight: Tensor | None = None, keep: Axes = ()) -> Tensor:
    """Return the mean absolute scaled error: below 1 is better than the (seasonal) naive rule was in training.

    Source: Hyndman & Koehler (2006): the mean of |y - f| / scale over all targets.

    Args:
        target: As for `mae`, with the series first: (N, horizon).
        forecast: The same shape.
        scale: `seasonal_scale` of each series' training part, floating, broadcast to `target`: (N, 1). Where it is 0 or
            NaN, as for a constant series, the error has no scale and does not count.
        weight: As for `mae`.
        keep: As for `mae`.

    Returns:
        As `mae`.

    Raises:
        TypeError: An argument is no floating tensor.
        ValueError: As for `mae`; or `scale` is negative or does not fit.

    Example:
        >>> history, target = torch.tensor([[1.0, 3.0, 2.0, 5.0]]), torch.tensor([[6.0, 7.0]])
        >>> mase(target, torch.full((1, 2), 5.0), seasonal_scale(history)[:, None])
        tensor(0.7500)
    """
    weight, error = _error("mase", target, forecast, weight)
    if bool((floating("mase", "scale", scale) < 0).any()):
        raise ValueError("mase: a scale is negative, but a scale is a mean of absolute differences.")
    try:
        scale = scale.expand(target.shape)
    except RuntimeError:
        raise ValueError(
            f"mase: scale has shape {tuple(scale.shape)}, which does not fit a target of {tuple(target.shape)}. "
            "Give each series' scale the dimensions that follow, as in scale[:, None]."
        ) from None
    is_usable = scale > 0
    weight = torch.where(is_usable, weight, 0)
    return weighted_mean("mase", error.abs() / torch.where(is_usable, scale, 1), weight, keep)


def seasonal_scale(history: Tensor, *, season: int = 1) -> Tensor:
    """Return the mean absolute error of the seasonal naive rule within the training part, one for each series.

    Source: Hyndman & Koehler (2006), with the seasonal rule for seasonal series: the mean of
    |y_t - y_(t-season)|, over the pairs of which both are there.

    Args:
        history: Training part of each series, (..., T), floating; NaN is missing.
        season: Steps after which the series repeats; 1 is the naive rule.

    Returns:
        (...), in the unit of the series; NaN where no pair is there.

    Raises:
        TypeError: `history` is no floating tensor, or `season` no whole number.
        ValueError: `season` is below 1.

    Example:
        >>> seasonal_scale(torch.tensor([1.0, 3.0, 2.0, 5.0]), season=2)
        tensor(1.5000)
    """
    if not is_whole(season):
        raise TypeError(f"seasonal_scale: season must be an int, but is {type(season).__name__}.")
    if season < 1:
        raise ValueError(f"seasonal_scale: season is {season}, but must be at least 1.")
    floating("seasonal_scale", "history", history)
    changes = history[..., season:] - history[..., :-season]
    weight = weights("seasonal_scale", changes, None)
    (changes,) = counted(weight, changes)
    return (changes.abs() * weight).sum(-1) / weight.sum(-1)


def _error(owner: str, target: Tensor, forecast: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weight and forecast minus target, 0 where it does not count."""
    weight = weights(owner, target, weight)
    target, forecast = counted(weight, target, same_shape(owner, "forecast", forecast, target))
    return weight, forecast - target
