"""What a forecast network says of each value, and how that is judged and drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from recur.models.distributions import Distribution, NegativeBinomial
from recur.models.forecast_start import GATE
from recur.models.forecaster_options import ForecasterOptions
from recur.models.heads import (
    GaussianHead,
    Head,
    MixtureHead,
    NegativeBinomialHead,
    PointHead,
    QuantileHead,
    Size,
    StudentTHead,
)
from recur.models.series_normalization import Place
from recur.models.series_shape import SeriesShape
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

_HEADS: dict[str, Callable[..., Head]] = {
    "point": PointHead,
    "gaussian": GaussianHead,
    "student-t": StudentTHead,
    "negative-binomial": NegativeBinomialHead,
}


class Told(NamedTuple):
    """Forecasts beside what came.

    Attributes:
        forecast: On the scaled values, of the shape (..., B, S, C).
        target: (..., B, S, C), scaled, 0 where missing.
        weight: (..., B, S, C), 0 where a target does not count.
    """

    forecast: Distribution
    target: Tensor
    weight: Tensor


class ForecastHead(nn.Module):
    """From features to distributions of the scaled values, told from where the series are.

    What the head says is put through loc and scale of the normalisation. With normalize "window" and "last", a gate
    chooses for each value how much of the way from the mean to the last value it starts from: a series that wanders is
    told from the last value, noise around a level from the level, and most others from the one soon and from the other
    later.

    Args:
        options: Complete.
        num_steps: W, steps that are told from the same features.
        num_targets: C.
    """

    def __init__(self, options: ForecasterOptions, num_steps: int, num_targets: int) -> None:
        super().__init__()
        assert options.hidden_size is not None
        self.size = (num_steps, num_targets)
        self.head = _make_head(options, options.hidden_size, self.size)
        self.gate = Linear(options.hidden_size, num_steps * num_targets) if options.normalize != "series" else None
        if self.gate is not None:
            nn.init.constant_(self.gate.bias, GATE)

    @torch.no_grad()
    def start(self) -> None:
        """Tell, until training changes it, nothing but loc and scale of the place, as a distribution near the normal.

        The gate stays where it begins, at `GATE`, whatever was read.
        """
        self.head.projection.bias.copy_(self.head.standard_normal().repeat(math.prod(self.size)))
        nn.init.zeros_(self.head.projection.weight)
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.constant_(self.gate.bias, GATE)

    def forward(self, features: Tensor, place: Place, horizon: int | None = None) -> Distribution:
        """Return distributions, (..., P, C).

        Args:
            features: (..., M, H).
            place: What they are told from, (..., 1, C) or (..., P, C).
            horizon: P; None is M W, and fewer cut the last ones off.
        """
        maps = [self.head.projection] if self.gate is None else [self.head.projection, self.gate]
        raw, *gates = _mapped(maps, features)
        said = self._steps(raw, (*self.size, self.head.num_parameters), horizon)
        forecast: Distribution = self.head.distribution(said)
        if not gates:
            return forecast.rescaled(place.loc, place.scale)
        kept = self._steps(gates[0], (*self.size, 1), horizon)[..., 0].sigmoid()
        return forecast.rescaled(torch.lerp(place.mean, place.loc, kept), place.scale)

    @staticmethod
    def _steps(values: Tensor, size: tuple[int, int, int], horizon: int | None) -> Tensor:
        """Return (..., M, W * C * K) as (..., P, C, K)."""
        return torch.unflatten(values, -1, size).flatten(-4, -3)[..., slice(horizon), :, :]


def _mapped(maps: Sequence[nn.Linear], features: Tensor) -> Sequence[Tensor]:
    """Return what each of some linear maps makes of features (..., H) that may lie turned round in memory.

    All are taken at once, in the features' own order, and what comes out is turned round: the features are many times
    as large, and what takes long is to go over them and over their gradient. A product with few rows takes a fraction
    of the time of one with few columns.
    """
    order = sorted(range(features.dim() - 1), key=features.stride, reverse=True)
    weight, bias = torch.cat([each.weight for each in maps]), torch.cat([each.bias for each in maps])
    turned = features.permute(*order, -1)
    found = torch.addmm(bias[:, None], weight, turned.flatten(0, -2).t()).view(-1, *turned.shape[:-1])
    found = found.permute(*(order.index(dim) + 1 for dim in range(len(order))), 0)
    return torch.split(found, [each.out_features for each in maps], -1)


def _make_head(options: ForecasterOptions, in_features: int, size: Size) -> Head:
    """Return the head that the options name."""
    assert options.head is not None
    if options.head == "mixture":
        return MixtureHead(in_features, size, num_components=options.num_components, loss=options.loss)
    if options.head == "quantile":
        return QuantileHead(in_features, size, levels=options.levels, loss=options.loss)
    return _HEADS[options.head](in_features, size, loss=options.loss)


def judged(head: Head, told: Told, batch: SeriesBatch) -> Tensor:
    """Return the mean of the head's loss over the targets that count, ().

    Raises:
        ValueError: Counts were centred, or a target is no count.
    """
    forecast, target, weight = as_judged(head, told, batch)
    return head.loss(forecast, target, weight=weight)


def as_judged(head: Head, told: Told, batch: SeriesBatch) -> Told:
    """Return forecasts and targets as the head's loss takes them: counts on their own scale, where they are whole.

    Raises:
        ValueError: Counts were centred.
    """
    forecast, target, weight = told
    if isinstance(forecast, NegativeBinomial):
        unit = unit_of(head, batch)[:, None]
        counts = target * unit
        # Scaling rounds. A number that is no count stays one, and is refused.
        near = counts.round()
        is_rounding = (counts - near).abs() <= 1e-4 * near.clamp(min=1)
        forecast, target = forecast.rescaled(0, unit), torch.where(is_rounding, near, counts)
    return Told(forecast, target, weight)


def history_weights(batch: SeriesBatch, shape: SeriesShape, dtype: torch.dtype) -> Tensor:
    """Return how much each target that is read counts where it is told too, (B, T, C); 0 where it is missing."""
    observed = batch.observed[..., : shape.num_targets].to(dtype)
    return observed if batch.history_weight is None else observed * batch.history_weight.to(dtype)[..., None]


def drawn(
    forecast: Distribution,
    unit: Tensor,
    generator: torch.Generator | None,
    num_samples: int | None = None,
    *,
    alike: int | None = None,
) -> Tensor:
    """Return values drawn from forecasts on the scaled values; of counts, counts divided by their unit.

    Args:
        forecast: Of any shape (...).
        unit: Of `unit_of`, broadcast to that.
        generator: Where the random numbers come from; None is torch's own.
        num_samples: As of `Distribution.sample`.
        alike: Likewise.
    """
    if not isinstance(forecast, NegativeBinomial):
        return forecast.sample(num_samples, generator=generator, alike=alike)
    return forecast.rescaled(0, unit).sample(num_samples, generator=generator, alike=alike) / unit


def unit_of(head: Head, batch: SeriesBatch) -> Tensor:
    """Return what scaled values are multiplied by to be counts, (B, C); 1 for a head of anything else.

    Raises:
        ValueError: Counts were centred.
    """
    like = head.projection.weight
    if not isinstance(head, NegativeBinomialHead):
        return like.new_ones(len(batch.x), 1)
    assert batch.centre is not None
    assert batch.scale is not None
    if bool((batch.centre != 0).any()):
        raise ValueError(
            "ForecastNetwork: the series were centred, but head negative-binomial tells counts, which cannot be moved. "
            "Scale them by method 'mean_abs' or 'none'."
        )
    return batch.scale.to(like.dtype)
