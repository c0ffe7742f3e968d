"""What came beside what was told of it, on streams of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recur.calibration.drift import LEVELS, IntervalDrift
from recur.streaming.slots import SeriesArrays

Numbers = NDArray[np.int64]


class Watch(SeriesArrays):
    """Compares the values of many series with the forecasts of them that were made a step before.

    Args:
        num_targets: C.

    Attributes:
        told_step: Of which step `ends` tells; -1 for none.
        ends: Quantiles of the targets at that step, (S, C, E) float64.
        drift_sum: (S, C) float64, as `recur.calibration.drift.IntervalDrift` keeps it, like the two that follow.
        drift_mean: (S, C) float64.
        drift_count: (S, C) float64.
        learnt_step: The last step that the model has learnt from, or was judged by then; -1 for none.
    """

    fresh: ClassVar[Mapping[str, Any]] = {"told_step": -1, "ends": np.nan, "drift_mean": 0.5, "learnt_step": -1}

    def __init__(self, num_targets: int) -> None:
        self.num_targets = num_targets
        self.told_step = np.zeros(0, np.int64)
        self.ends = np.zeros((0, num_targets, len(LEVELS)))
        self.drift_sum = np.zeros((0, num_targets))
        self.drift_mean = np.zeros((0, num_targets))
        self.drift_count = np.zeros((0, num_targets))
        self.learnt_step = np.zeros(0, np.int64)
        self._drift = IntervalDrift()

    @property
    def is_drifting(self) -> NDArray[np.bool_]:
        """Which series drift, (S,)."""
        return np.asarray((self.drift_sum > self._drift.threshold).any(axis=1))

    def compared(
        self,
        series: Numbers,
        step: Numbers,
        values: NDArray[np.float32],
        ends: NDArray[np.float64],
        began_anew: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Compare what came with what was told of it, and return which series drift, (R,).

        Args:
            series: Whose, (R,), ascending.
            step: Which steps, (R,), ascending within a series.
            values: The targets, (R, C), NaN where missing.
            ends: What is told after each step of the next one, (R, C, E).
            began_anew: Whether nothing before counts, (R,).
        """
        drift = np.zeros(len(series), np.bool_)
        if not len(series):
            return drift
        self.grow(int(series[-1]) + 1)
        is_first = np.diff(series, prepend=-1) != 0
        told_step = np.where(is_first, self.told_step[series], np.append(0, step[:-1] + 1))
        told = np.where(is_first[:, None, None], self.ends[series], np.roll(ends, 1, axis=0))
        is_told = (told_step == step) & ~began_anew
        told = np.where(is_told[:, None, None], told, np.nan)
        begins = np.flatnonzero(is_first)
        rank = np.arange(len(series)) - np.repeat(begins, np.diff(np.append(begins, len(series))))
        watched = {name: getattr(self, f"drift_{name}").reshape(-1) for name in ("sum", "mean", "count")}
        for number in range(int(rank.max()) + 1):
            own = np.flatnonzero(rank == number)
            which = (series[own][:, None] * self.num_targets + np.arange(self.num_targets)).reshape(-1)
            value = values[own].astype(np.float64).reshape(-1)
            found = self._drift.step(watched, which, value, told[own].reshape(len(which), -1))
            drift[own] = found.reshape(-1, self.num_targets).any(axis=1)
        last = np.append(begins[1:], len(series)) - 1
        self.ends[series[last]], self.told_step[series[last]] = ends[last], step[last] + 1
        return drift

    def forget(self) -> None:
        """Hold nothing of the forecasts before against those to come."""
        for name in ("told_step", "drift_sum", "drift_mean", "drift_count"):
            getattr(self, name)[:] = self.fresh.get(name, 0)
