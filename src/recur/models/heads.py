"""Output layers that turn a network's features into distributions of the numbers to come."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from recur.kinds import is_whole
from recur.models.distributions import (
    Distribution,
    Gaussian,
    GaussianMixture,
    NegativeBinomial,
    Point,
    Quantiles,
    StudentT,
)
from recur.models.distributions.distribution import LEVELS, LOSSES, Loss
from recur.nn import Linear
from recur.score.quantiles import growing_levels

Size: TypeAlias = int | Sequence[int]
"""Numbers to predict: one dimension of them, or several."""

_LEAST = 1e-6
"""Added to what must be above 0, so that no density is infinite; small beside series scaled to about 1."""


class Head(nn.Module, ABC):
    """A linear layer whose outputs are the parameters of distributions.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        loss: What `loss` computes: "nll", "crps", "pinball" or "squared", as in `Distribution.loss`; None is the head's
            own.

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, or the loss is not known or does not exist for this head.
    """

    default_loss: ClassVar[Loss] = "nll"

    def __init__(self, in_features: int, output_size: Size, *, num_parameters: int, loss: Loss | None) -> None:
        super().__init__()
        name = type(self).__name__
        sizes = (output_size,) if isinstance(output_size, int) else tuple(output_size)
        for what, size in [("in_features", in_features), *(("output_size", size) for size in sizes)]:
            if not is_whole(size):
                raise TypeError(f"{name}: {what} must be whole numbers, but one is {size!r}.")
            if size < 1:
                raise ValueError(f"{name}: {what} must be at least 1, but is {size}.")
        if loss is not None and loss not in LOSSES:
            raise ValueError(f"{name}: a loss is one of {', '.join(LOSSES)}, but is {loss!r}.")
        self.in_features = in_features
        self.output_size = sizes
        self.loss_kind: Loss = self.default_loss if loss is None else loss
        self.num_parameters = num_parameters
        self.projection = Linear(in_features, math.prod(sizes) * num_parameters)

    def forward(self, x: Tensor) -> Distribution:
        """Return the distributions that features stand for.

        Args:
            x: (..., H), floating.

        Returns:
            Distributions of shape (..., *output_size).

        Raises:
            ValueError: `x` has another number of features.
        """
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__}: x must have shape (..., {self.in_features}), but has {tuple(x.shape)}."
            )
        raw = self.projection(x).unflatten(-1, (*self.output_size, self.num_parameters))
        return self.distribution(raw)

    @abstractmethod
    def distribution(self, raw: Tensor) -> Distribution:
        """Return the distributions whose unbounded parameters are `raw`, (..., P)."""

    @abstractmethod
    def standard_normal(self) -> Tensor:
        """Return the unbounded parameters, (P,), of the distribution nearest to the standard normal one.

        A point is its mean; of counts it is the one whose mean is 1.
        """

    def loss(self, forecast: Distribution, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """Return the mean of the head's loss over the targets that count, ().

        Arguments and errors are those of `Distribution.loss`.
        """
        return forecast.loss(target, by=self.loss_kind, weight=weight)

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        return f"in_features={self.in_features}, output_size={self.output_size}, loss={self.loss_kind!r}"


class PointHead(Head):
    """A head that says one number and not how sure it is.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        loss: "squared", which aims at the mean; or "crps", which is the absolute error and aims at the median.

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, or the loss is not known, or the likelihood, which a point does not have.

    Example:
        >>> head = PointHead(16, 24)
        >>> head(torch.randn(5, 16)).mean.shape
        torch.Size([5, 24])
    """

    default_loss: ClassVar[Loss] = "squared"

    def __init__(self, in_features: int, output_size: Size, *, loss: Loss | None = None) -> None:
        super().__init__(in_features, output_size, num_parameters=1, loss=loss)
        if loss == "nll":
            raise ValueError("PointHead: loss is 'nll', but a point has no likelihood. Take 'squared' or 'crps'.")

    def distribution(self, raw: Tensor) -> Point:
        """Return the points, from `raw` (..., 1)."""
        return Point(value=raw.squeeze(-1))

    def standard_normal(self) -> Tensor:
        """Return 0, (1,)."""
        return torch.zeros(1)


class GaussianHead(Head):
    """A head for normal distributions: mean, and the softplus of the other output as standard deviation.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        loss: "nll"; or "crps", which single outliers sway less; "pinball", "squared".

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, or the loss is not known.

    Example:
        >>> head = GaussianHead(16, 24, loss="crps")
        >>> forecast = head(torch.randn(5, 16))
        >>> head.loss(forecast, torch.randn(5, 24)).shape, forecast.quantile([0.1, 0.9]).shape
        (torch.Size([]), torch.Size([5, 24, 2]))
    """

    def __init__(self, in_features: int, output_size: Size, *, loss: Loss | None = None) -> None:
        super().__init__(in_features, output_size, num_parameters=2, loss=loss)

    def distribution(self, raw: Tensor) -> Gaussian:
        """Return the distributions, from `raw` (..., 2)."""
        loc, scale = raw.unbind(-1)
        return Gaussian(loc=loc, scale=softplus(scale) + _LEAST)

    def standard_normal(self) -> Tensor:
        """Return those of mean 0 and standard deviation 1, (2,)."""
        return torch.cat([torch.zeros(1), _raw_of(torch.ones(1))])


class StudentTHead(Head):
    """A head for Student's t distributions, whose tails it learns; they always have a variance, so df is above 2.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        loss: "nll", "crps", "pinball" or "squared".

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, or the loss is not known.

    Example:
        >>> bool((StudentTHead(16, 24)(torch.randn(5, 16)).df > 2).all())
        True
    """

    def __init__(self, in_features: int, output_size: Size, *, loss: Loss | None = None) -> None:
        super().__init__(in_features, output_size, num_parameters=3, loss=loss)

    def distribution(self, raw: Tensor) -> StudentT:
        """Return the distributions, from `raw` (..., 3)."""
        df, loc, scale = raw.unbind(-1)
        return StudentT(df=2 + softplus(df) + _LEAST, loc=loc, scale=softplus(scale) + _LEAST)

    def standard_normal(self) -> Tensor:
        """Return those of 10 degrees of freedom, from where training can go both ways, and variance 1, (3,)."""
        return torch.cat([torch.tensor([8.0, 0.0]), _raw_of(torch.tensor([0.8**0.5]))])


class NegativeBinomialHead(Head):
    """A head for counts: mean, and the softplus of the other output as what the variance has beyond Poisson's.

    Source: Salinas et al. (2020), section 3.1: variance = mean + dispersion mean^2, with dispersion = 1 / total_count.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        loss: "nll", "crps" or "squared"; "pinball" has no gradient, because quantiles of counts are whole numbers.

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, the loss is not known, or it is "pinball".

    Example:
        >>> forecast = NegativeBinomialHead(16, 24)(torch.randn(5, 16))
        >>> forecast.rescaled(0, 10.0).sample(generator=torch.Generator().manual_seed(0)).frac().abs().max()
        tensor(0.)
    """

    def __init__(self, in_features: int, output_size: Size, *, loss: Loss | None = None) -> None:
        super().__init__(in_features, output_size, num_parameters=2, loss=loss)
        if loss == "pinball":
            raise ValueError(
                "NegativeBinomialHead: loss is 'pinball', but quantiles of counts have no gradient. Take 'nll'."
            )

    def distribution(self, raw: Tensor) -> NegativeBinomial:
        """Return the distributions, from `raw` (..., 2)."""
        rate, dispersion = (softplus(raw) + _LEAST).unbind(-1)
        return NegativeBinomial(rate=rate, total_count=1 / dispersion)

    def standard_normal(self) -> Tensor:
        """Return those of mean 1 and variance 2, (2,)."""
        return _raw_of(torch.ones(2))


class MixtureHead(Head):
    """A head for mixtures of normal distributions (Bishop 1994), which can have several peaks.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        num_components: K, how many normal distributions are mixed for each.
        loss: "nll", "crps", "pinball" or "squared".

    Raises:
        TypeError: A size is no whole number.
        ValueError: A size is below 1, or the loss is not known.

    Example:
        >>> MixtureHead(16, (24, 3), num_components=4)(torch.randn(5, 16)).loc.shape
        torch.Size([5, 24, 3, 4])
    """

    def __init__(
        self, in_features: int, output_size: Size, *, num_components: int = 3, loss: Loss | None = None
    ) -> None:
        if not is_whole(num_components):
            raise TypeError(f"MixtureHead: num_components must be an int, but is {type(num_components).__name__}.")
        if num_components < 1:
            raise ValueError(f"MixtureHead: num_components is {num_components}, but must be at least 1.")
        super().__init__(in_features, output_size, num_parameters=3 * num_components, loss=loss)
        # Components that begin alike would get the same gradient for ever; the centres begin spread over the data.
        with torch.no_grad():
            bias = self.projection.bias.view(-1, 3, num_components)
            bias[:, 1] += torch.linspace(-1, 1, num_components)

    def distribution(self, raw: Tensor) -> GaussianMixture:
        """Return the distributions, from `raw` (..., 3 K)."""
        logits, loc, scale = raw.chunk(3, dim=-1)
        return GaussianMixture(logits=logits, loc=loc, scale=softplus(scale) + _LEAST)

    def standard_normal(self) -> Tensor:
        """Return those of mean 0 and variance 1 in all, the centres apart, (3 K,)."""
        num_components = self.num_parameters // 3
        loc = torch.linspace(-1, 1, num_components) if num_components > 1 else torch.zeros(1)
        loc = 0.8 * loc
        scale = (1 - loc.square().mean()).sqrt().repeat(num_components)
        return torch.cat([torch.zeros(num_components), loc, _raw_of(scale)])


class QuantileHead(Head):
    """A head for quantiles that cannot cross: the middle one, and steps from there to both sides, never backwards.

    Args:
        in_features: H, the features of the network.
        output_size: Numbers to predict from each, such as the horizon, or (horizon, channels).
        levels: Probabilities of the quantiles, at least two, between 0 and 1, growing.
        loss: "pinball", the loss of these quantiles; "crps" or "nll" of the distribution between them, see `Quantiles`;
            or "squared".

    Raises:
        TypeError: A size is no whole number, or a level no number.
        ValueError: A size is below 1, the loss is not known, or the levels are out of range.

    Example:
        >>> forecast = QuantileHead(16, 24, levels=(0.1, 0.5, 0.9))(torch.randn(5, 16))
        >>> bool((forecast.values.diff(dim=-1) > 0).all())
        True
    """

    default_loss: ClassVar[Loss] = "pinball"

    def __init__(
        self, in_features: int, output_size: Size, *, levels: Sequence[float] = LEVELS, loss: Loss | None = None
    ) -> None:
        levels = growing_levels("QuantileHead", levels)
        if len(levels) < 2:
            raise ValueError("QuantileHead: levels must be at least two, but there is 1. For one, take PointHead.")
        super().__init__(in_features, output_size, num_parameters=len(levels), loss=loss)
        self.levels = levels

    def distribution(self, raw: Tensor) -> Quantiles:
        """Return the distributions, from `raw` (..., Q)."""
        middle = len(self.levels) // 2
        steps = softplus(raw) + _LEAST
        centre = raw[..., middle : middle + 1]
        below = centre - steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
        above = centre + steps[..., middle + 1 :].cumsum(-1)
        return Quantiles(values=torch.cat([below, centre, above], dim=-1), levels=self.levels)

    def standard_normal(self) -> Tensor:
        """Return those of the normal distribution's quantiles, (Q,)."""
        middle = len(self.levels) // 2
        values = torch.special.ndtri(torch.tensor(self.levels))
        below, above = values[: middle + 1].diff(), values[middle:].diff()
        return torch.cat([_raw_of(below), values[middle : middle + 1], _raw_of(above)])


def _raw_of(values: Tensor) -> Tensor:
    """Return what `softplus` makes values above 0 of."""
    return (values - _LEAST).expm1().log()
