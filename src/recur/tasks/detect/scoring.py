"""From the errors of a network to scores and alarms, step by step, with the state as an argument and a result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from recur.calibration.surprise import SurpriseScale
from recur.data.series.batch import SeriesBatch
from recur.tasks.detect.alarms import highest_of_each
from recur.tasks.detect.lasting import LatelyState, begin_lately, means_of_late
from recur.tasks.detect.seasonal_rule import SeasonalState, begin_season, seasonal_errors

_QUIET = 100
"""Steps without an alarm before one is taken for new, where there is no season."""


class DetectorNetwork(Protocol):
    """What a network must have, beside being a module, to find anomalies."""

    @property
    def views(self) -> tuple[str, ...]:
        """What each of the E errors of a value is."""

    def begin(self, count: int) -> Any:
        """Return the state of so many series before their first step, as no state stands for it."""

    def errors(self, batch: SeriesBatch, state: Any = None) -> tuple[Tensor, Any]:
        """Return the errors of each value, (B, T, C, E), NaN where there is none, and the state."""


_LARGEST = 1e6
"""Size beyond which values, in units of their scale, are not told apart."""


class ScoringState(NamedTuple):
    """All that is remembered of the steps before; rows are series.

    Attributes:
        network: Of the network; None before the first step.
        season: Of the seasonal rule, or None without it.
        lately: How surprising the last steps were, (B, C).
        ordinary: How large errors were, and in the last view the means of late, (B, C, views, bins) float64.
        quiet: Steps of each series without an alarm before one is taken for new, (B,) int64.
        recent: The last scores, (B, longest quiet) float64, -infinity where there were none.
    """

    network: Any
    season: SeasonalState | None
    lately: LatelyState
    ordinary: Tensor
    quiet: Tensor
    recent: Tensor


class Scores(NamedTuple):
    """What is said of steps.

    Attributes:
        score: (B, T) float64, the sum of what each channel adds; NaN where nothing can be said.
        channels: (B, T, C) float64, what each adds; 0 where it is missing and others are not.
        parts: (B, T, C, 3) float64, what of that is of the network, of the seasonal rule, and of what lasts; they add
            up to it.
        highest: (B, T) float64, of the scores of the last `quiet` steps; -infinity where there was none.
    """

    score: Tensor
    channels: Tensor
    parts: Tensor
    highest: Tensor


class Scoring:
    """Scores steps by how surprising the errors of a network are, and those of the seasonal rule.

    Every error is judged by those of its own series, channel and view before it, see `SurpriseScale`. Of a channel the
    mean surprise over the views of the network and that of the seasonal rule are added up; and how surprising the mean
    of these sums over the last steps is, beside such means before it, is added to them. So what is strange for a step
    counts, and what is a little strange for long. A step's score is the sum over its channels. No step depends on a
    later one, and any division into pieces gives the same scores.

    Args:
        network: A `DetectorNetwork`, in evaluation mode.
        num_targets: C.
        memory: Steps over which it is forgotten what was ordinary.
        quiet: Steps without an alarm before one is taken for new; None for half a season, or a hundred steps where
            there is none.
        has_rules: Whether the seasonal rule counts.
        has_network: Whether the network does.
    """

    def __init__(
        self,
        network: nn.Module,
        num_targets: int,
        *,
        memory: float,
        quiet: int | None,
        has_rules: bool = True,
        has_network: bool = True,
    ) -> None:
        assert has_rules or has_network
        self.network: DetectorNetwork = cast("Any", network)
        self.num_targets, self.quiet = num_targets, quiet
        self.has_rules, self.has_network = has_rules, has_network
        self.num_views = len(self.network.views) * has_network + has_rules + 1
        self._scale = SurpriseScale(memory)

    def begin(self, seasons: Tensor, ordinary: Tensor | None = None) -> ScoringState:
        """Return the state of series of which no step was seen.

        Args:
            seasons: Steps of each series' season, (B,) int64; 1 for none.
            ordinary: How large errors were in the training part, (B, C, views, bins); None for nothing known, and then
                the first 50 steps have no score.
        """
        count, quiet = len(seasons), self.quiet_of(seasons)
        return ScoringState(
            network=None,
            season=begin_season(seasons, self.num_targets) if self.has_rules else None,
            lately=begin_lately(count, self.num_targets),
            ordinary=self._scale.begin(count, self.num_targets, self.num_views) if ordinary is None else ordinary,
            quiet=quiet,
            recent=torch.full((count, int(quiet.max()) if count else 0), -torch.inf, dtype=torch.float64),
        )

    def quiet_of(self, seasons: Tensor) -> Tensor:
        """Return the steps without an alarm before one is taken for new, of series with these seasons, (B,)."""
        if self.quiet is not None:
            return torch.full_like(seasons, self.quiet)
        return torch.where(seasons > 1, seasons // 2, _QUIET)

    def advance(self, batch: SeriesBatch, state: ScoringState) -> tuple[Scores, ScoringState]:
        """Return the scores of the next steps of each series, and the state after them.

        Args:
            batch: Steps; of `target` nothing is read. Rows may be of different lengths.
            state: After the steps before.
        """
        # So that a step of any size is the strangest there is, but what is remembered of it is forgotten again.
        batch = replace(batch, x=batch.x.clamp(-_LARGEST, _LARGEST))
        num_steps = batch.x.shape[1]
        steps = torch.arange(num_steps)
        is_step = steps < batch.lengths[:, None].cpu()
        views: list[Tensor] = []
        network, season = state.network, state.season
        if self.has_network:
            with torch.inference_mode():
                errors, network = self.network.errors(batch, network)
            views.append(errors.cpu().double())
        if season is not None:
            is_there = batch.observed[..., : self.num_targets].cpu() & is_step[..., None]
            values = torch.where(is_there, batch.x[..., : self.num_targets].cpu().double(), torch.nan)
            errors, season = seasonal_errors(values, is_step, season)
            views.append(errors[..., None])
        errors_of_views = torch.cat(views, -1).transpose(0, 1)
        surprise, ordinary = self._scale.advance(errors_of_views, state.ordinary[..., :-1, :])
        parts = self._parts(surprise)
        now = torch.where(parts.isnan().all(-1), torch.nan, parts.nansum(-1))
        means, lately = means_of_late(now, state.lately)
        lasting, of_means = self._scale.advance(means, state.ordinary[..., -1, :])
        # Until enough means are known, they say nothing.
        channels = (now + lasting.nan_to_num(0)).transpose(0, 1)
        score = torch.where(channels.isnan().all(-1), torch.nan, channels.nansum(-1))
        is_silent = score.isnan()[..., None]
        parts = torch.cat([parts, lasting.unsqueeze(-1)], -1).nan_to_num(0).transpose(0, 1)
        highest, recent = self._highest(score, batch.lengths.cpu(), state)
        scores = Scores(
            score=score,
            channels=channels.nan_to_num(0).masked_fill(is_silent, torch.nan),
            parts=parts.masked_fill(is_silent[..., None], torch.nan),
            highest=highest,
        )
        ordinary = torch.cat([ordinary, of_means.unsqueeze(-2)], -2)
        return scores, ScoringState(network, season, lately, ordinary, state.quiet, recent)

    def _parts(self, surprise: Tensor) -> Tensor:
        """Return what the network and the seasonal rule add for each channel, (T, B, C, 2), of (T, B, C, views)."""
        nothing = torch.full_like(surprise[..., 0], torch.nan)
        views = surprise[..., :-1] if self.has_rules else surprise
        return torch.stack(
            [views.nanmean(-1) if self.has_network else nothing, surprise[..., -1] if self.has_rules else nothing], -1
        )

    def _highest(self, score: Tensor, lengths: Tensor, state: ScoringState) -> tuple[Tensor, Tensor]:
        """Return the highest score of the last `quiet` steps before each, and the last scores."""
        known = torch.where(score.isnan(), -torch.inf, score)
        longest = state.recent.shape[1]
        joined = torch.cat([state.recent, known], 1)
        highest = torch.empty_like(known)
        for quiet in set(state.quiet.tolist()) if score.shape[1] else ():
            rows = state.quiet == quiet
            highest[rows] = highest_of_each(joined[rows, longest - quiet :], quiet)
        last = lengths[:, None] + torch.arange(longest)
        return highest, joined.gather(1, last)
