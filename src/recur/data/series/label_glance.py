"""A first look at a file: what its columns are, whether its series have labels, and of which kind; not reading all."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recur.data.absent import ColumnError
from recur.data.series.archive import ARCHIVES, read_header
from recur.data.series.arrays import ARRAYS
from recur.data.series.columns import Columns
from recur.data.series.delimited import Delimited, read_delimited
from recur.data.series.files import SUFFIXES, files_in, kind_of, read_table
from recur.data.series.forms import columns_of_rows, from_rows
from recur.data.series.guessing import guess_columns
from recur.data.series.labels import is_quantity
from recur.data.series.table import Table
from recur.errors import DataError, OptionError

_BYTES = 1 << 20
"""Of a text file that are looked at."""

_ALARMS = ("anomaly", "is_anomaly", "is_outlier", "outlier", "alarm")
"""Names of columns that mark single steps, which is no reason to take the series for labelled ones."""


@dataclass(frozen=True, kw_only=True)
class LabelGlance:
    """What a first look found.

    Attributes:
        kind: What the labels are.
        reason: Where they are, such as "the column of classes 'label'".
        is_whole_numbers: Whether they are whole numbers, which are classes only where there are few different ones.
    """

    kind: Literal["classes", "numbers"]
    reason: str
    is_whole_numbers: bool = False


def glance_at_labels(source: str | Path, column: str | None = None, *, form: str = "long") -> LabelGlance | None:
    """Return which labels the series in a file or folder have; None where they have none, or cannot be read.

    Whoever reads them says what is wrong with them, but for a column that was named and is not there: then nothing
    else can be told of them.

    Args:
        source: The file or folder.
        column: The column of the label; None to guess it.
        form: Of a table, as of `recur.data.series.read_series`.

    Raises:
        ColumnError: The table has no such column.
    """
    path = Path(source)
    try:
        if path.is_dir():
            archives = files_in(path, ARCHIVES)
            path = (archives or files_in(path, SUFFIXES))[0]
        kind = kind_of(path)
        if kind in ARCHIVES:
            return _of_archive(path)
        if kind in ARRAYS:
            return None
        table, is_whole = _head(path, kind)
        found = _of_table(table, column, form)
        if is_whole or found is None or found.kind == "numbers" or not found.is_whole_numbers:
            return found
        # Series that are long have few labels at the beginning of the file.
        return _of_table(read_delimited(path), column, form)
    except ColumnError:
        raise
    except (DataError, OptionError, OSError, EOFError, zlib.error, IndexError):
        return None


@dataclass(frozen=True, kw_only=True)
class TableGlance:
    """What a first look at a table found.

    Attributes:
        columns: Their names.
        measures: Whether one is of numbers that a series could be of.
    """

    columns: tuple[str, ...]
    measures: bool


def glance_at_table(path: Path) -> TableGlance | None:
    """Return what is in the columns of a table, read as one of series; None where it cannot be."""
    try:
        table, _ = _head(path, kind_of(path))
    except (DataError, OptionError, OSError, EOFError, zlib.error):
        return None
    try:
        roles = guess_columns(table)
        numbers = {*roles.targets, *roles.known_future, *roles.past_only, *roles.static} - {*roles.categorical}
        measures = bool(numbers) or any(is_quantity(table.frame[name]) for name in roles.label)
    except (DataError, OptionError):
        # No column can be the target, which may not be what is asked for.
        measures = False
    return TableGlance(columns=tuple(table.frame.columns), measures=measures)


def _of_archive(path: Path) -> LabelGlance | None:
    header, _ = read_header(str(path), _start(path).decode("utf-8-sig", "ignore").splitlines())
    if header.classes is not None:
        return LabelGlance(kind="classes", reason="classes in its header")
    return LabelGlance(kind="numbers", reason="a number for each series") if header.has_target else None


def _of_table(table: Table, column: str | None, form: str) -> LabelGlance | None:
    columns = Columns(label=column)
    if form == "rows":
        table, columns = from_rows(table, columns), columns_of_rows(columns)
    roles = guess_columns(table, columns)
    if not roles.label or (column is None and roles.label[0].lower() in _ALARMS):
        return None
    name = roles.label[0]
    is_number = is_quantity(table.frame[name])
    kind: Literal["classes", "numbers"] = "numbers" if is_number else "classes"
    return LabelGlance(
        kind=kind,
        reason=f"the column of {kind} {name!r}",
        is_whole_numbers=not is_number and table.frame[name].dtype.is_numeric(),
    )


def _head(path: Path, kind: str) -> tuple[Table, bool]:
    """Return the first rows of a table, and whether they are all."""
    if kind in (".parquet", ".pq", ".arrow", ".feather", ".ipc"):
        return read_table(path), True
    start = _start(path)
    if len(start) < _BYTES:
        return read_delimited(path), True
    return read_delimited(path, Delimited(), start=start[: start.rfind(b"\n") + 1]), False


def _start(path: Path) -> bytes:
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return file.read(_BYTES)
