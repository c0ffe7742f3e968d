"""A trained forecaster on live series: rows in, answers out, the state carried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from recur.calibration.drift import LEVELS, IntervalDrift
from recur.data.series import Panel, Rows
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_whole
from recur.run import RunFolder
from recur.streaming.answers import Answers
from recur.streaming.buffer import StepBuffer
from recur.streaming.forecasts import StreamedForecaster
from recur.streaming.intake import Arrivals, Intake
from recur.streaming.learning import Adaptation, LearningOptions, adapt
from recur.streaming.reading import Outcome, StepReader
from recur.streaming.replay import Replay
from recur.streaming.rows import RowReader, halved
from recur.streaming.saved import restore, save
from recur.streaming.slots import Slots
from recur.streaming.states import SeriesStates
from recur.tasks.forecast.trained import TrainedForecaster

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_ROOM = 64
"""Steps of the buffer beyond what is kept: those of one pass, and those that it looks ahead to."""


def stream(
    run: str | Path | RunFolder | TrainedForecaster,
    *,
    state: str | Path | None = None,
    levels: Sequence[float] = (0.1, 0.5, 0.9),
    use_calibration: bool = True,
    longest_gap: int | None = None,
    keep: int | None = None,
    time_format: str | None = None,
    device: str | torch.device = "cpu",
) -> Stream:
    """Return a stream on which a trained forecaster goes on with live series.

    Args:
        run: The run folder, or a forecaster.
        state: A file that `Stream.save` wrote; None begins anew.
        levels: Probabilities of the quantiles that are told, between 0 and 1, growing.
        use_calibration: Whether quantiles are calibrated, where the run has a calibration.
        longest_gap: Steps that may be missing between two rows of a series; after more it begins anew. By default as
            many as the model's window is long.
        keep: Newest steps of each series that are kept to learn from; by default four times as many as the model's
            window and horizon have.
        time_format: How times are written, where one alone can be read in two ways; as of
            `recur.data.series.Assembly`.
        device: Where the network shall compute, if `run` is a folder.

    Raises:
        RunError: The run or the state is missing, damaged, or the state is of another run.
        OptionError: An option is out of range, or the model cannot be streamed.
    """
    folder = None
    if isinstance(run, TrainedForecaster):
        forecaster = run
    else:
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        forecaster = TrainedForecaster.load(folder, device=device)
    made = Stream(
        forecaster,
        levels=levels,
        use_calibration=use_calibration,
        longest_gap=longest_gap,
        keep=keep,
        time_format=time_format,
        folder=folder,
    )
    if state is not None:
        made.restore(state)
    return made


class Stream:
    """Live series beside each other, each with the state of the network after its last step.

    A row that is pushed moves its series on by a step and is answered with what follows. The state is carried from the
    first row on: after the rows of a table the answer is that of `TrainedForecaster.predict(table, history="all")`,
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
        forecaster: With a `ForecastNetwork` and a frequency.
        levels: As of `stream`, like all that follow.
        use_calibration: Whether quantiles are calibrated.
        longest_gap: Steps that may be missing.
        keep: Newest steps that are kept.
        time_format: How times are written.
        folder: The run, which may have older windows to learn on with.

    Attributes:
        forecaster: As given.
        longest_gap: Chosen.
        keep: Chosen.
        adaptations: The records of all times that the model learnt on here.

    Raises:
        OptionError: An option is out of range, or the model cannot be streamed.
    """

    def __init__(
        self,
        forecaster: TrainedForecaster,
        *,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        use_calibration: bool = True,
        longest_gap: int | None = None,
        keep: int | None = None,
        time_format: str | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        setup = forecaster.setup
        for name, value, least in (("longest_gap", longest_gap, 0), ("keep", keep, 0)):
            if value is not None and not is_whole(value, least):
                raise OptionError(f"{name}: expected a number of steps from {least} on, got {value!r}.")
        if setup.frequency is None:
            raise OptionError(
                "stream: the series of the run have no step in common, so that nobody knows which one comes next; "
                "train on series with a frequency."
            )
        if setup.time_unit is not None:
            raise OptionError(
                "stream: the run's steps are not equally far apart, as its series keep their gaps; train on series "
                "with gaps='grid' to stream."
            )
        self.forecaster = forecaster
        self.longest_gap = setup.history if longest_gap is None else longest_gap
        self.keep = 4 * (setup.history + setup.horizon) if keep is None else keep
        schema = setup.schema
        most_ahead = setup.horizon + self.longest_gap + 1
        past = max(self.keep, setup.history + self.longest_gap + 1)
        self.buffer = StepBuffer(
            past + most_ahead + setup.horizon + _ROOM, len(schema.channels), len(schema.categorical)
        )
        self._rows = RowReader(setup.reading, schema, setup.frequency, time_format)
        times: np.dtype[Any] = np.dtype(np.float64 if isinstance(setup.frequency.count, float) else np.int64)
        if setup.frequency.unit:
            times = np.dtype("datetime64[ns]" if setup.frequency.unit == "ns" else "datetime64[us]")
        self.slots = Slots(
            num_channels=len(schema.channels),
            num_static=len(schema.static),
            num_static_codes=len(schema.static_categorical),
            num_targets=len(schema.targets),
            num_ends=len(LEVELS),
            times=times,
        )
        self._intake = Intake(
            self.slots,
            self.buffer,
            schema=schema,
            frequency=setup.frequency,
            scaler=setup.scaler,
            horizon=setup.horizon,
            most_ahead=most_ahead,
        )
        self._model = StreamedForecaster(forecaster, levels, use_calibration)
        self.states = SeriesStates(self._fresh)
        self._reader = StepReader(self._model, self.slots, self.buffer, self.states, self._intake, self.longest_gap)
        self._drift = IntervalDrift()
        self._folder = folder
        self._replay: Replay | None = None
        self.adaptations: list[Adaptation] = []

    def __repr__(self) -> str:
        return f"Stream({len(self):,} series)"

    def __len__(self) -> int:
        """Number of series that have begun."""
        return len(self.slots)

    # --- rows in, answers out ---

    def push(self, rows: Any, *, on_error: Literal["raise", "skip"] = "raise", first: int = 0) -> Answers:
        """Read rows, of any series and in any order, and return what follows each of them.

        Args:
            rows: A mapping from names to values, which is one row; a list of such, in which a name that is not there is
                a value that is missing; or a table: a mapping from names to columns, or any dataframe. Columns are
                called as those of the run's data.
            on_error: Whether a row that cannot be used is an error, or is left out with what is wrong in `left_out`.
            first: The number of the first row, from which answers and messages count.

        Raises:
            DataError: A row cannot be used; the message names row and column, and nothing was read.
            TypeError: `rows` is nothing of the above.
        """
        if on_error not in ("raise", "skip"):
            raise OptionError(f"on_error: expected 'raise' or 'skip', got {on_error!r}.")
        return self._pushed(rows, first, can_skip=on_error == "skip")

    def _pushed(self, rows: Any, first: int, *, can_skip: bool) -> Answers:
        """Return the answers to rows of which the first has the number `first`."""
        try:
            loose = self._rows.read(rows, first)
            arrivals = self._intake.take(loose, first)
        except DataError as error:
            if not can_skip:
                raise
            halves = halved(rows)
            if halves is None:
                return self._answers(None, ((first, str(error)),))
            one = self._pushed(halves[0], first, can_skip=True)
            return one.followed_by(self._pushed(halves[1], first + len(halves[0]), can_skip=True))
        return self._answers(arrivals, arrivals.left_out)

    def _answers(self, arrivals: Arrivals | None, left_out: tuple[tuple[int, str], ...]) -> Answers:
        """Read what arrived and return what is said of it."""
        arrivals = arrivals or self._intake.nothing()
        read = np.flatnonzero(arrivals.is_read)
        series, step = arrivals.series[read], arrivals.step[read]
        outcome = self._reader.read(arrivals)
        drift = self._watched(arrivals.values[read], series, step, outcome)
        order = np.argsort(arrivals.row[read])
        series, step = series[order], step[order]
        ahead = step[:, None] + np.arange(self.forecaster.setup.horizon + 1)
        times = self._intake.times(series, ahead)
        schema = self.forecaster.setup.schema
        return Answers(
            row=arrivals.row[read][order],
            ids=[self.slots.ids[place] for place in series.tolist()],
            time=times[:, 0],
            times=times[:, 1:],
            values=outcome.values[order],
            drift=drift[order],
            began_anew=outcome.began_anew[order],
            targets=schema.targets,
            names=self._model.names,
            zone=schema.zone,
            left_out=left_out,
        )

    def _watched(
        self, values: NDArray[np.float32], series: NDArray[np.int64], step: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.bool_]:
        """Compare what came with what was told of it, and return which series drift."""
        slots, num_targets = self.slots, len(self.forecaster.setup.schema.targets)
        drift = np.zeros(len(series), np.bool_)
        if not len(series):
            return drift
        is_first = np.diff(series, prepend=-1) != 0
        told_step = np.where(is_first, slots.told_step[series], np.append(0, step[:-1] + 1))
        ends = np.where(is_first[:, None, None], slots.ends[series], np.roll(outcome.ends, 1, axis=0))
        is_told = (told_step == step) & ~outcome.began_anew
        ends = np.where(is_told[:, None, None], ends, np.nan)
        begins = np.flatnonzero(is_first)
        rank = np.arange(len(series)) - np.repeat(begins, np.diff(np.append(begins, len(series))))
        watched = {name: getattr(slots, f"drift_{name}")[: len(slots)].reshape(-1) for name in ("sum", "mean", "count")}
        for number in range(int(rank.max()) + 1):
            own = np.flatnonzero(rank == number)
            which = (series[own][:, None] * num_targets + np.arange(num_targets)).reshape(-1)
            value = values[own, :num_targets].astype(np.float64).reshape(-1)
            found = self._drift.step(watched, which, value, ends[own].reshape(len(which), -1))
            drift[own] = found.reshape(-1, num_targets).any(axis=1)
        last = np.append(begins[1:], len(series)) - 1
        slots.ends[series[last]], slots.told_step[series[last]] = outcome.ends[last], step[last] + 1
        return drift

    def _fresh(self, count: int) -> Any:
        """Return the state of the network before the first step of so many series."""
        return self._model.begin(count)

    # --- learning on ---

    def learn(self, options: LearningOptions | None = None) -> Adaptation:
        """Let the model learn on from the newest steps of all series, and return the record of what that did.

        The newest steps are those that the stream keeps, `keep` of each series. What is done, and when the new weights
        are kept, says `recur.streaming.learning.adapt`. If they are, the states are made anew, from a window of the
        newest steps; `stream.forecaster.save(path)` writes a run of them, with which a saved state of the stream goes
        on. Older windows, against forgetting, come from the run's own data as long as these can be read.

        Args:
            options: How; None for the defaults.

        Raises:
            DataError: There are too few steps.
        """
        replay = self._replay
        if replay is None:
            try:
                replay = Replay.of_run(self._folder, self.forecaster.setup)
            except (RunError, DataError):
                # Of data that are gone nothing is kept from being forgotten, and the record says so.
                replay = Replay()
            self._replay = replay
        made, record = adapt(self.forecaster, self._newest(), replay, options or LearningOptions())
        self.adaptations.append(record)
        if record.is_kept:
            self.forecaster.calibration = made.calibration
            # Of the forecasts before nothing is held against those to come.
            self.slots.drift_sum[:] = 0
            self._reader.reread(np.arange(len(self)))
        return record

    def _newest(self) -> Panel:
        """Return the newest steps of all series."""
        setup, slots = self.forecaster.setup, self.slots
        known = slots.arrays()
        series = np.flatnonzero(known["last"] >= 0)
        last = known["last"][series]
        first = np.maximum(known["start"][series], last - self.keep + 1)
        length = last - first + 1
        offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        of_rows = np.repeat(series, length)
        step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length) + np.repeat(first, length)
        values, codes = self.buffer.read(of_rows, step[:, None])
        return Panel(
            ids=tuple(slots.ids[place] for place in series.tolist()),
            offsets=offsets,
            rows=Rows(times=self._intake.times(of_rows, step[:, None])[:, 0], values=values[:, 0], codes=codes[:, 0]),
            static=known["static"][series],
            static_codes=known["static_codes"][series],
            frequencies=(setup.frequency,) * len(series),
            schema=setup.schema,
        )

    # --- how it goes ---

    def report(self) -> pl.DataFrame:
        """Return a row for each series: how far it is, and whether its forecasts hold what they say.

        `series_id`; `last`, the time of its last step; `steps`, how many its state has seen; `scored`, how many of its
        values came after a forecast of them; `score`, the mean over the last 200 of how far out they lay, from 0 in the
        middle of the intervals to 1, and 0.5 where intervals hold what they say; `drift`, as in the answers (see
        `recur.calibration.drift.IntervalDrift`). Of several targets the worst counts.
        """
        slots, count = self.slots, len(self.slots)
        known = slots.arrays()
        last = self._intake.times(np.arange(count), known["last"][:, None])[:, 0]
        return pl.DataFrame(
            {
                "series_id": pl.Series(slots.ids, dtype=pl.String),
                "last": last,
                "steps": known["last"] - known["start"] + 1,
                "scored": known["drift_count"].sum(axis=1).astype(np.int64),
                "score": known["drift_mean"].max(axis=1, initial=0.0),
                "drift": (known["drift_sum"] > self._drift.threshold).any(axis=1),
            }
        )

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
            RunError: The file is missing, damaged, of a newer format, or of a stream of another model or other options.
        """
        restore(self, Path(path))
