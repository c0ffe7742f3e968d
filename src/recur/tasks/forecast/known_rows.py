"""Until when a run knows its series, and their last rows, from which windows of what follows are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel, Part, Rows
from recur.data.series.split import last_targets
from recur.data.series.succession import following
from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.tasks.forecast.setup import ForecastSetup

KNOWN_ROWS = "known_rows.safetensors"
"""File of a run with the last rows of each series that it knows."""


class KnownRows:
    """The last rows of each series that a run was trained with, learnt from or judged by; no row of them is new again.

    Args:
        panel: As many rows of each series as a window has at most; with the last of each the series is known up to
            there.

    Attributes:
        panel: As given.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    @classmethod
    def load(cls, folder: RunFolder, setup: ForecastSetup) -> Self | None:
        """Return those of a run; None where it does not say what it knows.

        Raises:
            RunError: The file is damaged.
        """
        return cls(_load(folder, setup)) if folder.has(KNOWN_ROWS) else None

    @classmethod
    def of_own_data(cls, setup: ForecastSetup) -> Self:
        """Return those of the data that a model was trained with, read again.

        Raises:
            RunError: The data were not in a file or have changed.
            DataError: The data cannot be read any more.
        """
        return cls.of_panel(setup.own_panel().recoded(setup.schema.categories), setup)

    @classmethod
    def of_panel(cls, panel: Panel, setup: ForecastSetup) -> Self:
        """Return those of a panel, of each series those up to its last target; none where rows have no times."""
        if panel.schema.roles is None or not panel.schema.roles.time:
            return cls(panel.select([]))
        end = last_targets(panel)
        begin = np.maximum(end - setup.history, panel.offsets[:-1])
        row = np.arange(len(panel.rows))
        is_last = (row >= np.repeat(begin, panel.lengths)) & (row < np.repeat(end, panel.lengths))
        lasts = panel.with_rows(is_last)
        lasts = replace(lasts, rows=_bare(lasts.rows), labels=None, notes=())
        return cls(lasts.select(np.flatnonzero(lasts.lengths)))

    def __len__(self) -> int:
        """Number of series."""
        return len(self.panel)

    @property
    def until(self) -> dict[str, Any]:
        """The time up to which each series is known, by its name."""
        return dict(zip(self.panel.ids, self.panel.times[self.panel.offsets[1:] - 1], strict=True))

    def with_newer(self, newer: KnownRows, setup: ForecastSetup) -> KnownRows:
        """Return these, and of series that others know until later the rows of these, with those before them here.

        Args:
            newer: The others, of the same schema.
            setup: Which says how many rows of a series a window has.
        """
        until = self.until
        is_later = [one not in until or until[one] < last for one, last in newer.until.items()]
        later = newer.panel.select(np.flatnonzero(is_later))
        if not len(later):
            return self
        begins = dict(zip(later.ids, later.times[later.offsets[:-1]], strict=True))
        own = zip(self.panel.ids, self.panel.times[self.panel.offsets[:-1]], strict=True)
        begin = np.array([begins.get(one, first) for one, first in own], self.panel.times.dtype)
        before = self.panel.with_rows(self.panel.times < np.repeat(begin, self.panel.lengths))
        rest = [number for number, one in enumerate(self.panel.ids) if one not in begins]
        joined = following(later, before, longest_gap=setup.history, has_all_steps=setup.time_unit is None).panel
        return KnownRows(_together(self.panel.select(rest), KnownRows.of_panel(joined, setup).panel))

    def newest(self, panel: Panel, setup: ForecastSetup) -> Part:
        """Return the rows of a panel that come after these, with those before them in it, or else these, as their past.

        Raises:
            DataError: There are none.
        """
        if not len(self):
            return Part.whole(panel, name="new")
        past = self.panel
        if panel.rows.weight is not None:
            # What the past does not say, none of the rows would.
            past = replace(past, rows=replace(past.rows, weight=np.zeros(len(past.rows), np.float32)))
        part = following(panel, past, longest_gap=setup.history, has_all_steps=setup.time_unit is None)
        joined, until, start = part.panel, self.until, part.start.copy()
        for number, one in enumerate(joined.ids):
            if one in until:
                begin, end = joined.offsets[number : number + 2]
                start[number] = max(
                    start[number], begin + np.searchsorted(joined.times[begin:end], until[one], "right")
                )
        if not (start < part.stop).any():
            last = max(until.values())
            raise DataError(f"there are no new rows: the run has those of every series until {last} already.")
        return Part(panel=joined, start=start, stop=part.stop, name="new")

    def save(self, folder: RunFolder) -> None:
        """Write them into a run.

        Raises:
            RunError: It cannot be written.
        """
        panel, times = self.panel, self.panel.times
        arrays: dict[str, NDArray[Any]] = {
            "offsets": panel.offsets,
            "times": times.astype(np.int64) if times.dtype.kind == "M" else times,
            "values": panel.values,
            "codes": panel.rows.codes,
            "static": panel.static,
            "static_codes": panel.static_codes,
        }
        said = json.dumps({"ids": panel.ids, "times": str(times.dtype)})
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        folder.write_tensors(KNOWN_ROWS, tensors, metadata={"known": said})


def _bare(rows: Rows) -> Rows:
    """Return rows without what nothing is read of."""
    return Rows(times=rows.times, values=rows.values, codes=rows.codes)


def _together(first: Panel, second: Panel) -> Panel:
    """Return the series of both, of one schema, whose rows are bare."""
    rows = {
        name: np.concatenate([getattr(first.rows, name), getattr(second.rows, name)])
        for name in ("times", "values", "codes")
    }
    return Panel(
        ids=(*first.ids, *second.ids),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        rows=Rows(**rows),
        static=np.concatenate([first.static, second.static]),
        static_codes=np.concatenate([first.static_codes, second.static_codes]),
        frequencies=(*first.frequencies, *second.frequencies),
        schema=first.schema,
    )


def _load(folder: RunFolder, setup: ForecastSetup) -> Panel:
    tensors, metadata = folder.read_tensors_and_metadata(KNOWN_ROWS)
    try:
        said: Mapping[str, Any] = json.loads(metadata["known"])
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        times = arrays["times"].astype(np.dtype(said["times"]))
        return Panel(
            ids=tuple(said["ids"]),
            offsets=arrays["offsets"],
            rows=Rows(times=times, values=arrays["values"], codes=arrays["codes"]),
            static=arrays["static"],
            static_codes=arrays["static_codes"],
            frequencies=(setup.frequency,) * len(said["ids"]),
            schema=setup.schema,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder.path / KNOWN_ROWS}: damaged: {str(error).rstrip('.')}.") from error
