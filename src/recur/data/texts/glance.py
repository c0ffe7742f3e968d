"""A first look at files: whether they hold labelled texts, pairs of texts or tagged sentences; without reading all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import polars as pl
import yaml

from recur.data.absent import ColumnError, no_column
from recur.data.series.delimited import utf8_of
from recur.data.series.files import COLUMNAR
from recur.data.series.label_glance import TableGlance, glance_at_table
from recur.data.texts.commands import holds_commands
from recur.data.texts.conll import looks_like_conll
from recur.data.texts.conversations import TURNS, YAML
from recur.data.texts.files import DataFile, find_files, has_gaps, paths_of, start_of
from recur.data.texts.folders import files_by_class
from recur.data.texts.guessing import guess_labelled
from recur.data.texts.headers import has_header
from recur.data.texts.labels import read_labels
from recur.data.texts.names import LABEL, SOURCE, TAGS, TARGET, TEXT, TOKENS, plain
from recur.data.texts.options import TextOptions
from recur.data.texts.parallel import find_parallel
from recur.data.texts.places import Places
from recur.data.texts.tables import RECORDS, TABLES, TextTable, read_frame, with_header
from recur.errors import DataError, OptionError
from recur.wording import quantity

Kind = Literal["labelled", "pairs", "tagged", "alone"]
"""What texts are; alone are those of a table with nothing to learn of them, nor numbers that could be a series."""

_ROLES = ("text", "label", "source", "target")
"""Options that name a column of a table of texts, and have no other meaning for another task."""

_COLUMNS = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes")
"""Suffixes of files in columns."""

_ENDINGS = (
    "ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk ko lt lv mk "
    "mn mr ms nb nl nn no pl pt ro ru sk sl sq sr sv ta te th tl tr uk ur uz vi zh eng deu fra spa jpn zho rus "
    "src tgt trg source target"
)
"""Endings of parallel files."""

_ENTITY = re.compile(r"O|[BIESLU]-.+")
_ROWS = 10_000
_OFTEN_NEW, _MOSTLY_NEW, _ALWAYS_NEW = 0.2, 0.5, 0.9
"""Shares of the cells of a column of text that are different: where nothing else could be meant, and elsewhere where
they are of several words, or of one."""
_MANY_LINES, _SHORT_LINE, _FEW_WORDS = 10, 30, 3
"""A folder of files with so many lines or more, each of which is so short, has a class in each; else it is prose."""
_MANY_FILES, _SHORT_FILE = 5, 20_000
"""Folders with so many files or more, each of so few bytes, are classes; else they are books in folders."""


@dataclass(frozen=True, kw_only=True)
class TextGlance:
    """What a first look found.

    Attributes:
        kind: What the data look like.
        reason: Why, such as "reviews.csv has a column of text and one of 2 classes".
    """

    kind: Kind
    reason: str


def glance_at_texts(sources: Sequence[str | Path], given: Mapping[str, str] | None = None) -> TextGlance | None:
    """Return what files of texts look like; None where they are none, or cannot be read.

    Tables count where a column has real text, of several words or of ever other letters, so that a table of numbers
    with a class is none; and text files where their form tells, so that prose is none.

    Args:
        sources: Names of files and folders.
        given: What is said of options, by name: of the columns `text`, `source`, `target`, `tokens` and `tags` each is
            of one kind alone.

    Raises:
        ColumnError: A table of texts has no column of a name that is said.

    Example:
        >>> glance_at_texts(["nowhere.csv"]) is None
        True
    """
    if not sources or any(str(source) == "-" for source in sources):
        return None
    try:
        files, _ = find_files(paths_of(list(sources)))
        first = next((file for file in files if file.part == "train"), files[0])
        found = _of_form(files, first, given or {}) or _of_tables(files, first, given or {})
    except ColumnError:
        # Whatever the texts are, this is not what was meant.
        raise
    except (DataError, OptionError, OSError):
        return None
    return found


# --- told by the form of the files ---


def _of_form(files: list[DataFile], first: DataFile, given: Mapping[str, str]) -> TextGlance | None:
    """Return what is told by the names of files, or how their lines look."""
    name = first.path.name
    if (
        first.kind == ".tsv"
        and has_gaps(first.path, _codec(given))
        and (columns := _of_columns(name, _start(first, given).splitlines()))
    ):
        return columns
    if all(file.kind in YAML for file in files):
        start = _start(first, given)
        is_talk = bool(re.search(r"(?m)^\s*- - ", start)) or "conversations:" in start
        return TextGlance(kind="pairs", reason=f"{name} holds conversations") if is_talk else None
    if any(file.kind in TABLES for file in files):
        return None
    found = find_parallel(files)
    if found is not None and _is_of_languages(found[0].source, found[0].target):
        other = found[0].target.path.name
        return TextGlance(kind="pairs", reason=f"the lines of {found[0].source.path.name} belong to those of {other}")
    if all(file.kind in _COLUMNS for file in files):
        return TextGlance(kind="tagged", reason=f"{name} has a token and its tag on each line")
    lines = _start(first, given).splitlines()
    if holds_commands(next((line for line in lines if line.strip()), "")):
        return TextGlance(kind="pairs", reason=f"{name} has lines of IN: and OUT:")
    by_class = files_by_class(files, [])
    if by_class is not None:
        return _of_folders(by_class, given)
    if first.kind in (".txt", "", ".data", ".train"):
        return _of_columns(name, lines)
    return None


def _is_of_languages(source: DataFile, target: DataFile) -> bool:
    """Return whether the names of two files end in two languages, or say which is the source and which the target."""
    ends = {source.kind.lstrip("."), target.kind.lstrip(".")}
    if len(ends) == 2 and ends <= set(_ENDINGS.split()):
        return True
    if source.stem == target.stem:
        return False
    sides = {re.split(r"[^a-z]", file.side.lower().strip("-_."))[0] for file in (source, target)}
    return sides <= {"src", "tgt", "trg", "source", "target"}


def _of_columns(name: str, lines: list[str]) -> TextGlance | None:
    if not looks_like_conll(lines):
        return None
    tags = {line.split()[-1] for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))}
    if len(tags) > 1 and all(_ENTITY.fullmatch(tag) for tag in tags):
        return TextGlance(kind="tagged", reason=f"{name} has a token and its tag on each line")
    return None


def _of_folders(files: list[DataFile], given: Mapping[str, str]) -> TextGlance | None:
    if all(file.folders for file in files):
        classes = sorted({file.folders[0] for file in files})
        sizes = [file.path.stat().st_size for file in files]
        is_many = median(sum(file.folders[0] == name for file in files) for name in classes) >= _MANY_FILES
        if is_many and median(sizes) <= _SHORT_FILE:
            names = f"{classes[0]} and {classes[1]}" + (f" and {len(classes) - 2} more" if len(classes) > 2 else "")
            return TextGlance(kind="labelled", reason=f"the folders {names} have short texts")
        return None
    if len(files) < 3:
        return None
    for file in files[:10]:
        lines = [line.strip() for line in _start(file, given).splitlines() if line.strip()]
        words = sum(len(line.split()) for line in lines)
        if len(lines) < _MANY_LINES or words > _FEW_WORDS * len(lines) or median(map(len, lines)) > _SHORT_LINE:
            return None
    return TextGlance(
        kind="labelled", reason=f"{files[0].path.name} and others have short lines, a file for each class"
    )


def _start(file: DataFile, given: Mapping[str, str]) -> str:
    codec = _codec(given)
    return utf8_of(start_of(file.path, codec, 1 << 16), str(file.path), codec).decode()


def _codec(given: Mapping[str, str]) -> str:
    return TextOptions(encoding=given.get("encoding") or None).codec


# --- told by the columns of a table ---


def _of_tables(files: list[DataFile], first: DataFile, given: Mapping[str, str]) -> TextGlance | None:
    if any(file.kind not in TABLES for file in files):
        return None
    table = _head(first, given)
    name, frame = first.path.name, table.frame
    lists = [column for column, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    if any(plain(column) in TURNS for column in lists):
        return TextGlance(kind="pairs", reason=f"{name} holds conversations")
    if _named(lists, TOKENS) and _named(lists, TAGS):
        return TextGlance(kind="tagged", reason=f"{name} has lists of tokens and of their tags")
    texts = _texts(first, frame, given)
    if not texts:
        return None
    for role in _ROLES:
        if given.get(role) and given[role] not in frame.columns:
            _check_not_misspelt(first, table, role, given[role])
    if given.get("text") or (not given.get("source") and not given.get("target")):
        labelled = _labelled(table, texts, given)
        if labelled is not None:
            return labelled
    if len(texts) > 1 and (_has_nothing_else(frame, texts) or (_named(texts, SOURCE) and _named(texts, TARGET))):
        return TextGlance(kind="pairs", reason=f"{name} has two columns of text")
    series = _as_series(first)
    if series is None or not series.measures:
        return TextGlance(kind="alone", reason=f"{name} has a column of text and none of numbers")
    return None


def _texts(file: DataFile, frame: pl.DataFrame, given: Mapping[str, str]) -> dict[str, float]:
    """Return how many words a cell has in the mean, for each column of real text.

    Where no column has it of itself, one whose texts come again is taken for it, if it is said to be, or if nothing in
    the table could be a series.
    """
    found = {column: words for column in frame.columns if (words := _words(frame[column])) is not None}
    if found:
        return found
    said = given.get("text")
    least = {column: 0.0 if column == said or _named([column], TEXT) else _OFTEN_NEW for column in frame.columns}
    again = {column: words for column in frame.columns if (words := _words(frame[column], least[column])) is not None}
    again = {column: words for column, words in again.items() if words >= 2 or column == said}
    if not again or said in again:
        return again
    series = _as_series(file)
    return {} if series is not None and series.measures else again


def _as_series(file: DataFile) -> TableGlance | None:
    """Return what a table is when it is read as one of series; None where that cannot be."""
    if file.kind in RECORDS:
        return None
    # Who reads series knows more of how numbers and times are written.
    return glance_at_table(file.path)


def _check_not_misspelt(file: DataFile, table: TextTable, role: str, name: str) -> None:
    """Raise where a table has no column of a name that is said, however it is read."""
    series = _as_series(file)
    if series is not None and (name in series.columns or (role != "text" and series.measures)):
        # Whoever takes the table says what is wrong.
        return
    is_named = table.frame.columns[0] != "column_1"
    raise no_column(table.name, name, role, table.frame.columns if is_named or series is None else series.columns)


def _labelled(table: TextTable, texts: Mapping[str, float], given: Mapping[str, str]) -> TextGlance | None:
    """Return that a table has texts and classes; single words are texts only where nothing could be a series."""
    try:
        roles = guess_labelled(table, text=given.get("text"), label=given.get("label"), has_labels=True)
    except DataError:
        return None
    text, label = roles.columns["text"], roles.columns["label"]
    labels = read_labels(table.frame[label], table.places)
    if text not in texts or label in texts or 2 * len(labels.classes) > max(4, len(labels.labels)):
        return None
    others = [table.frame.schema[column] for column in roles.ignored]
    if texts[text] < 2 and any(dtype.is_numeric() or dtype.is_temporal() for dtype in others):
        return None
    # Whole numbers that are not called a class may as well be what a series measures.
    if table.frame.schema[label].is_numeric() and others and not _named([label], LABEL):
        return None
    several = "several of " if labels.is_multi else ""
    what = f"a column of text and one of {several}{quantity(len(labels.classes), 'class', 'classes')}"
    return TextGlance(kind="labelled", reason=f"{Path(table.name).name} has {what}")


def _head(file: DataFile, given: Mapping[str, str]) -> TextTable:
    options = TextOptions(separator=given.get("separator") or None, encoding=given.get("encoding") or None)
    is_whole = file.kind in COLUMNAR or (file.kind in RECORDS and file.kind == ".json")
    start = None if is_whole else start_of(file.path, options.codec)
    if start is not None and len(start) == file.path.stat().st_size:
        # Nothing is cut off, so that all rows are there.
        start = None
    rows = read_frame(file.path, options, start)
    frame = rows.frame
    if file.kind not in (*RECORDS, *COLUMNAR):
        is_named = has_header(frame, file.kind, [given[role] for role in _ROLES if role in given])
        is_named = _told(given.get("has_header", ""), is_named)
        frame = _with_numbers(with_header(frame, file.path)[0] if is_named else frame)
    frame = frame.head(_ROWS)
    places = Places.of(str(file.path), rows.numbers[: frame.height], "row")
    return TextTable(frame=frame, places=places, part=(None,) * frame.height, name=str(file.path))


def _told(said: str, guessed: bool) -> bool:
    """Return whether an option says yes or no, as the parser of the command line reads it; else what was guessed."""
    try:
        found = yaml.safe_load(said)
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, bool) else guessed


def _with_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with its columns of numbers as such, whole ones where all are."""
    stripped = [column.str.strip_chars() for column in frame]
    read = [(column.cast(pl.Int64, strict=False), column.cast(pl.Float64, strict=False)) for column in stripped]
    return frame.with_columns(
        numbers
        for (whole, real), column in zip(read, frame, strict=True)
        if (numbers := whole if whole.null_count() == column.null_count() else real).null_count() == column.null_count()
    )


def _named(columns: Sequence[str] | Mapping[str, float], names: str) -> bool:
    return any(plain(column) in names.split() for column in columns)


def _has_nothing_else(frame: pl.DataFrame, texts: Mapping[str, float]) -> bool:
    return len(texts) == 2 and not any(
        dtype.is_numeric() or dtype.is_temporal() for column, dtype in frame.schema.items() if column not in texts
    )


def _words(column: pl.Series, least: float | None = None) -> float | None:
    """Return how many words a cell of real text has in the mean; None where a column has none.

    Real text is mostly letters, and different in each row: nearly always if it is single words, which could otherwise
    be names of categories.

    Args:
        column: The column.
        least: Share of the cells that are different at least; None to tell by the number of their words.
    """
    if column.dtype != pl.String:
        return None
    cells = column.drop_nulls()
    if len(cells) < 2:
        return None
    # Marks and modifiers are half of what words are written with in some languages.
    letters = cells.str.count_matches(r"[\p{L}\p{M}\p{Sk}]").sum()
    length = cells.str.count_matches(r"\S").sum()
    words = float(np.mean(cells.str.count_matches(r"\S+").to_numpy()))
    different = cells.n_unique() / len(cells)
    is_mostly_letters = letters * 2 > length
    if least is None:
        least = _MOSTLY_NEW if words >= 2 else _ALWAYS_NEW
    return words if is_mostly_letters and different >= least else None
