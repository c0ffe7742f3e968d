"""What a stream says of the rows that were pushed into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What follows the rows that were pushed, in their order.

    Rows that are answered for are those that moved their series on. `left_out` says what became of all others.

    Attributes:
        row: Which of the pushed rows each answer is of, (A,), counted from 0.
        ids: The series of each, A.
        time: When the row was, (A,) as the run has times: in UTC, by the clock, or numbers.
        times: Of the steps that are told, (A, P).
        values: Mean and quantiles on the original scale, (A, P, C, 1 + Q) float32.
        drift: Whether the forecasts of the series have stopped holding what they say, (A,).
        began_anew: Whether the series began anew with the row, after too long a gap, (A,).
        targets: Names of the targets, C.
        names: Of the last dimension of `values`: mean, q0.1 and so on.
        zone: Zone of the clock in which times are shown; None for as they are.
        left_out: For each row without an answer, its number and why: "late", "repeated", "ahead", or what is wrong
            with it.
    """

    row: Numbers
    ids: Sequence[str]
    time: NDArray[Any]
    times: NDArray[Any]
    values: NDArray[np.float32]
    drift: NDArray[np.bool_]
    began_anew: NDArray[np.bool_]
    targets: tuple[str, ...]
    names: tuple[str, ...]
    zone: str | None = None
    left_out: tuple[tuple[int, str], ...] = field(default=())

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield for each answer what `rows` has."""
        return iter(self.rows())

    def followed_by(self, other: Answers) -> Answers:
        """Return these answers and those of rows that were pushed after them."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("row", "time", "times", "values", "drift", "began_anew")
        }
        left_out = (*self.left_out, *other.left_out)
        return replace(self, ids=[*self.ids, *other.ids], left_out=left_out, **arrays)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each answer, as JSON can hold it.

        Its entries are `row`, `series_id`, `time`, `drift` and `forecast`: for each step and target a dictionary of
        `time`, `target`, `mean` and the quantiles. Times that are dates are text.
        """
        asked, told = _written(self.time, self.zone), _written(self.times.reshape(-1), self.zone)
        num_steps = self.times.shape[1]
        values = self.values.tolist()
        found = []
        for number, name in enumerate(self.ids):
            forecast = [
                {"time": told[number * num_steps + step], "target": target}
                | dict(zip(self.names, values[number][step][channel], strict=True))
                for step in range(num_steps)
                for channel, target in enumerate(self.targets)
            ]
            found.append(
                {
                    "row": int(self.row[number]),
                    "series_id": name,
                    "time": asked[number],
                    "drift": bool(self.drift[number]),
                    "forecast": forecast,
                }
            )
        return found

    def to_polars(self) -> pl.DataFrame:
        """Return a dataframe with a row for each answer, step and target.

        Its columns are `series_id`, `after` (the time of the row that was pushed), `time`, `target`, `mean`, the
        quantiles, and `drift`.
        """
        num_answers, num_steps, num_targets, _ = self.values.shape
        each = num_steps * num_targets
        answer = np.repeat(np.arange(num_answers), each)
        names = pl.Series(list(self.ids), dtype=pl.String)
        frame = pl.DataFrame(
            {
                "series_id": names.gather(answer),
                "after": self.time[answer],
                "time": np.repeat(self.times.reshape(-1), num_targets),
                "target": pl.Series(list(self.targets) * (num_answers * num_steps), dtype=pl.String),
                **{name: self.values[..., number].reshape(-1) for number, name in enumerate(self.names)},
                "drift": self.drift[answer],
            }
        )
        if self.zone is None or self.time.dtype.kind != "M":
            return frame
        shown = pl.col("after", "time").dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone)
        return frame.with_columns(shown)


def _written(times: NDArray[Any], zone: str | None) -> list[Any]:
    """Return times as JSON can hold them: dates as ISO 8601, with the offset where the zone is known."""
    if times.dtype.kind != "M":
        return list(times.tolist())
    series = pl.Series(times)
    if zone is not None:
        series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    written: list[Any] = series.dt.to_string("iso:strict").to_list()
    return written
