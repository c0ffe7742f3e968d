"""Which series each row of a table is of, when it was, and in what order the rows belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.cells import as_text
from recur.data.series.columns import Roles
from recur.data.series.moments import read_times
from recur.data.series.schema import Schema
from recur.data.series.table import Table
from recur.errors import DataError, OptionError
from recur.wording import option, quantity

if TYPE_CHECKING:
    from recur.data.series.assembly import Assembly


_MOST_MERGED = 0.1
"""Share of the rows from which on those of one time are more likely of several series."""


class Ordering:
    """Where the rows of a table belong.

    Args:
        table: The table.
        roles: What its columns are for.
        options: What becomes of rows that are not as they should be.
        like: Of the data a model was trained on; None where there is none.
        has_given_id: Whether it was said which columns tell series apart, or that none does.

    Attributes:
        notes: What is worth saying of the order found, one sentence each.
    """

    def __init__(
        self, table: Table, roles: Roles, options: Assembly, like: Schema | None, *, has_given_id: bool
    ) -> None:
        self.table, self.roles, self.options, self.like = table, roles, options, like
        self.has_given_id = has_given_id
        self.notes: list[str] = []

    def series(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names of the series in the order of the table, and which one each row belongs to.

        Raises:
            DataError: A name is missing, or two series get the same one.
        """
        keys = self.roles.series_id
        if not keys:
            return ("series",), np.zeros(self.table.frame.height, np.int64)
        written = {} if self.like is None else self.like.names
        parts = [as_text(self.table.frame[key], written.get(key)) for key in keys]
        for key, part in zip(keys, parts, strict=True):
            if part.null_count():
                row = int(part.is_null().arg_true()[0])
                raise DataError(f"{self.table.cell(key, row)}: the name of the series is missing; fill it in.")
        frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
        text = parts[0] if len(keys) == 1 else frame.select(pl.concat_str(pl.all(), separator="/")).to_series()
        names = text.unique(maintain_order=True)
        if len(keys) > 1 and len(names) < frame.n_unique():
            raise DataError(
                f"{self.table.name}: two series get the same name when {', '.join(map(repr, keys))} are joined by '/'; "
                "rename one of them."
            )
        codes = text.replace_strict(names, pl.Series(np.arange(len(names))), return_dtype=pl.Int64)
        return tuple(names.to_list()), codes.to_numpy()

    def times(self, series: NDArray[np.int64], num_series: int) -> tuple[NDArray[Any], str | None]:
        """Return the time of each row, or which one of its series it is, and the zone of the clock.

        Raises:
            DataError: A cell is no time.
            OptionError: Options are of times, but there are none.
        """
        if self.roles.time:
            zone = self.options.zone
            if zone is None and self.like is not None:
                # Calendar features of a trained model are read from the same clock.
                zone = self.like.zone
            return read_times(self.table, self.roles.time, zone=zone, time_format=self.options.time_format)
        if self.options.zone is not None or self.options.time_format is not None:
            raise OptionError(f"zone, time_format: there is no column with times; name it with {option('time')}.")
        order = np.argsort(series, kind="stable")
        begins = np.searchsorted(series[order], np.arange(num_series))
        times = np.empty(len(series), np.int64)
        times[order] = np.arange(len(series)) - begins[series[order]]
        return times, None

    def order(self, ids: tuple[str, ...], series: NDArray[np.int64], times: NDArray[Any]) -> NDArray[np.int64] | None:
        """Return the order that puts the rows by series and time, or None where they are.

        Raises:
            DataError: They go back in time, and are not to be sorted.
        """
        is_grouped = bool((np.diff(series) >= 0).all())
        grouped = None if is_grouped else np.argsort(series, kind="stable")
        of_rows = series if grouped is None else series[grouped]
        ordered = times if grouped is None else times[grouped]
        is_back = (ordered[1:] < ordered[:-1]) & (of_rows[1:] == of_rows[:-1])
        num_back = int(is_back.sum())
        if not num_back:
            return grouped
        row = int(np.flatnonzero(is_back)[0]) + 1
        at = row if grouped is None else int(grouped[row])
        if not self.options.sort:
            raise DataError(
                f"{self.table.place(at)}: series {ids[int(of_rows[row])]!r} goes back from {ordered[row - 1]} to "
                f"{ordered[row]}; sort the rows by time, or say {option('sort', True)}."
            )
        self.notes.append(f"rows were out of the order of time ({num_back:,} went back), and were sorted")
        return np.lexsort((times, series))

    def starts(
        self, ids: tuple[str, ...], series: NDArray[np.int64], times: NDArray[Any], order: NDArray[np.int64] | None
    ) -> NDArray[np.int64] | None:
        """Return where rows of a new time begin, or None where every row does.

        Raises:
            DataError: Two rows of a series have the same time, and nothing says what becomes of them; or more than a
                tenth of the rows do, a column tells them apart, and nothing says that it names no series.
        """
        is_same = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
        num_same = int(is_same.sum())
        if not num_same:
            return None
        by = self.options.duplicates
        teller = None if self.has_given_id else self._teller(num_same)
        if by == "error":
            row = int(np.flatnonzero(is_same)[0])
            one, other = (row, row + 1) if order is None else (int(order[row]), int(order[row + 1]))
            which = f"series {ids[int(series[row])]!r}" if self.roles.series_id else "the series"
            hint = ""
            if teller is not None:
                hint = f" where {teller!r} tells series apart, say {self._saying(teller)}, else"
            elif not self.roles.series_id:
                hint = f" name the column that tells series apart with {option('series_id')}, or"
            raise DataError(
                f"{self.table.place(other)}: {which} has the time {times[row]} already at "
                f"{self.table.place(one)};{hint} say what becomes of them with {option('duplicates', 'mean')}, last or "
                "first."
            )
        if teller is not None and num_same > _MOST_MERGED * len(series):
            raise DataError(
                f"{self.table.name}: {option('duplicates', by)} would merge {num_same:,} of {len(series):,} rows with "
                f"others, most of which differ in {teller!r}; if that tells series apart, say "
                f"{self._saying(teller)}, else {self._saying()} so that they are merged."
            )
        self.notes.append(f"{quantity(num_same, 'row')} repeated a time; {option('duplicates', by)}")
        return np.flatnonzero(np.concatenate([[True], ~is_same]))

    def _teller(self, num_same: int) -> str | None:
        """Return the column in which most of the rows differ that repeat a time, or None."""
        frame, roles = self.table.frame, self.roles
        keys = [*roles.time, *roles.series_id]
        taken = {*keys, *roles.targets, *roles.label, *roles.weight, *roles.censored, *roles.part}
        most = int(frame.group_by(keys).len()["len"].max())  # type: ignore[arg-type]
        found: dict[str, int] = {}
        for name, dtype in frame.schema.items():
            if name in taken or not (dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_integer()):
                continue
            # Not much more names than rows of one time, else it is something that was counted.
            if not frame[name].null_count() and frame[name].n_unique() <= 2 * most:
                found[name] = frame.height - frame.select([*keys, name]).n_unique()
        best = min(found, key=lambda name: found[name], default=None)
        return best if best is not None and found[best] < num_same / 2 else None

    def _saying(self, *more: str) -> str:
        """Return the option that says by which columns, and which more, series are told apart."""
        names = (*self.roles.series_id, *more)
        return option("series_id", names[0] if len(names) == 1 else names)
