"""The normal distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recur.models.distributions.distribution import Distribution, draws
from recur.models.distributions.special import normal_cdf, normal_quantile


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian(Distribution):
    """Normal distributions.

    Args:
        loc: Means, (...), floating.
        scale: Standard deviations, (...), above 0, which is not checked.

    Raises:
        TypeError: A parameter is no floating tensor.
        ValueError: Their shapes differ.

    Example:
        >>> forecast = Gaussian(loc=torch.zeros(2), scale=torch.tensor([1.0, 2.0]))
        >>> forecast.quantile(0.975), forecast.crps(torch.zeros(2))
        (tensor([1.9600, 3.9199]), tensor([0.2337, 0.4674]))
    """

    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected values, (...)."""
        return self.loc

    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the density at `target`, (...)."""
        normal = torch.distributions.Normal(self.loc, self.scale, validate_args=False)
        density: Tensor = normal.log_prob(target)  # type: ignore[no-untyped-call]
        return density

    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of values up to `target`, (...)."""
        return normal_cdf((target - self.loc) / self.scale)

    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), in closed form (Gneiting et al. 2005, equation 5)."""
        return half_distance(target - self.loc, self.scale) * 2 - self.scale / math.sqrt(math.pi)

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of `loc + scale * value`; `loc` and `scale` above 0 broadcast to (...)."""
        return type(self)(loc=loc + scale * self.loc, scale=scale * self.scale)

    def _quantiles(self, levels: Tensor) -> Tensor:
        return self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * normal_quantile(levels).to(self.loc.dtype)

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        return self.loc + self.scale * draws(self.loc, num_samples, generator, alike, is_normal=True)


def half_distance(shift: Tensor, scale: Tensor) -> Tensor:
    """Return half the expected absolute value of a normal variable with mean `shift` and deviation `scale`."""
    z = shift / scale
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return scale * (density + z * (normal_cdf(z) - 0.5))
