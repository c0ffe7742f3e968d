"""Sentences whose tokens have tags, from files in columns, tables with lists, or lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.files import COLUMNAR
from recur.data.texts.conll import TaggedTokens, has_cells_of, looks_like_conll, mostly_cells_of, read_conll
from recur.data.texts.examples import PartName, TaggedSentences
from recur.data.texts.files import (
    DataFile,
    find_files,
    has_gaps,
    is_path,
    only_of,
    paths_of,
    start_text_of,
    texts_on_lines,
)
from recur.data.texts.folders import PLAIN
from recur.data.texts.guessing import guess_tagged
from recur.data.texts.known import Known
from recur.data.texts.options import CELL_OPTIONS, TaggedTextOptions
from recur.data.texts.parts import parts_of, with_other_data
from recur.data.texts.places import Places
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import RECORDS, TextTable, table_of_data
from recur.data.texts.tag_schemes import mend_tags
from recur.errors import DataError
from recur.wording import quantity

_SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".tsv", ".txt", *RECORDS, *COLUMNAR)


def read_tagged_sentences(
    data: Any,
    options: TaggedTextOptions | None = None,
    *,
    roles: TextRoles | None = None,
    has_tags: bool = True,
    tags: Collection[str] | None = None,
    num_columns: int | None = None,
    cut: Callable[[str], Sequence[str]] | None = None,
    given: Collection[str] = CELL_OPTIONS,
) -> TaggedSentences:
    """Return the sentences, and the tag of each of their tokens, that some data hold.

    Read are files in columns as of the CoNLL tasks (also `.gz`), and tables with a list of tokens and one of tags in
    each row: JSONL, Parquet, Arrow, any dataframe; in text, also of CSV, these have blanks between them. Sentences are
    kept whole, however long. Those that are empty are left out, and noted; of tables and lines without tags they are
    kept, so that each has an answer.

    Args:
        data: A path, or several; a dataframe that narwhals knows; a mapping from names to columns; or two lists in a
            tuple, the tokens and the tags of each sentence.
        options: How they are read, where that is not to be found out.
        roles: What the columns of a trained model's data were for, if others are called the same.
        has_tags: Whether tags are read; else each is empty, and a file of text that has no columns has a sentence on
            each line.
        tags: Those of a trained model. Where they are given and tags are not read, text in columns has tabs between
            them, these tags in one, or `num_columns` and several lines for most sentences; where lines differ or none
            is empty, most have `num_columns` with tabs between, or end in one of these tags. Else it has a sentence on
            each line.
        num_columns: Columns of the files of a trained model's data; None where these were in none.
        cut: Returns the tokens of such a line; None for what stands between blanks.
        given: Which of `separator` and `has_header` are said of these data; others are those of the model's data.

    Raises:
        DataError: The data cannot become tagged sentences, or tags break their scheme; the message names the file and
            the line.
        OptionError: An option makes no sense, or would be ignored.
        TypeError: `data` is nothing of the above.

    Example:
        >>> found = read_tagged_sentences(([["Ada", "wrote"], ["She", "sang"]], [["B-PER", "O"], ["O", "O"]]))
        >>> found.tokens[0], found.tags[0], found.places[1]
        (('Ada', 'wrote'), ('B-PER', 'O'), 'the data, row 2')
    """
    options = options or TaggedTextOptions()

    known = _KnownTags(roles=roles, has_answers=has_tags, tags=tags, num_columns=num_columns, given=given)
    cut = cut or str.split
    own = _read(data, options, known, cut)
    alike = known.of_others(own.roles)
    return with_other_data(own, options, lambda source: _read(source, options, alike, cut))


@dataclass(frozen=True, kw_only=True)
class _KnownTags(Known):
    """What is known of sentences before they are read.

    Attributes:
        tags: Those of a trained model; None where there is none.
        num_columns: Columns of the files of its data; None where these were in none.
    """

    tags: Collection[str] | None
    num_columns: int | None


def _read(
    data: Any, options: TaggedTextOptions, known: _KnownTags, cut: Callable[[str], Sequence[str]]
) -> TaggedSentences:
    if not is_path(data):
        known.check_none_ignored(options, "a dataframe or lists", CELL_OPTIONS)
        if isinstance(data, tuple) and len(data) == 2:
            data = {"tokens": data[0], "tags": data[1]}
        return _of_table(table_of_data(data), options, known)
    files, notes = find_files(paths_of(data))
    files = only_of(files, _SUFFIXES, notes)
    if all(_is_table(file, options.codec) for file in files):
        found = _of_table(known.table(files, options), options, known)
    elif not known.has_answers and all(_has_lines(file, options, known) for file in files):
        known.check_none_ignored(options, "sentences on lines", CELL_OPTIONS)
        found = _of_lines(files, options, cut)
    else:
        known.check_none_ignored(options, "files in columns", ("part", *CELL_OPTIONS))
        columns = {"tokens": options.tokens, "tags": options.tags}
        sets = [read_conll(file, options.codec, **columns, has_tags=known.has_answers) for file in files]
        found = TaggedSentences.joined([_sentences(one, options) for one in sets])
    return found.noted(*notes)


def _is_table(file: DataFile, codec: str) -> bool:
    if file.kind in (*RECORDS, *COLUMNAR, ".csv"):
        return True
    return file.kind == ".tsv" and not has_gaps(file.path, codec)


def _has_lines(file: DataFile, options: TaggedTextOptions, known: _KnownTags) -> bool:
    """Return whether a file has a sentence on each line, and no columns."""
    if file.kind not in PLAIN:
        return False
    lines = start_text_of(file.path, options.codec).splitlines()
    if known.tags is None:
        return not looks_like_conll(lines)
    if looks_like_conll(lines):
        return not has_cells_of(lines, known.tags, known.num_columns)
    return known.num_columns is None or not mostly_cells_of(lines, known.tags, known.num_columns)


def _of_lines(
    files: Sequence[DataFile], options: TaggedTextOptions, cut: Callable[[str], Sequence[str]]
) -> TaggedSentences:
    """Return the lines of files as sentences without tags."""
    texts, places = texts_on_lines(files, options.codec)
    why = "; the name of a file in columns may end in .conll"
    if any(looks_like_conll(start_text_of(file.path, options.codec).splitlines()) for file in files):
        why = ", as there are no tabs and no tags of the model, though each line has as many words"
    name = f"{files[0].path}{' and others' if len(files) > 1 else ''}"
    found = untagged([tuple(cut(text)) for text in texts], places, (None,) * len(texts))
    return found.noted(f"{name}: has a sentence on each line{why}")


def untagged(
    tokens: Sequence[tuple[str, ...]], places: Places, part: Sequence[PartName | None], roles: TextRoles | None = None
) -> TaggedSentences:
    """Return sentences with an empty tag for each token; the arguments are attributes of them."""
    tags = tuple([("",) * len(own) for own in tokens])
    return TaggedSentences(tokens=tuple(tokens), tags=tags, places=places, part=tuple(part), roles=roles)


def _of_table(table: TextTable, options: TaggedTextOptions, known: Known) -> TaggedSentences:
    columns = known.columns(table, tokens=options.tokens, tags=options.tags, part=options.part)
    found = guess_tagged(table, **columns, has_tags=known.has_answers, way_out=known.way_out)
    table = replace(table, notes=(*table.notes, *known.guessed_anew(table, found)))
    tokens = _lists(table, found.columns["tokens"], "tokens")
    if not known.has_answers:
        rows = [tuple(own or ()) for own in tokens.to_list()]
        return untagged(rows, table.places, parts_of(table, found), found).noted(*table.notes)
    tags = _lists(table, found.columns["tags"], "tags")
    num_tokens, num_tags = (lists.list.len().fill_null(0).to_numpy().astype(np.int64) for lists in (tokens, tags))
    differs = np.flatnonzero(num_tokens != num_tags)
    if len(differs):
        row = int(differs[0])
        raise DataError(
            f"{table.places[row]}: has {quantity(int(num_tokens[row]), 'token')}, but "
            f"{quantity(int(num_tags[row]), 'tag')}; give a tag for each."
        )
    is_filled = num_tokens > 0
    if not is_filled.any():
        raise DataError(f"{table.name}: all of its sentences are empty; give some with tokens in them.")
    notes = [*table.notes]
    if not is_filled.all():
        empty = np.flatnonzero(~is_filled)
        noun = "empty sentence" if len(empty) == 1 else "empty sentences"
        notes.append(f"{len(empty):,} {noun} left out, such as {table.places[int(empty[0])]}")
    filled = np.flatnonzero(is_filled)
    lengths = num_tokens[filled]
    part = parts_of(table, found)
    flat = TaggedTokens(
        tokens=tokens.gather(filled).explode().to_numpy(),
        tags=tags.gather(filled).explode().to_numpy(),
        starts=np.cumsum(lengths) - lengths,
        places=table.places.take(np.repeat(filled, lengths)),
        part=tuple([part[row] for row in filled.tolist()]),
        notes=tuple(notes),
    )
    return _sentences(flat, options, found)


def _lists(table: TextTable, column: str, role: str) -> pl.Series:
    """Return the lists in a column as lists of text; text is cut at blanks.

    Raises:
        DataError: It holds something else, or a list has nothing in some place.
    """
    cells = table.frame[column]
    if cells.dtype == pl.String:
        bare = cells.str.strip_chars().str.replace_all(r"\s+", " ")
        return bare.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    if not isinstance(cells.dtype, pl.List) or cells.dtype.inner.is_nested():
        raise DataError(
            f"{table.name}: column {column!r}, which is to be the {role}, holds {str(cells.dtype).lower()}; give lists "
            "of text, or text with blanks between."
        )
    lists = cells.cast(pl.List(pl.String))
    lacks = lists.list.eval(pl.element().is_null()).list.any().fill_null(False)
    if lacks.any():
        row = int(lacks.arg_true()[0])
        raise DataError(f"{table.places[row]}: one of its {role} is missing; give a text for each.")
    return lists


def _sentences(found: TaggedTokens, options: TaggedTextOptions, roles: TextRoles | None = None) -> TaggedSentences:
    """Return sentences whose tags keep their scheme."""
    number = np.searchsorted(found.starts, np.arange(len(found.tokens)), side="right") - 1

    def place(row: int) -> str:
        where = found.places[row]
        # Where a sentence is a row, the row alone does not tell which token is meant.
        is_line = found.places.units[int(found.places.source[row])] == "line" and roles is None
        return where if is_line else f"{where}, token {row - int(found.starts[number[row]]) + 1:,}"

    tags, notes = mend_tags(found.tags, found.starts, place, repair=options.repair)
    return TaggedSentences(
        tokens=_cut(found.tokens, found.starts),
        tags=_cut(tags, found.starts),
        places=found.places.take(found.starts),
        part=found.part,
        roles=roles,
        num_columns=found.num_columns,
        notes=(*found.notes, *notes),
    )


def _cut(entries: NDArray[np.object_], starts: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
    """Return what belongs to each sentence."""
    flat = entries.tolist()
    bounds = [*starts.tolist(), len(flat)]
    return tuple([tuple(flat[start:stop]) for start, stop in pairwise(bounds)])
