"""Prediction intervals that hold as many outcomes as they say: split conformal prediction, for points and quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from recur.score.counting import floating, fraction, same_shape, weights


class _Conformal:
    """What both kinds share: a margin for each kind of forecast, from scores of held-out ones."""

    def __init__(self, coverage: float) -> None:
        self.coverage = fraction(type(self).__name__, "coverage", coverage)
        self.margin: Tensor | None = None

    def state_dict(self) -> dict[str, Tensor]:
        """Return the margins, if they are fitted."""
        return {} if self.margin is None else {"margin": self.margin.clone()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take the margins."""
        self.margin = state_dict["margin"].clone() if state_dict else None

    def _set(self, scores: Tensor, weight: Tensor) -> None:
        """Take the margins from scores (N, ...), of which those with a weight count."""
        self.margin = conformal_quantile(scores, weight > 0, self.coverage)

    def _fitted(self, forecast: Tensor) -> Tensor:
        """Return the margins for forecasts (..., *kinds), checked."""
        name = type(self).__name__
        if self.margin is None:
            raise ValueError(f"{name}: there are no margins yet. Call fit with held-out targets first.")
        kinds = self.margin.shape
        if forecast.shape[forecast.dim() - len(kinds) :] != kinds:
            raise ValueError(
                f"{name}: the forecast has shape {tuple(forecast.shape)}, whose last dimensions must be those of the "
                f"targets in fit, {tuple(kinds)}."
            )
        return self.margin.to(forecast.device, forecast.dtype)


class SplitConformal(_Conformal):
    """Intervals around point forecasts, as wide as held-out errors say, one width for each step of the horizon.

    With k = ceil((n + 1) coverage), the margin is the k-th smallest of n held-out absolute errors. An interval then
    holds its target with probability `coverage` at least, and at most 1 / (n + 1) more where errors do not tie,
    whatever the model and the distribution, if the new error can be exchanged for the held-out ones. Those of series
    that change cannot; see `AdaptiveConformal`. Where n is too small for the coverage the interval is infinite.

    Source: Lei et al. (2018), theorem 2.2, after Papadopoulos et al. (2002).

    Args:
        coverage: The share of targets that the intervals should hold, between 0 and 1.

    Attributes:
        coverage: As given.
        margin: Half widths, (horizon,) or whatever a row of the targets is; None before `fit`.

    Raises:
        TypeError: `coverage` is no number.
        ValueError: It is not between 0 and 1.

    Example:
        >>> held_out = torch.tensor([[1.0], [-3.0], [2.0], [4.0]])
        >>> conformal = SplitConformal(0.6).fit(held_out, torch.zeros(4, 1))
        >>> conformal.interval(torch.tensor([10.0]))
        (tensor([7.]), tensor([13.]))
    """

    def fit(self, target: Tensor, forecast: Tensor, *, weight: Tensor | None = None) -> Self:
        """Set the margins from held-out forecasts, which the model has not been trained on, and return the object.

        Args:
            target: What came, (N, ...), such as (N, horizon), floating. NaN is missing and does not count.
            forecast: What was said, the same shape.
            weight: Whether a target counts, broadcast to `target`; any number above 0 counts alike.

        Raises:
            TypeError: An argument is no floating tensor.
            ValueError: Shapes do not agree, or a weight is negative or not finite.
        """
        weight = weights("SplitConformal", target, weight)
        self._set((target - same_shape("SplitConformal", "forecast", forecast, target)).abs(), weight)
        return self

    def interval(self, forecast: Tensor) -> tuple[Tensor, Tensor]:
        """Return lower and upper ends, each as `forecast`.

        Args:
            forecast: Point forecasts, (..., horizon), with the last dimensions of the targets in `fit`.

        Raises:
            TypeError: `forecast` is no floating tensor.
            ValueError: Nothing is fitted yet, or the shape does not fit.
        """
        margin = self._fitted(floating("SplitConformal", "forecast", forecast))
        return forecast - margin, forecast + margin


class ConformalQuantiles(_Conformal):
    """Intervals between two quantile forecasts, moved outwards or inwards until they hold the share that they should.

    Conformalised quantile regression: the margin is the k-th smallest of max(lower - y, y - upper), k as in
    `SplitConformal`, with the same guarantee. Unlike there, intervals stay wide where the model is unsure.

    Source: Romano et al. (2019), algorithm 1 and theorem 1.

    Args:
        coverage: The share of targets that the intervals should hold, between 0 and 1. The quantiles are best those at
            (1 - coverage) / 2 and (1 + coverage) / 2.

    Attributes:
        coverage: As given.
        margin: How far both ends move outwards, (horizon,) or whatever a row of the targets is; None before `fit`.

    Raises:
        TypeError: `coverage` is no number.
        ValueError: It is not between 0 and 1.

    Example:
        >>> held_out = torch.tensor([[1.0], [-3.0], [2.0], [4.0]])
        >>> conformal = ConformalQuantiles(0.6).fit(held_out, torch.full((4, 1), -1.0), torch.ones(4, 1))
        >>> conformal.interval(torch.tensor([9.0]), torch.tensor([10.0]))
        (tensor([7.]), tensor([12.]))
    """

    def fit(self, target: Tensor, lower: Tensor, upper: Tensor, *, weight: Tensor | None = None) -> Self:
        """Set the margins from held-out forecasts, which the model has not been trained on, and return the object.

        Args:
            target: What came, (N, ...), such as (N, horizon), floating. NaN is missing and does not count.
            lower: The lower quantile, the same shape.
            upper: The upper quantile, the same shape.
            weight: Whether a target counts, broadcast to `target`; any number above 0 counts alike.

        Raises:
            TypeError: An argument is no floating tensor.
            ValueError: Shapes do not agree, or a weight is negative or not finite.
        """
        name = "ConformalQuantiles"
        weight = weights(name, target, weight)
        below = same_shape(name, "lower", lower, target) - target
        self._set(torch.maximum(below, target - same_shape(name, "upper", upper, target)), weight)
        return self

    def interval(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Return lower and upper ends; where moving inwards would make them cross, both are in the middle.

        Args:
            lower: The lower quantile, (..., horizon), with the last dimensions of the targets in `fit`.
            upper: The upper quantile, the same shape.

        Raises:
            TypeError: An argument is no floating tensor.
            ValueError: Nothing is fitted yet, or a shape does not fit.
        """
        margin = self._fitted(floating("ConformalQuantiles", "lower", lower))
        same_shape("ConformalQuantiles", "upper", upper, lower)
        middle = (lower + upper) / 2
        low, high = lower - margin, upper + margin
        is_crossed = low > high
        return torch.where(is_crossed, middle, low), torch.where(is_crossed, middle, high)


def conformal_quantile(scores: Tensor, counts: Tensor, coverage: float) -> Tensor:
    """Return the ceil((n + 1) coverage)-th smallest of the n scores of each column; infinite where that is beyond n.

    Args:
        scores: (N, ...), floating.
        counts: The same shape, bool: which are there.
        coverage: Between 0 and 1.
    """
    beyond = scores.new_full((1, *scores.shape[1:]), torch.inf)
    ordered = torch.cat([torch.where(counts, scores, torch.inf), beyond]).sort(0).values
    number = counts.sum(0)
    return ordered.gather(0, (conformal_rank(number, coverage).clamp(max=number + 1) - 1).unsqueeze(0)).squeeze(0)


def conformal_rank(number: Tensor, coverage: float | Tensor) -> Tensor:
    """Return ceil((n + 1) coverage), int64, at least 1, for coverages above 0, float64."""
    # The product is rounded; one that is whole must not become the next.
    return torch.ceil((number + 1) * torch.as_tensor(coverage, dtype=torch.float64) - 1e-9).long().clamp(min=1)
