"""Forecasts on streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.calibration.drift import LEVELS
from recur.data.series import SeriesBatch
from recur.errors import OptionError
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.streaming.answers import Answers, written
from recur.streaming.streamed import Columns, Streamed, check_grid
from recur.tasks.forecast.calibration import original_scale
from recur.tasks.forecast.trained import TrainedForecaster, asked_levels


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecasts(Answers):
    """What follows the rows that were pushed.

    `rows` has of each `drift` and `forecast`: for each step and target a dictionary of `time`, `target`, `mean` and the
    quantiles.

    Attributes:
        times: Of the steps that are told, (A, P).
        values: Mean and quantiles on the original scale, (A, P, C, 1 + Q) float32.
        drift: Whether the forecasts of the series have stopped holding what they say, (A,).
        targets: Names of the targets, C.
        names: Of the last dimension of `values`: mean, q0.1 and so on.
    """

    times: NDArray[Any]
    values: NDArray[np.float32]
    drift: NDArray[np.bool_]
    targets: tuple[str, ...]
    names: tuple[str, ...]

    def _said(self) -> Iterator[dict[str, Any]]:
        told = written(self.times.reshape(-1), self.zone)
        num_steps = self.times.shape[1]
        for number, (values, drift) in enumerate(zip(self.values.tolist(), self.drift.tolist(), strict=True)):
            forecast = [
                {"time": told[number * num_steps + step], "target": target}
                | dict(zip(self.names, values[step][channel], strict=True))
                for step in range(num_steps)
                for channel, target in enumerate(self.targets)
            ]
            yield {"drift": drift, "forecast": forecast}

    def to_polars(self) -> pl.DataFrame:
        """Return a dataframe with a row for each answer, step and target.

        Its columns are `series_id`, `after` (the time of the row that was pushed), `time`, `target`, `mean`, the
        quantiles, and `drift`.
        """
        num_steps, num_targets = self.values.shape[1:3]
        answer = np.repeat(np.arange(len(self)), num_steps * num_targets)
        names = pl.Series(list(self.ids), dtype=pl.String)
        frame = pl.DataFrame({"series_id": names.gather(answer), "after": self.time[answer], **self._cells()})
        return self._on_the_clock(frame, "after", "time")

    def _cells(self) -> Mapping[str, Any]:
        num_answers, num_steps, num_targets, _ = self.values.shape
        return {
            "time": np.repeat(self.times.reshape(-1), num_targets),
            "target": pl.Series(list(self.targets) * (num_answers * num_steps), dtype=pl.String),
            **{name: self.values[..., number].reshape(-1) for number, name in enumerate(self.names)},
            "drift": np.repeat(self.drift, num_steps * num_targets),
        }


class StreamedForecaster(Streamed[Forecasts]):
    """Reads steps with a forecaster's network, and tells what follows.

    Args:
        forecaster: Whose network carries a state.
        levels: Of the quantiles.
        use_calibration: Whether quantiles are calibrated, where there is a calibration.

    Attributes:
        forecaster: As given.
        names: Of what is told of each step: mean, q0.1 and so on.

    Raises:
        OptionError: The network carries no state, or a level is out of range.
    """

    network: ForecastNetwork | ForecastEnsemble

    def __init__(self, forecaster: TrainedForecaster, levels: Sequence[float], use_calibration: bool) -> None:
        network, setup = forecaster.network, forecaster.setup
        if not isinstance(network, ForecastNetwork | ForecastEnsemble):
            raise OptionError(
                f"stream: the network, {type(network).__name__}, carries no state; a ForecastNetwork and an ensemble "
                "of them do."
            )
        check_grid(setup)
        super().__init__(
            network, setup, history=setup.history, horizon=setup.horizon, tells_between=network.tells_between
        )
        self.forecaster = forecaster
        self.levels = asked_levels(levels)
        self.use_calibration = use_calibration
        self.names = ("mean", *(f"q{level:g}" for level in self.levels))

    def begin(self, ids: Sequence[str]) -> Any:
        """Return the state of series before their first step."""
        with torch.no_grad():
            return self.network.begin(len(ids))

    def read(self, batch: SeriesBatch, state: Any) -> Any:
        """Return the state after each row's last step."""
        with torch.inference_mode():
            return self.network.read(batch.to(self.device), state)

    def tell(self, batch: SeriesBatch, state: Any, row: Tensor, step: Tensor) -> tuple[Columns, Any]:
        """Return what follows after `step` (M,) steps of `row` (M,), and the state after each row's last step."""
        device = self.device
        with torch.inference_mode():
            forecast, after = self.network.told_after(batch.to(device), state, row.to(device), step.to(device))
            parameters = {name: getattr(forecast, name) for name in forecast.__dataclass_fields__}
            forecast = replace(
                forecast, **{name: value.cpu() for name, value in parameters.items() if isinstance(value, Tensor)}
            )
            loc, size = (each[row] for each in original_scale(batch))
            values = self.forecaster.said(forecast, loc, size, self.levels, use_calibration=self.use_calibration)
            ends = self.forecaster.said(forecast[:, :1], loc, size, LEVELS, use_calibration=self.use_calibration)
        return {"values": values.float().numpy(), "ends": ends[:, 0, :, 1:].numpy()}, after

    def blank(self, count: int) -> Columns:
        """Return missing values of so many steps: (A, P, C, 1 + Q) float32, and ends, (A, C, E) float64."""
        num_targets = len(self.setup.schema.targets)
        return {
            "values": np.full((count, self.horizon, num_targets, len(self.names)), np.nan, np.float32),
            "ends": np.full((count, num_targets, len(LEVELS)), np.nan),
        }

    def answers(self, said: Columns, ahead: NDArray[Any], **common: Any) -> Forecasts:
        """Return the forecasts; `said` has `drift`, too."""
        return Forecasts(
            values=said["values"],
            drift=said["drift"],
            times=ahead,
            targets=self.setup.schema.targets,
            names=self.names,
            **common,
        )
