"""Texts with classes, from files, folders, dataframes or lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from recur.data.texts.examples import LabelledTexts
from recur.data.texts.files import DataFile, find_files, is_path, only_of, paths_of, texts_on_lines
from recur.data.texts.folders import PLAIN, holds_classes, read_folders
from recur.data.texts.guessing import guess_labelled
from recur.data.texts.labels import read_labels, read_names
from recur.data.texts.options import CELLS, LabelledTextOptions, check_none_ignored
from recur.data.texts.parts import parts_of, with_other_data
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TABLES, TextTable, read_text_table, table_of_data, text_column
from recur.errors import DataError
from recur.wording import option, quantity


def read_labelled_texts(
    data: Any,
    options: LabelledTextOptions | None = None,
    *,
    classes: Sequence[str] | None = None,
    roles: TextRoles | None = None,
    has_labels: bool = True,
) -> LabelledTexts:
    """Return the texts, and the classes of each, that some data hold.

    Read are tables (CSV, TSV, JSONL, also `.gz`; Parquet, Arrow; any dataframe), whose columns are guessed, and folders
    by class. Texts that are empty are left out, and noted.

    Args:
        data: A path, or several; a dataframe that narwhals knows; a mapping from names to columns; or two lists in a
            tuple, texts and the class (or classes) of each.
        options: How they are read, where that is not to be found out.
        classes: Those of a trained model, of which there may be no other.
        roles: What the columns of a trained model's data were for, if others are called the same.
        has_labels: Whether there must be classes; else a file of text that is no table has a text on each line.

    Raises:
        DataError: The data cannot become texts with classes; the message names the file and the place in it.
        OptionError: An option makes no sense, or would be ignored.
        TypeError: `data` is nothing of the above.

    Example:
        >>> found = read_labelled_texts({"review": ["so good", "so bad", "fine"], "stars": [5, 1, 5]})
        >>> print(found.roles)
        text   review  named like a text
        label  stars   named like a class, has 2 different ones
        >>> found.labels, found.classes
        ((('5',), ('1',), ('5',)), ('1', '5'))
    """
    options = options or LabelledTextOptions()
    names = None if options.label_names is None else read_names(options.label_names, options.codec)

    def read(source: Any, options: LabelledTextOptions, roles: TextRoles | None) -> LabelledTexts:
        return _read(source, options, names, classes, roles, has_labels).without_empty()

    own = read(data, options, roles)
    alike = replace(options, label_separator=own.label_separator)
    examples = with_other_data(own, options, lambda source: read(source, alike, own.roles))
    return _checked(examples, has_labels and classes is None)


def _read(
    data: Any,
    options: LabelledTextOptions,
    names: Sequence[str] | None,
    classes: Sequence[str] | None,
    roles: TextRoles | None,
    has_labels: bool,
) -> LabelledTexts:
    if not is_path(data):
        check_none_ignored(options, "a dataframe or lists", (*CELLS, "unit"))
        if isinstance(data, tuple) and len(data) == 2:
            data = {"text": data[0], "label": data[1]}
        return _of_table(table_of_data(data), options, names, classes, roles, has_labels)
    files, notes = find_files(paths_of(data))
    files = only_of(files, TABLES, notes)
    if holds_classes(files):
        check_none_ignored(options, "folders by class", ("text", "label", "part", "label_separator", *CELLS))
        found = read_folders(files, options.codec, options.unit)
        found = _relabelled(found, names, classes)
    elif not has_labels and all(file.kind in PLAIN for file in files):
        check_none_ignored(options, "lines of text", ("text", "label", "part", "label_separator", "unit", *CELLS))
        found = _of_lines(files, options.codec)
    else:
        check_none_ignored(options, "a table", ["unit"])
        found = _of_table(read_text_table(files, options), options, names, classes, roles, has_labels)
    return found.noted(*notes)


def _of_lines(files: Sequence[DataFile], codec: str) -> LabelledTexts:
    """Return the lines of files as texts without classes."""
    texts, places = texts_on_lines(files, codec)
    return LabelledTexts(texts=texts, labels=(None,) * len(texts), places=places, part=(None,) * len(texts))


def _of_table(
    table: TextTable,
    options: LabelledTextOptions,
    names: Sequence[str] | None,
    classes: Sequence[str] | None,
    roles: TextRoles | None,
    has_labels: bool,
) -> LabelledTexts:
    own = {} if roles is None else {role: name for role, name in roles.columns.items() if name in table.frame.columns}
    found = guess_labelled(
        table,
        text=options.text or own.get("text"),
        label=options.label or own.get("label"),
        part=options.part or own.get("part"),
        has_labels=has_labels,
    )
    texts = text_column(table, found.columns["text"], "text")
    label = found.columns.get("label")
    if label is None:
        return LabelledTexts(
            texts=texts, labels=(None,) * len(texts), places=table.places, part=parts_of(table, found), roles=found
        )
    labels = read_labels(
        table.frame[label], table.places, separator=options.label_separator, names=names, classes=classes
    )
    notes = []
    if labels.separator and options.label_separator is None:
        no_separator = option("label_separator", "")
        notes.append(
            f"several classes of a text are separated by {labels.separator!r}, as their parts come again; "
            f"{no_separator} takes each cell for one class"
        )
    missing = sum(one is None for one in labels.labels)
    if missing:
        where = table.places[next(row for row, one in enumerate(labels.labels) if one is None)]
        notes.append(f"{quantity(missing, 'text')} without a class, such as {where}")
    return LabelledTexts(
        texts=texts,
        labels=labels.labels,
        classes=labels.classes,
        is_multi=labels.is_multi,
        label_separator=labels.separator,
        places=table.places,
        part=parts_of(table, found),
        roles=found,
        notes=tuple(notes),
    )


def _relabelled(examples: LabelledTexts, names: Sequence[str] | None, classes: Sequence[str] | None) -> LabelledTexts:
    """Return the texts of folders with their classes called and checked as those of a table are."""
    if names is None and classes is None:
        return examples
    cells = pl.Series([one[0] if one else None for one in examples.labels], dtype=pl.String)
    labels = read_labels(cells, examples.places, separator="", names=names, classes=classes)
    return replace(examples, labels=labels.labels, classes=labels.classes)


def _checked(examples: LabelledTexts, is_for_training: bool) -> LabelledTexts:
    """Return the texts, if anything can be learned from them.

    Raises:
        DataError: All classes are missing, or there is but one.
    """
    if not is_for_training:
        return examples
    if all(labels is None for labels in examples.labels):
        raise DataError(f"{examples.places[0]} and all others: no text has a class; name the column of classes.")
    used = {label for labels in set(examples.labels) if labels for label in labels}
    is_told = examples.is_multi and any(labels == () for labels in examples.labels)
    if len(used) < 2 and not is_told:
        only = next(iter(used), "none")
        raise DataError(
            f"{examples.places.names[0]}: all {len(examples):,} texts have the same class, {only!r}, so that there is "
            "nothing to tell apart; give texts of two classes at least."
        )
    return examples
