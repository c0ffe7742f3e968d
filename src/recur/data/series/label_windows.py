"""Windows of series that end at a step with a label."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recur.data.series.batch import SeriesBatch
from recur.data.series.batches import SeriesBatches
from recur.data.series.gathering import Gathering, spans, tensor
from recur.data.series.scaling import Scaler
from recur.data.series.split import Part
from recur.errors import DataError, OptionError
from recur.kinds import is_whole
from recur.wording import option

Which = Literal["labelled", "all", "last"]


class LabelWindows(SeriesBatches):
    """Windows of a part that end at one of its steps, each with the label of that step.

    So a class or a number is told of every step from what has been so far, for instance how long a machine will run
    yet. The steps that are read may lie before the part. Near the beginning of a series there are fewer than `history`,
    and `lengths` says so. In a panel whose series have a label each, every window has that of its series.

    Args:
        part: Which rows.
        history: Steps to read at most, the labelled one included, T.
        batch_size: Windows a batch has.
        which: "labelled" for the steps whose label is there, "all" for those without one too, "last" for the last step
            of each series in the part, as in prediction.
        scaler: Fitted on the training part; None for numbers as they are.
        stride: Steps from one window to the next within a series.
        least_history: Steps that must be there to read; steps nearer to the beginning of a series have no window, but
            for the last one with `which="last"`.
        calendar: As of `Windows`; here none by default.
        seed: Of the order of the windows in training; None for series by series in the order of time.

    Attributes:
        channels: Names of the features of `x`.
        num_windows: Number of windows.

    Raises:
        OptionError: A number is out of range.
        DataError: The part is empty, no step that has a window has a label, or the scaler is of other channels.

    Example:
        >>> from recur.data.series import Panel, remaining_life
        >>> panel = remaining_life(Panel.of_rows(["a"], [3], [[5.0], [6.0], [7.0]]))
        >>> batch = next(iter(LabelWindows(Part.whole(panel), history=2, batch_size=8)))
        >>> batch.x[..., 0].tolist(), batch.lengths.tolist(), batch.target.tolist()
        ([[5.0, 0.0], [5.0, 6.0], [6.0, 7.0]], [1, 2, 2], [2.0, 1.0, 0.0])
    """

    def __init__(
        self,
        part: Part,
        *,
        history: int,
        batch_size: int,
        which: Which = "labelled",
        scaler: Scaler | None = None,
        stride: int = 1,
        least_history: int = 1,
        calendar: tuple[str, ...] = (),
        seed: int | None = None,
    ) -> None:
        for name, value in (("history", history), ("stride", stride)):
            if not is_whole(value, 1):
                raise OptionError(f"{name}: expected a number of steps from 1 on, got {value!r}.")
        if not (is_whole(least_history, 1) and least_history <= history):
            raise OptionError(f"least_history: expected a number from 1 to history, {history}, got {least_history!r}.")
        if which not in get_args(Which):
            raise OptionError(f"which: expected one of {', '.join(get_args(Which))}, got {which!r}.")
        if which == "last" and (stride, least_history) != (1, 1):
            raise OptionError("which: 'last' takes one window of each series, so leave stride and least_history out.")
        panel = part.panel
        if not len(part):
            raise DataError(f"the part {part.name!r} has no rows.")
        self.part, self.history = part, history
        begins = panel.offsets[:-1]
        first = part.stop - 1 if which == "last" else np.maximum(part.start, begins + least_history - 1)
        counts = np.where(part.stop > part.start, np.maximum((part.stop - 1 - first) // stride + 1, 0), 0)
        if not counts.any():
            raise DataError(
                f"no step of the part {part.name!r} has {least_history} steps to read; choose a smaller least_history."
            )
        rows = np.repeat(first - stride * (np.cumsum(counts) - counts), counts) + stride * np.arange(counts.sum())
        series = np.repeat(np.arange(len(panel)), counts)
        self._gathering = Gathering(panel, scaler, calendar)
        if which == "labelled":
            weight = self._gathering.labels(series, rows, np.ones(len(rows), np.bool_))["weight"]
            assert weight is not None
            counted = weight.numpy() > 0
            if not counted.any():
                raise DataError(
                    f"no step of the part {part.name!r} has a label that counts; name the label, or say "
                    f"{option('which', 'all')}."
                )
            rows, series = rows[counted], series[counted]
        self._row, self._series = rows, series
        self.channels = self._gathering.channels
        self.num_windows = len(rows)
        super().__init__(self.num_windows, batch_size, seed)

    def _batch(self, items: NDArray[np.int64]) -> SeriesBatch:
        gathering, row, series = self._gathering, self._row[items], self._series[items]
        begin = np.maximum(row + 1 - self.history, self.part.panel.offsets[series])
        rows, inside = spans(begin, row + 1, self.history)
        x, observed = gathering.numbers(rows, inside, *gathering.scaling(series, begin, row + 1))
        return SeriesBatch(
            x=tensor(x),
            lengths=tensor(row + 1 - begin),
            observed=tensor(observed),
            times=tensor(gathering.times(rows, inside, begin)),
            codes=gathering.codes(rows, inside),
            row=tensor(row),
            **gathering.labels(series, row, np.ones(len(row), np.bool_)),  # type: ignore[arg-type]
            **gathering.of_series(series),  # type: ignore[arg-type]
        )
