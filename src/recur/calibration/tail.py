"""The tail of a distribution, as extreme value theory has it, and thresholds that a stated share of values exceeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.kinds import is_number
from recur.score.counting import floating, fraction, weights

_LEAST_EXCESSES = 10
"""With fewer, only the scale is estimated and the tail taken as exponential."""
_LEAST_SHAPE = -0.5
"""Below it the maximum of the likelihood is no good estimate any more (Smith 1985)."""
_SMALL = 1e-9
"""A shape this near to 0 is 0."""
_WIDEST = 20.0
"""The search begins between plus and minus this and closes in, each time to the neighbours of the best place."""
_NUM_PLACES = (81, 17)
_NUM_SEARCHES = 10
_MOST_ELEMENTS = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class Tail:
    """Upper tails of series, each a generalised Pareto distribution of what lies above a level.

    P(value > level + x | value > level) = (1 + shape x / scale)^(-1 / shape), or exp(-x / scale) for a shape of 0.

    Attributes:
        level: From where the tail begins, (...), floating.
        share: Share of values above the level, (...).
        shape: xi, (...): 0 is an exponential tail, above is heavier, below ends at level - scale / shape.
        scale: sigma, (...), in the unit of the values; 0 where nothing was above the level.
        num_excesses: How many values the tail was fitted to, (...), int64.
    """

    level: Tensor
    share: Tensor
    shape: Tensor
    scale: Tensor
    num_excesses: Tensor

    def threshold(self, rate: float) -> Tensor:
        """Return what a value exceeds with probability `rate`, (...): a threshold with that false-alarm rate.

        Source: Siffer et al. (2017), equation 1.

        Args:
            rate: Share of ordinary values above the threshold, between 0 and 1, such as 1e-4; where it is not below
                `share` the level itself is returned, as the tail does not reach further down.

        Raises:
            TypeError: `rate` is no number.
            ValueError: It is not between 0 and 1.
        """
        least = torch.finfo(self.share.dtype).tiny
        ratio = (fraction("Tail", "rate", rate) / self.share.clamp(min=least)).clamp(max=1).log()
        is_small = self.shape.abs() < _SMALL
        growth = torch.where(is_small, -ratio, torch.expm1(-self.shape * ratio) / torch.where(is_small, 1, self.shape))
        return self.level + self.scale * torch.where(self.share > 0, growth, 0)

    def probability(self, values: Tensor) -> Tensor:
        """Return how likely an ordinary value is to exceed each of `values`, (...), for those above the level.

        Below the level it is `share`, as the tail does not know more. It is a p-value: the smaller, the stranger.

        Args:
            values: Broadcast with the tails, floating. NaN gives NaN.
        """
        excess = (values - self.level).clamp(min=0)
        scale = torch.where(self.scale > 0, self.scale, 1)
        ratio = torch.log1p((self.shape * excess / scale).clamp(min=-1))
        is_small = self.shape.abs() < _SMALL
        exponent = torch.where(is_small, excess / scale, ratio / torch.where(is_small, 1, self.shape))
        # Without any excess seen, nothing above the level is ordinary.
        known = torch.where(self.scale > 0, torch.exp(-exponent), (excess <= 0).to(exponent.dtype))
        return torch.where(excess.isnan(), torch.nan, self.share * known)


def fit_tail(
    scores: Tensor,
    *,
    level: float = 0.98,
    weight: Tensor | None = None,
    least_shape: float = _LEAST_SHAPE,
    least_excesses: int = _LEAST_EXCESSES,
) -> Tail:
    """Return the upper tails of series: peaks over a threshold, with a generalised Pareto tail of greatest likelihood.

    The level is a quantile of each series. Of what lies above it, the two-parameter likelihood is a function of shape /
    scale alone (Grimshaw 1993), which is searched over its whole range and refined; so the greatest maximum is found,
    and for all series at once. The shape is kept at -1/2 or above, below which likelihood is no guide (Smith 1985).
    With few excesses the tail is exponential, its scale their mean.

    Args:
        scores: Ordinary values of each series, such as errors in the training part, (..., T), floating. NaN is missing.
        level: The quantile at which the tail begins, between 0 and 1; Siffer et al. (2017) take 0.98.
        weight: Whether a value counts, broadcast to `scores`; any number above 0 counts alike.
        least_shape: The shape is no less, from -1/2 on: 0 for scores of which it is known that their tail has no end,
            which by chance few of them seem to have.
        least_excesses: With fewer the tail is exponential.

    Returns:
        The tails, (...).

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: `scores` has no dimension, a series has no value that counts, or an option is out of range.

    Example:
        >>> import math
        >>> scores = -torch.log1p(-torch.arange(0.5, 20000).double() / 20000)
        >>> tail = fit_tail(scores)
        >>> f"{tail.threshold(1e-4).item():.1f}, exactly {-math.log(1e-4):.1f}"
        '9.2, exactly 9.2'
    """
    if floating("fit_tail", "scores", scores).dim() == 0:
        raise ValueError("fit_tail: scores must have shape (..., T), but have no dimension.")
    level = fraction("fit_tail", "level", level)
    if not (is_number(least_shape) and _LEAST_SHAPE <= least_shape < math.inf):
        raise ValueError(f"fit_tail: least_shape is {least_shape!r}, but must be a number from -0.5 on.")
    counts = weights("fit_tail", scores, weight) > 0
    number = counts.sum(-1)
    if bool((number == 0).any()):
        raise ValueError("fit_tail: a series has no value that counts. Leave it out.")
    ordered = torch.where(counts, scores, torch.inf).sort(-1).values
    rank = (torch.ceil(number * level - 1e-9).long() - 1).clamp(min=0)
    start = ordered.gather(-1, rank.unsqueeze(-1))
    is_above = counts & (scores > start)
    num_excesses = is_above.sum(-1)
    # Only the largest values are above; the others need not be carried along.
    width = int(num_excesses.max()) if num_excesses.numel() else 0
    largest = torch.where(is_above, scores - start, -torch.inf).topk(width, dim=-1).values
    is_there = largest > 0
    shape, scale = fit_pareto(torch.where(is_there, largest, 0), is_there, least_shape, least_excesses)
    return Tail(
        level=start.squeeze(-1),
        share=(num_excesses / number).to(scores.dtype),
        shape=shape,
        scale=scale,
        num_excesses=num_excesses,
    )


def fit_pareto(
    excesses: Tensor, counts: Tensor, least_shape: float = _LEAST_SHAPE, least_excesses: int = _LEAST_EXCESSES
) -> tuple[Tensor, Tensor]:
    """Return shape and scale of generalised Pareto distributions of greatest likelihood, (...).

    With x = shape / scale, the likelihood is greatest at shape = mean log(1 + x y), where it is
    -n (log(shape / x) + shape + 1) (Grimshaw 1993). x runs from -1 / max y to infinity, searched evenly
    in log(1 + x max y).

    Args:
        excesses: (..., N), floating, from 0 on, 0 where they do not count.
        counts: (..., N) bool.
        least_shape: As of `fit_tail`.
        least_excesses: As of `fit_tail`.
    """
    y = excesses.double()
    number = counts.sum(-1)
    mean = torch.where(counts, y, 0).sum(-1) / number.clamp(min=1)
    if not y.shape[-1]:
        return torch.zeros_like(mean).to(excesses.dtype), torch.zeros_like(mean).to(excesses.dtype)
    highest = y.amax(-1).clamp(min=torch.finfo(torch.float64).tiny)
    unit, relative = mean / highest, torch.where(counts, y, 0) / highest.unsqueeze(-1)

    def shape_of(place: Tensor) -> Tensor:
        return torch.log1p(torch.expm1(place).unsqueeze(-1) * relative).sum(-1) / number.clamp(min=1)

    def cost(place: Tensor) -> Tensor:
        # Minus the likelihood of one excess in units of the highest. At 0, shape / x is the mean.
        shape = shape_of(place)
        x = torch.expm1(place)
        is_zero = x.abs() < _SMALL
        scale = torch.where(is_zero, unit, shape / torch.where(is_zero, 1, x))
        return torch.where(shape < least_shape, torch.inf, scale.log() + shape)

    with torch.no_grad():
        at_once = max(_MOST_ELEMENTS // max(relative.numel(), 1), 1)
        place, gap, num_places = torch.zeros_like(mean), _WIDEST, _NUM_PLACES[0]
        for _ in range(_NUM_SEARCHES):
            offsets = torch.linspace(-gap, gap, num_places, dtype=place.dtype, device=place.device)
            places = place + offsets.view(-1, *(1 for _ in place.shape))
            costs = torch.cat([cost(some) for some in torch.split(places, at_once)])
            place = places.gather(0, costs.argmin(0, keepdim=True)).squeeze(0)
            gap, num_places = 2 * gap / (num_places - 1), _NUM_PLACES[1]
        shape = shape_of(place)
        x = torch.expm1(place)
        is_simple = (x.abs() < _SMALL) | (number < least_excesses)
        scale = torch.where(is_simple, mean, highest * shape / torch.where(is_simple, 1, x))
        shape = torch.where(is_simple, 0, shape)
    return shape.to(excesses.dtype), scale.to(excesses.dtype)
