"""A trained forecaster on live series: what follows, how well that holds, and learning on from it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series import Panel, Part, Rows, Scaler
from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.streaming.continuation import adaptations_of, write_run
from recur.streaming.forecasts import Forecasts, StreamedForecaster
from recur.streaming.learning import Adaptation, LearningOptions, adapt, learnt_series
from recur.streaming.live_stream import Stream
from recur.streaming.reading import Outcome
from recur.streaming.replay import REPLAY, Replay
from recur.streaming.slots import SeriesArrays
from recur.streaming.streamed import Columns
from recur.streaming.watch import Watch
from recur.tasks.forecast.known_rows import KnownRows
from recur.tasks.forecast.trained import TrainedForecaster


class ForecastStream(Stream[Forecasts]):
    """A `Stream` that tells what follows each row, watches how well that holds, and can learn on.

    Args:
        forecaster: With a `ForecastNetwork` and a frequency.
        levels: As of `stream`, like all that follow.
        use_calibration: Whether quantiles are calibrated.
        longest_gap: Steps that may be missing.
        keep: Newest steps that are kept.
        time_format: How times are written.
        decimal_comma: How numbers in text are.
        folder: The run, which may have older windows to learn on with.

    Attributes:
        forecaster: As given.
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
        decimal_comma: bool | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        setup = forecaster.setup
        self.forecaster = forecaster
        self.keep = 4 * (setup.history + setup.horizon) if keep is None else keep
        model = StreamedForecaster(forecaster, levels, use_calibration)
        super().__init__(
            model, longest_gap=longest_gap, keep=self.keep, time_format=time_format, decimal_comma=decimal_comma
        )
        self._watch = Watch(len(setup.schema.targets))
        self._folder = folder
        self._replay: Replay | None = None
        self._knows_learnt_alone = False
        self.adaptations: list[Adaptation] = []

    @property
    def remembered(self) -> tuple[SeriesArrays, ...]:
        """What is remembered of each series beside its newest steps and its state."""
        self._watch.grow(len(self))
        return (self.slots, self._watch)

    def _completed(
        self, outcome: Outcome, values: NDArray[np.float32], series: NDArray[np.int64], step: NDArray[np.int64]
    ) -> Columns:
        """Return the forecasts, and which series drift."""
        came = values[:, : self._watch.num_targets]
        drift = self._watch.compared(series, step, came, outcome.said["ends"], outcome.began_anew)
        return {**outcome.said, "drift": drift}

    # --- learning on ---

    def learn(self, options: LearningOptions | None = None) -> Adaptation:
        """Let the model learn on from the newest steps of all series, and return the record of what that did.

        The newest steps are those that the stream keeps, `keep` of each series, and that came since it last did so.
        What is done, and when the new weights are kept, says `recur.streaming.learning.adapt`. If they are, the states
        are made anew, from a window of the newest steps; `save_run` writes a run of them, with which a saved state of
        the stream goes on. Older windows, against forgetting, come from the run's own data as long as these can be
        read.

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
        if self.forecaster.known is None:
            with suppress(RunError, DataError):
                self.forecaster.known = KnownRows.of_own_data(self.forecaster.setup)
        options = options or LearningOptions()
        newest = self._newest()
        made, record = adapt(self.forecaster, newest, replay, options, scaler=self._scaler())
        self.adaptations.append(record)
        if record.is_kept:
            self._knows_learnt_alone |= self.forecaster.known is None
            self.forecaster.calibration, self.forecaster.known = made.calibration, made.known
            self._watch.forget()
            # Series that are still too short are learnt from when they have grown.
            places = {name: place for place, name in enumerate(self.slots.ids)}
            learnt = learnt_series(newest, self.forecaster.setup, options)
            taken = np.array([places[newest.panel.ids[number]] for number in learnt.tolist()])
            self._watch.learnt_step[taken] = self.slots.last[taken]
            self._reader.reread(np.arange(len(self)))
        return record

    def save_run(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write a run of the model as it is now, with the records of its learning on and its older windows.

        It also says until when each series was trained on or learnt here, so that `recur train --continue` learns
        nothing again. Of a run of an older recur, which does not say so, its own data are read; a warning tells where
        they cannot be. Its `config.json` is written last, so that a kill leaves nothing that is taken for a run.

        Args:
            path: Where.
            overwrite: Whether a run that stands there may be replaced.

        Raises:
            RunError: The folder exists, or cannot be written.
        """
        folder, setup = self._folder, self.forecaster.setup
        records = [*adaptations_of(folder), *(one.to_json() for one in self.adaptations)]
        replay = self._replay
        if replay is None and folder is not None and folder.has(REPLAY):
            replay = Replay.of_run(folder, setup)
        if self._knows_learnt_alone:
            warnings.warn(
                "save_run: nobody knows any more which rows the model was trained on before it learnt here, so to "
                "`recur train --continue` they are new; give it only rows that came after them.",
                stacklevel=2,
            )
        return write_run(self.forecaster, path, overwrite=overwrite, before=folder, replay=replay, records=records)

    def _scaler(self) -> Scaler:
        """Return the run's scaler with those of the series that training had not, as they are scaled here."""
        scaler, slots = self.forecaster.setup.scaler, self.slots
        if not scaler.per_series:
            return scaler
        seen = set(scaler.ids)
        own = [n for n, name in enumerate(slots.ids) if name not in seen and slots.is_settled[n]]
        return replace(
            scaler,
            ids=(*scaler.ids, *(slots.ids[number] for number in own)),
            centre=np.concatenate([scaler.centre, slots.centre[own]]),
            scale=np.concatenate([scaler.scale, slots.scale[own]]),
        )

    def _newest(self) -> Part:
        """Return the newest steps of all series, with those before them that are kept."""
        known = self.slots.arrays(len(self))
        self._watch.grow(len(self))
        # What was learnt, or judged by, is not learnt again: it says what of it is forgotten.
        since = np.maximum(known["start"], self._watch.learnt_step[: len(self)] + 1)
        series = np.flatnonzero((known["last"] >= 0) & (since <= known["last"]))
        last = known["last"][series]
        first = np.maximum(known["start"][series], last - self.keep + 1)
        panel = self._steps(series, first, last)
        start = panel.offsets[:-1] + np.maximum(since[series] - first, 0)
        return Part(panel=panel, start=start, stop=panel.offsets[1:].copy(), name="new")

    def _steps(self, series: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> Panel:
        """Return steps of series (N,), those from `first` to `last`, (N,) each, as far as they are kept."""
        setup, slots = self.forecaster.setup, self.slots
        known = slots.arrays(len(self))
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
        self._watch.grow(len(self))
        known = self._watch.arrays(len(self))
        return (
            super()
            .report()
            .with_columns(
                scored=pl.Series(known["drift_count"].sum(axis=1).astype(np.int64)),
                score=pl.Series(known["drift_mean"].max(axis=1, initial=0.0)),
                drift=pl.Series(self._watch.is_drifting[: len(self)]),
            )
        )
