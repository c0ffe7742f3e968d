"""What a forecast network says of each value, and how that is judged and drawn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from recur.models.distributions import Distribution, NegativeBinomial
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


def make_head(options: ForecasterOptions, size: Size) -> Head:
    """Return the head that the options name, from the features of the layers to `size` values."""
    assert options.hidden_size is not None
    assert options.head is not None
    if options.head == "mixture":
        return MixtureHead(options.hidden_size, size, num_components=options.num_components, loss=options.loss)
    if options.head == "quantile":
        return QuantileHead(options.hidden_size, size, levels=options.levels, loss=options.loss)
    return _HEADS[options.head](options.hidden_size, size, loss=options.loss)


def judged(head: Head, told: Told, batch: SeriesBatch) -> Tensor:
    """Return the mean of the head's loss over the targets that count, ().

    Counts are judged as such, on their own scale, for only there they are whole numbers.

    Raises:
        ValueError: Counts were centred, or a target is no count.
    """
    forecast, target, weight = told
    if isinstance(forecast, NegativeBinomial):
        unit = unit_of(head, batch)[:, None]
        counts = target * unit
        # Scaling rounds. A number that is no count stays one, and is refused.
        near = counts.round()
        is_rounding = (counts - near).abs() <= 1e-4 * near.clamp(min=1)
        forecast, target = forecast.rescaled(0, unit), torch.where(is_rounding, near, counts)
    return head.loss(forecast, target, weight=weight)


def drawn(
    forecast: Distribution, unit: Tensor, generator: torch.Generator | None, num_samples: int | None = None
) -> Tensor:
    """Return values drawn from forecasts on the scaled values; of counts, counts divided by their unit.

    Args:
        forecast: Of any shape (...).
        unit: Of `unit_of`, broadcast to that.
        generator: Where the random numbers come from; None is torch's own.
        num_samples: As of `Distribution.sample`.
    """
    if not isinstance(forecast, NegativeBinomial):
        return forecast.sample(num_samples, generator=generator)
    return forecast.rescaled(0, unit).sample(num_samples, generator=generator) / unit


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
