"""The negative binomial distribution, for counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recur.models.distributions.distribution import Distribution
from recur.models.distributions.special import bisect, half_mean_difference, incomplete_beta


@dataclass(frozen=True, kw_only=True, eq=False)
class NegativeBinomial(Distribution):
    """Negative binomial distributions of counts 0, 1, 2, ..., whose variance is rate + rate^2 / total_count.

    A Poisson count whose rate has a gamma distribution of shape `total_count`; for a large one it is Poisson's. Targets
    are whole numbers from 0 on in a floating tensor. Everything is computed in float64.

    Args:
        rate: Expected counts, (...), floating, above 0, which is not checked.
        total_count: Shapes r, (...), above 0.

    Raises:
        TypeError: A parameter is no floating tensor.
        ValueError: Their shapes differ.

    Example:
        >>> forecast = NegativeBinomial(rate=torch.tensor([4.0]), total_count=torch.tensor([2.0]))
        >>> forecast.quantile([0.1, 0.5, 0.9]), forecast.log_prob(torch.tensor([0.0])).exp()
        (tensor([[0., 3., 9.]]), tensor([0.1111]))
    """

    rate: Tensor
    total_count: Tensor

    @property
    def mean(self) -> Tensor:
        """Expected counts, (...)."""
        return self.rate

    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the probability of `target`, (...).

        Raises:
            ValueError: A target is negative or not whole.
        """
        counts, mean, total_count = self._checked(target)
        binomial = torch.distributions.NegativeBinomial(
            total_count, logits=mean.log() - total_count.log(), validate_args=False
        )
        density: Tensor = binomial.log_prob(counts)  # type: ignore[no-untyped-call]
        return density.to(self.rate.dtype)

    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of counts up to `target`, (...)."""
        mean, total_count = self.rate.double(), self.total_count.double()
        return _cdf(target.double(), mean, total_count).to(self.rate.dtype)

    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), in closed form (Wei & Held 2014).

        It is E|X - y| - E|X - X'| / 2. The first takes the distribution function, the second an integral; neither costs
        more for large counts.

        Raises:
            ValueError: A target is negative or not whole.
        """
        counts, mean, total_count = self._checked(target)
        upto = _cdf(counts, mean, total_count)
        logit = total_count.log() - mean.log()
        # With one more in the shape and one less in the count; nothing lies below 0.
        below = incomplete_beta(total_count + 1, counts.clamp(min=1), logit)
        below = torch.where(counts > 0, below, 0)
        near = counts * (2 * upto - 1) - mean * (2 * below - 1)
        return (near - half_mean_difference(total_count, mean)).to(self.rate.dtype)

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of counts whose rates are `scale` times as large.

        Counts cannot be stretched and stay counts; their rate can, which keeps the shape (Salinas et al. 2020, section
        3.3).

        Args:
            loc: 0: counts cannot be moved either.
            scale: Broadcast to (...), above 0.

        Raises:
            ValueError: `loc` is not 0.
        """
        if bool((torch.as_tensor(loc) != 0).any()):
            raise ValueError("NegativeBinomial: loc must be 0, because counts cannot be moved. Scale without centring.")
        return type(self)(rate=scale * self.rate, total_count=self.total_count)

    def _checked(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return counts, means and shapes in float64."""
        counts = target.double()
        if bool(((counts < 0) | (counts != counts.round()) & ~counts.isnan()).any()):
            raise ValueError(
                "NegativeBinomial: a target is negative or not whole, but counts are 0, 1, 2, .... "
                "Take another distribution for other numbers."
            )
        return counts, self.rate.double(), self.total_count.double()

    def _quantiles(self, levels: Tensor) -> Tensor:
        mean, total_count = (
            each.detach().double().unsqueeze(-1).expand(*self.shape, len(levels))
            for each in (self.rate, self.total_count)
        )
        # Cantelli: a share of at most 1 / (1 + d^2) lies d standard deviations above the mean.
        deviation = (mean + mean.square() / total_count).sqrt()
        high = (mean + deviation * (levels / (1 - levels)).sqrt()).ceil() + 1
        num_steps = int(high.max() + 1).bit_length() if high.numel() else 0
        # Between whole numbers; a middle that is not one is rounded down, and so is what is found.
        found = bisect(
            lambda x: _cdf(x.floor(), mean, total_count) >= levels, torch.full_like(mean, -1), high, num_steps
        )
        return found.floor()

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        if alike is not None:
            # Each count takes as many random numbers as chance has it.
            if generator is None:
                generator = torch.Generator(self.rate.device)
                generator.manual_seed(int(torch.randint(1 << 62, ())))
            state = generator.get_state()
            drawn = []
            for place in range(self.shape[alike]):
                generator.set_state(state)
                one = torch.tensor([place], device=self.rate.device)
                parameters = {name: value.index_select(alike, one) for name, value in self._parameters().items()}
                drawn.append(type(self)(**parameters)._draw(num_samples, generator, None))
            return torch.cat(drawn, 1 + alike) if drawn else self.rate.expand(num_samples, *self.shape).clone()
        shape = self.total_count.double().expand(num_samples, *self.shape)
        # torch's public gamma distribution takes no generator.
        gamma = torch._standard_gamma(shape, generator=generator)
        return torch.poisson(gamma * (self.rate / self.total_count), generator=generator).to(self.rate.dtype)


def _cdf(counts: Tensor, mean: Tensor, total_count: Tensor) -> Tensor:
    """Return the probability of counts up to `counts`: I_p(r, k + 1), where the odds of p are r / mean."""
    reached = incomplete_beta(total_count, counts.floor().clamp(min=0) + 1, total_count.log() - mean.log())
    return torch.where(counts >= 0, reached, torch.where(counts.isnan(), torch.nan, 0.0).to(reached.dtype))
