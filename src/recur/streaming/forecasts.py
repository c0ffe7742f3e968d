"""A trained forecaster as a stream reads it: batches of steps, answers after some of them, a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.calibration.drift import LEVELS
from recur.data.series import SeriesBatch
from recur.errors import OptionError
from recur.models.forecast_network import ForecastNetwork
from recur.tasks.forecast.calibration import original_scale
from recur.tasks.forecast.trained import TrainedForecaster, asked_levels


class Said(NamedTuple):
    """What is told after some steps.

    Attributes:
        values: Mean and quantiles on the original scale, (M, P, C, 1 + Q) float64.
        ends: Quantiles of the first step at the levels of `recur.calibration.drift`, (M, C, E) float64.
        state: After the last step of each row of the batch.
    """

    values: Tensor
    ends: Tensor
    state: Any


class StreamedForecaster:
    """Reads steps with a forecaster's network, and tells what follows.

    Args:
        forecaster: Whose network carries a state.
        levels: Of the quantiles.
        use_calibration: Whether quantiles are calibrated, where there is a calibration.

    Attributes:
        forecaster: As given.
        names: Of what is told of each step: mean, q0.1 and so on.
        tells_between: Whether a batch can be answered for at any of its steps, or only at the last of each row.

    Raises:
        OptionError: The network carries no state, or a level is out of range.
    """

    def __init__(self, forecaster: TrainedForecaster, levels: Sequence[float], use_calibration: bool) -> None:
        if not isinstance(forecaster.network, ForecastNetwork):
            raise OptionError(
                f"stream: the network, {type(forecaster.network).__name__}, carries no state; a ForecastNetwork does."
            )
        self.forecaster = forecaster
        self.network: ForecastNetwork = forecaster.network
        self.levels = asked_levels(levels)
        self.use_calibration = use_calibration
        self.names = ("mean", *(f"q{level:g}" for level in self.levels))
        self.tells_between = self.network.tells_between

    def begin(self, count: int) -> Any:
        """Return the state before the first step of so many series."""
        with torch.no_grad():
            return self.network.begin(count)

    def read(self, batch: SeriesBatch, state: Any) -> Any:
        """Return the state after each row's last step."""
        with torch.inference_mode():
            return self.network.read(batch.to(self.forecaster.device), state)

    def tell(self, batch: SeriesBatch, state: Any, row: Tensor, step: Tensor) -> Said:
        """Return what follows after `step` (M,) steps of `row` (M,), and the state after each row's last step."""
        device = self.forecaster.device
        with torch.inference_mode():
            forecast, after = self.network.told_after(batch.to(device), state, row.to(device), step.to(device))
            parameters = {name: getattr(forecast, name) for name in forecast.__dataclass_fields__}
            forecast = replace(
                forecast, **{name: value.cpu() for name, value in parameters.items() if isinstance(value, Tensor)}
            )
            loc, size = (each[row] for each in original_scale(batch))
            values = self.forecaster.said(forecast, loc, size, self.levels, use_calibration=self.use_calibration)
            ends = self.forecaster.said(forecast[:, :1], loc, size, LEVELS, use_calibration=self.use_calibration)
        return Said(values, ends[:, 0, :, 1:], after)
