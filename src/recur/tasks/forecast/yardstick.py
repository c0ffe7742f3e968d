"""What forecasts are measured by beside the naive rules: kept with a run, for it needs the run's own data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel, Part, SeriesBatch
from recur.models.distributions import Distribution, Point
from recur.run import RunFolder
from recur.tasks.forecast.calibration import ForecastCalibration, original_scale
from recur.tasks.forecast.rolling_baselines import RollingBaselines
from recur.tasks.forecast.scores import naive_scales
from recur.tasks.forecast.setup import ForecastSetup

YARDSTICK = "yardstick.json"
"""File of a run with what its forecasts are measured by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """The unit of MASE for each series, and how sure each naive rule is.

    Attributes:
        scales: By the name of a series, `recur.score.seasonal_scale` of each target within the training part, NaN where
            it has none.
        calibrations: By the name of a rule, what makes its intervals: its own errors on the validation part. Empty
            where no window fits into that part.
    """

    scales: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    calibrations: Mapping[str, ForecastCalibration] = field(default_factory=dict)

    @classmethod
    def of(cls, setup: ForecastSetup, *, train: Part | None, valid: Part | None, batch_size: int = 256) -> Self:
        """Return what the parts of a run's own data say; nothing of what is None.

        Args:
            setup: Of the run.
            train: The training part.
            valid: The validation part.
            batch_size: Windows forecast at once.
        """
        scales: dict[str, tuple[float, ...]] = {}
        if train is not None:
            found = naive_scales(train, setup.season.steps)
            scales = {train.panel.ids[number]: tuple(found[number].tolist()) for number in train.series.tolist()}
        windows = None if valid is None else setup.calibration_windows(valid, batch_size=batch_size)
        if valid is None or windows is None:
            return cls(scales=scales)
        rules = RollingBaselines(valid.panel, setup.season.steps)

        def of_rule(name: str) -> Callable[[SeriesBatch], Distribution]:
            return lambda batch: said_by_rules(rules, batch, setup.horizon)[name]

        return cls(
            scales=scales,
            calibrations={name: ForecastCalibration.fit(of_rule(name), windows) for name in rules.names},
        )

    def scale_of(self, panel: Panel) -> NDArray[np.float64]:
        """Return the unit of MASE of each target of each series, (N, C); NaN for a series without one."""
        nothing = (np.nan,) * len(panel.schema.targets)
        return np.array([self.scales.get(name, nothing) for name in panel.ids], np.float64)

    # --- files ---

    def save(self, folder: RunFolder) -> None:
        """Write `yardstick.json` into a run.

        Raises:
            RunError: It cannot be written.
        """
        scales = {
            name: [None if np.isnan(number) else number for number in numbers] for name, numbers in self.scales.items()
        }
        rules = {
            name: {part: value.tolist() for part, value in calibration.state_dict().items()}
            for name, calibration in self.calibrations.items()
        }
        folder.write_json(YARDSTICK, {"scales": scales, "rules": rules})

    @classmethod
    def load(cls, folder: RunFolder) -> Self:
        """Return that of a run; one that measures nothing where the run has none.

        Raises:
            RunError: The file is damaged.
        """
        if not folder.has(YARDSTICK):
            return cls()
        with folder.entries_of(YARDSTICK) as content:
            scales = {
                name: tuple(np.nan if number is None else float(number) for number in numbers)
                for name, numbers in content["scales"].items()
            }
            states = {
                name: {part: torch.tensor(value, dtype=torch.float64) for part, value in state.items()}
                for name, state in content["rules"].items()
            }
            calibrations = {name: ForecastCalibration.from_state(state) for name, state in states.items()}
            return cls(scales=scales, calibrations=calibrations)


def said_by_rules(rules: RollingBaselines, batch: SeriesBatch, horizon: int) -> dict[str, Point]:
    """Return what the rules say of a batch, by name, scaled as the network's distributions are, (B, P, C)."""
    said = rules.forecast(batch.row.numpy(), batch.index.numpy(), horizon)
    loc, size = original_scale(batch)
    return {name: Point(value=(torch.from_numpy(values) - loc) / size) for name, values in said.items()}
