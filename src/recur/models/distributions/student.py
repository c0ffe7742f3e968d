"""Student's t distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recur.models.distributions.distribution import Distribution, draws
from recur.models.distributions.special import incomplete_beta, log_beta, normal_quantile, through

_NEWTON_STEPS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class StudentT(Distribution):
    """Student's t distributions, moved and stretched: tails as heavy as few degrees of freedom make them.

    Args:
        df: Degrees of freedom, (...), floating, above 0, which is not checked; mean and score exist above 1.
        loc: Centres, (...).
        scale: Scales, (...), above 0; the standard deviation is that times sqrt(df / (df - 2)).

    Raises:
        TypeError: A parameter is no floating tensor.
        ValueError: Their shapes differ.

    Example:
        >>> forecast = StudentT(df=torch.tensor([3.0]), loc=torch.zeros(1), scale=torch.ones(1))
        >>> forecast.quantile(0.975), forecast.crps(torch.zeros(1))
        (tensor([3.1824]), tensor([0.2757]))
    """

    df: Tensor
    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected values, (...); NaN where they do not exist, for one degree of freedom or less."""
        return torch.where(self.df > 1, self.loc, torch.nan)

    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the density at `target`, (...)."""
        student = torch.distributions.StudentT(self.df, self.loc, self.scale, validate_args=False)
        density: Tensor = student.log_prob(target)  # type: ignore[no-untyped-call]
        return density

    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of values up to `target`, (...), computed in float64."""
        z, df, _ = self._standard(target)
        return _standard_cdf(z, df).to(self.loc.dtype)

    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), in closed form (Jordan et al. 2019, appendix A).

        Computed in float64; infinite where the degrees of freedom are 1 or less.
        """
        z, df, scale = self._standard(target)
        half = torch.full_like(df, 0.5)
        spread = (
            2 * df.sqrt() / (df - 1) * torch.exp(log_beta(half, df - 0.5) - 2 * log_beta(half, df / 2))
        )  # E|X - X'| / 2
        density = torch.exp(_log_density(z, df))
        score = z * (2 * _standard_cdf(z, df) - 1) + 2 * density * (df + z.square()) / (df - 1) - spread
        return torch.where(df > 1, scale * score, torch.inf).to(self.loc.dtype)

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of `loc + scale * value`; `loc` and `scale` above 0 broadcast to (...)."""
        return type(self)(df=self.df, loc=loc + scale * self.loc, scale=scale * self.scale)

    def _standard(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `target` less the centre in units of the scale, df, and scale, in float64."""
        scale = self.scale.double()
        return (target.double() - self.loc.double()) / scale, self.df.double(), scale

    def _quantiles(self, levels: Tensor) -> Tensor:
        df, loc, scale = (each.double().unsqueeze(-1) for each in (self.df, self.loc, self.scale))
        df = df.expand(*self.shape, len(levels))
        tail = torch.minimum(levels, 1 - levels).expand_as(df)
        with torch.no_grad():
            z = -_tail_distance(tail, df)
        found = through(z, _standard_cdf(z, df), torch.exp(_log_density(z, df)))
        return loc + scale * torch.where(levels < 0.5, found, -found)

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        # Bailey (1994), the polar method without a rejection.
        radius, angle = (draws(self.loc, num_samples, generator, alike, is_normal=False) for _ in range(2))
        z = torch.sqrt(self.df * torch.expm1(-2 / self.df * radius.log())) * torch.cos(2 * math.pi * angle)
        return self.loc + self.scale * z


def _standard_cdf(z: Tensor, df: Tensor) -> Tensor:
    """Return the distribution function of the standard t distribution, smooth in all of it."""
    # I_x(df / 2, df / 2) at the x whose logit is 2 asinh(z / sqrt(df)).
    return incomplete_beta(df / 2, df / 2, 2 * torch.asinh(z / df.sqrt()))


def _log_density(z: Tensor, df: Tensor) -> Tensor:
    """Return the logarithm of the density of the standard t distribution."""
    half = torch.full_like(df, 0.5)
    return -(df + 1) / 2 * torch.log1p(z.square() / df) - df.log() / 2 - log_beta(half, df / 2)


def _tail_distance(tail: Tensor, df: Tensor) -> Tensor:
    """Return the z with probability `tail`, at most a half, beyond it."""
    half = df / 2
    # sqrt(df log(1 + z^2 / df)) is nearly normal, however few the degrees of freedom. In the logit of `_standard_cdf`,
    # u = 2 asinh(z / sqrt(df)), the logarithm of the tail is concave, so Newton's method cannot miss.
    logit = -2 * torch.asinh(torch.expm1(normal_quantile(tail).square() / df).sqrt())
    for _ in range(_NEWTON_STEPS):
        reached = incomplete_beta(half, half, logit)
        log_density = half * (logsigmoid(logit) + logsigmoid(-logit)) - log_beta(half, half)
        step = (reached / tail).log() * reached / log_density.exp()
        logit = logit - step
        if not bool((step.abs() > 1e-9 * (1 + logit.abs())).any()):
            break
    return df.sqrt() * torch.sinh(-logit / 2)
