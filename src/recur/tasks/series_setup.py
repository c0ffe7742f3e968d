"""How a run's data are read and scaled, whatever is told of them: saved with the run, it does the same with others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from recur.data.series import Frequency, Panel, Part, Scaler, Schema, seen_categories
from recur.data.series.options import OtherTableOptions
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_whole
from recur.run import RunFolder
from recur.tasks.series_reading import SeriesReading, fingerprint

SCALER = "scaler.safetensors"
"""File of a run with the numbers of its scaler."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data of a run lie, and by what they are recognised.

    Attributes:
        path: Of the file or folder; None where the data were not in one.
        fingerprint: Of the series, as `recur.tasks.series_reading.fingerprint` tells it.
        lengths: Rows of each series, by its name, so that those that came since are told apart; None where none
            may have come.
    """

    path: str | None
    fingerprint: str
    lengths: Mapping[str, int] | None = None

    @classmethod
    def of(cls, panel: Panel, path: str | None, *, can_grow: bool = True) -> Self:
        """Return the source of a panel that was read from `path`, if from any.

        Args:
            panel: As it was first read.
            path: Of the file or folder.
            can_grow: Whether it stays the source where rows come after those of the panel.
        """
        if path is None:
            return cls(path=None, fingerprint=fingerprint(panel))
        roles = panel.schema.roles
        has_times = roles is not None and bool(roles.time)
        return cls(
            path=str(Path(path).resolve()),
            fingerprint=fingerprint(panel),
            lengths=dict(zip(panel.ids, panel.lengths.tolist(), strict=True)) if can_grow and has_times else None,
        )

    def own(self, panel: Panel) -> Panel:
        """Return what a panel that was read from it has of what it was: all but rows that came after, of any series.

        Raises:
            RunError: Other things have changed.
        """
        if fingerprint(panel) == self.fingerprint:
            return panel
        earlier = self._earlier(panel)
        if earlier is not None and fingerprint(earlier) == self.fingerprint:
            return earlier
        if self.path is None:
            raise RunError("the data are not what the model was trained on; give the very same.")
        raise RunError(
            f"{self.path}: is not what the model was trained on any more; put the data back, or give the data to "
            "be judged on."
        )

    def _earlier(self, panel: Panel) -> Panel | None:
        """Return a panel with as many rows of each series as there were; None where there are fewer."""
        places = {one: number for number, one in enumerate(panel.ids)}
        if self.lengths is None or not all(one in places for one in self.lengths):
            return None
        chosen = panel.select([places[one] for one in self.lengths])
        lengths = np.array(list(self.lengths.values()), np.int64)
        row = np.arange(len(chosen.rows)) - np.repeat(chosen.offsets[:-1], chosen.lengths)
        found = chosen.with_rows(row < np.repeat(lengths, chosen.lengths))
        # Categories may have come with the rows.
        return found.recoded(seen_categories(Part.whole(found)))

    def to_json(self) -> dict[str, Any]:
        """Return its attributes."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesSetup:
    """What every setup of a run on series has; `schema.json` holds it, and `scaler.safetensors` the scaler's numbers.

    Attributes:
        schema: What the columns are for, with the categories of the training part and the zone of the clock.
        scaler: Fitted on the training part.
        calendar: The calendar features that are added.
        frequency: The step of all series; None where they have none or differ.
        reading: How the data were read.
        partition: How they were cut into parts.
        source: Where they lie; None for data that were never in one place.
    """

    schema: Schema
    scaler: Scaler
    calendar: tuple[str, ...]
    frequency: Frequency | None
    reading: SeriesReading = field(default_factory=SeriesReading)
    partition: Partition = field(default_factory=Partition)
    source: Source | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the features of a batch's `x`."""
        return (*self.schema.channels, *self._calendar_channels)

    @property
    def _calendar_channels(self) -> tuple[str, ...]:
        return tuple(f"{name}_{part}" for name in self.calendar for part in ("sin", "cos"))

    # --- data ---

    def read(self, data: Any, *, with_labels: bool = True) -> Panel:
        """Return data read as those of the run were: the same columns, categories, step and clock.

        Arguments and errors are those of `SeriesReading.again`.
        """
        return self.reading.again(data, self.schema, self.frequency, with_labels=with_labels)

    def for_other(self, table: OtherTableOptions) -> Self:
        """Return a setup that reads other data, of which `table` says what is not as in the run's own.

        Raises:
            OptionError: The run's data were no table, so that there is nothing to say.
        """
        if table.given and self.schema.roles is None:
            raise OptionError(f"{', '.join(table.given)}: the run's data were no table; leave it out.")
        return replace(self, reading=self.reading.of_other(table))

    def own_panel(self, data: Any = None) -> Panel:
        """Return the run's own data, read again as they were first read.

        Rows that came into their file since, after those of each series, are left out, as are series that came.

        Args:
            data: The data once more; None to read them from where they lay.

        Raises:
            OptionError: Data are given, but the run knows where they lie.
            RunError: They are needed, as they were not in a file; or they have changed since.
            DataError: They cannot be read any more.
        """
        path = None if self.source is None else self.source.path
        if data is not None and path is not None:
            raise OptionError(f"data: the run reads its own from {path}; leave them out.")
        if data is None and path is None:
            raise RunError("the run's own data were not in a file, so they cannot be read again; give the data.")
        given = path if data is None else data
        if self.source is None:
            return self.reading.first(given)
        try:
            return self.source.own(self.reading.first(given))
        except (DataError, RunError):
            # Rows that came may let columns look like something else than they did.
            roles = self.schema.roles
            if self.source.lengths is not None and roles is not None and self.reading.form == "long":
                with suppress(DataError, OptionError, RunError):
                    return self.source.own(replace(self.reading, columns=roles.as_columns()).first(given))
            raise

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
        frequency, source = self.frequency, self.source
        return {
            "schema": self.schema.to_json(),
            "scaler": self.scaler.to_json(),
            **self._own_entries(),
            "calendar": list(self.calendar),
            "frequency": None if frequency is None else [frequency.count, frequency.unit],
            "reading": self.reading.to_json(),
            "partition": self.partition.to_json(),
            "source": None if source is None else source.to_json(),
        }

    def _own_entries(self) -> dict[str, Any]:
        """Return what `_of_entries` takes: what the setups of one task have beside these, as JSON has it."""
        return {}

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that `_own_entries` told.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is of another kind.
            ValueError: An entry is out of range.
        """
        return {}

    @classmethod
    def load(cls, folder: RunFolder) -> Self:
        """Return the setup of a run.

        Raises:
            RunError: A file is missing or damaged.
        """
        tensors = folder.read_tensors(SCALER)
        with folder.entries_of("schema.json") as content:
            frequency, source = content["frequency"], content["source"]
            return cls(
                schema=Schema.from_json(content["schema"]),
                scaler=Scaler.from_saved(content["scaler"], tensors),
                calendar=tuple(content["calendar"]),
                frequency=None if frequency is None else Frequency(*frequency),
                reading=SeriesReading.from_json(content["reading"]),
                partition=Partition.from_json(content["partition"]),
                source=None if source is None else Source(**source),
                **cls._of_entries(content),
            )


def checked_whole(name: str, value: Any) -> int:
    """Return an entry of `schema.json` that has to be a whole number from 0 on.

    Raises:
        ValueError: It is not.
    """
    if not is_whole(value, 0):
        raise ValueError(f"{name} must be a whole number from 0 on, got {value!r}")
    return value
