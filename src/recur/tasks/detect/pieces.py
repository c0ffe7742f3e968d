"""Whole series in pieces, one after the other, as they are scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel, SeriesBatch
from recur.data.series.gathering import Gathering, Numbers, tensor
from recur.tasks.forecast.setup import ForecastSetup

_LENGTH = 512


class Pieces:
    """The rows of some series of a panel in pieces, scaled as in training.

    A series that the training part did not have is scaled by its first `setup.history` rows, of which therefore nothing
    can be said; so its later rows depend on no row after them.

    Args:
        setup: Of the run.
        panel: As `setup.read` returns it.
        numbers: Which series, (B,).
        stop: The row of the panel before which each ends, (B,); by default its last.
    """

    def __init__(self, setup: ForecastSetup, panel: Panel, numbers: Numbers, stop: Numbers | None = None) -> None:
        self.panel, self.numbers = panel, numbers
        self._gathering = Gathering(panel, setup.scaler, setup.calendar, time_unit=setup.time_unit)
        assert self._gathering.channels == setup.channels
        self._begin = panel.offsets[:-1][numbers]
        self._stop = panel.offsets[1:][numbers] if stop is None else stop
        self._is_seen = self._gathering.is_seen[numbers]
        self._silent = np.where(self._is_seen, 0, setup.history)
        first = np.minimum(self._begin + setup.history, self._stop)
        self._centre, self._scale = self._gathering.scaling(numbers, self._begin, first)

    def __iter__(self) -> Iterator[tuple[SeriesBatch, Numbers, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield batches, the rows of the panel that their steps are, (B, T), which are steps, and which can be judged.

        A batch has no targets to tell.
        """
        longest = int((self._stop - self._begin).max(initial=0))
        for place in range(0, longest, _LENGTH):
            order = np.arange(place, min(place + _LENGTH, longest))
            rows = self._begin[:, None] + order
            inside = rows < self._stop[:, None]
            rows = np.where(inside, rows, 0)
            yield self._batch(rows, inside), rows, inside, inside & (order >= self._silent[:, None])

    def _batch(self, rows: Numbers, inside: NDArray[np.bool_]) -> SeriesBatch:
        gathering, count = self._gathering, len(self.numbers)
        x, observed = gathering.numbers(rows, inside, self._centre, self._scale)
        has_future = bool(gathering.future_channels)
        nothing = torch.zeros(count, 0, gathering.num_targets)
        return SeriesBatch(
            x=tensor(x),
            lengths=tensor(inside.sum(1)),
            target=nothing,
            weight=nothing,
            observed=tensor(observed),
            times=tensor(gathering.times(rows, inside, self._begin)),
            future=torch.zeros(count, 0, len(gathering.future_channels)) if has_future else None,
            codes=gathering.codes(rows, inside),
            centre=tensor(self._centre[:, : gathering.num_targets].astype(np.float32)),
            scale=tensor(self._scale[:, : gathering.num_targets].astype(np.float32)),
            row=tensor(self._begin),
            **gathering.of_series(self.numbers),  # type: ignore[arg-type]
        )
