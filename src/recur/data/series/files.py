"""Files and folders to tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import polars as pl

from recur.data.absent import no_file
from recur.data.series.delimited import Delimited, read_delimited
from recur.data.series.table import Source, Table, table_of
from recur.data.series.writing import Decimal, NumberFormat, Writing, number_format_of
from recur.errors import DataError, OptionError
from recur.wording import quantity

_TEXT = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
COLUMNAR = (*_PARQUET, *_ARROW)
"""Suffixes of files that hold columns with their types."""

SUFFIXES = (*_TEXT, *COLUMNAR)
"""Of files with tables; those of text may be followed by .gz."""


def kind_of(path: Path) -> str:
    """Return the suffix by which a file is read, in small letters and without `.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def one_source(names: Sequence[Any]) -> Any:
    """Return the only one of some names of files and folders.

    Raises:
        OptionError: There are several, or none.
    """
    if len(names) != 1:
        raise OptionError(
            f"data: expected one table, or a folder of them, got {len(names)} names; put them into a folder."
        )
    return names[0]


def read_table(path: str | Path, options: Delimited | None = None, *, like: Writing | None = None) -> Table:
    """Return the table in a file, or those in a folder below each other.

    Read are CSV, TSV and other text cut into cells (also `.gz`), Parquet, and Arrow as file, stream or Feather. In a
    folder the files with such suffixes are taken, sorted by name, hidden ones left out; they must have the same
    columns, and a column `series_id` with the file's name, without its suffixes, says where a row came from unless
    there is one already.

    Args:
        path: The file or folder.
        options: How text is cut into cells.
        like: How the data of a model were written, which decides where a file does not.

    Raises:
        DataError: A file is missing, empty, damaged, or of an unknown kind; or the files of a folder differ.
        OptionError: An option makes no sense.
    """
    path = Path(path)
    if not path.exists():
        raise no_file(path)
    if path.is_dir():
        return _read_folder(path, options, like)
    kind = kind_of(path)
    if kind in COLUMNAR:
        frame = read_columnar(path)
        table = table_of(frame, str(path), like=like)
        if frame.is_empty():
            raise DataError(f"{path}: has columns but no rows; give a file with a table in it.")
        return table
    if kind in _TEXT or not kind:
        return read_delimited(path, options, like=like)
    raise DataError(f"{path}: is of the unknown kind {kind!r}; give one of {', '.join(SUFFIXES)}, .ts, .npy or .npz.")


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of a folder with one of the suffixes, sorted by name, hidden ones left out."""
    found = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    return sorted(path for path in found if kind_of(path) in suffixes)


def read_columnar(path: Path) -> pl.DataFrame:
    """Return what a Parquet or Arrow file holds, whatever is in its cells.

    Raises:
        DataError: The file is damaged.
    """
    is_parquet = kind_of(path) in _PARQUET
    try:
        return pl.read_parquet(path) if is_parquet else _read_arrow(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        said = (str(error).strip().splitlines() or ["empty"])[0]
        raise DataError(f"{path}: is no sound {'Parquet' if is_parquet else 'Arrow'} file ({said}).") from None


def _read_arrow(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    return pl.read_ipc(path) if is_file else pl.read_ipc_stream(path)


def _read_folder(folder: Path, options: Delimited | None, like: Writing | None) -> Table:
    paths = files_in(folder, SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: has no file with a table in it; tables end in {', '.join(SUFFIXES)}.")
    tables = _read_alike(paths, options, like)
    first = tables[0].frame
    for path, table in zip(paths, tables, strict=True):
        if set(table.frame.columns) != set(first.columns):
            here, there = set(table.frame.columns), set(first.columns)
            name = sorted(here ^ there)[0]
            who = path if name in here else paths[0]
            raise DataError(
                f"{folder}: the files differ: column {name!r} is in {who.name} but not in "
                f"{(paths[0] if name in here else path).name}; give {quantity(len(paths), 'file')} of the same columns."
            )
    names = [path.name[: len(path.name) - len("".join(path.suffixes))] or path.name for path in paths]
    if len(set(names)) < len(names):
        names = [path.name for path in paths]
    frames = _with_numbers([replace(table, frame=table.frame.select(first.columns)) for table in tables])
    per_source: tuple[str, ...] = ()
    if "series_id" not in first.columns:
        per_source = ("series_id",)
        frames = [
            frame.with_columns(pl.lit(name).alias("series_id")) for frame, name in zip(frames, names, strict=True)
        ]
    sources, row = [], 0
    for path, frame in zip(paths, frames, strict=True):
        sources.append(Source(name=str(path), first=row))
        row += frame.height
    # Where files tell of both, each column does.
    marks = {table.writing.decimal for table in tables}
    writing = tables[0].writing if len(marks) == 1 else replace(tables[0].writing, decimal=None)
    return Table(frame=_stacked(frames), sources=tuple(sources), per_source=per_source, writing=writing)


def _read_alike(paths: Sequence[Path], options: Delimited | None, like: Writing | None) -> list[Table]:
    """Return the tables in some files, all by the mark of decimals that any of them tells."""

    def read(like: Writing | None) -> list[Table]:
        return [read_table(path, options, like=like) for path in paths]

    tables = read(like)
    if len({table.writing.decimal for table in tables}) > 1:
        by_mark = {mark: read(replace(like or Writing(), decimal=mark)) for mark in get_args(Decimal)}
        # A file that tells is read in one way whatever is expected of it.
        pairs = zip(*by_mark.values(), strict=True)
        told = {one.writing.decimal for one, other in pairs if one.writing.decimal == other.writing.decimal}
        if len(told) == 1:
            return by_mark[told.pop()]
    return tables


def _with_numbers(tables: list[Table]) -> list[pl.DataFrame]:
    """Return the frames of tables; a column of decimals in one is one in all whose text writes numbers in their way."""
    frames = [table.frame for table in tables]
    # Whole numbers may be names, which text beside them tells.
    decimals = {name for frame in frames for name, dtype in frame.schema.items() if dtype.is_float()}
    for number, table in enumerate(tables):
        for name in decimals:
            cells = table.frame[name]
            if cells.dtype == pl.String:
                form = number_format_of(cells, NumberFormat(decimal=table.writing.decimal or "."))
                if form is not None and not form.sign and form.read(cells).null_count() == cells.null_count():
                    frames[number] = frames[number].with_columns(form.read(cells).alias(name))
    return frames


def _stacked(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the frames below each other; where one has text and another numbers, all is text, and cells tell why."""
    try:
        return pl.concat(frames, how="vertical_relaxed", rechunk=True)
    except pl.exceptions.PolarsError:
        different = [name for name in frames[0].columns if len({frame.schema[name] for frame in frames}) > 1]
        as_text = [frame.with_columns(pl.col(different).cast(pl.String)) for frame in frames]
        return pl.concat(as_text, how="vertical_relaxed", rechunk=True)
