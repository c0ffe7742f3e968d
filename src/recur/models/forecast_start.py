"""What forecasts start from: a mix of rules that need no network, of which it has to tell only what is left."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recur.models.series_normalization import Place
from recur.models.series_timeline import taken

ANCHORS = ("last", "recent", "season", "season before last", "unit")
"""What is mixed, in this order; see `ForecastStart`."""

GATE = 2.0
"""Where the gates of a `ForecastHead` begin, before the sigmoid: most of the way, near what nothing will change."""

_RECENT = 3
"""Steps that the recent mean goes back over."""

StartState = tuple[Tensor, ...]
"""What is remembered of the steps before, each (..., B, C)."""


class Remembered(NamedTuple):
    """What a start knows of the steps of a batch.

    Attributes:
        last: The last value that was there after 0, 1, ... T steps, (T + 1, B, C); 0 before the first.
        means: Of all steps so far and of the recent ones, likewise, (T + 1, B, C, 2).
        seasons: (S + 1 + T, B, C): for each step, from S + 1 before the first one on, its value, or where that is
            missing the last one at the same place of the season. Without a season S is 0, and this is not looked at.
        has_season: Whether there is one, (S + 1 + T, B, C) bool.
        before: Of the season before the step of `last`, (T + 1, B, C); without a season nothing, (0, B, C).
        has_before: Whether there is one, likewise, bool.
    """

    last: Tensor
    means: Tensor
    seasons: Tensor
    has_season: Tensor
    before: Tensor
    has_before: Tensor


class ForecastStart(nn.Module):
    """Mixes rules into what forecasts start from, with weights for each step ahead that are fitted and not trained.

    m is the mean of the steps so far, each older step counting 1 - 1 / `memory` times as much, y the last value, r the
    mean of the recent ones (3 in place of `memory`), s_p the last value that was seen at the same place of the season
    as the step p ahead, b that of the step of y, a season before it, though y may be older than the last step. The
    start of step p is

        m + w_1p (y - m) + w_2p (r - m) + w_3p (s_p - m) + w_4p (b - m) + w_5p scale

    where `scale` is the unit of the normalisation. w = (1, 0, 0, 0, 0) is the naive rule, 0 the mean, (0, 0, 1, 0, 0)
    the seasonal naive rule, (1, 0, 1, -1, 0) the same with the change since a season ago, w_5p the drift; what lies
    between damps a trend or smooths. The weights sum to one with that of m, so that a constant that is added to a
    series is added to its start. What is not there, such as a season that was not seen yet, counts as m.

    Before `put` it is the naive rule, and the spread is 1.

    Args:
        num_targets: C.
        season: S, steps after which the series repeat; 1 for none.
        memory: Steps that the mean goes back over.
        num_steps: P, steps ahead that have weights.
    """

    weight: Tensor
    """(P, C, 5)."""
    spread: Tensor
    """By how much the start misses what comes, in units of the scale, (P, C), above 0."""

    def __init__(self, num_targets: int, *, season: int, memory: int, num_steps: int) -> None:
        super().__init__()
        self.num_targets, self.num_steps = num_targets, num_steps
        self.season = season if season > 1 else 0
        self._fading = tuple(1 - 1 / steps for steps in (memory, _RECENT))
        weight = torch.zeros(num_steps, num_targets, len(ANCHORS))
        weight[..., 0] = 1
        self.register_buffer("weight", weight)
        self.register_buffer("spread", torch.ones(num_steps, num_targets))

    @torch.no_grad()
    def put(self, weight: Tensor, spread: Tensor) -> None:
        """Take weights (P, C, 5) and spreads (P, C), such as those of `fit_start`."""
        self.weight.copy_(weight)
        self.spread.copy_(spread)

    def begin(self, count: int, like: Tensor) -> StartState:
        """Return what is remembered of so many series before their first step, of the dtype and device of `like`."""
        ring = like.new_zeros(self.season + 2 if self.season else 0, count, self.num_targets)
        return like.new_zeros(6, count, self.num_targets), ring, ring.bool()

    def remember(
        self, values: Tensor, is_there: Tensor, lengths: Tensor, state: StartState | None = None
    ) -> tuple[Remembered, StartState]:
        """Return what is known after each step, and what is remembered after each row's last one.

        Args:
            values: Targets, (T, B, C), 0 where missing.
            is_there: (T, B, C) bool; false from each row's end on.
            lengths: (B,), true steps of each row.
            state: After the steps before; None if there were none.
        """
        carried, ring, has_ring = self.begin(values.shape[1], values) if state is None else state
        (first, latest), sums = carried[:2], torch.unflatten(carried[2:].movedim(0, -1), -1, (2, 2))
        # Summed is how far values lie from the first one, so that a large level costs no digits.
        earliest = torch.where(is_there, values, 0).gather(0, is_there.to(torch.int8).argmax(0, keepdim=True))[0]
        # By the count of either mean: that of a short memory is zero again after steps where nothing was there.
        first = torch.where((sums[..., 0] > 0).any(-1), first, earliest)
        steps = torch.arange(len(values) + 1, device=values.device)
        seen = torch.cat([torch.ones_like(is_there[:1]), is_there])
        order = torch.where(seen, steps[:, None, None], 0).cummax(0).values
        last = torch.cat([latest[None], values]).gather(0, order)
        # Of each mean and each step the weights of the steps so far, (2, T + 1, T).
        keep = torch.tensor(self._fading, dtype=values.dtype, device=values.device)
        ages = steps[:, None] - steps[None, 1:]
        fading = torch.where(ages >= 0, keep[:, None, None] ** ages.clamp(min=0), 0)
        terms = torch.stack([is_there.to(values.dtype), torch.where(is_there, values - first, 0)])
        faded = torch.einsum("kst,ntbc->sbckn", fading, terms)
        all_sums = faded + sums * (keep ** steps[:, None])[:, None, None, :, None]
        count, total = all_sums.unbind(-1)
        means = first[..., None] + total / count.clamp(min=torch.finfo(count.dtype).tiny)
        means = torch.where(count > 0, means, last[..., None])
        ends = taken(all_sums.flatten(-2), lengths[None])[0].movedim(-1, 0)
        kept = torch.cat([first[None], taken(last, lengths[None]), ends])
        if not self.season:
            return Remembered(last, means, values, is_there, ring, has_ring), (kept, ring, has_ring)
        # The first of the ring is of the season before the step of `latest`, which may be older than the others.
        joined = _filled(torch.cat([ring[1:], values]), torch.cat([has_ring[1:], is_there]), self.season)
        ahead = torch.arange(self.season + 1, device=values.device)[:, None] + lengths
        before, rings = [], []
        for oldest, own in zip((ring[:1], has_ring[:1]), joined, strict=True):
            before.append(torch.cat([oldest, own[1 : len(steps)]]).gather(0, order))
            rings.append(torch.cat([taken(before[-1], lengths[None]), taken(own, ahead)]))
        return Remembered(last, means, *joined, *before), (kept, *rings)

    def anchors(self, known: Remembered, scale: Tensor, step: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is mixed after some steps, as what lies beyond the mean (..., P, C, 5), and the mean (..., C).

        Args:
            known: Of a batch.
            scale: The unit of the normalisation there, (..., C).
            step: How many steps were read, (...).
            row: In which row, (...).
        """
        mean, recent = known.means[step, row].unbind(-1)
        shape = (*mean.shape[:-1], self.num_steps, self.num_targets)
        here = [known.last[step, row] - mean, recent - mean]
        if self.season:
            ahead = torch.arange(self.num_steps, device=step.device) % self.season
            place = step[..., None] + 1 + ahead
            wide = row[..., None].expand(place.shape)
            coming = torch.where(known.has_season[place, wide], known.seasons[place, wide] - mean[..., None, :], 0)
            before = torch.where(known.has_before[step, row], known.before[step, row] - mean, 0)
            seasonal = [coming, before[..., None, :].expand(shape)]
        else:
            seasonal = [torch.zeros_like(mean)[..., None, :].expand(shape)] * 2
        wide_here = [each[..., None, :].expand(shape) for each in (*here, scale)]
        return torch.stack([*wide_here[:2], *seasonal, wide_here[2]], -1), mean

    def place(self, found: Place, known: Remembered, step: Tensor, row: Tensor) -> Place:
        """Return where the series are after some steps, to tell from: (..., P, C) each.

        A gate that is where it begins, between the mean and `loc`, gives the start.

        Args:
            found: Of the normalisation, after each number of steps, (T + 1, B, C).
            known: Of the same steps.
            step: How many were read, (...).
            row: In which row, (...).
        """
        _, mean, scale = (each[step, row] for each in found)
        anchors, centre = self.anchors(known, scale, step, row)
        start = centre[..., None, :] + (anchors * self.weight).sum(-1)
        mean, scale = mean[..., None, :].expand(start.shape), scale[..., None, :] * self.spread
        return Place(mean + (start - mean) * (1 + math.exp(-GATE)), mean, scale)


def _filled(values: Tensor, is_there: Tensor, season: int) -> tuple[Tensor, Tensor]:
    """Return values (N, B, C) with those missing taken from a season before, and which are there then."""
    count = len(values)
    missing = -count % season
    padded = torch.unflatten(nn.functional.pad(values, (0, 0, 0, 0, 0, missing)), 0, (-1, season))
    there = torch.unflatten(nn.functional.pad(is_there, (0, 0, 0, 0, 0, missing)), 0, (-1, season))
    order = torch.arange(len(padded), device=values.device)[:, None, None, None]
    newest = torch.where(there, order, 0).cummax(0).values
    return padded.gather(0, newest).flatten(0, 1)[:count], there.cummax(0).values.flatten(0, 1)[:count]
