"""Series that might have been: copies of a batch that say the same of their labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recur.models.series_options import SeriesEncoderOptions

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

_NUM_SPEEDS = 4
"""Parts of a series that are stretched or squeezed, each by a factor of its own."""


def augmented(
    batch: SeriesBatch, options: SeriesEncoderOptions, *, num_calendar: int = 0, is_end_free: bool = False
) -> SeriesBatch:
    """Return the batch cropped, warped in time, scaled and with noise, as the options say; itself if they say nothing.

    Missing numbers stay missing and padding stays zero. Codes, times, labels of steps and their weights go with their
    steps; in time warping the nearest step gives them, and the times stay. Numbers are drawn from torch's generator.

    Source: Le Guennec et al. (2016) for slices and window warping; Um et al. (2017) for jitter and scaling, here
    log-normal, so that no sign turns.

    Args:
        batch: Of whole series or of windows.
        options: `jitter`, `resizing`, `warping` and `cropping` are heeded.
        num_calendar: How many of the last features are the calendar's, which are neither scaled nor get noise.
        is_end_free: Whether cropping may take steps from the end too.
    """
    if options.cropping:
        batch = _cropped(batch, options.cropping, is_end_free)
    if options.warping:
        batch = _warped(batch, options.warping)
    if options.resizing or options.jitter:
        batch = _disturbed(batch, options.resizing, options.jitter, num_calendar)
    return batch


def _cropped(batch: SeriesBatch, share: float, is_end_free: bool) -> SeriesBatch:
    lengths_B = batch.lengths
    drawn_2B = torch.rand(2, len(lengths_B), device=lengths_B.device)
    cut_B = (drawn_2B[0] * (share * lengths_B + 1)).long().clamp(max=(lengths_B - 1).clamp(min=0))
    first_B = (drawn_2B[1] * (cut_B + 1)).long().clamp(max=cut_B) if is_end_free else cut_B
    kept_B = lengths_B - cut_B
    steps_T = torch.arange(batch.x.shape[1], device=lengths_B.device)
    is_step_BT = steps_T < kept_B[:, None]
    place_BT = torch.where(is_step_BT, first_B[:, None] + steps_T, 0)
    times_BT = batch.times.gather(1, place_BT)
    times_BT = _masked(times_BT - times_BT[:, :1], is_step_BT)
    return replace(batch, **_at(batch, place_BT, is_step_BT), times=times_BT, lengths=kept_B)


def _warped(batch: SeriesBatch, most: float) -> SeriesBatch:
    lengths_B, num_steps = batch.lengths, batch.x.shape[1]
    drawn_BK = 2 * torch.rand(len(lengths_B), _NUM_SPEEDS, device=lengths_B.device) - 1
    speeds_BK = (drawn_BK * math.log1p(most)).exp()
    # Which share of the series lies before each knot; between two knots in proportion.
    knots_BK = torch.cat([torch.zeros_like(speeds_BK[:, :1]), speeds_BK.cumsum(1)], 1)
    knots_BK = knots_BK / knots_BK[:, -1:]
    last_B1 = (lengths_B - 1).clamp(min=0)[:, None]
    steps_T = torch.arange(num_steps, device=lengths_B.device)
    is_step_BT = steps_T < lengths_B[:, None]
    way_BT = (steps_T / last_B1.clamp(min=1) * _NUM_SPEEDS).clamp(max=_NUM_SPEEDS)
    knot_BT = way_BT.long().clamp(max=_NUM_SPEEDS - 1)
    low_BT, high_BT = knots_BK.gather(1, knot_BT), knots_BK.gather(1, knot_BT + 1)
    place_BT = (low_BT + (way_BT - knot_BT) * (high_BT - low_BT)) * last_B1
    below_BT = torch.minimum(place_BT.long(), last_B1)
    above_BT = torch.minimum(below_BT + 1, last_B1)
    share_BT1 = (place_BT - below_BT)[..., None]
    one, other = (_rows(batch.x, at) for at in (below_BT, above_BT))
    is_both = _rows(batch.observed, below_BT) & _rows(batch.observed, above_BT)
    nearest = _at(batch, torch.where(share_BT1[..., 0] < 0.5, below_BT, above_BT), is_step_BT)
    mixed = torch.where(is_both & is_step_BT[..., None], one + share_BT1 * (other - one), nearest["x"])
    return replace(batch, **{**nearest, "x": mixed})


def _disturbed(batch: SeriesBatch, resizing: float, jitter: float, num_calendar: int) -> SeriesBatch:
    x = batch.x
    num_values = x.shape[2] - num_calendar
    values = x[..., :num_values]
    if resizing:
        values = values * torch.exp(resizing * torch.randn(len(x), 1, num_values, dtype=x.dtype, device=x.device))
    if jitter:
        values = values + jitter * torch.randn_like(values) * batch.observed[..., :num_values]
    return replace(batch, x=torch.cat([values, x[..., num_values:]], 2))


def _at(batch: SeriesBatch, place_BT: Tensor, is_step_BT: Tensor) -> dict[str, Any]:
    """Return what a batch has of steps, taken from other steps, zero where there is none."""
    found: dict[str, Any] = {}
    for name in ("x", "observed", "codes"):
        value = getattr(batch, name)
        found[name] = None if value is None else _masked(_rows(value, place_BT), is_step_BT)
    for name in ("target", "weight", "censored"):
        value = getattr(batch, name)
        if value is not None and value.dim() > 1:
            found[name] = _masked(_rows(value, place_BT), is_step_BT)
    return found


def _rows(value: Tensor, place_BT: Tensor) -> Tensor:
    """Return the steps of each row at some places, (B, T) or (B, T, F)."""
    return value.gather(1, place_BT if value.dim() == 2 else place_BT[..., None].expand(-1, -1, value.shape[2]))


def _masked(value: Tensor, is_step_BT: Tensor) -> Tensor:
    return value * (is_step_BT if value.dim() == 2 else is_step_BT[..., None])
