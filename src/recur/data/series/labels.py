"""A column of labels to classes or numbers."""

from __future__ import annotations

import re
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

_FAULTS = {
    *("anomaly", "anomalies", "anomalous", "abnormal", "outlier", "outliers", "fault", "faults", "faulty", "failure"),
    *("failures", "failed", "fail", "error", "errors", "alarm", "alarms", "defect", "defects", "defective", "broken"),
    *("attack", "attacks", "intrusion"),
}
"""Names of columns that do where they hold nothing but 0 and 1; with "is" before them too."""


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


def mark_among(columns: pl.DataFrame) -> str | None:
    """Return which of some columns is called as one that says which steps are anomalies; None where none is.

    A name such as "fault" alone is not enough, for an error may be a measured one: few 1 among 0 have to stand there.

    Example:
        >>> mark_among(pl.DataFrame({"load": [7], "Label": [0], "is_anomaly": [0]}))
        'is_anomaly'
        >>> mark_among(pl.DataFrame({"error": [0.3, 1.0, 0.1], "Fault": [0, 1, 0]}))
        'Fault'
    """
    by_name = {name.strip().lower(): name for name in columns.columns}
    plainest = next((by_name[name] for name in _MARKS if name in by_name), None)
    if plainest is not None:
        return plainest
    named = (name for name in columns.columns if is_called_fault(name) and _holds_numbers(columns[name]))
    return next((name for name in named if holds_marks(columns[name].cast(pl.Float32).to_numpy())), None)


def is_called_fault(name: str) -> bool:
    """Return whether a column is called as what is strange, which it may say of each step, or measure.

    Example:
        >>> [is_called_fault(name) for name in ("is_fault", "Failure", "isError", "default")]
        [True, True, True, False]
    """
    return re.sub(r"^is[ _-]*", "", name.strip().lower()) in _FAULTS


def holds_marks(values: NDArray[np.float32], *, most: float = 0.5) -> bool:
    """Return whether numbers mark some of their rows: nothing but 0 and 1, and 1 in less than a share of them.

    Args:
        values: (R,), NaN where missing.
        most: The share.
    """
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(np.isin(known, (0, 1)).all()) and bool(0 < known.mean() < most)


def _holds_numbers(values: pl.Series) -> bool:
    return values.dtype.is_numeric() or values.dtype == pl.Boolean


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
