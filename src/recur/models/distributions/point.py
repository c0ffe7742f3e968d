"""A single value without a word on how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recur.models.distributions.distribution import Distribution


@dataclass(frozen=True, kw_only=True, eq=False)
class Point(Distribution):
    """Point forecasts: all probability on one value. They have no density, and so no likelihood.

    Args:
        value: What is said, (...), floating.

    Raises:
        TypeError: `value` is no floating tensor.

    Example:
        >>> Point(value=torch.tensor([2.0])).loss(torch.tensor([5.0]), by="crps")
        tensor(3.)
    """

    value: Tensor

    @property
    def mean(self) -> Tensor:
        """The values, (...)."""
        return self.value

    def log_prob(self, target: Tensor) -> Tensor:
        """Raise an error: a point has no density.

        Raises:
            ValueError: Always.
        """
        raise ValueError("Point: a point has no density. Take by='crps', which is the absolute error, or 'squared'.")

    def cdf(self, target: Tensor) -> Tensor:
        """Return 1 where `target` is the value or above it, else 0, (...)."""
        return (target >= self.value).to(self.value.dtype)

    def crps(self, target: Tensor) -> Tensor:
        """Return the absolute error, (...), which the score is for a point."""
        return (target - self.value).abs()

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the point `loc + scale * value`; `loc` and `scale` broadcast to (...)."""
        return type(self)(value=loc + scale * self.value)

    def _quantiles(self, levels: Tensor) -> Tensor:
        return self.value.unsqueeze(-1).expand(*self.shape, len(levels))

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        return self.value.expand(num_samples, *self.shape).clone()
