"""All but the network that a forecast needs: how data are read, scaled and cut into windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from recur.data.series import (
    LastWindows,
    Panel,
    Part,
    Scaler,
    Split,
    Windows,
    seen_categories,
)
from recur.data.series.gathering import SINCE_LAST
from recur.data.series.partition import Partition
from recur.data.series.scaling import Method
from recur.data.series.split import last_targets
from recur.errors import DataError
from recur.kinds import is_number
from recur.models.series_shape import SeriesShape
from recur.tasks.forecast.calibration import calibration_stride
from recur.tasks.forecast.season_choice import Season, choose_season
from recur.tasks.forecast.training_part import find_non_negative, find_time_unit, least_history_of
from recur.tasks.series_reading import SeriesReading
from recur.tasks.series_setup import SeriesSetup, Source, checked_whole


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastSetup(SeriesSetup):
    """How a run's data become what its network reads: saved with it, it does the same with other data.

    The attributes that it does not name are those of `SeriesSetup`.

    Attributes:
        history: Steps that the network reads at most, T.
        horizon: Steps that it tells, P.
        least_history: Steps that must be there to read, as of `recur.data.series.Windows`.
        time_unit: Where steps are not equally far apart, the usual distance of two, in which the network is told how
            long the step before is ago; None where all are.
        season: After how many steps the rules that the model is measured by take the series to repeat, and why.
        non_negative: Which targets are never below 0, so that nothing below is forecast of them.

    Example:
        >>> panel = Panel.of_rows(["a"], [20], [[float(step % 4)] for step in range(20)])
        >>> setup, split = ForecastSetup.fit(panel, history=4, horizon=2)
        >>> setup.channels, setup.season.steps, len(setup.windows(split.train, batch_size=8))
        (('y',), 1, 2)
    """

    history: int
    horizon: int
    least_history: int
    time_unit: float | None
    season: Season
    non_negative: tuple[bool, ...]

    @classmethod
    def fit(
        cls,
        panel: Panel,
        *,
        history: int,
        horizon: int,
        least_history: int | None = None,
        partition: Partition | None = None,
        scaling: Method = "standard",
        per_series: bool = True,
        calendar: tuple[str, ...] | None = None,
        season: Season | None = None,
        non_negative: bool | None = None,
        reading: SeriesReading | None = None,
        path: str | None = None,
        learned: Callable[[Split], Split] | None = None,
    ) -> tuple[Self, Split]:
        """Return the setup for a panel, and the panel's parts; everything is fitted on the training part alone.

        Args:
            panel: The series; in those of the parts the categories are the ones that the training part has.
            history: As of `Windows`.
            horizon: As of `Windows`.
            least_history: As of `Windows`; None for as many as leave windows in half of the series.
            partition: How the panel is cut.
            scaling: The scaler's method.
            per_series: As of `Scaler`.
            calendar: As of `Windows`.
            season: Of the training part, where it is known already; None to look for it.
            non_negative: Whether all targets are never below 0; None for those of which nothing in the training part
                is, and that are whole numbers there or 0 at least once in a hundred.
            reading: How the panel was read.
            path: The file or folder that it was read from.
            learned: Returns the parts as they are learned from, where something of them is not to be; the parts that
                are returned have it.

        Raises:
            OptionError: A number is out of range.
            DataError: There are no targets, or no window fits into a part that has rows.
        """
        partition = partition or Partition()
        source = Source.of(panel, path)
        panel = panel.recoded(seen_categories(partition.of(panel).train))
        split = partition.of(panel)
        own = split if learned is None else learned(split)
        scaler = Scaler.fit(own.train, scaling, per_series=per_series)
        time_unit = find_time_unit(own.train, keeps_gaps=reading is not None and reading.assembly.gaps == "keep")
        if least_history is None:
            least_history = least_history_of(own.train, history, horizon)
        windows = Windows(
            own.train,
            history=history,
            horizon=horizon,
            batch_size=1,
            scaler=scaler,
            least_history=least_history,
            calendar=calendar,
        )
        setup = cls(
            schema=panel.schema,
            scaler=scaler,
            history=history,
            horizon=horizon,
            least_history=windows.least_history,
            calendar=_features(windows.channels[len(panel.schema.channels) :]),
            time_unit=time_unit,
            frequency=panel.frequency,
            season=season or choose_season(own.train),
            non_negative=find_non_negative(own.train, non_negative),
            reading=reading or SeriesReading(),
            partition=partition,
            source=source,
        )
        for part in (own.valid, own.test):
            if len(part):
                # What cannot be judged in the end is better told before a training than after it.
                setup.windows(part, batch_size=1)
        return setup, split

    @property
    def future_channels(self) -> tuple[str, ...]:
        """Names of the features of a batch's `future`."""
        return (*self.schema.known_future, *self._calendar_channels)

    @property
    def shape(self) -> SeriesShape:
        """What a network has to be built for to read the windows."""
        return SeriesShape.of(self.schema, self.channels, self.future_channels, self.horizon)

    @property
    def _calendar_channels(self) -> tuple[str, ...]:
        since = () if self.time_unit is None else (SINCE_LAST,)
        return (*(f"{name}_{part}" for name in self.calendar for part in ("sin", "cos")), *since)

    def bounded(self, values: Tensor) -> Tensor:
        """Return what is said of the targets with nothing below 0 where they never are.

        Args:
            values: On the original scale, (B, P, C) or (B, P, C, Q).
        """
        least = torch.tensor([0.0 if never else -torch.inf for never in self.non_negative], dtype=values.dtype)
        return torch.maximum(values, least.view(-1, *[1] * (values.dim() - 3)))

    # --- data ---

    def own_data(self, data: Any = None) -> Split:
        """Return the parts of the run's own data, read again; arguments and errors as of `own_panel`."""
        return self.parts(self.own_panel(data))

    def first_parts(self, data: Any) -> Split:
        """Return the parts of data that are read as the run's own were."""
        return self.parts(self.reading.first(data))

    def parts(self, panel: Panel) -> Split:
        """Return the parts of the run's own data, as they were first read."""
        return self.partition.of(panel.recoded(self.schema.categories))

    def windows(
        self,
        part: Part,
        *,
        batch_size: int,
        stride: int = 1,
        seed: int | None = None,
        least_history: int | None = None,
    ) -> Windows:
        """Return the windows of a part; arguments and errors as of `Windows`, `least_history` as the setup has it."""
        return Windows(
            part,
            history=self.history,
            horizon=self.horizon,
            batch_size=batch_size,
            scaler=self.scaler,
            stride=stride,
            least_history=self.least_history if least_history is None else least_history,
            calendar=self.calendar,
            time_unit=self.time_unit,
            seed=seed,
        )

    def calibration_windows(self, valid: Part, *, batch_size: int) -> Windows | None:
        """Return the windows of a validation part that intervals are calibrated on, as many as memory allows.

        Returns:
            None where none fits into the part.
        """
        try:
            windows = self.windows(valid, batch_size=batch_size)
        except DataError:
            return None
        stride = calibration_stride(windows.num_windows, self.horizon, len(self.schema.targets))
        return windows if stride == 1 else self.windows(valid, batch_size=batch_size, stride=stride)

    def last_windows(
        self, panel: Panel, *, batch_size: int, steps: int | None = None, reads_all: bool = False
    ) -> LastWindows:
        """Return the windows at the end of each series, where what comes next is to be told.

        Rows for the steps to tell are added where the panel lacks them, unless the model reads what is known of the
        future: then they must be there.

        Args:
            panel: As `read` returns it.
            batch_size: Series a batch has.
            steps: How many of the horizon's steps are to be told; all where None.
            reads_all: Whether the windows go back to the beginning of each series.

        Raises:
            DataError: A series has no target to go on from; or rows lack what is known of the future, or have no step.
        """
        schema, steps = self.schema, steps or self.horizon
        has_all = not _lacks_rows(panel, steps)
        can_count_on = has_all or not (schema.known_future or schema.known_categorical)
        # Without a step to count on by, what comes after the rows that are needed is missing.
        if can_count_on and _lacks_rows(panel, self.horizon) and not (has_all and None in panel.frequencies):
            panel = panel.extended(self.horizon)
        return LastWindows(
            panel,
            history=max(self.history, int(panel.lengths.max())) if reads_all else self.history,
            horizon=self.horizon,
            batch_size=batch_size,
            needed=steps,
            scaler=self.scaler,
            calendar=self.calendar,
            scaled_by=self.history if reads_all else None,
            time_unit=self.time_unit,
        )

    # --- files ---

    def _own_entries(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "horizon": self.horizon,
            "least_history": self.least_history,
            "season": {"steps": self.season.steps, "why": self.season.why},
            "time_unit": self.time_unit,
            "non_negative": list(self.non_negative),
        }

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        sizes = {name: checked_whole(name, content[name]) for name in ("history", "horizon", "least_history")}
        return {
            **sizes,
            "season": Season(**content["season"]),
            "time_unit": _unit(content["time_unit"]),
            "non_negative": _marks(content["non_negative"], len(content["schema"]["targets"])),
        }


def _marks(values: Any, count: int) -> tuple[bool, ...]:
    if not (isinstance(values, list) and len(values) == count and all(isinstance(value, bool) for value in values)):
        raise DataError(f"non_negative must be true or false for each of the {count} targets, got {values!r}")
    return tuple(values)


def _unit(value: Any) -> float | None:
    if value is not None and not (is_number(value) and value > 0):
        raise DataError(f"time_unit must be a number above 0, got {value!r}")
    return None if value is None else float(value)


def _features(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return which calendar features have these channels, a sine and a cosine each."""
    return tuple(dict.fromkeys(name.rpartition("_")[0] for name in channels))


def _lacks_rows(panel: Panel, horizon: int) -> bool:
    """Return whether a series has fewer rows than `horizon` after its last target."""
    return bool((last_targets(panel) + horizon > panel.offsets[1:]).any())
