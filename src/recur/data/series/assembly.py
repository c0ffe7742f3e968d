"""A table to a panel: rows sorted, checked and put into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.aggregation import Aggregate, check_aggregate, collapse
from recur.data.series.columns import Columns, Roles
from recur.data.series.contents import Contents, labels_of_series
from recur.data.series.grid import on_grid
from recur.data.series.guessing import guess_columns
from recur.data.series.labels import mark_among
from recur.data.series.ordering import Ordering
from recur.data.series.panel import Panel
from recur.data.series.rows import Rows
from recur.data.series.schema import Schema
from recur.data.series.spacing import frequencies_of
from recur.data.series.table import Table
from recur.errors import DataError, OptionError
from recur.wording import percentage, quantity


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """How the rows of a table become series."""

    sort: bool = True
    """Whether rows out of the order of time are sorted; else they are an error."""
    duplicates: Literal["error", "mean", "last", "first"] = "error"
    """What becomes of several rows of one series at one time."""
    frequency: str | float = "infer"
    """The step, such as "1h"; or "infer" for one that all series share, "mixed" for one of each, "irregular" for
    none."""
    gaps: Literal["grid", "keep"] = "grid"
    """Whether steps that are not there get rows, all values missing, or are left out and told by the times."""
    zone: str | None = None
    """Time zone of the clock that calendar features are read from, such as "Europe/Paris"."""
    time_format: str | None = None
    """How times are written, as "%d.%m.%Y %H:%M", or s, ms, us or ns for numbers since 1970."""
    labels: Literal["auto", "class", "number", "mark"] = "auto"
    """What the label is: by default a number if it has decimals or more than fifty values, else a class. A mark is a
    class that nothing is trained on, so that other data may have classes which those of a model had not."""


def assemble(
    table: Table,
    columns: Columns | None = None,
    options: Assembly | None = None,
    *,
    schema: Schema | None = None,
) -> Panel:
    """Return the series of a table in long form, one row of it for each step of a series.

    Args:
        table: The table.
        columns: What the columns are for, where it is not to be guessed.
        options: What becomes of rows that are not as they should be.
        schema: Of the data a model was trained on: the same columns, categories and classes are read, nothing is
            guessed. Its targets and labels may be missing from the table; all else may not.

    Raises:
        DataError: The table cannot become series; the message names the file, the column and the row.
        OptionError: Columns or options contradict each other.
    """
    options = options or Assembly()
    check_aggregate("duplicates", options.duplicates, ("error", "mean", "last", "first"))
    if options.gaps not in ("grid", "keep"):
        raise OptionError(f"gaps: expected 'grid' or 'keep', got {options.gaps!r}.")
    if table.frame.is_empty():
        raise DataError(f"{table.name}: has no rows; give a table with some.")
    if schema is not None:
        if columns is not None:
            raise OptionError("columns: the schema already says what the columns are for; give one of the two.")
        if schema.roles is None:
            raise DataError(
                f"{table.name}: is a table, but the model was trained on arrays or a .ts file; give the like."
            )
        roles = _with_mark(schema.roles, table) if options.labels == "mark" else schema.roles
        table = _with_columns_of(table, roles)
    else:
        roles = guess_columns(table, columns)
    has_given_id = schema is not None or (columns is not None and "series_id" in columns.given())
    return _panel(table, roles, options, schema, has_given_id=has_given_id)


@dataclass(frozen=True, kw_only=True, eq=False)
class LooseRows:
    """Rows of a table in its own order, read but not put together to series.

    Attributes:
        ids: Names of the series, in the order in which they first come.
        series: Which of them each row is of, (R,).
        rows: What the rows hold.
        static: Numbers of a series, as each row says them, (R, S) float32.
        static_codes: Likewise its categories, (R, S') int32.
    """

    ids: tuple[str, ...]
    series: NDArray[np.int64]
    rows: Rows
    static: NDArray[np.float32]
    static_codes: NDArray[np.int32]


def read_rows(table: Table, schema: Schema, options: Assembly | None = None) -> LooseRows:
    """Return the rows of a table in long form, of which there need not be more than one, in any order.

    Args:
        table: The table; it has all columns of the schema, though targets and labels may be missing.
        schema: Of the data a model was trained on, with roles.
        options: How they were assembled; the zone and the format of times are heeded.

    Raises:
        DataError: A cell cannot be read; the message names the table, the column and the row.
        OptionError: As of `assemble`.
    """
    assert schema.roles is not None
    options, table = options or Assembly(), _with_columns_of(table, schema.roles)
    ordering = Ordering(table, schema.roles, options, schema, has_given_id=True)
    contents = Contents(table, schema.roles, options, schema)
    ids, series = ordering.series()
    rows, schema = contents.rows(*ordering.times(series, len(ids)))
    static, codes = contents.static_of_rows(schema)
    return LooseRows(ids=ids, series=series, rows=rows, static=static, static_codes=codes)


def _panel(table: Table, roles: Roles, options: Assembly, like: Schema | None, *, has_given_id: bool) -> Panel:
    ordering = Ordering(table, roles, options, like, has_given_id=has_given_id)
    contents = Contents(table, roles, options, like)
    ids, series = ordering.series()
    times, zone = ordering.times(series, len(ids))
    order = ordering.order(ids, series, times)
    rows, schema = contents.rows(times, zone)
    static, static_codes = contents.of_series(ids, series, schema)
    labels = labels_of_series(series, len(ids), rows.labels)
    if labels is not None:
        rows = replace(rows, labels=None)
    if order is not None:
        rows, series = rows.take(order), series[order]
    starts = ordering.starts(ids, series, rows.times, order)
    if starts is not None:
        by: Aggregate = options.duplicates  # type: ignore[assignment]
        rows, series = collapse(rows, starts, by), series[starts]
    offsets = np.searchsorted(series, np.arange(len(ids) + 1)).astype(np.int64)
    frequencies, notes = frequencies_of(
        options.frequency,
        rows.times,
        zone,
        offsets,
        ids=ids,
        name=table.name,
        is_learnt=like is not None,
    )
    panel = Panel(
        ids=ids,
        offsets=offsets,
        rows=rows,
        static=static,
        static_codes=static_codes,
        labels=labels,
        frequencies=tuple(frequencies),
        schema=schema,
    )
    notes = [*ordering.notes, *notes, *_missing_targets(panel)]
    if options.gaps == "grid" and None not in frequencies:
        filled = on_grid(panel)
        if len(filled.rows) > len(rows):
            gaps = len(filled.rows) - len(rows)
            notes.append(f"{quantity(gaps, 'step')} that the table lacks got rows without values")
        panel = filled
    return replace(panel, notes=(*notes, *_little_to_learn(panel)))


def _missing_targets(panel: Panel) -> list[str]:
    """Return a sentence on the target that most rows lack, of the series that have some value of it."""
    names, starts = panel.schema.targets, panel.offsets[:-1]
    if not names:
        return []
    is_missing = np.isnan(panel.values[:, : len(names)])
    has_none = np.logical_and.reduceat(is_missing, starts)
    counts = np.count_nonzero(is_missing & ~has_none[panel.series_of_rows], axis=0)
    most = int(counts.argmax())
    if not counts[most]:
        return []
    others = int(np.count_nonzero(counts)) - 1
    more = f", and {quantity(others, 'other target')} in no more" if others else ""
    share = counts[most] / len(is_missing)
    return [f"{names[most]} is missing in {counts[most]:,} of {len(is_missing):,} rows ({percentage(share)}){more}"]


def _little_to_learn(panel: Panel) -> list[str]:
    """Return a sentence for each target of which some series tell nothing."""
    notes = []
    for column, target in enumerate(panel.schema.targets):
        values, starts = panel.values[:, column], panel.offsets[:-1]
        low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
        for what, which in (("has no value", np.isnan(low)), ("is constant", low == high)):
            numbers = np.flatnonzero(which & (panel.lengths > 1))
            if len(numbers):
                more = f" and {len(numbers) - 1:,} others" if len(numbers) > 1 else ""
                notes.append(f"{target} {what} in series {panel.ids[int(numbers[0])]!r}{more}")
    return notes


def _with_mark(roles: Roles, table: Table) -> Roles:
    """Return the roles with a column of marks, which the data to judge on may have where those to learn from had none.

    Nothing is learned from marks, so that it does not matter to a model whether it has seen any.
    """
    taken = {name for names in roles.by_role().values() for name in names}
    mark = mark_among(table.frame.select(name for name in table.frame.columns if name not in taken))
    return roles if roles.label or mark is None else replace(roles, label=(mark,))


def _with_columns_of(table: Table, roles: Roles) -> Table:
    """Return the table with empty columns for what has yet to be told, or raise where another one is missing."""
    frame = table.frame
    for role, names in roles.by_role().items():
        for name in names:
            if name in frame.columns or role == "ignored":
                continue
            if role not in ("targets", "label", "weight", "censored", "part"):
                near: Mapping[str, str] = {other.lower(): other for other in frame.columns}
                hint = f"; is it {near[name.lower()]!r}?" if name.lower() in near else "."
                raise DataError(f"{table.name}: has no column {name!r}, in {role} when the model was trained{hint}")
            filler = pl.lit({"weight": 1.0, "censored": 0.0}.get(role))
            frame = frame.with_columns(filler.alias(name))
    return replace(table, frame=frame)
