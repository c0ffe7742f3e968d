"""All but the network that a forecast needs: how data are read, scaled and cut into windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from recur.data.series import (
    Frequency,
    LastWindows,
    Panel,
    Part,
    Scaler,
    Schema,
    Split,
    Windows,
    seen_categories,
)
from recur.data.series.partition import Partition
from recur.data.series.scaling import Method
from recur.data.series.split import last_targets
from recur.errors import DataError, RunError
from recur.models.series_shape import SeriesShape
from recur.run import RunFolder
from recur.tasks.forecast.calibration import calibration_stride
from recur.tasks.forecast.season_choice import Season, choose_season
from recur.tasks.series_reading import SeriesReading, fingerprint

SCALER = "scaler.safetensors"
"""File of a run with the numbers of its scaler."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data of a run lie, and by what they are recognised.

    Attributes:
        path: Of the file or folder; None where the data were not in one.
        fingerprint: Of the series, as `recur.tasks.series_reading.fingerprint` tells it.
    """

    path: str | None
    fingerprint: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastSetup:
    """How a run's data become what its network reads: saved with it, it does the same with other data.

    `schema.json` holds it but for the numbers of the scaler, which are in `scaler.safetensors`.

    Attributes:
        schema: What the columns are for, with the categories of the training part and the zone of the clock.
        scaler: Fitted on the training part.
        history: Steps that the network reads at most, T.
        horizon: Steps that it tells, P.
        least_history: Steps that must be there to read, as of `recur.data.series.Windows`.
        calendar: The calendar features that are added.
        frequency: The step of all series; None where they have none or differ.
        season: After how many steps the rules that the model is measured by take the series to repeat, and why.
        reading: How the data were read.
        partition: How they were cut into parts.
        source: Where they lie; None for data that were never in one place.

    Example:
        >>> panel = Panel.of_rows(["a"], [20], [[float(step % 4)] for step in range(20)])
        >>> setup, split = ForecastSetup.fit(panel, history=4, horizon=2)
        >>> setup.channels, setup.season.steps, len(setup.windows(split.train, batch_size=8))
        (('y',), 1, 2)
    """

    schema: Schema
    scaler: Scaler
    history: int
    horizon: int
    least_history: int
    calendar: tuple[str, ...]
    frequency: Frequency | None
    season: Season
    reading: SeriesReading = field(default_factory=SeriesReading)
    partition: Partition = field(default_factory=Partition)
    source: Source | None = None

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
        reading: SeriesReading | None = None,
        path: str | None = None,
    ) -> tuple[Self, Split]:
        """Return the setup for a panel, and the panel's parts; everything is fitted on the training part alone.

        Args:
            panel: The series; in those of the parts the categories are the ones that the training part has.
            history: As of `Windows`.
            horizon: As of `Windows`.
            least_history: As of `Windows`.
            partition: How the panel is cut.
            scaling: The scaler's method.
            per_series: As of `Scaler`.
            calendar: As of `Windows`.
            season: Of the training part, where it is known already; None to look for it.
            reading: How the panel was read.
            path: The file or folder that it was read from.

        Raises:
            OptionError: A number is out of range.
            DataError: There are no targets, or no window fits into a part that has rows.
        """
        partition = partition or Partition()
        found = fingerprint(panel)
        panel = panel.recoded(seen_categories(partition.of(panel).train))
        split = partition.of(panel)
        scaler = Scaler.fit(split.train, scaling, per_series=per_series)
        windows = Windows(
            split.train,
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
            frequency=panel.frequency,
            season=season or choose_season(split.train),
            reading=reading or SeriesReading(),
            partition=partition,
            source=Source(path=None if path is None else str(Path(path).resolve()), fingerprint=found),
        )
        for part in (split.valid, split.test):
            if len(part):
                # What cannot be judged in the end is better told before a training than after it.
                setup.windows(part, batch_size=1)
        return setup, split

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the features of a batch's `x`."""
        return (*self.schema.channels, *self._calendar_channels)

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
        return tuple(f"{name}_{part}" for name in self.calendar for part in ("sin", "cos"))

    # --- data ---

    def read(self, data: Any) -> Panel:
        """Return data read as those of the run were: the same columns, categories, step and clock.

        Arguments and errors are those of `SeriesReading.again`.
        """
        return self.reading.again(data, self.schema, self.frequency)

    def own_data(self) -> Split:
        """Return the parts of the run's own data, read again.

        Raises:
            RunError: They were not in a file, or have changed since.
            DataError: They cannot be read any more.
        """
        if self.source is None or self.source.path is None:
            raise RunError("the run's own data were not in a file, so they cannot be read again; give the data.")
        panel = self.reading.first(self.source.path)
        if fingerprint(panel) != self.source.fingerprint:
            raise RunError(
                f"{self.source.path}: is not what the model was trained on any more; put the data back, or give the "
                "data to be judged on."
            )
        return self.parts(panel)

    def parts(self, panel: Panel) -> Split:
        """Return the parts of the run's own data, as they were first read."""
        return self.partition.of(panel.recoded(self.schema.categories))

    def windows(self, part: Part, *, batch_size: int, stride: int = 1, seed: int | None = None) -> Windows:
        """Return the windows of a part; arguments and errors as of `Windows`."""
        return Windows(
            part,
            history=self.history,
            horizon=self.horizon,
            batch_size=batch_size,
            scaler=self.scaler,
            stride=stride,
            least_history=self.least_history,
            calendar=self.calendar,
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

    def last_windows(self, panel: Panel, *, batch_size: int, reads_all: bool = False) -> LastWindows:
        """Return the windows at the end of each series, where what comes next is to be told.

        Rows for the steps to tell are added where the panel lacks them, unless the model reads what is known of the
        future: then they must be there.

        Args:
            panel: As `read` returns it.
            batch_size: Series a batch has.
            reads_all: Whether the windows go back to the beginning of each series.

        Raises:
            DataError: A series has no target to go on from; or rows lack what is known of the future, or have no step.
        """
        schema = self.schema
        if not (schema.known_future or schema.known_categorical) and _lacks_rows(panel, self.horizon):
            panel = panel.extended(self.horizon)
        return LastWindows(
            panel,
            history=max(self.history, int(panel.lengths.max())) if reads_all else self.history,
            horizon=self.horizon,
            batch_size=batch_size,
            scaler=self.scaler,
            calendar=self.calendar,
            scaled_by=self.history if reads_all else None,
        )

    # --- files ---

    def save(self, folder: RunFolder) -> None:
        """Write `schema.json` and `scaler.safetensors`.

        Raises:
            RunError: They cannot be written.
        """
        for name, content in self.tensors().items():
            folder.write_tensors(name, content)
        folder.write_json("schema.json", self.to_json())

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the numbers of the scaler, by the name of their file."""
        return {SCALER: {name: tensor.contiguous() for name, tensor in self.scaler.tensors().items()}}

    def to_json(self) -> dict[str, Any]:
        """Return all but the numbers of the scaler."""
        frequency = self.frequency
        return {
            "schema": self.schema.to_json(),
            "scaler": self.scaler.to_json(),
            "history": self.history,
            "horizon": self.horizon,
            "least_history": self.least_history,
            "calendar": list(self.calendar),
            "frequency": None if frequency is None else [frequency.count, frequency.unit],
            "season": {"steps": self.season.steps, "why": self.season.why},
            "reading": self.reading.to_json(),
            "partition": self.partition.to_json(),
            "source": None
            if self.source is None
            else {"path": self.source.path, "fingerprint": self.source.fingerprint},
        }

    @classmethod
    def load(cls, folder: RunFolder) -> Self:
        """Return the setup of a run.

        Raises:
            RunError: A file is missing or damaged.
        """
        content = folder.read_json("schema.json")
        tensors = folder.read_tensors(SCALER)
        try:
            return cls._of(content, Scaler.from_saved(content["scaler"], tensors))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise RunError(f"{folder.path / 'schema.json'}: damaged: {said}.") from error

    @classmethod
    def _of(cls, content: Mapping[str, Any], scaler: Scaler) -> Self:
        frequency, source = content["frequency"], content["source"]
        return cls(
            schema=Schema.from_json(content["schema"]),
            scaler=scaler,
            **{name: _whole(name, content[name]) for name in ("history", "horizon", "least_history")},
            calendar=tuple(content["calendar"]),
            frequency=None if frequency is None else Frequency(*frequency),
            season=Season(**content["season"]),
            reading=SeriesReading.from_json(content["reading"]),
            partition=Partition.from_json(content["partition"]),
            source=None if source is None else Source(**source),
        )


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(f"{name} must be a whole number from 0 on, got {value!r}")
    return value


def _features(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return which calendar features have these channels, a sine and a cosine each."""
    return tuple(dict.fromkeys(name.rpartition("_")[0] for name in channels))


def _lacks_rows(panel: Panel, horizon: int) -> bool:
    """Return whether a series has fewer rows than `horizon` after its last target."""
    return bool((last_targets(panel) + horizon > panel.offsets[1:]).any())
