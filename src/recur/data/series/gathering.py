"""Rows of a panel, scaled and beside each other, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series.calendars import calendar_of
from recur.data.series.panel import Panel
from recur.data.series.scaling import Scaler
from recur.errors import DataError

Numbers = NDArray[np.int64]

SINCE_LAST = "since_last"
"""Name of the feature that tells how long the step before is ago."""


class Gathering:
    """What windows and whole series have in common: pieces of a panel, cut out, scaled, padded on the right.

    Args:
        panel: The series.
        scaler: Fitted on the training part; None for numbers as they are.
        calendar: As of `calendar_of`.
        time_unit: As of `Windows`.

    Attributes:
        channels: Names of the features of x: the numbers of the schema, then the calendar's, then the time's.
        future_channels: Names of the features that are known of the future.
    """

    def __init__(
        self,
        panel: Panel,
        scaler: Scaler | None,
        calendar: tuple[str, ...] | None,
        *,
        time_unit: float | None = None,
    ) -> None:
        self.panel = panel
        self.calendar, names = calendar_of(panel, calendar)
        self._elapsed = elapsed(panel)
        if time_unit is not None:
            since = np.log1p(time_since_last(panel, self._elapsed) / time_unit).astype(np.float32)
            self.calendar, names = np.column_stack([self.calendar, since]), (*names, SINCE_LAST)
        schema = panel.schema
        self.channels = (*schema.channels, *names)
        self.future_channels = (*schema.known_future, *names)
        self.num_targets = len(schema.targets)
        self.num_known = len(schema.known_future)
        self._scaler = scaler
        if scaler is None:
            self.centre, self.scale = np.zeros((1, len(schema.channels))), np.ones((1, len(schema.channels)))
            self.is_seen = np.ones(len(panel), np.bool_)
            self.static = panel.static
        else:
            self.centre, self.scale, self.is_seen = scaler.of_panel(panel)
            if len(scaler.static_centre) != panel.static.shape[1]:
                raise DataError(
                    f"the scaler was fitted to {len(scaler.static_centre)} static numbers, but the series have "
                    f"{panel.static.shape[1]}."
                )
            self.static = ((panel.static - scaler.static_centre) / scaler.static_scale).astype(np.float32)

    def scaling(
        self, series: Numbers, begin: Numbers, end: Numbers, *, is_whole: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centre and scale of each window, (B, F); of unseen series by the rows from `begin` up to `end`.

        Args:
            series: Which one each window is of, (B,).
            begin: (B,).
            end: (B,).
            is_whole: Whether these are all rows of the series.
        """
        if self._scaler is None:
            shape = (len(series), self.centre.shape[1])
            return np.broadcast_to(self.centre, shape), np.broadcast_to(self.scale, shape)
        centre, scale = self.centre[series], self.scale[series]
        unseen = np.flatnonzero(~self.is_seen[series])
        if len(unseen):
            rows, inside = spans(begin[unseen], end[unseen])
            history = np.where(inside[..., None], self.panel.values[rows], np.float32(np.nan))
            centre[unseen], scale[unseen] = self._scaler.of_history(history, is_whole=is_whole)
        return centre, scale

    def numbers(
        self, rows: Numbers, inside: NDArray[np.bool_], centre: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return scaled numbers and calendar features of rows, (B, T, F), 0 where missing, and where they are there."""
        values = ((self.panel.values[rows] - centre[:, None]) / scale[:, None]).astype(np.float32)
        values = np.concatenate([values, self.calendar[rows]], axis=2)
        observed = inside[..., None] & ~np.isnan(values)
        return np.where(observed, values, np.float32(0)), observed

    def times(self, rows: Numbers, inside: NDArray[np.bool_], origin: Numbers) -> NDArray[np.float32]:
        """Return how long after row `origin`, (B,), each row is, (B, T): in steps, or in seconds or the times' unit."""
        elapsed = self._elapsed[rows] - self._elapsed[origin][:, None]
        return np.where(inside, elapsed, 0).astype(np.float32)

    def codes(self, rows: Numbers, inside: NDArray[np.bool_], first: int = 0) -> Tensor | None:
        """Return the categories of some rows from column `first` on, (B, T, Q), or None where there are none."""
        codes = self.panel.rows.codes[:, first:]
        if not codes.shape[1]:
            return None
        return torch.from_numpy(np.where(inside[..., None], codes[rows], 0).astype(np.int64))

    def labels(self, series: Numbers, rows: Numbers, inside: NDArray[np.bool_]) -> dict[str, Tensor | None]:
        """Return what a batch has of labels: target, weight, and where they are lower bounds.

        Args:
            series: Which one each window is of, (B,).
            rows: Whose labels, (B, T), or (B,) for one of each window, which is that of the series where steps have
                none.
            inside: Which of the rows are true ones, in their shape.
        """
        panel = self.panel
        if panel.rows.labels is not None:
            labels = panel.rows.labels[rows]
        elif panel.labels is not None:
            labels = panel.labels[series]
        else:
            labels = np.full(rows.shape, np.nan, np.float32)
        is_known = inside & (~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0)
        weight = is_known.astype(np.float32)
        if panel.rows.weight is not None:
            weight *= panel.rows.weight[rows]
        censored = None if panel.rows.censored is None else tensor(panel.rows.censored[rows] & is_known)
        target = np.where(is_known, labels, np.zeros(1, labels.dtype))
        return {"target": tensor(target), "weight": tensor(weight), "censored": censored}

    def of_series(self, series: Numbers) -> dict[str, Tensor | None]:
        """Return what a batch has for each series: index, static numbers and categories."""
        static = self.static[series]
        observed = ~np.isnan(static)
        has_static = bool(static.shape[1])
        codes = self.panel.static_codes[series].astype(np.int64)
        return {
            "index": torch.from_numpy(series),
            "static": torch.from_numpy(np.where(observed, static, np.float32(0))) if has_static else None,
            "static_observed": torch.from_numpy(observed) if has_static else None,
            "static_codes": torch.from_numpy(codes) if codes.shape[1] else None,
        }


def spans(begin: Numbers, end: Numbers, width: int | None = None) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return the rows from `begin` up to `end` of each window, (B, T), and which of them are true ones.

    Those past the end are row 0, so that they can be looked up.
    """
    width = int((end - begin).max(initial=0)) if width is None else width
    rows = begin[:, None] + np.arange(width)
    inside = rows < end[:, None]
    return np.where(inside, rows, 0), inside


def elapsed(panel: Panel) -> NDArray[np.float64]:
    """Return the time of each row since the first of its series, (R,): in steps, or seconds without a frequency."""
    first = panel.offsets[:-1][panel.series_of_rows]
    since = panel.times - panel.times[first]
    found = np.asarray(since / np.timedelta64(1, "s") if since.dtype.kind == "m" else since, np.float64)
    for frequency in set(panel.frequencies) - {None}:
        assert frequency is not None
        own = np.array([one == frequency for one in panel.frequencies], np.bool_)[panel.series_of_rows]
        times = panel.times_counted(frequency)
        found[own] = frequency.steps(times[own], times[first[own]])
    return found


def time_since_last(panel: Panel, since_first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long after the row before each row is, (R,), in the unit of `elapsed`; 0 for the first of a series.

    Args:
        panel: The series.
        since_first: What `elapsed` says of it.
    """
    since = np.diff(since_first, prepend=0.0)
    since[panel.offsets[:-1][panel.lengths > 0]] = 0
    return since


def tensor(array: NDArray[Any]) -> Tensor:
    """Return an array as a tensor on the same memory."""
    return torch.from_numpy(np.ascontiguousarray(array))
