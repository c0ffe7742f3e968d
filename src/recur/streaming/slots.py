"""What a stream knows of each series beside the state of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_LEAST_ROOM = 16


class SeriesArrays:
    """Arrays with a row for each series, and room for more; the attributes of a subclass that are arrays."""

    fresh: ClassVar[Mapping[str, Any]] = {}
    """What the rows of an array begin with, where it is not 0."""

    def grow(self, count: int) -> None:
        """Make room for so many series."""
        for name, array in self._whole().items():
            room = len(array)
            if count > room:
                more = max(count, 2 * room, _LEAST_ROOM) - room
                fill = np.full((more, *array.shape[1:]), self.fresh.get(name, 0), array.dtype)
                setattr(self, name, np.concatenate([array, fill]))

    def arrays(self, count: int) -> dict[str, NDArray[Any]]:
        """Return the rows of the first series of all arrays, by name, as views."""
        return {name: array[:count] for name, array in self._whole().items()}

    def _whole(self) -> dict[str, NDArray[Any]]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}


class Slots(SeriesArrays):
    """A place for each series, in the order in which they came.

    Args:
        num_channels: F.
        num_static: S.
        num_static_codes: S'.
        times: The dtype of times.

    Attributes:
        ids: Names of the series.
        origin: When step 0 was.
        last: The last step that was read, -1 before the first.
        start: The step that the series began with, or began anew.
        begun: The step that the state began with.
        is_settled: Whether the scale stays what it is.
        centre: (S, F) float64.
        scale: (S, F) float64.
        static: (S, S) float32, NaN where missing.
        static_codes: (S, S') int32.
    """

    fresh: ClassVar[Mapping[str, Any]] = {"last": -1, "scale": 1, "static": np.nan}

    def __init__(self, *, num_channels: int, num_static: int, num_static_codes: int, times: np.dtype[Any]) -> None:
        self.ids: list[str] = []
        self._place: dict[str, int] = {}
        self.origin = np.zeros(0, times)
        self.last = np.zeros(0, np.int64)
        self.start = np.zeros(0, np.int64)
        self.begun = np.zeros(0, np.int64)
        self.is_settled = np.zeros(0, np.bool_)
        self.centre = np.zeros((0, num_channels))
        self.scale = np.zeros((0, num_channels))
        self.static = np.zeros((0, num_static), np.float32)
        self.static_codes = np.zeros((0, num_static_codes), np.int32)

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
        self.grow(len(self.ids))
