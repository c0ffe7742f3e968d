"""Windows of series: what was, and what is to be told from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recur.data.series.batch import SeriesBatch
from recur.data.series.batches import SeriesBatches
from recur.data.series.gathering import Gathering, Numbers, spans, tensor
from recur.data.series.panel import Panel
from recur.data.series.scaling import Scaler
from recur.data.series.split import Part
from recur.errors import DataError, OptionError
from recur.kinds import is_whole
from recur.wording import enumerated, option, quantity


class Windows(SeriesBatches):
    """Windows of a part: `history` steps to read and the `horizon` steps after them to tell.

    The steps to tell lie in the part, all of them, so that targets of two parts never overlap. The steps to read may
    lie before it. Near the beginning of a series the history is shorter, down to `least_history` steps, and `lengths`
    says so. Windows without any target that is there are left out, for nothing could be learned from them; so are those
    whose history has none, unless `least_history` is 0.

    Args:
        part: Which rows.
        history: Steps to read, T.
        horizon: Steps to tell, P.
        batch_size: Windows a batch has.
        scaler: Fitted on the training part; None for numbers as they are.
        stride: Steps from one window to the next within a series.
        least_history: Steps that must be there to read; by default as many as `history`, but no more than the longest
            series of the part leaves beside the horizon.
        calendar: Which calendar features are added; None for those that make sense for the frequency, () for none.
        time_unit: Adds a last feature, log(1 + δ / `time_unit`), where δ is the time since the row before (0 for the
            first of a series), in the unit of a batch's times; None for none. It is known of the future, as times are.
        seed: Of the order of the windows in training; None for series by series in the order of time.

    Attributes:
        channels: Names of the features of `x`.
        future_channels: Names of the features of `future`.
        num_windows: Number of windows.
        left_out: Names of the series of the part that are too short for a window, or have no target.

    Raises:
        OptionError: A number is out of range.
        DataError: There are no targets, or no window fits, or the scaler is of other channels.

    Example:
        >>> panel = Panel.of_rows(["a"], [5], [[0.0], [1.0], [2.0], [3.0], [4.0]])
        >>> batch = next(iter(Windows(Part.whole(panel), history=2, horizon=1, batch_size=8)))
        >>> batch.x[..., 0].tolist(), batch.target[..., 0].tolist()
        ([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]], [[2.0], [3.0], [4.0]])
    """

    def __init__(
        self,
        part: Part,
        *,
        history: int,
        horizon: int,
        batch_size: int,
        scaler: Scaler | None = None,
        stride: int = 1,
        least_history: int | None = None,
        calendar: tuple[str, ...] | None = None,
        time_unit: float | None = None,
        seed: int | None = None,
    ) -> None:
        for name, value in (("history", history), ("horizon", horizon), ("stride", stride)):
            if not is_whole(value, 1):
                raise OptionError(f"{name}: expected a number of steps from 1 on, got {value!r}.")
        if least_history is not None and not (is_whole(least_history, 0) and least_history <= history):
            raise OptionError(f"least_history: expected a number from 0 to history, {history}, got {least_history!r}.")
        panel = part.panel
        if not panel.schema.targets:
            raise DataError(f"the series have no targets to forecast; name some with {option('targets')}.")
        self.part, self.history, self.horizon = part, history, horizon
        begins = panel.offsets[:-1]
        longest = int(np.where(part.stop > part.start, part.stop - begins, 0).max(initial=0))
        self.least_history = max(1, min(history, longest - horizon)) if least_history is None else least_history
        first = np.maximum(part.start, begins + self.least_history)
        counts = np.maximum((part.stop - horizon - first) // stride + 1, 0)
        if not counts.any():
            need = f"{self.least_history} to read and {horizon} to tell"
            raise DataError(
                f"no window fits into the part {part.name!r}: it needs {need}, but the longest series has {longest} "
                f"steps up to its end, of which at most {int((part.stop - part.start).max(initial=0))} are in the "
                "part; give longer series or larger parts, or choose a shorter history or horizon."
            )
        rows = np.repeat(first - stride * (np.cumsum(counts) - counts), counts) + stride * np.arange(counts.sum())
        series = np.repeat(np.arange(len(panel)), counts)
        has_target = self._has_target(rows, series)
        if not has_target.any():
            raise DataError(f"no window of the part {part.name!r} has a target that is there and counts.")
        self._row, self._series = rows[has_target], series[has_target]
        self._gathering = Gathering(panel, scaler, calendar, time_unit=time_unit)
        self.channels, self.future_channels = self._gathering.channels, self._gathering.future_channels
        self.num_windows = len(self._row)
        self._counts = _counts(part)
        self._left_out = np.setdiff1d(part.series, self._series)
        super().__init__(self.num_windows, batch_size, seed)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the series of the part of which there is no window."""
        return tuple(self.part.panel.ids[number] for number in self._left_out.tolist())

    def places(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which series of the panel some windows are of, and the panel's row of the first step that each tells.

        Args:
            items: Which windows, (M,).
        """
        return self._series[items], self._row[items]

    def _has_target(self, rows: Numbers, series: Numbers) -> NDArray[np.bool_]:
        """Return which windows have a target to tell, and one to read if any is needed."""
        panel = self.part.panel
        present = ~np.isnan(panel.values[:, : len(panel.schema.targets)]).all(axis=1)
        counts = present if panel.rows.weight is None else present & (panel.rows.weight > 0)
        before, counted = (np.concatenate([[0], np.cumsum(which)]) for which in (present, counts))
        has_target: NDArray[np.bool_] = counted[rows + self.horizon] > counted[rows]
        if self.least_history == 0:
            return has_target
        begin = np.maximum(rows - self.history, panel.offsets[series])
        return has_target & np.asarray(before[rows] > before[begin])

    def _batch(self, items: NDArray[np.int64]) -> SeriesBatch:
        row, series = self._row[items], self._series[items]
        return gather_windows(self._gathering, row, series, self.history, self.horizon, counts=self._counts)


class LastWindows(SeriesBatches):
    """The window at the end of each series, for telling what comes after its last target.

    The last target that is there says where the forecast begins. Where the panel has no rows for the steps after it,
    give `panel.extended(horizon)`; what is known of the future must be there, for it cannot be told from the past.

    Args:
        panel: The series, with rows for the steps to tell.
        history: As of `Windows`; shorter series give what they have.
        horizon: As of `Windows`.
        needed: The first of these steps, for which there must be rows with what is known of the future; all where None.
            What is lacking after them counts as missing.
        batch_size: Series a batch has.
        scaler: As of `Windows`.
        calendar: As of `Windows`.
        scaled_by: Steps at the beginning of a window that a series is scaled by of which the scaler knows nothing;
            None for all of them.
        time_unit: As of `Windows`.

    Attributes:
        channels: As of `Windows`.
        future_channels: As of `Windows`.

    Raises:
        OptionError: A number is out of range.
        DataError: A series has no target, or no rows for all steps, or a known-future value is missing there.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        history: int,
        horizon: int,
        batch_size: int,
        needed: int | None = None,
        scaler: Scaler | None = None,
        calendar: tuple[str, ...] | None = None,
        scaled_by: int | None = None,
        time_unit: float | None = None,
    ) -> None:
        needed = horizon if needed is None else needed
        for name, value in (("history", history), ("horizon", horizon), ("needed", needed)):
            if not is_whole(value, 1):
                raise OptionError(f"{name}: expected a number of steps from 1 on, got {value!r}.")
        if needed > horizon:
            raise OptionError(f"needed: expected no more than the horizon, {horizon}, got {needed}.")
        if not panel.schema.targets:
            raise DataError(f"the series have no targets to forecast; name some with {option('targets')}.")
        self.panel, self.history, self.horizon, self.scaled_by = panel, history, horizon, scaled_by
        self._gathering = Gathering(panel, scaler, calendar, time_unit=time_unit)
        self.channels, self.future_channels = self._gathering.channels, self._gathering.future_channels
        present = np.flatnonzero(~np.isnan(panel.values[:, : len(panel.schema.targets)]).all(axis=1))
        self._row = panel.offsets[:-1].copy()
        self._row[panel.series_of_rows[present]] = present + 1
        without = np.flatnonzero(self._row == panel.offsets[:-1])
        if len(without):
            raise DataError(f"series {panel.ids[int(without[0])]!r} has no target to go on from; leave it out.")
        self._check_future(needed)
        super().__init__(len(panel), batch_size, None)

    def _check_future(self, needed: int) -> None:
        panel, schema = self.panel, self.panel.schema
        short = np.flatnonzero(self._row + needed > panel.offsets[1:])
        if len(short):
            number = int(short[0])
            has = int(panel.offsets[number + 1] - self._row[number])
            ahead = (*schema.known_future, *schema.known_categorical)
            empty = enumerated(list(map(repr, schema.targets)))
            what = f"with {enumerated(list(map(repr, ahead)))} and {empty} left empty, one for each step"
            fewer = f", or tell fewer steps, {option('horizon', has)}" if has else ""
            if not ahead:
                what, fewer = "or make them with panel.extended(horizon)", ""
            raise DataError(
                f"series {panel.ids[number]!r} has {quantity(has, 'row')} after its last target, but the horizon is "
                f"{needed}; give rows for the future {what}{fewer}."
            )
        rows, _ = spans(self._row, self._row + needed, needed)
        first = len(schema.targets) + len(schema.past_only)
        for column, name in enumerate(schema.known_future, first):
            self._refuse_missing(name, np.isnan(panel.values[rows, column]), rows)

    def _refuse_missing(self, name: str, is_missing: NDArray[np.bool_], rows: Numbers) -> None:
        if is_missing.any():
            number, step = np.argwhere(is_missing)[0].tolist()
            raise DataError(
                f"series {self.panel.ids[number]!r}: {name!r} is missing at {self.panel.times[rows[number, step]]}, "
                "but is known of the future; fill it in."
            )

    def _batch(self, items: NDArray[np.int64]) -> SeriesBatch:
        return gather_windows(
            self._gathering, self._row[items], items, self.history, self.horizon, scaled_by=self.scaled_by
        )


def _counts(part: Part) -> NDArray[np.float32] | None:
    """Return how much each row of the panel counts where it is told from before it, (R,); None where all count 1."""
    weight, begins = part.panel.rows.weight, part.panel.offsets[:-1]
    is_before = np.arange(len(part.panel.rows)) < np.repeat(part.start, part.panel.lengths)
    # Of a series that has no rows in the part nothing is read.
    if weight is None and bool((part.start <= begins).all()):
        return None
    return np.where(is_before, np.float32(0), np.float32(1) if weight is None else weight).astype(np.float32)


def gather_windows(
    gathering: Gathering,
    row: Numbers,
    series: Numbers,
    history: int,
    horizon: int,
    *,
    scaled_by: int | None = None,
    counts: NDArray[np.float32] | None = None,
) -> SeriesBatch:
    """Return the windows whose first steps to tell are at `row`.

    Args:
        gathering: Of which panel.
        row: (B,).
        series: Which one each is of, (B,).
        history: Steps to read at most.
        horizon: Steps to tell.
        scaled_by: As of `LastWindows`.
        counts: How much each row of the panel counts where it is told from the rows before it, (R,); None where all
            count 1.
    """
    panel, num_targets, num_known = gathering.panel, gathering.num_targets, gathering.num_known
    begin = np.maximum(row - history, panel.offsets[series])
    rows, inside = spans(begin, row, history)
    ahead, is_ahead = spans(row, np.minimum(row + horizon, panel.offsets[series + 1]), horizon)
    centre, scale = gathering.scaling(series, begin, row if scaled_by is None else np.minimum(row, begin + scaled_by))
    x, observed = gathering.numbers(rows, inside, centre, scale)
    later, is_known = gathering.numbers(ahead, is_ahead, centre, scale)
    target, weight = later[..., :num_targets], is_known[..., :num_targets].astype(np.float32)
    if panel.rows.weight is not None:
        weight *= panel.rows.weight[ahead][..., None]
    known = slice(len(panel.schema.channels) - num_known, None)
    has_future = bool(gathering.future_channels)
    origin = np.where(row > begin, begin, row)
    return SeriesBatch(
        x=tensor(x),
        lengths=tensor(row - begin),
        target=tensor(target),
        weight=tensor(weight),
        observed=tensor(observed),
        times=tensor(gathering.times(rows, inside, origin)),
        future=tensor(later[..., known]) if has_future else None,
        future_observed=tensor(is_known[..., known]) if has_future else None,
        future_times=tensor(gathering.times(ahead, is_ahead, origin)),
        codes=gathering.codes(rows, inside),
        future_codes=gathering.codes(ahead, is_ahead, len(panel.schema.past_categorical)),
        centre=tensor(centre[:, :num_targets].astype(np.float32)),
        scale=tensor(scale[:, :num_targets].astype(np.float32)),
        row=tensor(row),
        history_weight=None if counts is None else tensor(np.where(inside, counts[rows], np.float32(0))),
        **gathering.of_series(series),  # type: ignore[arg-type]
    )


class WholeSeries(SeriesBatches):
    """Series from a part's first row to its last, each with its label, for telling classes and numbers.

    Args:
        part: Which rows; of each series a batch has those from `start` to `stop`, and nothing before.
        batch_size: Series a batch has.
        scaler: Fitted on the training part; None for numbers as they are. Where the size of a series says something of
            its class, one for all series (`per_series=False`) keeps that.
        calendar: As of `Windows`; here none by default.
        seed: Of the order of the series in training; None for that of the panel.

    Attributes:
        channels: Names of the features of `x`.

    Raises:
        OptionError: A number is out of range.
        DataError: The part is empty, or the scaler is of other channels.
    """

    def __init__(
        self,
        part: Part,
        *,
        batch_size: int,
        scaler: Scaler | None = None,
        calendar: tuple[str, ...] = (),
        seed: int | None = None,
    ) -> None:
        self.part = part
        self._gathering = Gathering(part.panel, scaler, calendar)
        self.channels = self._gathering.channels
        self._numbers = part.series
        if not len(self._numbers):
            raise DataError(f"the part {part.name!r} has no rows.")
        super().__init__(len(self._numbers), batch_size, seed)

    def _batch(self, items: NDArray[np.int64]) -> SeriesBatch:
        gathering = self._gathering
        series = self._numbers[items]
        begin, end = self.part.start[series], self.part.stop[series]
        rows, inside = spans(begin, end)
        x, observed = gathering.numbers(rows, inside, *gathering.scaling(series, begin, end, is_whole=True))
        has_steps = self.part.panel.rows.labels is not None
        at, is_there = (rows, inside) if has_steps else (begin, np.ones(len(series), np.bool_))
        return SeriesBatch(
            x=tensor(x),
            lengths=tensor(end - begin),
            observed=tensor(observed),
            times=tensor(gathering.times(rows, inside, begin)),
            codes=gathering.codes(rows, inside),
            row=tensor(begin),
            **gathering.labels(series, at, is_there),  # type: ignore[arg-type]
            **gathering.of_series(series),  # type: ignore[arg-type]
        )
