"""What a stream says of the rows that were pushed into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers(ABC):
    """What is said of the rows that were pushed, in their order; what that is, tells the class of each task.

    Rows that are answered for are those that moved their series on. `left_out` says what became of all others.

    Attributes:
        row: Which of the pushed rows each answer is of, (A,), counted from 0.
        ids: The series of each, A.
        time: When the row was, (A,) as the run has times: in UTC, by the clock, or numbers.
        began_anew: Whether the series began anew with the row, after too long a gap, (A,).
        zone: Zone of the clock in which times are shown; None for as they are.
        left_out: For each row without an answer, its number and why: "late", "repeated", "ahead", or what is wrong
            with it.
    """

    row: Numbers
    ids: Sequence[str]
    time: NDArray[Any]
    began_anew: NDArray[np.bool_]
    zone: str | None = None
    left_out: tuple[tuple[int, str], ...] = field(default=())

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield for each answer what `rows` has."""
        return iter(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each answer, as JSON can hold it.

        Its entries are `row`, `series_id`, `time`, and those of the class. Times that are dates are text, numbers that
        are not there are None.
        """
        common = zip(self.row.tolist(), self.ids, written(self.time, self.zone), self._said(), strict=True)
        return [{"row": row, "series_id": name, "time": time, **said} for row, name, time, said in common]

    def to_polars(self) -> pl.DataFrame:
        """Return a dataframe with a row for each answer: `series_id`, `time`, and the columns of the class."""
        names = pl.Series(list(self.ids), dtype=pl.String)
        return self._on_the_clock(pl.DataFrame({"series_id": names, "time": self.time, **self._cells()}), "time")

    @abstractmethod
    def _said(self) -> Iterable[dict[str, Any]]:
        """Return what `rows` has of each answer beside what all have."""

    @abstractmethod
    def _cells(self) -> Mapping[str, Any]:
        """Return what `to_polars` has beside what all have: columns of A cells."""

    def _on_the_clock(self, frame: pl.DataFrame, *names: str) -> pl.DataFrame:
        """Return a dataframe whose columns of times have the zone of the clock."""
        if self.zone is None or self.time.dtype.kind != "M":
            return frame
        return frame.with_columns(pl.col(*names).dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone))


def written(times: NDArray[Any], zone: str | None) -> list[Any]:
    """Return times (N,) as JSON can hold them: dates as ISO 8601, with the offset where the zone is known."""
    if times.dtype.kind != "M":
        return list(times.tolist())
    series = pl.Series(times)
    if zone is not None:
        series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    written: list[Any] = series.dt.to_string("iso:strict").to_list()
    return written
