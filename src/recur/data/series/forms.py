"""Tables in other forms to long form, one row for each step of a series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.absent import no_column
from recur.data.series.cells import read_numbers, writing_of
from recur.data.series.columns import Columns, numbered
from recur.data.series.guessing import guess_columns
from recur.data.series.panel import Panel
from recur.data.series.table import Source, Table
from recur.data.series.writing import writes_numbers
from recur.errors import DataError, OptionError

SERIES, STEP, VALUE = "series_id", "step", "value"
"""What the columns made here are called."""

ROLES_OF_ROWS = ("series_id", "label", "static", "categorical", "weight", "censored", "part", "ignored", "targets")
"""Roles that columns of a table in the form of rows may have."""

_NAMES = ("id", SERIES)
"""Columns that name the row, in small letters."""

_LEAST_STEPS = 10
_LOOKED_AT = 2000
_LARGEST_RATIO = 0.8
"""Of noise in a row it is 1."""


def from_wide(table: Table, columns: Columns | None = None) -> Table:
    """Return a table that has a column for each series in long form.

    The long one has `series_id`, the name of the column; the times; and `value`. Each column of numbers is a series.

    Args:
        table: A time in each row, unless there is no such column.
        columns: `time`, `targets` (which columns are series; by default all numbers) and `ignored` are heeded.

    Raises:
        DataError: There is no column of numbers, or one holds text.
        OptionError: Another role is given, which this form has no place for.
    """
    given = (columns or Columns()).given()
    _refuse(given, ("time", "targets", "ignored"), "wide")
    roles = guess_columns(table, columns)
    taken = {*roles.time, *given.get("ignored", ())}
    names = given.get("targets") or tuple(
        name
        for name in table.frame.columns
        if name not in taken and (table.frame.schema[name].is_numeric() or name in roles.past_only + roles.targets)
    )
    taken_names = {SERIES, VALUE} & set(roles.time)
    if taken_names:
        raise DataError(f"{table.name}: the column of times is called {taken_names.pop()!r}; rename it.")
    if not names:
        raise DataError(f"{table.name}: no column of numbers is left to be a series.")
    if not table.is_bound:
        # In the long form the columns are not there to tell.
        table = replace(table, writing=writing_of(table, names))
    times = [table.frame[name] for name in roles.time]
    frames, sources = [], []
    for number, name in enumerate(names):
        values = pl.Series(VALUE, read_numbers(table, name, "a series of the wide form"), nan_to_null=True)
        series = pl.Series(SERIES, [name]).new_from_index(0, len(values))
        frames.append(pl.DataFrame([*times, series, values]))
        sources.append(Source(name=f"{table.name}, column {name!r}", first=number * table.frame.height))
    return replace(table, frame=pl.concat(frames, rechunk=True), sources=tuple(sources), per_source=())


def from_rows(table: Table, columns: Columns | None = None) -> Table:
    """Return a table that has a row for each series in long form.

    The long one has `series_id`, `step` from 0 on, `value`, and what the row says of its series besides. Missing values
    at the end of a row are padding and left out.

    Args:
        table: A series in each row.
        columns: `series_id`, `label`, `static`, `weight`, `censored`, `part` and `ignored` are heeded; `targets` says
            which columns are the steps, in their order; by default all other numbers are.

    Raises:
        DataError: There is no column of numbers, or one holds text.
        OptionError: Another role is given, which this form has no place for.
    """
    given = (columns or Columns()).given()
    _refuse(given, ROLES_OF_ROWS, "rows")
    aside = [name for role, names in given.items() if role != "targets" for name in names]
    frame = table.frame
    for role, names in given.items():
        for name in names:
            if name not in frame.columns:
                raise no_column(table.name, name, role, frame.columns)
    if "label" not in given:
        aside += [name for name in frame.columns if name.lower() in ("label", "class", "target") and name not in aside]
    if "series_id" not in given:
        aside += [name for name in frame.columns if name.lower() in _NAMES and name not in aside]
    steps = given.get("targets") or tuple(
        name
        for name in frame.columns
        if name not in aside
        and (frame.schema[name].is_numeric() or (frame.schema[name] == pl.String and writes_numbers(frame[name])))
    )
    if not steps:
        raise DataError(f"{table.name}: no column of numbers is left to be a step of the series.")
    table = replace(table, writing=writing_of(table, steps))
    values = np.stack([read_numbers(table, name, "the steps of a series") for name in steps], axis=1)
    is_there = ~np.isnan(values)
    lengths = np.where(is_there.any(axis=1), values.shape[1] - np.argmax(is_there[:, ::-1], axis=1), 1)
    kept = np.arange(values.shape[1]) < lengths[:, None]
    row, step = np.nonzero(kept)
    kept_aside = [frame[name] for name in frame.columns if name in aside and name not in given.get("ignored", ())]
    if "series_id" not in given and not {*_NAMES} & {one.name.lower() for one in kept_aside}:
        kept_aside.append(pl.Series(SERIES, np.arange(1, len(frame) + 1)).cast(pl.String))
    clash = {STEP, VALUE} & {one.name for one in kept_aside}
    if clash:
        raise DataError(f"{table.name}: has a column {clash.pop()!r}, a name that the long form needs; rename it.")
    cells = [pl.Series(STEP, step), pl.Series(VALUE, values[kept], nan_to_null=True)]
    long = pl.DataFrame([*(one.gather(row) for one in kept_aside), *cells])
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()
    sources = tuple(Source(name=table.place(number), first=int(begin)) for number, begin in enumerate(begins))
    return replace(table, frame=long, sources=sources, per_source=())


def reads_like_rows(panel: Panel) -> bool:
    """Return whether a table that was read as one series in long form looks as if each of its rows were one.

    It does where nothing says when a row was or of which series it is, where at least ten columns of numbers are
    numbered one after the other, such as t0 to t59, and where neighbours among these are alike: more so than any two in
    a row, and than rows below each other are.

    Args:
        panel: As it was read in long form.

    Example:
        >>> from recur.data.series import read_series
        >>> waves = np.sin(np.arange(30) / 5 + np.array([[3], [1], [5], [2]]))
        >>> reads_like_rows(read_series({f"t{step}": column for step, column in enumerate(waves.T)}))
        True
    """
    roles, names = panel.schema.roles, panel.schema.channels
    if roles is None or roles.series_id or any(name.lower() not in _NAMES for name in roles.time):
        return False
    if len(names) < _LEAST_STEPS or len(panel) > 1 or len(numbered(names)) > 1:
        return False
    values = panel.values[:_LOOKED_AT].astype(np.float64)
    others = np.random.default_rng(0).permutation(values.shape[1])
    across = _alike(np.diff(values, axis=1), values - values[:, others])
    below = np.random.default_rng(0).permutation(len(values))
    return across < min(_LARGEST_RATIO, _alike(np.diff(values, axis=0), values - values[below]))


def _alike(near: NDArray[np.float64], far: NDArray[np.float64]) -> float:
    """Return how large differences of neighbours are over those of any two; 1 where there are none."""
    sizes = [np.abs(each[~np.isnan(each)]) for each in (near, far)]
    if not all(len(size) and size.any() for size in sizes):
        return 1.0
    return float(sizes[0].mean() / sizes[1].mean())


def columns_of_wide(columns: Columns | None) -> Columns:
    """Return what the columns of `from_wide` are for."""
    return Columns(series_id=SERIES, time=None if columns is None else columns.time, targets=VALUE)


def columns_of_rows(columns: Columns | None) -> Columns:
    """Return what the columns of `from_rows` are for."""
    columns = columns or Columns()
    return Columns(
        series_id=columns.series_id,
        time=STEP,
        targets=VALUE if columns.label == () else None,
        past_only=None,
        static=columns.static,
        categorical=columns.categorical,
        label=columns.label,
        weight=columns.weight,
        censored=columns.censored,
        part=columns.part,
    )


def _refuse(given: dict[str, tuple[str, ...]], allowed: tuple[str, ...], form: str) -> None:
    wrong = [role for role, names in given.items() if role not in allowed and names]
    if wrong:
        raise OptionError(f"{wrong[0]}: a table in the form {form!r} has no such columns; leave it out.")
