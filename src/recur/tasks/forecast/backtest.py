"""Forecasts from rolling origins, beside the naive rules on exactly the same windows and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import Part, SeriesBatch
from recur.errors import OptionError, TrainingError
from recur.kinds import is_whole
from recur.models.distributions import Distribution, NegativeBinomial, Point, Quantiles
from recur.tasks.forecast.calibration import COVERAGES, LEVELS, ends, original_scale
from recur.tasks.forecast.rolling_baselines import RollingBaselines
from recur.tasks.forecast.scores import ForecastScores, Judged
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.forecast.yardstick import Yardstick, said_by_rules

MOST_WINDOWS = 20_000
"""Windows that are judged unless a stride is given."""

MODEL = "model"
"""What the model is called among the contestants."""

_STRETCHES = 60
"""Of time, over which errors are averaged."""


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """How forecasts are judged: from which origins, and at which coverages.

    Raises:
        OptionError: A value is out of range.
    """

    stride: int | None = None
    """Steps from one origin to the next in each series; by default 1, or as many as keep the windows at 20,000 (one for
    each series where there are more of these) and come to all places of the season."""
    coverages: tuple[float, ...] = (0.5, 0.8, 0.95)
    """Shares of targets that the intervals in the table are to hold; some of 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95 and
    0.98."""
    batch_size: int = 256
    """Windows forecast at once; changes memory, not the figures."""

    def __post_init__(self) -> None:
        for name in ("stride", "batch_size"):
            value = getattr(self, name)
            if not is_whole(value, 1) and (name, value) != ("stride", None):
                raise OptionError(f"{name}: expected a number from 1 on, got {value!r}.")
        wrong = [share for share in self.coverages if share not in COVERAGES]
        if wrong or not self.coverages:
            known = ", ".join(f"{share:g}" for share in COVERAGES)
            raise OptionError(f"coverages: expected some of {known}, got {wrong[0] if wrong else 'none'}.")


class Backtest:
    """A model and the naive rules, judged on every window of a part.

    All are judged on the same targets: those that are there, and of which each rule can say something. Absolute errors
    are those of medians, squared ones those of means. What is predicted is judged: where there is a calibration, the
    calibrated quantiles and their CRPS. The rules read all of a series before an origin. Their intervals are made as
    those of the model are calibrated, from their own errors on the validation part, so that they too say how sure they
    are; a rule of which no such errors are known has neither intervals nor CRPS, for as a point it would look worse
    than it is.

    Args:
        trained: The model, with its calibration if it has one.
        part: What to judge on.
        yardstick: What MASE is scaled by, and the intervals of the rules.
        options: Which origins, and which coverages.

    Attributes:
        trained: As given.
        part: As given.
        options: As given.
        stride: Steps from one origin to the next.
        windows: Those that are judged.
        all_windows: How many there would be at a stride of 1.
        rules: The naive ones.
        scores: Of each contestant, by its name: the model, the members of an ensemble as they are without calibration,
            the rules.
        edges: When each stretch of time begins, by the panel's times, (M,).
        row: Of the panel, of each window's first step, (W,); as all that follows after `run`.
        sums: Weighted losses of each window, (W,), by contestant and loss.
        errors: The model's mean absolute error of each window and target, in units of the scaling, (W, C).
        residuals: Target less the model's median at the first step, in units of the scaling, (W, C).
        left_out: Targets of which a rule could say nothing.

    Raises:
        DataError: No window fits into the part.
    """

    def __init__(
        self,
        trained: TrainedForecaster,
        part: Part,
        *,
        yardstick: Yardstick | None = None,
        options: BacktestOptions | None = None,
    ) -> None:
        self.trained, self.part, self.options = trained, part, options or BacktestOptions()
        setup, panel, asked = trained.setup, part.panel, self.options.stride
        self.windows = setup.windows(part, batch_size=self.options.batch_size)
        self.all_windows = self.windows.num_windows
        self.stride = asked or setup.season.stride(-(-self.all_windows // MOST_WINDOWS))
        if self.stride > 1:
            self.windows = setup.windows(part, batch_size=self.options.batch_size, stride=self.stride)
        self.rules = RollingBaselines(panel, setup.season.steps)
        num_targets = len(setup.schema.targets)
        yardstick = yardstick or Yardstick()
        self._naive_scale = yardstick.scale_of(panel)
        self._calibrations = {name: yardstick.calibrations.get(name) for name in self.rules.names}
        self._calibrations[MODEL] = trained.calibration
        self.edges = _edges(part, setup.horizon)
        shape = (setup.horizon, num_targets, len(panel), len(self.edges))
        self._members = {f"member {number}": member for number, member in enumerate(trained.members, 1)}
        names = (MODEL, *self._members, *self.rules.names)
        self.scores = {name: ForecastScores(*shape) for name in names}
        self.left_out = 0
        self.sums: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._kept: dict[str, list[NDArray[np.float64]]] = {}

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Judge all windows.

        Args:
            progress: Called with the windows judged so far, and how many there are.

        Raises:
            TrainingError: The model's forecast is not a number.
        """
        rows: list[NDArray[np.int64]] = []
        done = 0
        for batch in self.windows:
            self._judge(batch)
            rows.append(batch.row.numpy())
            done += len(batch.row)
            if progress is not None:
                progress(done, self.windows.num_windows)
        self.row = np.concatenate(rows)
        kept = {name: np.concatenate(arrays) for name, arrays in self._kept.items()}
        self.errors, self.residuals = kept["errors"], kept["residuals"]
        self.sums = {name: {loss: kept[f"{loss} {name}"] for loss in ("mae", "mse", "mase")} for name in self.scores}

    def judged(self, batch: SeriesBatch) -> dict[str, Judged]:
        """Return what each contestant says of a batch of windows, by its name."""
        said = said_by_rules(self.rules, batch, self.trained.setup.horizon)
        own = {name: member.scaled(batch) for name, member in self._members.items()}
        forecasts: dict[str, Distribution] = {MODEL: self.trained.scaled(batch), **own, **said}
        return {name: self._judged(name, forecast, batch) for name, forecast in forecasts.items()}

    @property
    def has_sure_rules(self) -> bool:
        """Whether it is known how sure the rules are, so that their intervals and CRPS can be judged."""
        return None not in [self._calibrations[name] for name in self.rules.names]

    def targets(self, batch: SeriesBatch) -> Tensor:
        """Return what came, (B, P, C) float64, NaN where missing: not scaled and back, which would be a little off."""
        ahead = batch.row[:, None] + torch.arange(self.trained.setup.horizon)
        values = self.part.panel.values[ahead.numpy(), : batch.target.shape[2]]
        return torch.from_numpy(values.astype(np.float64))

    def _judged(self, name: str, forecast: Distribution, batch: SeriesBatch) -> Judged:
        """Return what distributions (B, P, C) of scaled values say on the original scale.

        Of the model's intervals all coverages are judged, also as the network says them.
        """
        calibration, is_model = self._calibrations.get(name), name == MODEL
        loc, size = original_scale(batch)
        original = forecast.rescaled(loc, size)
        bounded = self.trained.setup.bounded
        raw = bounded(original.quantile(LEVELS).double())
        said, scored = raw, original
        if calibration is not None:
            said = bounded(calibration.quantiles(original, LEVELS, size))
        # What is predicted is what is judged: calibrated quantiles, with nothing below the least there can be.
        is_moved = any(self.trained.setup.non_negative) and not isinstance(forecast, Point | NegativeBinomial)
        if calibration is not None or is_moved:
            scored = Quantiles(values=said, levels=LEVELS)
        crps = scored.crps(self.targets(batch)).double()
        if name in self.rules.names and calibration is None:
            said = torch.where(torch.tensor(LEVELS) == 0.5, said, torch.nan)
            crps = torch.full_like(crps, torch.nan)
        intervals = {}
        for share in COVERAGES if is_model else self.options.coverages:
            low, high = (LEVELS.index(level) for level in ends(share))
            intervals[f"{share:g}"] = (said[..., low], said[..., high])
            if is_model:
                intervals[f"{share:g} raw"] = (raw[..., low], raw[..., high])
        return Judged(
            mean=bounded(original.mean.double()),
            median=said[..., LEVELS.index(0.5)],
            crps=crps,
            intervals=intervals,
        )

    def _judge(self, batch: SeriesBatch) -> None:
        """Add what all contestants say of a batch of windows."""
        target, judged, weight = self.targets(batch), self.judged(batch), batch.weight.double()
        is_told = torch.stack([judged[name].median.isfinite() for name in self.rules.names]).all(0)
        self.left_out += int(((weight > 0) & ~is_told).sum())
        weight = torch.where(is_told, weight, 0)
        self._keep_errors(judged[MODEL], target, weight, batch)
        ticks = _ticks(self.part.panel.times[batch.row.numpy()])
        time = torch.from_numpy(np.searchsorted(_ticks(self.edges), ticks, side="right") - 1)
        scale = torch.from_numpy(self._naive_scale[batch.index.numpy()])
        for name, own in judged.items():
            sums = self.scores[name].add(own.losses(target, weight, scale), weight, batch.index, time)
            for loss in ("mae", "mse", "mase"):
                self._keep(f"{loss} {name}", sums[loss].sum(1))

    def _keep_errors(self, judged: Judged, target: Tensor, weight: Tensor, batch: SeriesBatch) -> None:
        counts = weight > 0
        if not bool((judged.median.isfinite() & judged.mean.isfinite())[counts].all()):
            raise TrainingError(
                "the model's forecast is not a number, for its weights are too large or damaged; train anew with a "
                "lower learning rate."
            )
        error = torch.where(counts, target - judged.median, torch.nan) / original_scale(batch)[1]
        self._keep("errors", error.abs().nanmean(1))
        self._keep("residuals", error[:, 0])

    def _keep(self, name: str, values: Tensor) -> None:
        self._kept.setdefault(name, []).append(values.numpy())


def _edges(part: Part, horizon: int) -> NDArray[Any]:
    """Return when stretches of time begin that are equally long and cover all origins of a part, (M,)."""
    series = part.series
    times = part.panel.times
    first = times[part.start[series]].min()
    last = times[np.maximum(part.stop[series] - horizon, part.start[series])].max()
    begin, end = _ticks(np.array([first, last])).tolist()
    ticks = np.linspace(begin, end, _STRETCHES, endpoint=False)
    edges = np.unique(ticks if times.dtype.kind == "f" else np.floor(ticks).astype(np.int64)).astype(times.dtype)
    # Nanoseconds since 1970 have more digits than the numbers in between.
    edges[0] = first
    return edges


def _ticks(times: NDArray[Any]) -> NDArray[Any]:
    return times.view(np.int64) if times.dtype.kind == "M" else times
