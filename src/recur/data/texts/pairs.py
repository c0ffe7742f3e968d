"""Pairs of a text and what it is to become, from files, folders, dataframes or lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from recur.data.texts.commands import holds_commands, read_commands
from recur.data.texts.conversations import TURNS, YAML, conversations_of, read_yaml_conversations
from recur.data.texts.examples import PartName, TextPairs
from recur.data.texts.files import DataFile, find_files, first_line_of, is_path, only_of, paths_of
from recur.data.texts.guessing import guess_pairs
from recur.data.texts.known import Known, TextLines
from recur.data.texts.names import plain
from recur.data.texts.options import CELL_OPTIONS, PairOptions
from recur.data.texts.parallel import beside, find_parallel, read_parallel
from recur.data.texts.parts import parts_of, with_other_data
from recur.data.texts.places import Places
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TABLES, TextTable, table_of_data, text_column
from recur.errors import DataError
from recur.wording import enumerated, quantity

_COLUMNS = ("source", "target", "part")


def read_pairs(
    data: Any,
    options: PairOptions | None = None,
    *,
    roles: TextRoles | None = None,
    has_targets: bool = True,
    given: Collection[str] = CELL_OPTIONS,
) -> TextPairs:
    """Return the pairs of texts that some data hold.

    Read are two files whose lines belong together (train.en and train.ja), tables of two columns (CSV, TSV, JSONL, also
    `.gz`; Parquet, Arrow; any dataframe), the lines `IN: ... OUT: ...` of SCAN, and conversations, in which each turn
    answers those before it: YAML as the corpus of chatterbot has it, or JSONL with `turns`. Pairs with an empty text
    are left out, and noted; without targets empty sources are kept, so that each has an answer.

    Args:
        data: A path, or several; a dataframe that narwhals knows; a mapping from names to columns; or two lists in a
            tuple, sources and targets.
        options: How they are read, where that is not to be found out.
        roles: What the columns of a trained model's data were for, if others are called the same.
        has_targets: Whether targets are read; else they are all empty, and a file of text has a source on each line,
            unless there are columns as in the model's data.
        given: Which of `separator` and `has_header` are said of these data; others are those of the model's data.

    Raises:
        DataError: The data cannot become pairs; the message names the file and the place in it.
        OptionError: An option makes no sense, or would be ignored.
        TypeError: `data` is nothing of the above.

    Example:
        >>> pairs = read_pairs({"english": ["good day", "thanks"], "german": ["guten Tag", "danke"]})
        >>> print(pairs.roles)
        source  english  the first column of text
        target  german   the next column of text
        >>> pairs.sources[1], pairs.targets[1]
        ('thanks', 'danke')
    """
    options = options or PairOptions()
    options.check_found()
    known = Known(roles=roles, has_answers=has_targets, given=given)

    def read(source: Any, known: Known) -> TextPairs:
        found = _read(source, options, known)
        return found.without_empty() if has_targets else found

    own = read(data, known)
    alike = known.of_others(own.roles)
    return with_other_data(own, options, lambda source: read(options.names_in(source), alike))


def _read(data: Any, options: PairOptions, known: Known) -> TextPairs:
    if not is_path(data):
        known.check_none_ignored(options, "a dataframe or lists", CELL_OPTIONS)
        if isinstance(data, tuple) and len(data) == 2:
            data = {"source": data[0], "target": data[1]}
        return _of_table(table_of_data(data), options, known)
    files, notes = find_files(paths_of(data))
    found = _of_parallel(files, options, known)
    if found is None:
        found = _of_files(only_of(files, (*TABLES, *YAML), notes), options, known)
    return found.noted(*notes)


def _of_parallel(files: list[DataFile], options: PairOptions, known: Known) -> TextPairs | None:
    if len(files) < 2 or any(file.kind == ".txt" and holds_commands(_first(file, options)) for file in files):
        return None
    found = find_parallel(files, options.source, options.target)
    if found is None:
        return None
    known.check_none_ignored(options, "parallel files", ("part", "history", *CELL_OPTIONS))
    pairs = read_parallel(found, options.codec)
    unused = [] if options.valid_data or options.test_data else beside(found)
    if not unused:
        return pairs
    return pairs.noted(
        f"{enumerated(unused)} beside {found[0].source.path.name} not used; name them too, or their folder, to choose "
        "and to judge by them"
    )


def _of_files(files: list[DataFile], options: PairOptions, known: Known) -> TextPairs:
    kinds = {file.kind in YAML for file in files}
    if kinds == {True}:
        known.check_none_ignored(options, "conversations", (*_COLUMNS, *CELL_OPTIONS))
        return read_yaml_conversations(files, options.codec, options.history, has_answers=known.has_answers)
    if all(file.kind not in TABLES for file in files) and holds_commands(_first(files[0], options)):
        known.check_none_ignored(options, "lines of IN: and OUT:", (*_COLUMNS, "history", *CELL_OPTIONS))
        return read_commands(files, options.codec)
    plain = {file.kind for file in files} - {*TABLES}
    cut = options.cell_separator or "\t"
    if known.has_answers and len(files) == 1 and plain and cut not in _first(files[0], options):
        how = " behind it, with a comma between" if known.is_of_option else " too"
        raise DataError(
            f"{files[0].path}: has one text on each line; give the file of the texts that belong to them{how}, or a "
            "table of two columns."
        )
    # As of parallel files, the ending of plain ones may be that of a language.
    found = known.read(files, options, plain)
    if isinstance(found, TextLines):
        return _sources_alone(found.texts, found.places, (None,) * len(found.texts)).noted(*found.notes)
    return _of_table(found, options, known)


def _of_table(table: TextTable, options: PairOptions, known: Known) -> TextPairs:
    turns = [name for name in table.frame.columns if plain(name) in TURNS]
    if turns and isinstance(table.frame.schema[turns[0]], pl.List):
        known.check_none_ignored(options, "conversations", _COLUMNS)
        return conversations_of(table, turns[0], options.history, has_answers=known.has_answers)
    columns = known.columns(table, source=options.source, target=options.target, part=options.part)
    found = guess_pairs(table, **columns, has_targets=known.has_answers)
    table = replace(table, notes=(*table.notes, *known.guessed_anew(table, found)))
    known.check_none_ignored(options, "a table of pairs", ["history"])
    sources = text_column(table, found.columns["source"], "source")
    if not known.has_answers:
        alone = _sources_alone(sources, table.places, parts_of(table, found))
        return replace(alone, roles=found).noted(*table.notes)
    targets = text_column(table, found.columns["target"], "target")
    if not any(map(str.strip, targets)):
        raise DataError(f"{table.name}: column {found.columns['target']!r}, which is to be the target, is empty.")
    notes = [*table.notes]
    if found.ignored:
        names = ", ".join(map(repr, found.ignored[:5])) + (", ..." if len(found.ignored) > 5 else "")
        notes.append(f"{quantity(len(found.ignored), 'column')} of {table.name} ignored: {names}")
    return TextPairs(
        sources=sources,
        targets=targets,
        places=table.places,
        part=parts_of(table, found),
        roles=found,
        notes=tuple(notes),
    )


def _first(file: DataFile, options: PairOptions) -> str:
    return first_line_of(file.path, options.codec)


def _sources_alone(sources: tuple[str, ...], places: Places, part: Sequence[PartName | None]) -> TextPairs:
    return TextPairs(sources=sources, targets=("",) * len(sources), places=places, part=tuple(part))
