"""A distribution told by some of its quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from recur.models.distributions.distribution import Distribution, Loss, beside, draws
from recur.score.quantiles import growing_levels


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantiles(Distribution):
    """Distributions known by Q quantiles: straight between them, exponential beyond the outermost.

    The quantile function is linear between the levels (Gasthaus et al. 2019, with fixed knots), and each tail is the
    exponential one through the two outermost quantiles of its side (Park et al. 2022 learn theirs). So density, mean,
    samples and score all belong to the same distribution.

    Args:
        values: Quantiles, (..., Q), floating, growing along Q, which is not checked.
        levels: Their Q probabilities, at least two, between 0 and 1, growing.

    Raises:
        TypeError: `values` is no floating tensor, or a level no number.
        ValueError: Levels are out of range, fewer than two, or another number than values.

    Example:
        >>> forecast = Quantiles(values=torch.tensor([[0.0, 1.0, 2.0]]), levels=(0.1, 0.5, 0.9))
        >>> forecast.mean, forecast.quantile(0.7), forecast.cdf(torch.tensor([1.5]))
        (tensor([1.]), tensor([1.5000]), tensor([0.7000]))
    """

    num_trailing: ClassVar[int] = 1

    values: Tensor
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = growing_levels("Quantiles", self.levels)
        if len(levels) < 2 or len(levels) != self.values.shape[-1]:
            raise ValueError(
                f"Quantiles: values have shape {tuple(self.values.shape)}, whose last dimension must be the number of "
                f"levels, at least 2, but there are {len(levels)}."
            )
        object.__setattr__(self, "levels", levels)

    @property
    def mean(self) -> Tensor:
        """Expected values, (...)."""
        x, q = self.values, self._q
        low, high = self._tails()
        middle = ((x[..., 1:] + x[..., :-1]) / 2 * q.diff()).sum(-1)
        return middle + q[0] * (x[..., 0] - low) + (1 - q[-1]) * (x[..., -1] + high)

    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the density at `target`, (...)."""
        x, q, y = self.values, self._q, target
        low, high = self._tails()
        # Where two quantiles coincide there is an atom, and the density is infinite.
        inside = torch.log(q.diff()) - torch.log(x.diff(dim=-1))
        segment = (y.unsqueeze(-1) > x[..., 1:-1]).sum(-1, keepdim=True)
        density = inside.gather(-1, segment).squeeze(-1)
        below = q[0].log() - low.log() - (x[..., 0] - y) / low
        above = torch.log1p(-q[-1]) - high.log() - (y - x[..., -1]) / high
        return torch.where(y < x[..., 0], below, torch.where(y > x[..., -1], above, density))

    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of values up to `target`, (...)."""
        x, q, y = self.values, self._q, target
        low, high = self._tails()
        below = q[0] * torch.exp((y - x[..., 0]).clamp(max=0) / low)
        above = -(1 - q[-1]) * torch.expm1((x[..., -1] - y).clamp(max=0) / high)
        return below + self._passed(y).sum(-1) + above

    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), of the whole distribution in closed form.

        Measured from the target, it is twice the integral of Q(q) over the levels above the target's own, less twice
        the integral of q Q(q) over all (from the pinball form, Gneiting & Ranjan 2011).
        """
        x, q = self.values - target.unsqueeze(-1), self._q
        low, high = self._tails()
        first, last, begin, rest = x[..., 0], x[..., -1], q[0], 1 - q[-1]
        start, end, step = x[..., :-1], x[..., 1:], q.diff()
        zero = torch.zeros_like(first)
        upper = ((step - self._passed(target)) * (start.clamp(min=0) + end.clamp(min=0)) / 2).sum(-1)
        # Of the lower tail, what lies above the target: all of its integral but the part below.
        reached = begin * torch.exp(torch.minimum(-first, zero) / low)
        upper = upper + torch.where(first > 0, begin * (first - low) + reached * low, zero)
        upper = upper + rest * torch.exp(torch.minimum(last, zero) / high) * (last.clamp(min=0) + high)
        moment = (step * (q[:-1] * (start + end) / 2 + step * (start / 6 + end / 3))).sum(-1)
        moment = moment + begin.square() * (first / 2 - low / 4)
        moment = moment + rest * (last + high) - rest.square() * (last / 2 + high / 4)
        return 2 * (upper - moment)

    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of `loc + scale * value`; `loc` and `scale` above 0 broadcast to (...)."""
        loc, scale = (beside(each, self.values, self.shape) for each in (loc, scale))
        return type(self)(values=loc + scale * self.values, levels=self.levels)

    def loss(
        self,
        target: Tensor,
        *,
        by: Loss = "pinball",
        weight: Tensor | None = None,
        levels: Sequence[float] | None = None,
    ) -> Tensor:
        """Return the mean loss over the targets that count: by default the pinball loss of the very quantiles.

        Arguments and errors are those of `Distribution.loss`; `levels` are the distribution's own unless given.
        """
        return super().loss(target, by=by, weight=weight, levels=self.levels if levels is None else levels)

    @property
    def _q(self) -> Tensor:
        return torch.tensor(self.levels, dtype=self.values.dtype, device=self.values.device)

    def _tails(self) -> tuple[Tensor, Tensor]:
        """Return the scales of the exponential tails below and above, (...)."""
        q = self.levels
        low = (self.values[..., 1] - self.values[..., 0]) / math.log(q[1] / q[0])
        high = (self.values[..., -1] - self.values[..., -2]) / math.log((1 - q[-2]) / (1 - q[-1]))
        # Where they coincide, the tail is as good as nothing, but can still be divided by.
        least = torch.finfo(low.dtype).eps
        return low.clamp(min=least), high.clamp(min=least)

    def _passed(self, y: Tensor) -> Tensor:
        """Return the probability between each two neighbours that lies below `y`, (..., Q - 1)."""
        start, end = self.values[..., :-1], self.values[..., 1:]
        y = y.unsqueeze(-1)
        is_wide = end > start
        share = (y - start) / torch.where(is_wide, end - start, 1)
        share = torch.where(is_wide, share.clamp(0, 1), (y >= start).to(share.dtype))
        return self._q.diff() * share

    def _quantiles(self, levels: Tensor) -> Tensor:
        x, q = self.values, self._q
        low, high = self._tails()
        level = levels.to(x.dtype)
        place = torch.bucketize(level, q).clamp(1, len(q) - 1)
        share = ((level - q[place - 1]) / (q[place] - q[place - 1])).clamp(0, 1)
        inside = x[..., place - 1] + share * (x[..., place] - x[..., place - 1])
        below = low.unsqueeze(-1) * (level / q[0]).clamp(max=1).log()
        above = high.unsqueeze(-1) * ((1 - level) / (1 - q[-1])).clamp(max=1).log()
        return inside + below - above

    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        # Uniform numbers are never 0, and 1 has to be kept from the logarithm of the upper tail.
        uniform = draws(self.values[..., 0], num_samples, generator, alike, is_normal=False)
        uniform = uniform.clamp(max=1 - torch.finfo(uniform.dtype).eps / 2)
        x, q = self.values.expand(num_samples, *self.values.shape), self._q
        low, high = self._tails()
        place = torch.bucketize(uniform, q).clamp(1, len(q) - 1)
        left, right = (x.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (place - 1, place))
        share = ((uniform - q[place - 1]) / (q[place] - q[place - 1])).clamp(0, 1)
        tails = low * (uniform / q[0]).clamp(max=1).log() - high * ((1 - uniform) / (1 - q[-1])).clamp(max=1).log()
        return left + share * (right - left) + tails
