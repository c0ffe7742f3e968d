"""Mixtures of normal distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from recur.models.distributions.distribution import Distribution, beside, draws
from recur.models.distributions.gaussian import half_distance
from recur.models.distributions.special import bisect, normal_cdf, normal_quantile, through


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianMixture(Distribution):
    """Mixtures of K normal distributions (Bishop 1994).

    Args:
        logits: Of the shares of the components, (..., K), floating; they need not be normalised.
        loc: Means of the components, (..., K).
        scale: Their standard deviations, (..., K), above 0, which is not checked.

    Raises:
        TypeError: A parameter is no floating tensor.
        ValueError: Their shapes differ.

    Example:
        >>> forecast = GaussianMixture(logits=torch.zeros(2), loc=torch.tensor([-1.0, 3.0]), scale=torch.ones(2))
        >>> forecast.mean, forecast.quantile(0.5)
        (tensor(1.), tensor(1.))
    """

    num_trailing: ClassVar[int] = 1

    logits: Tensor
    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected values, (...)."""
        return (self._shares * self.loc).sum(-1)

    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the density at `target`, (...)."""
        normal = torch.distributions.Normal(self.loc, self.scale, validate_args=False)
        density: Tensor = normal.log_prob(target.unsqueeze(-1))  # type: ignore[no-untyped-call]
        return (self.logits.log_softmax(-1) + density).logsumexp(-1)

    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of values up to `target`, (...)."""
        return (self._shares * normal_cdf((target.unsqueeze(-1) - self.loc) / self.scale)).sum(-1)

    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), in closed form (Grimit et al. 2006)."""
        shares = self._shares
        near = (shares * half_distance(target.unsqueeze(-1) - self.loc, self.scale)).sum(-1) * 2
        apart = self.loc.unsqueeze(-1) - self.loc.unsqueeze(-2)
        scale = torch.hypot(self.scale.unsqueeze(-1), self.scale.unsqueeze(-2))
        return near - (shares.unsqueeze(-1) * shares.unsqueeze(-2) * half_distance(apart, scale)).sum((-2, -1))

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of `loc + scale * value`; `loc` and `scale` above 0 broadcast to (...)."""
        loc, scale = (beside(each, self.loc, self.shape) for each in (loc, scale))
        return type(self)(logits=self.logits, loc=loc + scale * self.loc, scale=scale * self.scale)

    @property
    def _shares(self) -> Tensor:
        return self.logits.softmax(-1)

    def _quantiles(self, levels: Tensor) -> Tensor:
        # For each level beside the distributions: (Q, ..., K).
        wide = GaussianMixture(
            **{name: value.double().expand(len(levels), *value.shape) for name, value in self._parameters().items()}
        )
        level = levels.view(-1, *(1 for _ in self.shape))
        with torch.no_grad():
            # The quantile lies between those of the components.
            ends = wide.loc + wide.scale * normal_quantile(level).unsqueeze(-1)
            value = bisect(lambda x: wide.cdf(x) >= level, ends.amin(-1), ends.amax(-1))
        return through(value, wide.cdf(value), wide.log_prob(value).exp()).movedim(0, -1)

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        like = self.loc[..., 0]
        uniform = draws(like, num_samples, generator, alike, is_normal=False)
        # The last component has all that is left, be the shares rounded as they may.
        chosen = (uniform.unsqueeze(-1) > self._shares.cumsum(-1)[..., :-1]).sum(-1, keepdim=True)
        loc, scale = (
            each.expand(num_samples, *each.shape).gather(-1, chosen).squeeze(-1) for each in (self.loc, self.scale)
        )
        return loc + scale * draws(like, num_samples, generator, alike, is_normal=True)
