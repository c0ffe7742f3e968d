"""A table of the user's, whatever it came from, and where each of its rows stood."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from recur.data.missing import without_missing
from recur.data.series.writing import Writing
from recur.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows of a table came from.

    Attributes:
        name: Of the file, or what the data was, for messages.
        first: The table's row that is the first of this source.
    """

    name: str
    first: int = 0


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of one length, read but not yet understood.

    Attributes:
        frame: The columns.
        sources: What the rows came from, in order; at least one.
        per_source: Names of columns that were not in the files but say which file a row came from.
        writing: How its text is expected to be written.
        is_bound: Whether it is written so, whatever its cells look like; else it need be only where they do not tell.
    """

    frame: pl.DataFrame
    sources: tuple[Source, ...]
    per_source: tuple[str, ...] = ()
    writing: Writing = field(default_factory=Writing)
    is_bound: bool = False

    @property
    def name(self) -> str:
        """What the table is called in messages."""
        return self.sources[0].name if len(self.sources) == 1 else f"{self.sources[0].name} and others"

    def place(self, row: int) -> str:
        """Return where a row stood: the file, and the row counted from 1 below the header.

        Example:
            >>> table_of({"y": [1, 2]}).place(1)
            'the data, row 2'
        """
        number = bisect_right([source.first for source in self.sources], row) - 1
        source = self.sources[number]
        return f"{source.name}, row {row - source.first + 1}"

    def cell(self, column: str, row: int) -> str:
        """Return where a cell stood: the file, the column, and the row counted from 1 below the header."""
        name, _, number = self.place(row).rpartition(", ")
        return f"{name}, column {column!r}, {number}"


def table_of(data: Any, name: str = "the data", *, like: Writing | None = None) -> Table:
    """Return a dataframe as a table.

    Args:
        data: Any dataframe that narwhals knows (pandas, polars, pyarrow and others; lazy ones are collected), a series
            of one, or a mapping from names to sequences of one length. An index of pandas is a column where it has a
            name, or holds times: then it is called "time" if it has none. A missing cell may be None, NaN, NaT or
            pandas' NA, whatever the others hold.
        name: What to call it in messages.
        like: How the data of a model were written, which decides where this does not.

    Raises:
        DataError: A column holds what no table can: nested values, or objects of several kinds.
        TypeError: `data` is no dataframe.
    """
    return Table(frame=_frame_of(data, name), sources=(Source(name=name),), writing=like or Writing())


def _frame_of(data: Any, name: str) -> pl.DataFrame:
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        for column in data:
            _check_cells(name, column)
        return data
    if isinstance(data, Mapping):
        series = [_series(name, str(column), values) for column, values in data.items()]
        return _frame(name, series)
    try:
        given = nw.from_native(data, allow_series=True)
    except TypeError:
        raise TypeError(
            f"{name} must be a dataframe that narwhals knows, or a mapping from names to columns, but is "
            f"{type(data).__name__}; give a path, a dataframe, or arrays."
        ) from None
    if isinstance(given, nw.LazyFrame):
        given = given.collect()
    if isinstance(given, nw.Series):
        given = given.alias(str(given.name or "value")).to_frame()
    columns = [str(column) for column in given.columns]
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise DataError(f"{name}: two columns are called {twice[0]!r}; rename one of them.")
    cells = [*_of_index(nw.maybe_get_index(given), columns), *(given[column] for column in given.columns)]
    return _frame(name, [_converted(name, one) for one in cells])


def _frame(name: str, series: list[pl.Series]) -> pl.DataFrame:
    for one in series[1:]:
        if len(one) != len(series[0]):
            raise DataError(
                f"{name}: column {series[0].name!r} has {len(series[0])} rows, but {one.name!r} has {len(one)}; "
                "give columns of one length."
            )
    return pl.DataFrame(series)


def _of_index(index: Any, columns: Sequence[str]) -> list[nw.Series[Any]]:
    """Return what an index of pandas tells beside the columns; nothing where it only counts the rows, or is None."""
    found = []
    for level in range(0 if index is None else index.nlevels):
        values = index.get_level_values(level)
        # Periods have a beginning.
        values = values.to_timestamp() if hasattr(values, "to_timestamp") else values
        is_time = values.dtype.kind == "M"
        called = ("time" if is_time else None) if values.name is None else str(values.name)
        if called is not None and called not in columns:
            cells = values.to_series().reset_index(drop=True)
            found.append(nw.from_native(cells, series_only=True).alias(called))
    return found


def _converted(name: str, column: nw.Series[Any]) -> pl.Series:
    """Return a column of any dataframe as polars has it, without the libraries that its own converters need."""
    dtype, called = column.dtype, str(column.name)
    if isinstance(dtype, nw.Datetime):
        if dtype.time_zone is not None:
            zone = dtype.time_zone
            moments = pl.Series(called, _moments(column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)))
            return moments.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return pl.Series(called, _moments(column))
    if dtype.is_numeric() and not isinstance(dtype, nw.Decimal):
        if column.null_count():
            return pl.Series(called, column.cast(nw.Float64()).to_numpy(), nan_to_null=True)
        return pl.Series(called, column.to_numpy())
    return _series(name, called, column.to_list())


def _moments(column: nw.Series[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    moments = column.to_numpy()
    # polars has no datetimes in whole seconds.
    return moments if moments.dtype in ("<M8[ns]", "<M8[us]", "<M8[ms]") else moments.astype("datetime64[us]")


def _series(name: str, column: str, values: Any) -> pl.Series:
    try:
        cells = np.asarray(values) if isinstance(values, Sequence) and not isinstance(values, str) else values
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "OUST":
            # As they were given: numbers and text in one list have become text without a word.
            cells = values = _of_one_kind(
                without_missing(values.tolist() if isinstance(values, np.ndarray) else values)
            )
        found = pl.Series(column, cells)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        kinds = sorted({type(v).__name__ for v in values if v is not None}) if isinstance(values, Sequence) else []
        what = f"values of the kinds {', '.join(kinds)}" if kinds else f"what is no column ({_first_line(error)})"
        raise DataError(f"{name}: column {column!r} holds {what}; give values of one kind.") from None
    _check_cells(name, found)
    return found


def _of_one_kind(values: list[Any]) -> list[Any]:
    """Return numbers as such where some are whole and others not."""
    kinds = {type(value) for value in values if value is not None}
    return [None if value is None else float(value) for value in values] if kinds == {int, float} else values


def _check_cells(name: str, column: pl.Series) -> None:
    """Raise where a column holds what no cell can."""
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        kind = "nested values" if column.dtype.is_nested() else "objects"
        raise DataError(f"{name}: column {column.name!r} holds {kind}, but a cell must be a number, a text or a time.")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
