"""The naive rules at many origins at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel

Numbers = NDArray[np.int64]


class RollingBaselines:
    """What naive, seasonal naive, drift and mean say at any rows of a panel, from all rows of a series before them.

    The rules are those of `recur.models.baselines`, here for many origins at once: each row knows beforehand which row
    before it a rule would look at, so that a forecast is a look-up. Where a place of the season has never been seen,
    the seasonal rule says what the naive one does.

    Memory is three numbers of eight bytes for each target of each row, and that of the forecasts asked for.

    Args:
        panel: The series, with targets.
        season: Steps after which they repeat; 1 leaves the seasonal rule out.

    Attributes:
        names: Of the rules.

    Example:
        >>> panel = Panel.of_rows(["a"], [4], [[1.0], [2.0], [3.0], [4.0]])
        >>> said = RollingBaselines(panel, season=2).forecast(np.array([3]), np.array([0]), horizon=2)
        >>> {name: forecast[0, :, 0].tolist() for name, forecast in said.items()}
        {'naive': [3.0, 3.0], 'seasonal naive': [2.0, 3.0], 'drift': [4.0, 5.0], 'mean': [2.0, 2.0]}
    """

    def __init__(self, panel: Panel, season: int) -> None:
        self._begin = panel.offsets[:-1]
        self._values = panel.values[:, : len(panel.schema.targets)]
        self._season = season
        self.names = ("naive", "seasonal naive", "drift", "mean") if season > 1 else ("naive", "drift", "mean")
        present = ~np.isnan(self._values)
        row = np.arange(len(present))[:, None]
        self._last = np.maximum.accumulate(np.where(present, row, -1), axis=0)
        self._first = self._first_rows(panel, present)
        self._mean = self._running_means(panel, present)
        self._place = self._season_rows(panel, present) if season > 1 else self._last

    def forecast(self, row: Numbers, series: Numbers, horizon: int) -> dict[str, NDArray[np.float64]]:
        """Return what each rule says, (B, P, C) by its name; NaN where nothing has been seen.

        Args:
            row: The first row to be told, (B,); it and what comes after it are not looked at, and need not be there.
            series: Which series each is of, (B,).
            horizon: Steps to tell, P.
        """
        begin = self._begin[series]
        before = np.maximum(row - 1, 0)
        last = self._seen(self._last[before], begin, row)
        naive = self._value(last)
        first = self._first[series]
        # What is first seen at the origin or after it has not been seen.
        start = self._value(np.where(first < row[:, None], first, -1))
        span = np.maximum(last - first, 1)
        slope = np.where(last < 0, np.nan, naive - start) / span
        ahead = row[:, None] + np.arange(horizon)
        distance = (ahead[:, :, None] - last[:, None]).astype(np.float64)
        mean = np.where(last < 0, np.nan, self._mean[before])
        found = {
            "naive": _repeated(naive, horizon),
            "drift": naive[:, None] + slope[:, None] * distance,
            "mean": _repeated(mean, horizon),
        }
        if self._season > 1:
            anchor = ahead - self._season * (np.arange(horizon) // self._season + 1)
            place = self._seen(self._place[np.maximum(anchor, 0)], begin[:, None], anchor + 1)
            seasonal = self._value(place)
            found["seasonal naive"] = np.where(np.isnan(seasonal), naive[:, None], seasonal)
        return {name: found[name] for name in self.names}

    def _seen(self, rows: Numbers, begin: Numbers, end: Numbers) -> Numbers:
        """Return rows (..., C), or -1 for those that do not lie from `begin` up to `end`, (...)."""
        return np.where((rows >= begin[..., None]) & (rows < end[..., None]), rows, -1)

    def _value(self, rows: Numbers) -> NDArray[np.float64]:
        """Return the value of each target at its row, (..., C); NaN for -1."""
        values = self._values[np.maximum(rows, 0), np.arange(rows.shape[-1])].astype(np.float64)
        return np.where(rows >= 0, values, np.nan)

    def _first_rows(self, panel: Panel, present: NDArray[np.bool_]) -> Numbers:
        """Return the row at which each target of each series is first seen, (N, C); no row of all where it never is."""
        beyond = len(present)
        rows = np.where(present, np.arange(beyond)[:, None], beyond)
        rows = np.concatenate([rows, np.full((1, rows.shape[1]), beyond)])
        found = np.minimum.reduceat(rows, panel.offsets[:-1], axis=0)
        return np.where((panel.lengths > 0)[:, None], found, beyond)

    def _running_means(self, panel: Panel, present: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the mean of all values of a series up to each row, (R, C); NaN before the first."""
        found = np.empty(present.shape)
        with np.errstate(invalid="ignore"):
            # Series by series: a running sum over all would drown small series in large ones.
            for begin, end in zip(panel.offsets[:-1].tolist(), panel.offsets[1:].tolist(), strict=True):
                own = present[begin:end]
                sums = np.cumsum(np.where(own, self._values[begin:end], 0), axis=0, dtype=np.float64)
                found[begin:end] = sums / np.cumsum(own, axis=0)
        return found

    def _season_rows(self, panel: Panel, present: NDArray[np.bool_]) -> Numbers:
        """Return the last row up to each row, at its place of the season, where each target is there, (R, C), or -1."""
        series = panel.series_of_rows
        place = series * self._season + (np.arange(len(series)) - self._begin[series]) % self._season
        order = np.argsort(place, kind="stable")
        ordered = place[order]
        start = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1]) if len(order) else order
        of = np.repeat(start, np.diff(np.append(start, len(order))))
        position = np.maximum.accumulate(np.where(present[order], np.arange(len(order))[:, None], -1), axis=0)
        found = np.empty(present.shape, np.int64)
        found[order] = np.where(position >= of[:, None], order[position], -1)
        return found


def _repeated(values: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    return np.repeat(values[:, None], horizon, axis=1)
