"""From what the user has to a panel, in one call."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recur.data.absent import no_file
from recur.data.series.archive import ARCHIVES, read_archive
from recur.data.series.arrays import ARRAYS, panel_of_array, read_arrays
from recur.data.series.assembly import Assembly, assemble
from recur.data.series.columns import Columns
from recur.data.series.delimited import Delimited
from recur.data.series.files import SUFFIXES, files_in, kind_of, read_table
from recur.data.series.forms import columns_of_rows, columns_of_wide, from_rows, from_wide
from recur.data.series.panel import Panel
from recur.data.series.schema import Schema
from recur.data.series.table import table_of
from recur.errors import DataError, OptionError

Form = Literal["long", "wide", "rows"]


def read_series(
    data: Any,
    columns: Columns | None = None,
    *,
    form: Form = "long",
    text: Delimited | None = None,
    assembly: Assembly | None = None,
    schema: Schema | None = None,
) -> Panel:
    """Return the series in a file, a folder, a dataframe or an array.

    Args:
        data: A path: CSV, TSV and other text cut into cells (also `.gz`), Parquet, Arrow, `.ts` of the UEA and UCR
            archives, `.npy`, `.npz`; or a folder of tables, each of which is then a series unless a column says
            otherwise, of the two `.ts` files of a data set, or of arrays, each a series. Or any dataframe that
            narwhals knows, a mapping from names to columns, or an array as of `panel_of_array`.
        columns: What the columns are for, where it is not to be guessed; `panel.schema.roles` tells what was found, and
            why.
        form: "long" has a row for each step of a series, "wide" a column for each series, "rows" a row for each series.
        text: How text is cut into cells.
        assembly: What becomes of rows that are unsorted, doubled, or missing.
        schema: That of a trained model's data, whose columns, categories and classes are then read again.

    Raises:
        DataError: The data cannot become series; the message names the file, the column and the row.
        OptionError: An option makes no sense, or would be ignored.
        TypeError: `data` is nothing of the above.

    Example:
        >>> panel = read_series({"day": ["2024-01-01", "2024-01-02", "2024-01-04"], "sales": [3, None, 5]})
        >>> print(panel.schema.roles)
        time     day    holds text that reads as times
        targets  sales  named like a target
        >>> panel.frequency, panel.values[:, 0]
        (Frequency(count=1, unit='d'), array([ 3., nan, nan,  5.], dtype=float32))
    """
    if form not in ("long", "wide", "rows"):
        raise OptionError(f"form: expected 'long', 'wide' or 'rows', got {form!r}.")
    is_path = isinstance(data, str | os.PathLike)
    if text is not None and not is_path:
        raise OptionError("text: tells how a file is cut into cells, but the data are not in a file.")
    kind = kind_in(Path(data)) if is_path else ""
    is_array = isinstance(data, np.ndarray | list | tuple)
    if is_array or kind in (*ARCHIVES, *ARRAYS):
        given = {"columns": columns, "text": text, "assembly": assembly, "form": None if form == "long" else form}
        ignored = [name for name, value in given.items() if value is not None]
        if ignored:
            raise OptionError(
                f"{ignored[0]}: belongs to tables, but the data are an array or a .ts file; leave it out."
            )
        panel = panel_of_array(data) if is_array else _read_without_columns(Path(data), kind)
        return panel if schema is None else under_schema(panel, schema)
    like = None if schema is None else schema.writing
    table = read_table(data, text, like=like) if is_path else table_of(data, like=like)
    if table.frame.is_empty():
        raise DataError(f"{table.name}: has no rows; give a table with some.")
    if form == "long":
        return assemble(table, columns, assembly, schema=schema)
    if form == "wide":
        table, columns = from_wide(table, columns), columns_of_wide(columns)
    else:
        if schema is not None and columns is not None:
            # What has yet to be told need not be there.
            told = {name: getattr(columns, name) for name in ("label", "weight", "censored", "part")}
            absent = [name for name, own in told.items() if own and own not in table.frame.columns]
            columns = replace(columns, **dict.fromkeys(absent))
        table, columns = from_rows(table, columns), columns_of_rows(columns)
    return assemble(table, None if schema is not None else columns, assembly, schema=schema)


def kind_in(path: Path) -> str:
    """Return the suffix of a file; of a folder that of archives, beside which others may lie, else "" or of arrays."""
    if path.is_dir():
        kinds = (ARCHIVES,) if files_in(path, SUFFIXES) else (ARCHIVES, ARRAYS)
        return next((kind_of(found) for kind in kinds for found in files_in(path, kind)), "")
    return kind_of(path)


def _read_without_columns(path: Path, kind: str) -> Panel:
    if not path.exists():
        raise no_file(path)
    return read_archive(path) if kind in ARCHIVES else read_arrays(path)


def under_schema(panel: Panel, schema: Schema, *, has_marks: bool = False) -> Panel:
    """Return a panel under the schema of a trained model, which has the same channels; classes go by their names.

    Args:
        panel: The panel.
        schema: Of the model's data. Where it has no label, that of the panel is left out, unless it is a mark.
        has_marks: Whether labels are marks, as of `Assembly.labels`: of those the panel may have others.

    Raises:
        DataError: The number of channels differs, or a class is new, or labels are of another kind.
    """
    if len(panel.schema.channels) != len(schema.channels):
        raise DataError(
            f"the data have {len(panel.schema.channels)} channels, but those of the model had {len(schema.channels)}."
        )
    if schema.label is None and panel.schema.label is not None and not has_marks:
        return replace(panel, labels=None, rows=replace(panel.rows, labels=None, censored=None), schema=schema)
    if has_marks:
        if None in (panel.schema.classes, schema.classes):
            return replace(panel, schema=replace(schema, label=panel.schema.label, classes=panel.schema.classes))
        both = dict.fromkeys((*(schema.classes or ()), *(panel.schema.classes or ())))
        schema = replace(schema, classes=tuple(both))
    if panel.schema.classes is not None and not set(panel.schema.classes) <= set(schema.classes or ()):
        new = sorted(set(panel.schema.classes) - set(schema.classes or ()))
        raise DataError(f"the class {new[0]!r} is none of those of the model, {', '.join(schema.classes or ())}.")
    if panel.schema.classes is None:
        if panel.schema.label is not None and schema.classes is not None:
            raise DataError("the data have numbers to be told, but the model was trained on classes.")
        return replace(panel, schema=schema)
    assert schema.classes is not None
    table = np.array([*(schema.classes.index(name) for name in panel.schema.classes), -1])
    labels = None if panel.labels is None else table[panel.labels]
    rows = panel.rows if panel.rows.labels is None else replace(panel.rows, labels=table[panel.rows.labels])
    return replace(panel, labels=labels, rows=rows, schema=schema)
