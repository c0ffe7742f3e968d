"""What a stream knows of each series beside the state of the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_ROOM = 16


class Slots:
    """A place for each series, in the order in which they came, and arrays with a row for each place.

    Args:
        num_channels: F.
        num_static: S.
        num_static_codes: S'.
        num_targets: C.
        num_ends: Quantiles by which the next value will be scored.
        times: The dtype of times.

    Attributes:
        ids: Names of the series.
        origin: When step 0 was.
        last: The last step that was read, -1 before the first.
        start: The step that the state began with.
        is_settled: Whether the scale stays what it is.
        centre: (S, F) float64.
        scale: (S, F) float64.
        static: (S, S) float32, NaN where missing.
        static_codes: (S, S') int32.
        told_step: Of which step `ends` tells; -1 for none.
        ends: Quantiles of the targets at that step, (S, C, E) float64.
        drift_sum: (S, C) float64, as `recur.calibration.drift.IntervalDrift` keeps it, like the two that follow.
        drift_mean: (S, C) float64.
        drift_count: (S, C) float64.
    """

    def __init__(
        self,
        *,
        num_channels: int,
        num_static: int,
        num_static_codes: int,
        num_targets: int,
        num_ends: int,
        times: np.dtype[Any],
    ) -> None:
        self.ids: list[str] = []
        self._place: dict[str, int] = {}
        self.origin = np.zeros(0, times)
        self.last = np.zeros(0, np.int64)
        self.start = np.zeros(0, np.int64)
        self.is_settled = np.zeros(0, np.bool_)
        self.centre = np.zeros((0, num_channels))
        self.scale = np.zeros((0, num_channels))
        self.static = np.zeros((0, num_static), np.float32)
        self.static_codes = np.zeros((0, num_static_codes), np.int32)
        self.told_step = np.zeros(0, np.int64)
        self.ends = np.zeros((0, num_targets, num_ends))
        self.drift_sum = np.zeros((0, num_targets))
        self.drift_mean = np.zeros((0, num_targets))
        self.drift_count = np.zeros((0, num_targets))

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the places of series, -1 for those that have none."""
        return np.array([self._place.get(name, -1) for name in ids], np.int64)

    def add(self, ids: Iterable[str]) -> None:
        """Give places to series that have none."""
        for name in ids:
            self._place[name] = len(self.ids)
            self.ids.append(name)
        room = len(self.last)
        if len(self.ids) > room:
            more = max(len(self.ids), 2 * room, _LEAST_ROOM) - room
            for name, array in self.arrays(whole=True).items():
                fill = _FRESH.get(name, 0)
                setattr(self, name, np.concatenate([array, np.full((more, *array.shape[1:]), fill, array.dtype)]))

    def arrays(self, *, whole: bool = False) -> dict[str, NDArray[Any]]:
        """Return all arrays by name; `whole` with the room for more series."""
        found = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return found if whole else {name: array[: len(self.ids)] for name, array in found.items()}


_FRESH: dict[str, Any] = {
    "last": -1,
    "told_step": -1,
    "scale": 1,
    "static": np.nan,
    "ends": np.nan,
    "drift_mean": 0.5,
}
"""What a series begins with, where it is not 0."""
