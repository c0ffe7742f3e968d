"""What belongs to each time step of the series."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "valid", "test")
"""Names of the parts, in the order of their codes."""
NO_PART = -1
"""Code of a row that belongs to no part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What belongs to each time step of all series, one after the other.

    Attributes:
        times: (R,) datetime64 in UTC or by the clock, int64 or float64.
        values: (R, F) float32, F the channels of the schema; NaN where a value is missing, never infinite.
        codes: (R, Q) int32, the categories.
        labels: (R,) int64 classes, -1 where missing, or float32, NaN where missing; None where steps have none.
        weight: (R,) float32 from 0 on, or None where all rows count the same.
        censored: (R,) bool, where a label that is a number is only a lower bound of the true one; None where none is.
        part: (R,) int8, as `PARTS` counts or `NO_PART`; None where no column says.
    """

    times: NDArray[Any]
    values: NDArray[np.float32]
    codes: NDArray[np.int32]
    labels: NDArray[Any] | None = None
    weight: NDArray[np.float32] | None = None
    censored: NDArray[np.bool_] | None = None
    part: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[Any] | slice) -> Rows:
        """Return some of the rows, in the order given."""
        arrays: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        taken: dict[str, Any] = {n: None if array is None else array[rows] for n, array in arrays.items()}
        return Rows(**taken)

    def placed(self, rows: NDArray[np.int64], times: NDArray[Any]) -> Rows:
        """Return as many rows as there are `times`, of which `rows` say where these go; all others are missing."""

        def spread(array: NDArray[Any] | None, missing: float) -> Any:
            if array is None:
                return None
            found = np.full((len(times), *array.shape[1:]), missing, array.dtype)
            found[rows] = array
            return found

        return Rows(
            times=times,
            values=spread(self.values, np.nan),
            codes=spread(self.codes, 0),
            labels=spread(self.labels, missing_label(self.labels)),
            weight=spread(self.weight, 0),
            censored=spread(self.censored, False),
            part=spread(self.part, NO_PART),
        )


def missing_label(labels: NDArray[Any] | None) -> float:
    """Return what stands for a missing label in such an array."""
    return np.nan if labels is not None and labels.dtype.kind == "f" else -1
