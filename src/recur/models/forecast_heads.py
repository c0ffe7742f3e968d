"""What a forecast network says of each value, and how that is judged and drawn from."""

from __future__ import annotations

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

_HEADS = {
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
        scale = scale_of_counts(batch, target)[:, None]
        counts = target * scale
        # Scaling rounds. A number that is no count stays one, and is refused.
        near = counts.round()
        is_rounding = (counts - near).abs() <= 1e-4 * near.clamp(min=1)
        forecast, target = forecast.rescaled(0, scale), torch.where(is_rounding, near, counts)
    return head.loss(forecast, target, weight=weight)


def drawn(forecast: Distribution, scale: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return a value drawn from each forecast on the scaled values; of counts, a count divided by its scale.

    Args:
        forecast: Of any shape.
        scale: Of `scale_of_counts`, broadcast to that.
        generator: Where the random numbers come from; None is torch's own.
    """
    if not isinstance(forecast, NegativeBinomial):
        return forecast.sample(generator=generator)
    return forecast.rescaled(0, scale).sample(generator=generator) / scale


def scale_of_counts(batch: SeriesBatch, like: Tensor) -> Tensor:
    """Return what scaled values are to be multiplied by to be counts, (B, C), of the kind of `like`.

    Raises:
        ValueError: They were centred too.
    """
    assert batch.centre is not None
    assert batch.scale is not None
    if bool((batch.centre != 0).any()):
        raise ValueError(
            "ForecastNetwork: the series were centred, but head negative-binomial tells counts, which cannot be moved. "
            "Scale them by method 'mean_abs' or 'none'."
        )
    return batch.scale.to(like.dtype)
