"""How a forecast network is judged while it trains, and whether it is surely better than the rules it began with."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Windows
from recur.models.forecast_network import ForecastNetwork
from recur.run import RunFolder
from recur.tasks.forecast.season_choice import Season
from recur.tasks.noise import mean_test
from recur.train.job import Judged

MOST_WINDOWS = 4_000
"""Windows of the validation part that are judged while training, all of them at the end; and windows of the training
part that a network's beginning is fitted to."""

BATCH_SIZE = 512
"""Windows that are told at once, to judge a network or to begin it."""

_SURE = 0.01
"""Below this p a gain is no noise. It is less than in a verdict, for a training has a dozen looks and more."""

_MOST_GROUPS = 50
"""Of windows, whose losses are compared with those of the beginning."""


class ForecastJudge:
    """Judges forecast networks by their mean loss on a validation part, and by whether they beat their beginning.

    The rules that a network begins with know nothing by heart, and of a hundred values they are hard to beat; a network
    that seems to do so on a dozen windows most often does not on what comes later. So weights are kept only if their
    gain in the mean loss is more than noise, by `recur.tasks.noise.mean_test` of groups of windows: of neighbours in
    time, or of series where these are many.

    Args:
        windows: Of the validation part.
        season: Of the series.
    """

    def __init__(self, windows: Windows, season: Season) -> None:
        self.windows = windows
        self.items = some_items(windows, season)
        self._group, self._overlap = _groups(windows, self.items)
        self._beginning: ForecastNetwork | None = None
        self._first: tuple[NDArray[np.float64], float] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether networks are compared with a beginning."""
        return self._beginning is not None

    def begin(self, network: ForecastNetwork) -> None:
        """Remember a network as it is before training."""
        self._beginning, self._first = copy.deepcopy(network).eval(), None

    def __call__(self, network: ForecastNetwork) -> Judged:
        """Return the mean loss over the targets that count, and whether it is surely below that of the beginning."""
        losses, loss = self._losses(network)
        if self._beginning is None:
            return Judged(loss=loss)
        if self._first is None:
            # Not before, for on another device the same network tells a little different losses.
            self._first = self._losses(self._beginning.to(next(network.parameters()).device))
        first, first_loss = self._first
        if not math.isfinite(first_loss):
            return Judged(loss=loss)
        gained = first - losses
        test = mean_test(gained[np.isfinite(gained)], self._overlap)
        return Judged(loss=loss, is_kept=test is not None and test.statistic > 0 and test.p < _SURE)

    @torch.no_grad()
    def _losses(self, network: ForecastNetwork) -> tuple[NDArray[np.float64], float]:
        """Return the mean loss of each group, NaN where nothing counts, and of all."""
        device = next(network.parameters()).device
        total, weight = np.zeros((2, self._group.max() + 1))
        for begin in range(0, len(self.items), BATCH_SIZE):
            batch = self.windows.batch(self.items[begin : begin + BATCH_SIZE])
            group = self._group[begin : begin + BATCH_SIZE]
            counted = batch.weight.sum((1, 2)).double().numpy()
            own = np.unique(group[counted > 0])
            rows = [torch.from_numpy(np.flatnonzero(group == each)).to(device) for each in own]
            losses = network.forecast_losses(batch.to(device), rows) if rows else []
            for each, loss in zip(own, losses, strict=True):
                count = counted[group == each].sum()
                total[each] += count * float(loss)
                weight[each] += count
        with np.errstate(invalid="ignore"):
            return total / weight, float(total.sum() / weight.sum())


def _groups(windows: Windows, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return a number for each window, from 0 on, and how many neighbouring groups have targets in common."""
    series, row = windows.places(items)
    _, own, counts = np.unique(series, return_inverse=True, return_counts=True)
    longest = int(counts.max())
    spacing = max(1, int(np.diff(row).min(initial=windows.horizon, where=np.diff(own) == 0)))
    if len(counts) * windows.horizon >= longest * spacing:
        num_groups = min(len(counts), _MOST_GROUPS)
        return own * num_groups // len(counts), 1
    num_groups = min(longest, _MOST_GROUPS)
    place = np.arange(len(items)) - (np.cumsum(counts) - counts)[own]
    return place * num_groups // counts[own], math.ceil(windows.horizon * num_groups / (longest * spacing))


def some_items(windows: Windows, season: Season, *, most: int = MOST_WINDOWS) -> NDArray[np.int64]:
    """Return so many windows or fewer: every so many-th of all series, at all places of the season.

    Args:
        windows: Of the training or the validation part.
        season: Of the series.
        most: How many.
    """
    stride = season.stride(math.ceil(windows.num_windows / most))
    return np.arange(0, windows.num_windows, stride)


def kept_step(run: RunFolder) -> int:
    """Return after how many steps of the training the weights were best that are kept."""
    return max((row["step"] for row in run.metrics() if row["kind"] == "valid" and row["is_best"]), default=0)
