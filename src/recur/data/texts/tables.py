"""Tables with texts in them: files, dataframes and columns to a frame, with the place of each row."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl

from recur.data.missing import without_missing
from recur.data.series.delimited import read_cells
from recur.data.series.files import COLUMNAR, kind_of, read_columnar
from recur.data.texts.files import DataFile, text_in
from recur.data.texts.headers import has_header, may_be_otherwise
from recur.data.texts.places import Places
from recur.errors import DataError
from recur.wording import known_names, option

if TYPE_CHECKING:
    from recur.data.texts.examples import PartName
    from recur.data.texts.options import TextOptions

RECORDS = (".jsonl", ".ndjson", ".json")
"""Suffixes of files with objects of JSON: one a line, or in `.json` also a list of them."""

DELIMITED = (".csv", ".tsv", ".tab", ".txt", ".text", "")
"""Suffixes of text that may be cut into cells."""

TABBED = (".tsv", ".tab")
"""Those with tabs between the cells."""

TABLES = (".csv", *TABBED, *RECORDS, *COLUMNAR)
"""Suffixes of files that are tables for sure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTable:
    """Columns of one length, read but not yet understood.

    Attributes:
        frame: The columns.
        places: Where each row stood.
        part: Which part each row is of by its file; None where it does not tell.
        name: What the table is called in messages.
        notes: What was taken for granted in reading it.
    """

    frame: pl.DataFrame
    places: Places
    part: tuple[PartName | None, ...]
    name: str
    notes: tuple[str, ...] = ()


def read_text_table(files: Sequence[DataFile], options: TextOptions, expected: Collection[str] = ()) -> TextTable:
    """Return the table in some files, their rows below each other.

    Read are CSV, TSV and other text cut into cells, JSONL (a JSON object on each line), all of these also `.gz`,
    Parquet and Arrow. Whether the first line names the columns, the first file tells for all.

    Args:
        files: The files.
        options: How cells are written.
        expected: Names of columns that were said, or that other data had.

    Raises:
        DataError: A file is missing, empty, damaged or of an unknown kind; or the files differ in their columns.
        OptionError: An option makes no sense.
    """
    frames: list[pl.DataFrame] = []
    places: list[Places] = []
    notes: list[str] = []
    header = options.has_header
    for file in files:
        read = read_frame(file.path, options)
        frame, numbers, unit = read.frame, read.numbers, read.unit
        notes += read.notes
        if unit == "row" and file.kind not in COLUMNAR:
            if header is None:
                header = has_header(frame, file.kind, expected)
                notes += [_said(file.path, frame, header=header)] if may_be_otherwise(frame, expected) else []
            frame, numbers = with_header(frame, file.path) if header else (frame, numbers)
        if frame.is_empty():
            raise DataError(f"{file.path}: has a header but no rows; give a file with a table in it.")
        if frames:
            frame = _alike(frame, file.path, frames[0], files[0].path)
        frames.append(frame)
        places.append(Places.of(str(file.path), numbers, unit))
    name = str(files[0].path) if len(files) == 1 else f"{files[0].path} and others"
    return TextTable(
        frame=_stacked(frames, name),
        places=Places.joined(places),
        part=tuple(file.part for file, frame in zip(files, frames, strict=True) for _ in range(frame.height)),
        name=name,
        notes=tuple(notes),
    )


def _said(path: Path, frame: pl.DataFrame, *, header: bool) -> str:
    """Return a note of what the first line of a file is taken for, where it may as well be something else."""
    no = option("has_header", not header, is_flag=False)
    taken, else_ = ("names the columns", "is a row like others") if header else ("is a row like others", "names them")
    cells = " and ".join(repr((cell or "").strip()) for cell in frame.row(0))
    return f"the first line of {path}, {cells}, {taken}; give {no} if it {else_}"


@dataclass(frozen=True, kw_only=True, eq=False)
class TextRows:
    """The rows of a file, of text the first line too.

    Attributes:
        frame: Their columns.
        numbers: What number each has in the file, int64, from 1 on.
        unit: What these count.
        notes: What was taken for granted in reading them.
    """

    frame: pl.DataFrame
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    unit: str
    notes: tuple[str, ...] = ()


def read_frame(path: Path, options: TextOptions, start: bytes | None = None) -> TextRows:
    """Return the rows of a file.

    Args:
        path: The file.
        options: How cells are written.
        start: Whole lines that it begins with, unpacked, which are read in place of all; None for all.

    Raises:
        DataError: It is missing, empty, damaged, or of an unknown kind.
    """
    kind = kind_of(path)
    if kind in COLUMNAR:
        frame = read_columnar(path).fill_nan(None)
        return TextRows(frame=frame, numbers=np.arange(1, frame.height + 1), unit="row")
    if kind in RECORDS:
        return _read_records(path, text_in(path, options.codec, start))
    if kind in DELIMITED:
        frame, notes = read_cells(
            path,
            separator=options.cell_separator,
            is_tabbed=kind in TABBED,
            encoding=options.codec,
            start=start,
        )
        return TextRows(frame=frame, numbers=np.arange(1, frame.height + 1), unit="row", notes=notes)
    raise DataError(f"{path}: is of the unknown kind {kind!r}; give one of {', '.join(TABLES)} or .txt.")


def table_of_data(data: Any, name: str = "the data") -> TextTable:
    """Return a dataframe, or a mapping from names to columns, as a table.

    Args:
        data: Any dataframe that narwhals knows (pandas, polars, pyarrow and others; lazy ones are collected), or a
            mapping from names to sequences of one length. A missing cell may be None, NaN, NaT or pandas' NA.
        name: What to call it in messages.

    Raises:
        DataError: The columns differ in length, hold values of several kinds, or there are no rows.
        TypeError: `data` is none of these.
    """
    frame = _frame_of(data, name)
    if frame.is_empty():
        raise DataError(f"{name}: has no rows; give some.")
    places = Places.of(name, np.arange(1, frame.height + 1), "row")
    return TextTable(frame=frame, places=places, part=(None,) * frame.height, name=name)


def text_column(table: TextTable, column: str, role: str) -> tuple[str, ...]:
    """Return the texts of a column, "" where there is none.

    Raises:
        DataError: It holds lists or other nested values.
    """
    cells = table.frame[column]
    if cells.dtype.is_nested() or cells.dtype in (pl.Object, pl.Binary):
        raise DataError(
            f"{table.name}: column {column!r}, which is to be the {role}, holds {str(cells.dtype).lower()}, not text; "
            "name another."
        )
    return tuple(cells.cast(pl.String).fill_null("").to_list())


def _frame_of(data: Any, name: str) -> pl.DataFrame:
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        return data.fill_nan(None)
    if isinstance(data, Mapping):
        for column, values in data.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise TypeError(
                    f"{name}: column {column!r} is {type(values).__name__}; give a list of what stands in its rows."
                )
        columns = {str(column): list(values) for column, values in data.items()}
    else:
        try:
            given = nw.from_native(data)
        except TypeError:
            raise TypeError(
                f"{name} must be a path, a dataframe that narwhals knows, or a mapping from names to columns, but is "
                f"{type(data).__name__}."
            ) from None
        given = given.collect() if isinstance(given, nw.LazyFrame) else given
        columns = {str(column): given[column].to_list() for column in given.columns}
    lengths = {column: len(values) for column, values in columns.items()}
    first = next(iter(lengths), "")
    for column, length in lengths.items():
        if length != lengths[first]:
            raise DataError(
                f"{name}: column {first!r} has {lengths[first]:,} rows, but {column!r} has {length:,}; give columns of "
                "one length."
            )
    return pl.DataFrame([_series(name, column, values) for column, values in columns.items()])


def _series(name: str, column: str, values: list[Any]) -> pl.Series:
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in without_missing(values)]
    try:
        return pl.Series(column, plain)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        kinds = sorted({type(value).__name__ for value in plain if value is not None})
        raise DataError(
            f"{name}: column {column!r} holds values of the kinds {', '.join(kinds)}; give values of one kind."
        ) from None


# --- text cut into cells ---


def with_header(frame: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the rows below the first one, whose cells name the columns; they are counted from 1.

    Raises:
        DataError: Two columns have one name.
    """
    cells = frame.row(0)
    names = [(cell or "").strip() or f"column_{number}" for number, cell in enumerate(cells, start=1)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename one of them.")
    below = frame.slice(1)
    below.columns = names
    return below, np.arange(1, below.height + 1)


def _alike(frame: pl.DataFrame, path: Path, first: pl.DataFrame, first_path: Path) -> pl.DataFrame:
    """Return the columns of a file in the order of the first one."""
    if set(frame.columns) != set(first.columns):
        different = sorted(set(frame.columns) ^ set(first.columns))[0]
        here, there = (path, first_path) if different in frame.columns else (first_path, path)
        raise DataError(
            f"the files differ: column {different!r} is in {here} but not in {there}; give files of the same columns "
            f"({known_names(first.columns)})."
        )
    return frame.select(first.columns)


def _stacked(frames: list[pl.DataFrame], name: str) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    try:
        return pl.concat(frames, how="vertical_relaxed", rechunk=True)
    except pl.exceptions.PolarsError:
        for column in frames[0].columns:
            kinds = {str(frame.schema[column]).lower() for frame in frames}
            if len({frame.schema[column].is_nested() for frame in frames}) > 1:
                raise DataError(
                    f"{name}: column {column!r} holds {' in one file, and '.join(sorted(kinds))} in another; give "
                    "files that are alike."
                ) from None
        as_text = [
            frame.with_columns(pl.col(c).cast(pl.String) for c, t in frame.schema.items() if not t.is_nested())
            for frame in frames
        ]
        return pl.concat(as_text, how="vertical_relaxed", rechunk=True)


# --- objects of JSON ---


def _read_records(path: Path, text: str) -> TextRows:
    if text.lstrip().startswith("["):
        return _read_list(path, text)
    lines = pl.Series(text.split("\n"), dtype=pl.String)
    numbers = lines.str.contains(r"\S").arg_true().to_numpy().astype(np.int64) + 1
    if not len(numbers):
        raise DataError(f"{path}: is empty; give a file with an object on each line.")
    is_sound = lines.str.contains(r"^\s*(?:\{.*\}\s*)?$")
    if not is_sound.all():
        row = int((~is_sound).arg_true()[0])
        raise _no_object(path, row + 1, lines[row].strip())
    try:
        frame = pl.read_ndjson(io.BytesIO(text.encode()), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _damaged(path, lines, error) from None
    if frame.height != len(numbers):
        raise _damaged(path, lines, None)
    return TextRows(frame=frame, numbers=numbers, unit="line")


def _read_list(path: Path, text: str) -> TextRows:
    """Return the objects of a file that holds a single list of them."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is no sound JSON ({error.msg}); mend it.") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: object {number:,} is {_shown(json.dumps(row))}, but expected {{...}}.")
    if not rows:
        raise DataError(f"{path}: is an empty list; give one of objects.")
    frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
    return TextRows(frame=frame, numbers=np.arange(1, len(rows) + 1), unit="object")


def _no_object(path: Path, line: int, text: str) -> DataError:
    return DataError(
        f"{path}: line {line:,} is no JSON object: {_shown(text)}; each line must be one, such as "
        '{"text": "...", "label": "..."}.'
    )


def _damaged(path: Path, lines: pl.Series, error: Exception | None) -> DataError:
    """Return an error that names the line that is no JSON, or else says what polars says."""
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line or "null")
        except json.JSONDecodeError as raised:
            return DataError(f"{path}: line {number:,} is no sound JSON ({raised.msg}): {_shown(line)}; mend it.")
    said = str(error).strip().partition("\n")[0]
    return DataError(f"{path}: its objects cannot be read as one table ({said}); give all the same fields.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
