"""A column of labels to classes or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.cells import as_text, category_names, read_codes, read_numbers
from recur.data.series.table import Table
from recur.errors import DataError, OptionError

_MOST_CLASSES = 50
"""More different whole numbers than this are taken for quantities."""

_MARKS = ("is_anomaly", "anomaly", "label")
"""Names of columns that say which steps are anomalies, the plainest first."""


def read_labels(
    table: Table, column: str, kind: str, classes: tuple[str, ...] | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the labels of all rows, and what their codes mean.

    Args:
        table: The table.
        column: Which column.
        kind: "class", "number", "auto" to judge by what the column holds, or "mark" for classes of which there may be
            more than those that are given.
        classes: Those of a trained model; any other is then an error, for the model cannot answer with it.

    Returns:
        (R,) int64 from 0 on, -1 where missing, with the classes; or (R,) float32, NaN where missing, with None.

    Raises:
        DataError: A label is no number, or none of the classes.
        OptionError: `kind` is none.
    """
    if kind not in ("auto", "class", "number", "mark"):
        raise OptionError(f"labels: expected 'auto', 'class', 'number' or 'mark', got {kind!r}.")
    if kind == "number" or (kind == "auto" and is_quantity(table.frame[column])):
        return read_numbers(table, column, "label"), None
    if kind == "mark":
        found = tuple(dict.fromkeys((*(classes or ()), *category_names(table, column))))
    else:
        found = category_names(table, column) if classes is None else classes
    labels = read_codes(table, column, found).astype(np.int64) - 1
    if classes is not None and kind != "mark":
        text = as_text(table.frame[column])
        wrong = text.is_not_null() & pl.Series(labels < 0)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise DataError(
                f"{table.cell(column, row)}: {text[row]!r} is none of the classes of the training data, "
                f"{', '.join(classes[:10])}."
            )
    return labels, found


def mark_among(columns: Sequence[str]) -> str | None:
    """Return which of some columns is called as one that says which steps are anomalies; None where none is.

    Example:
        >>> mark_among(["load", "Label", "is_anomaly"])
        'is_anomaly'
    """
    by_name = {name.strip().lower(): name for name in columns}
    return next((by_name[name] for name in _MARKS if name in by_name), None)


def is_quantity(values: pl.Series) -> bool:
    """Return whether labels are numbers and no classes: they have decimals, or very many different values."""
    if not values.dtype.is_numeric():
        return False
    known = values.drop_nulls()
    if values.dtype.is_float():
        known = known.drop_nans()
        if not bool((known % 1 == 0).all()):
            return True
    return known.n_unique() > _MOST_CLASSES
