"""Columns to arrays: numbers to float32, names of categories to codes; a cell that is neither is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.table import Table
from recur.data.series.writing import NumberFormat, Writing, number_format_of
from recur.errors import DataError
from recur.wording import option

_LARGEST = float(np.finfo(np.float32).max)
_TEXT = (pl.String, pl.Categorical, pl.Enum)


def read_numbers(table: Table, column: str, role: str) -> NDArray[np.float32]:
    """Return a column as numbers, (R,) float32, NaN where the value is missing.

    Args:
        table: The table.
        column: Which column; text that writes numbers is read, all of it in one way, booleans are 0 and 1.
        role: What the column is for, for messages.

    Raises:
        DataError: A cell is text, infinite or beyond float32, or the column holds no numbers at all, or such as could
            be read in two ways.
    """
    values = table.frame[column]
    dtype = values.dtype
    if dtype in _TEXT:
        values = _numbers_of_text(table, column, role)
    elif dtype not in (pl.Boolean, pl.Null) and not dtype.is_numeric():
        raise DataError(
            f"{table.name}, column {column!r}: holds {str(dtype).lower()}, but {role} needs numbers; convert it, or "
            "give it another role."
        )
    # What is null becomes NaN, which is neither too large nor infinite.
    wide = values.cast(pl.Float64).to_numpy()
    beyond = np.flatnonzero(np.abs(wide) > _LARGEST)
    if len(beyond):
        row = int(beyond[0])
        what = "infinite" if np.isinf(wide[row]) else f"{wide[row]:g}, which float32 cannot hold"
        raise DataError(f"{table.cell(column, row)}: is {what}; mend the cell, or leave it empty if it is missing.")
    return wide.astype(np.float32)


def number_format(table: Table, column: str) -> NumberFormat | None:
    """Return how the numbers of a column are written; None where that can be told in two ways."""
    known = table.writing
    if table.is_bound or table.frame.schema[column] not in _TEXT:
        return known.of_column(column)
    expected = known.numbers.get(column) or (known.decimal and NumberFormat(decimal=known.decimal)) or None
    return number_format_of(_text(table, column), expected)


def writing_of(table: Table, columns: Sequence[str]) -> Writing:
    """Return how a table is written, so that others are read like it where they do not tell.

    Args:
        table: The table.
        columns: Those of numbers, each of which may be written in its own way.
    """
    known, schema = table.writing, table.frame.schema
    # Whole numbers that were read as such say nothing of decimals.
    telling = [name for name in columns if not schema[name].is_integer()]
    found = {name: form for name in telling if (form := number_format(table, name)) is not None}
    marks = {form.decimal for name, form in found.items() if schema[name] == pl.String}
    decimal = marks.pop() if known.decimal is None and len(marks) == 1 else known.decimal
    own = {name: form for name, form in found.items() if form != NumberFormat(decimal=decimal or ".")}
    return replace(known, decimal=decimal, numbers={**known.numbers, **own})


def _numbers_of_text(table: Table, column: str, role: str) -> pl.Series:
    """Return the numbers that a column of text writes, float64; arguments and errors as of `read_numbers`."""
    text = _text(table, column)
    form = number_format(table, column)
    if form is None:
        row = int(text.str.contains("[.,]").fill_null(False).arg_true()[0])
        raise DataError(
            f"{table.cell(column, row)}: {_short(text[row])} may have a mark of decimals or of thousands in it, and no "
            f"other cell of the column tells; say which with {option('decimal_comma')} where it is in a file, else "
            "convert it."
        )
    values = form.read(text)
    wrong = values.is_null() & text.is_not_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        right = values.is_not_null().arg_true()
        like = ""
        if any(letter.isdigit() for letter in text[row]):
            if table.is_bound:
                like = f" written like those that the model was trained on, as {form.written(1234.5)!r}"
            elif len(right):
                like = f" written like the others, such as {_short(text[int(right[0])])}"
        way = f", say with {option('missing')} how missing values are written, or give the column another role"
        if table.is_bound:
            way = ", or leave it empty where there is no value"
        raise DataError(
            f"{table.cell(column, row)}: {_short(text[row])} is no number{like}, but the column is in {role}; mend the "
            f"cell{way}."
        )
    return values


def _text(table: Table, column: str) -> pl.Series:
    text = table.frame[column].cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def category_names(table: Table, column: str) -> tuple[str, ...]:
    """Return the categories in a column, sorted; whole numbers by size."""
    return tuple(_ordered(table.frame[column].drop_nulls().unique()))


def read_codes(table: Table, column: str, categories: Sequence[str], written: str | None = None) -> NDArray[np.int32]:
    """Return a column as codes, (R,) int32: k for `categories[k - 1]`, 0 where it is missing or none of them.

    Args:
        table: The table.
        column: Which column.
        categories: Their names.
        written: As of `as_text`.
    """
    named = pl.Series(list(categories), dtype=pl.String)
    codes = pl.Series(np.arange(1, len(categories) + 1, dtype=np.int32))
    text = as_text(table.frame[column], written)
    if not len(named):
        return np.zeros(len(text), np.int32)
    return text.replace_strict(named, codes, default=0, return_dtype=pl.Int32).fill_null(0).to_numpy()


def written_as(values: pl.Series) -> str:
    """Return how the names in a column are written: as "text", as "whole" numbers, or as other "numbers"."""
    if not values.dtype.is_numeric():
        return "text"
    return "whole" if _is_whole(values) else "numbers"


def as_text(values: pl.Series, written: str | None = None) -> pl.Series:
    """Return the names in a column as text: blanks around them off, whole floats as whole numbers.

    Args:
        values: The column.
        written: As `written_as` said of the column that these are to be compared with: each cell is then written as it
            would have been there. None where it is this column that tells.
    """
    if written is not None:
        return _like(as_text(values) if values.dtype.is_temporal() else values.cast(pl.String), written)
    if values.dtype.is_float() and _is_whole(values):
        values = values.fill_nan(None).cast(pl.Int64, strict=False)
    # polars has no cast of durations.
    text = (values.dt.to_string("iso") if values.dtype == pl.Duration else values.cast(pl.String)).str.strip_chars()
    is_empty = text == ""
    return text.set(is_empty, None) if is_empty.any() else text


def _is_whole(values: pl.Series) -> bool:
    """Return whether numbers are all whole."""
    return not values.dtype.is_float() or bool((values.drop_nulls().drop_nans() % 1 == 0).all())


def _like(text: pl.Series, written: str) -> pl.Series:
    """Return names as text, each for itself as a column has them that is written so."""
    text = text.str.strip_chars().replace({"": None})
    if written == "text":
        return text
    numbers = text.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite().fill_null(False), None)
    if written == "numbers":
        return numbers.cast(pl.String).fill_null(text)
    # First those that floats may not hold to the last digit.
    whole = text.cast(pl.Int64, strict=False)
    of_floats = numbers.set((numbers % 1 != 0).fill_null(False), None).cast(pl.Int64, strict=False)
    return whole.fill_null(of_floats).cast(pl.String).fill_null(text)


def _ordered(values: pl.Series) -> list[str]:
    found: list[Any] = as_text(values.sort()).drop_nulls().to_list()
    return list(dict.fromkeys(found))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
