"""Losses of many forecasts added up, so that every mean follows: over all, by step, target, series and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import Part
from recur.score import coverage, mae, mase, rmse, seasonal_scale, smape, width

Group = Literal["all", "step", "target", "series", "time"]
_EACH = (0, 1, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What one contestant says of a batch of windows, on the original scale.

    Attributes:
        mean: (B, P, C) float64, by which squared errors are judged.
        median: (B, P, C) float64, by which absolute ones are: each error by the forecast that makes it smallest
            (Gneiting 2011, "Making and evaluating point forecasts").
        crps: (B, P, C) float64, of each forecast.
        intervals: By a name, lower and upper ends, (B, P, C) float64 each; NaN where nothing is said.
    """

    mean: Tensor
    median: Tensor
    crps: Tensor
    intervals: Mapping[str, tuple[Tensor, Tensor]]

    def losses(self, target: Tensor, weight: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """Return each loss of each forecast, (B, P, C) by its name; NaN where it does not count.

        Args:
            target: (B, P, C) float64.
            weight: (B, P, C) float64, 0 where a target does not count.
            scale: Of MASE, (B, C) float64; NaN or 0 where there is none.
        """
        found = {
            "mae": mae(target, self.median, weight=weight, keep=_EACH),
            "mse": rmse(target, self.mean, weight=weight, keep=_EACH).square(),
            "smape": smape(target, self.median, weight=weight, keep=_EACH),
            "mase": mase(target, self.median, scale[:, None], weight=weight, keep=_EACH),
            "crps": torch.where(weight > 0, self.crps, torch.nan),
        }
        for name, (lower, upper) in self.intervals.items():
            is_known = torch.where(lower.isnan() | upper.isnan(), 0, weight)
            found[f"coverage {name}"] = coverage(target, lower, upper, weight=is_known, keep=_EACH)
            found[f"width {name}"] = width(target, lower, upper, weight=is_known, keep=_EACH)
        return found


class ForecastScores:
    """Sums of one contestant's losses, and of what they weigh.

    Args:
        horizon: P.
        num_targets: C.
        num_series: N.
        num_times: Stretches of time, M.
    """

    def __init__(self, horizon: int, num_targets: int, num_series: int, num_times: int) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {
            "step": (horizon, num_targets),
            "series": (num_series,),
            "time": (num_times,),
        }
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._weights: dict[tuple[str, str], Tensor] = {}

    def add(self, losses: Mapping[str, Tensor], weight: Tensor, series: Tensor, time: Tensor) -> dict[str, Tensor]:
        """Add the losses of a batch, and return the weighted sum of each window's, (B, C) by name.

        Args:
            losses: (B, P, C) float64 by name; NaN where one does not count.
            weight: (B, P, C) float64.
            series: Which one each window is of, (B,) int64.
            time: Which stretch of time, (B,) int64.
        """
        sums = {}
        for name, loss in losses.items():
            counts = ~loss.isnan()
            own = torch.where(counts, weight, 0)
            lost = torch.where(counts, loss, 0) * own
            sums[name] = lost.sum(1)
            for store, values in ((self._sums, lost), (self._weights, own)):
                self._into(store, name, "step").add_(values.sum(0))
                by_window = values.sum((1, 2))
                self._into(store, name, "series").index_add_(0, series, by_window)
                self._into(store, name, "time").index_add_(0, time, by_window)
        return sums

    def _into(self, store: dict[tuple[str, str], Tensor], name: str, group: str) -> Tensor:
        return store.setdefault((name, group), torch.zeros(self._shapes[group], dtype=torch.float64))

    @property
    def names(self) -> tuple[str, ...]:
        """The losses that were added."""
        return tuple(dict.fromkeys(name for name, _ in self._sums))

    def mean(self, name: str, by: Group = "all") -> NDArray[np.float64]:
        """Return the mean of a loss over all, (), or by step (P,), target (C,), series (N,) or time (M,).

        NaN where nothing counted. The root of "mse" is called "rmse".
        """
        if name == "rmse":
            return np.sqrt(self.mean("mse", by))
        with np.errstate(invalid="ignore"):
            return np.asarray(_grouped(self._sums, name, by) / _grouped(self._weights, name, by))

    def weight(self, name: str, by: Group = "all") -> NDArray[np.float64]:
        """Return what counted for a loss, in the shape of its `mean`."""
        return _grouped(self._weights, name, by)


def _grouped(store: Mapping[tuple[str, str], Tensor], name: str, by: Group) -> NDArray[np.float64]:
    if by in ("series", "time"):
        return store[name, by].numpy()
    axes = {"all": (0, 1), "step": (1,), "target": (0,)}[by]
    found: NDArray[np.float64] = store[name, "step"].sum(axes).numpy()
    return found


def naive_scales(part: Part, season: int) -> NDArray[np.float64]:
    """Return `recur.score.seasonal_scale` of each target of each series in a training part, (N, C); NaN without one.

    Args:
        part: The training part.
        season: Steps after which the series repeat.
    """
    panel = part.panel
    num_targets = len(panel.schema.targets)
    found = np.full((len(panel), num_targets), np.nan)
    for number in part.series.tolist():
        rows = panel.values[part.start[number] : part.stop[number], :num_targets].astype(np.float64)
        if len(rows) > season:
            found[number] = seasonal_scale(torch.from_numpy(rows.T), season=season).numpy()
    return found
