"""What is pushed into a stream, as arrays."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from recur.data.missing import without_missing
from recur.data.series import Columns, Frequency, Rows, Schema, Table, table_of
from recur.data.series.assembly import LooseRows, read_rows
from recur.data.series.columns import Roles
from recur.data.series.delimited import Delimited
from recur.data.series.forms import SERIES, from_wide
from recur.data.series.table import Source
from recur.data.series.writing import Decimal, NumberFormat
from recur.errors import DataError, OptionError
from recur.tasks.series_reading import SeriesReading
from recur.wording import option

_NAME = "the rows"
_TIME = "time"
_PLAIN = frozenset((str, int, float, bool, type(None)))
"""Most cells, of which nothing more has to be asked."""


class RowReader:
    """Reads rows of any series as the data of a run were read, one at a time or many.

    Args:
        reading: Of the run.
        schema: Of the run.
        frequency: Of the run.
        time_format: How times are written, where the run does not say it; see `recur.data.series.Assembly`.
        decimal_comma: Whether numbers in text are written 1,5; None for as those of the run were.

    Raises:
        OptionError: The run's tables have a series in each row, of which no row comes after another.
    """

    def __init__(
        self,
        reading: SeriesReading,
        schema: Schema,
        frequency: Frequency,
        time_format: str | None = None,
        decimal_comma: bool | None = None,
    ) -> None:
        if reading.form == "rows":
            raise OptionError("the run's tables have a whole series in each row, so that there are no steps to stream.")
        self.form = reading.form
        self.assembly = reading.assembly if time_format is None else replace(reading.assembly, time_format=time_format)
        self.has_roles = schema.roles is not None
        if schema.roles is None:
            # Of arrays: their columns have no names but these.
            roles = Roles(series_id=(SERIES,), time=(_TIME,), targets=schema.targets, past_only=schema.past_only)
            schema = replace(schema, roles=replace(roles, known_future=schema.known_future, static=schema.static))
        self.schema = schema
        self.frequency = frequency
        self.missing = frozenset((reading.text or Delimited()).missing)
        self.writing = schema.writing
        if decimal_comma is not None:
            mark: Decimal = "," if decimal_comma else "."
            numbers = {name: replace(form, decimal=mark) for name, form in self.writing.numbers.items()}
            self.writing = replace(self.writing, decimal=mark, numbers=numbers)

    @property
    def roles(self) -> Roles:
        """What the columns are for."""
        assert self.schema.roles is not None
        return self.schema.roles

    @property
    def named(self) -> frozenset[str]:
        """The columns whose cells are names, of series and of categories, even where they look like numbers."""
        return frozenset((*self.roles.series_id, *self.roles.categorical))

    @property
    def typed(self) -> frozenset[str]:
        """The columns whose text stands for what it looks like: a time, or a label. That of others is read as it is."""
        return frozenset((*self.roles.time, *self.roles.label))

    def read(self, rows: Any, first: int = 0) -> LooseRows:
        """Return what rows hold.

        Args:
            rows: A mapping from names to values, which is one row; a list of such, in which a name that is not there is
                a value that is missing; or a table: a mapping from names to columns, or any dataframe.
            first: The number of the first row, for messages.

        Raises:
            DataError: A cell cannot be read, or a column is missing or unknown; the message names row and column.
            TypeError: `rows` is nothing of the above.
        """
        table, is_loose = self._table(rows, first)
        table = replace(table, sources=(Source(name=_NAME, first=-first),), writing=self.writing, is_bound=True)
        if table.frame.is_empty():
            return self._nothing()
        if self.form == "wide":
            series = tuple(name for name in table.frame.columns if name not in self.roles.time)
            table = from_wide(table, Columns(time=self.roles.time, targets=series))
        self._refuse_unknown(table)
        table = self._completed(table, is_loose)
        found = read_rows(table, self.schema, self.assembly)
        return replace(found, rows=replace(found.rows, times=self._times(found.rows.times)))

    def _table(self, rows: Any, first: int) -> tuple[Table, bool]:
        """Return rows, counted from `first` on, as a table, and whether each named its own values."""
        rows = [rows] if _is_row(rows) else rows
        if not isinstance(rows, list | tuple):
            return table_of(rows, _NAME), False
        wrong = next((row for row in rows if not isinstance(row, Mapping)), None)
        if wrong is not None:
            raise TypeError(
                f"stream: a row must be a mapping from names to values, but is {type(wrong).__name__}; give such, a "
                "list of them, or a dataframe."
            )
        for number, row in enumerate(rows, first + 1):
            _check_row(row, number)
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
        columns = {name: [row.get(name) for row in rows] for name in names}
        named, typed = self.named, self.typed
        kindred = {}
        for name, values in columns.items():
            form = NumberFormat() if name in typed else self.writing.of_column(name)
            kindred[name] = _written(values) if name in named else _kindred(values, form)
        return table_of(kindred, _NAME), True

    def _nothing(self) -> LooseRows:
        schema, none = self.schema, np.zeros(0, np.int64)
        return LooseRows(
            ids=(),
            series=none,
            rows=Rows(
                times=none,
                values=np.zeros((0, len(schema.channels)), np.float32),
                codes=np.zeros((0, len(schema.categorical)), np.int32),
            ),
            static=np.zeros((0, len(schema.static)), np.float32),
            static_codes=np.zeros((0, len(schema.static_categorical)), np.int32),
        )

    def _times(self, times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return times in the dtype that those of a stream have."""
        if self.frequency.unit == "":
            if times.dtype.kind == "M":
                raise DataError(f"{_NAME}: the times are dates, but those of the run are numbers.")
            return times.astype(np.float64 if isinstance(self.frequency.count, float) else np.int64)
        if times.dtype.kind != "M":
            raise DataError(
                f"{_NAME}: the times are numbers, but those of the run are dates; say what they count with "
                f"{option('time_format', 's')}."
            )
        return times.astype("datetime64[ns]" if self.frequency.unit == "ns" else "datetime64[us]")

    def _refuse_unknown(self, table: Table) -> None:
        known = {name for names in self.roles.by_role().values() for name in names}
        for name in table.frame.columns:
            if name not in known:
                # One that is not there is rather meant than one that is.
                lacking = known.difference(table.frame.columns)
                near = [other for among in (lacking, known) for other in _alike(name, sorted(among))]
                hint = f"is it {near[0]!r}?" if near else f"it had {', '.join(map(repr, sorted(known)))}."
                raise DataError(f"{_NAME}: there is a column {name!r}, which the model's data had not; {hint}")

    def _completed(self, table: Table, is_loose: bool) -> Table:
        """Return the table with the columns that may be left out."""
        frame, roles = table.frame, self.roles
        if not self.has_roles and SERIES not in frame.columns:
            frame = frame.with_columns(pl.lit("series").alias(SERIES))
        needed = {*roles.series_id, *roles.time}
        may_lack = {*roles.static} | ({*roles.past_only, *roles.known_future} if is_loose else set())
        lacking = [name for name in sorted(may_lack) if name not in frame.columns and name not in needed]
        return replace(table, frame=frame.with_columns(pl.lit(None).alias(name) for name in lacking))


def _alike(name: str, others: list[str]) -> list[str]:
    """Return names that another one may be meant for: it begins them, or they begin it, or else it looks like them."""
    begun = [other for other in others if other.startswith(name) or name.startswith(other)]
    return begun or difflib.get_close_matches(name, others, n=1)


def several(rows: Any) -> list[Any] | pl.DataFrame:
    """Return rows as something of which some can be taken, by `chosen_rows`."""
    if _is_row(rows):
        return [rows]
    return list(rows) if isinstance(rows, list | tuple) else table_of(rows, _NAME).frame


def chosen_rows(rows: list[Any] | pl.DataFrame, numbers: Sequence[int]) -> list[Any] | pl.DataFrame:
    """Return some rows, in the order of their numbers."""
    return rows[numbers] if isinstance(rows, pl.DataFrame) else [rows[number] for number in numbers]


def _is_row(rows: Any) -> bool:
    """Return whether a mapping holds the cells of one row, and not only columns."""
    return isinstance(rows, Mapping) and not (rows and all(_is_column(value) for value in rows.values()))


def _is_column(value: Any) -> bool:
    if type(value) in _PLAIN or isinstance(value, str | bytes):
        return False
    # Of pandas, too, without asking for it.
    return isinstance(value, Sequence | pl.Series) or getattr(value, "ndim", 0) > 0


def _check_row(row: Mapping[Any, Any], number: int) -> None:
    """Raise where a row says nothing, or holds what no cell can."""
    if not row:
        raise DataError(f"{_NAME}, row {number}: is empty; a row has at least one name with its value.")
    for name, value in row.items():
        if type(value) not in _PLAIN and (_is_column(value) or isinstance(value, Mapping | set | frozenset)):
            raise DataError(
                f"{_NAME}, column {str(name)!r}, row {number}: holds several values, but a cell must be a number, a "
                "text or a time."
            )


def _written(values: list[Any]) -> list[Any]:
    """Return names as text, so that none is written in another way for those that come with it."""
    values = without_missing(values)
    if not {type(value) for value in values if value is not None} <= {str, int, float, bool}:
        return values
    return [
        None if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values
    ]


def _kindred(values: list[Any], form: NumberFormat) -> list[Any]:
    """Return values of one kind: numbers beside text are written as text, which is then read or refused by its row."""
    kinds = {type(value) for value in values if value is not None}
    if kinds - {int, float}:
        values = without_missing(values)
        kinds = {type(value) for value in values if value is not None}
    if str in kinds and len(kinds) > 1 and kinds <= {str, int, float, bool}:
        return [None if value is None else value if isinstance(value, str) else form.written(value) for value in values]
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values
