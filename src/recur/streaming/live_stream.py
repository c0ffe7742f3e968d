"""A trained model on live series: rows in, answers out, the state carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.errors import DataError, OptionError
from recur.kinds import is_whole
from recur.streaming.buffer import StepBuffer
from recur.streaming.intake import Arrivals, Intake, RowError
from recur.streaming.learning import Adaptation, LearningOptions
from recur.streaming.reading import Outcome, StepReader
from recur.streaming.rows import RowReader, chosen_rows, several
from recur.streaming.saved import restore, save
from recur.streaming.slots import SeriesArrays, Slots
from recur.streaming.states import SeriesStates
from recur.streaming.streamed import Columns, SomeAnswers, Streamed

_ROOM = 64
"""Steps of the buffer beyond what is kept: those of one pass, and those that it looks ahead to."""


class Stream(Generic[SomeAnswers]):
    """Live series beside each other, each with the state of the network after its last step.

    A row that is pushed moves its series on by a step and is answered. The state is carried from the first row on:
    after the rows of a table the answer is that of `predict`, of a forecaster that of `predict(table, history="all")`,
    whatever the rows were pushed with, as long as no gap is too long.

    | what comes | what happens |
    | --- | --- |
    | the next step | it is read and answered |
    | a step some steps later | those between are read as missing |
    | more than `longest_gap` steps later | the series begins anew with it |
    | a step before the last one | it is left out as "late" |
    | the last step again | it is left out as "repeated": what came first counts |
    | no target, and the model knows nothing of the future | a step whose value is missing, which is read and answered |
    | no target, and the model reads what is known of the future | it is kept until the step comes, and is "ahead" |
    | a new series | it begins; one that training had not is scaled by what it has, until that is a window long |
    | a category that training had not | it is "none of them" |
    | a cell, a column or a time that cannot be | an error; nothing of the push was read |

    Args:
        model: What reads and tells, of data with a frequency.
        longest_gap: As of `stream`, like all that follow.
        keep: Newest steps that are kept beside those that are needed.
        time_format: How times are written.
        decimal_comma: How numbers in text are.

    Attributes:
        model: As given.
        longest_gap: Chosen.

    Raises:
        OptionError: An option is out of range, or the model cannot be streamed.
    """

    def __init__(
        self,
        model: Streamed[SomeAnswers],
        *,
        longest_gap: int | None = None,
        keep: int = 0,
        time_format: str | None = None,
        decimal_comma: bool | None = None,
    ) -> None:
        setup = model.setup
        for name, value in (("longest_gap", longest_gap), ("keep", keep)):
            if value is not None and not is_whole(value, 0):
                raise OptionError(f"{name}: expected a number of steps from 0 on, got {value!r}.")
        if setup.frequency is None:
            raise OptionError(
                "stream: the series of the run have no step in common, so that nobody knows which one comes next; "
                "train on series with a frequency."
            )
        self.model = model
        self.longest_gap = model.history if longest_gap is None else longest_gap
        schema = setup.schema
        most_ahead = model.horizon + self.longest_gap + 1
        past = max(keep, model.history + self.longest_gap + 1)
        self.buffer = StepBuffer(
            past + most_ahead + model.horizon + _ROOM, len(schema.channels), len(schema.categorical)
        )
        self._rows = RowReader(setup.reading, schema, setup.frequency, time_format, decimal_comma)
        times: np.dtype[Any] = np.dtype(np.float64 if isinstance(setup.frequency.count, float) else np.int64)
        if setup.frequency.unit:
            times = np.dtype("datetime64[ns]" if setup.frequency.unit == "ns" else "datetime64[us]")
        self.slots = Slots(
            num_channels=len(schema.channels),
            num_static=len(schema.static),
            num_static_codes=len(schema.static_categorical),
            times=times,
        )
        self._intake = Intake(
            self.slots,
            self.buffer,
            schema=schema,
            frequency=setup.frequency,
            scaler=setup.scaler,
            horizon=model.horizon,
            most_ahead=most_ahead,
        )
        self.states = SeriesStates(lambda count: model.begin([""] * count))
        self._reader = StepReader(model, self.slots, self.buffer, self.states, self._intake, self.longest_gap)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} series)"

    def __len__(self) -> int:
        """Number of series that have begun."""
        return len(self.slots)

    @property
    def typed(self) -> frozenset[str]:
        """The columns of the data whose text stands for what it looks like, a number too: times and labels."""
        return self._rows.typed

    @property
    def missing(self) -> frozenset[str]:
        """What stands in text for a value that is missing, as it was in the data."""
        return self._rows.missing

    @property
    def separator(self) -> str | None:
        """What stood between the cells of the data; None where they were in no text."""
        return self._rows.writing.separator

    @property
    def encoding(self) -> str:
        """The encoding of the data, which may have had a byte order mark of another one; utf-8 of those in no text."""
        text = self.model.setup.reading.text
        return "utf-8" if text is None else text.encoding

    @property
    def remembered(self) -> tuple[SeriesArrays, ...]:
        """What is remembered of each series beside its newest steps and its state."""
        return (self.slots,)

    # --- rows in, answers out ---

    def push(
        self, rows: Any, *, on_error: Literal["raise", "skip"] = "raise", first: int | Sequence[int] = 0
    ) -> SomeAnswers:
        """Read rows, of any series and in any order, and return what is said of each of them.

        Args:
            rows: A mapping from names to values, which is one row; a list of such, in which a name that is not there is
                a value that is missing; or a table: a mapping from names to columns, or any dataframe. Columns are
                called as those of the run's data.
            on_error: Whether a row that cannot be used is an error, or is left out with what is wrong in `left_out`.
            first: The number of the first row, from which answers and messages count; or that of each row.

        Raises:
            DataError: A row cannot be used; the message names row and column, and nothing was read.
            TypeError: `rows` is nothing of the above.
        """
        if on_error not in ("raise", "skip"):
            raise OptionError(f"on_error: expected 'raise' or 'skip', got {on_error!r}.")
        given = several(rows)
        numbers = np.arange(first, first + len(given)) if isinstance(first, int) else np.asarray(first, np.int64)
        if on_error == "raise":
            return self._answers(self._arrivals(given, numbers))
        wrong = self._wrong(given, numbers)
        while True:
            places = np.flatnonzero(~np.isin(numbers, list(wrong)))
            try:
                arrivals = self._arrivals(chosen_rows(given, places.tolist()), numbers[places])
            except RowError as error:
                wrong[error.row] = str(error)
            else:
                return self._answers(arrivals, wrong)

    def _arrivals(self, rows: list[Any] | pl.DataFrame, numbers: NDArray[np.int64]) -> Arrivals:
        """Return what arrives with rows of these numbers; nothing has changed where it raises."""
        loose = self._rows.read(rows, int(numbers[0]) if len(numbers) else 0)
        # Of the wide form all series come, one after the other, with each row.
        return self._intake.take(loose, np.resize(numbers, len(loose.series)))

    def _wrong(self, rows: list[Any] | pl.DataFrame, numbers: NDArray[np.int64]) -> dict[int, str]:
        """Return what is wrong with rows that cannot be read, by their number."""
        try:
            self._rows.read(rows, int(numbers[0]) if len(numbers) else 0)
        except DataError as error:
            if len(numbers) == 1:
                return {int(numbers[0]): str(error)}
            middle = len(numbers) // 2
            halves = (self._wrong(rows[part], numbers[part]) for part in (slice(middle), slice(middle, None)))
            return {number: reason for half in halves for number, reason in half.items()}
        return {}

    def _answers(self, arrivals: Arrivals, wrong: Mapping[int, str] | None = None) -> SomeAnswers:
        """Read what arrived and return what is said of it; `wrong` are the rows that could not be used."""
        read = np.flatnonzero(arrivals.is_read)
        series, step = arrivals.series[read], arrivals.step[read]
        outcome = self._reader.read(arrivals)
        said = self._completed(outcome, arrivals.values[read], series, step)
        order = np.argsort(arrivals.row[read], kind="stable")
        series, step = series[order], step[order]
        times = self._intake.times(series, step[:, None] + np.arange(self.model.horizon + 1))
        return self.model.answers(
            {name: values[order] for name, values in said.items()},
            times[:, 1:],
            row=arrivals.row[read][order],
            ids=[self.slots.ids[place] for place in series.tolist()],
            time=times[:, 0],
            began_anew=outcome.began_anew[order],
            zone=self.model.setup.schema.zone,
            left_out=tuple(sorted([*arrivals.left_out, *(wrong or {}).items()])),
        )

    def _completed(
        self, outcome: Outcome, values: NDArray[np.float32], series: NDArray[np.int64], step: NDArray[np.int64]
    ) -> Columns:
        """Return what is said of the steps that were read, with what is known of them beside."""
        return outcome.said

    # --- learning on ---

    def learn(self, options: LearningOptions | None = None) -> Adaptation:
        """Let the model learn on from the newest steps; of forecasters alone.

        Raises:
            OptionError: Those who push tell what came, but not what was to be said of it.
        """
        raise OptionError(
            "learn: rows tell what came, from which forecasters learn on, but not what was to be said of it; train a "
            "new run on the old and the new data."
        )

    # --- how it goes ---

    def report(self) -> pl.DataFrame:
        """Return a row for each series: how far it is.

        `series_id`; `last`, the time of its last step; `steps`, how many its state has seen.
        """
        slots, count = self.slots, len(self.slots)
        known = slots.arrays(count)
        last = self._intake.times(np.arange(count), known["last"][:, None])[:, 0]
        ids = pl.Series(slots.ids, dtype=pl.String)
        return pl.DataFrame({"series_id": ids, "last": last, "steps": known["last"] - known["begun"] + 1})

    # --- files ---

    def save(self, path: str | Path) -> None:
        """Write all that the stream remembers to one safetensors file, atomically; `stream(run, state=path)` goes on.

        Raises:
            RunError: It cannot be written.
        """
        save(self, Path(path))

    def restore(self, path: str | Path) -> None:
        """Go on from what `save` wrote, on this machine or another one; the stream must not have begun.

        Raises:
            RunError: The file is missing, damaged, of another format, or of a stream of another model or other options.
        """
        restore(self, Path(path))
