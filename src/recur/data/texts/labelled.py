"""Texts with classes, from files, folders, dataframes or lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import polars as pl

from recur.data.texts.examples import LabelledTexts, Unit
from recur.data.texts.files import DataFile, find_files, is_path, only_of, paths_of
from recur.data.texts.folders import PLAIN, files_by_class, read_folders
from recur.data.texts.guessing import guess_labelled
from recur.data.texts.known import Known, TextLines
from recur.data.texts.labels import read_labels, read_names
from recur.data.texts.options import CELL_OPTIONS, LabelledTextOptions
from recur.data.texts.parts import parts_of, with_other_data
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TABLES, TextTable, table_of_data, text_column
from recur.errors import DataError
from recur.wording import option, quantity


def read_labelled_texts(
    data: Any,
    options: LabelledTextOptions | None = None,
    *,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    roles: TextRoles | None = None,
    unit: Unit | None = None,
    has_labels: bool = True,
    given: Collection[str] = CELL_OPTIONS,
) -> LabelledTexts:
    """Return the texts, and the classes of each, that some data hold.

    Read are tables (CSV, TSV, JSONL, also `.gz`; Parquet, Arrow; any dataframe), whose columns are guessed, and folders
    by class. Texts that are empty are left out, and noted; without labels they are kept, so that each has an answer.

    Args:
        data: A path, or several; a dataframe that narwhals knows; a mapping from names to columns; or two lists in a
            tuple, texts and the class (or classes) of each.
        options: How they are read, where that is not to be found out.
        classes: Those of a trained model, of which there may be no other.
        names: What its classes are called where they are given by number, in place of `label_names` of the options.
        roles: What the columns of a trained model's data were for, if others are called the same.
        unit: What one text was in a trained model's data, of files that hold nothing else; None where they were others.
        has_labels: Whether classes are read; else they are all missing, and a file of text has a text on each line,
            unless there are columns as in the model's data, or is one text, as files of those data were.
        given: Which of `separator` and `has_header` are said of these data; others are those of the model's data.

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
    if names is None and has_labels and options.label_names is not None:
        names = read_names(options.label_names, options.codec)
    known = KnownLabels(
        roles=roles,
        separator=options.label_separator,
        names=names,
        classes=classes,
        unit=unit,
        has_answers=has_labels,
        given=given,
    )

    def read(source: Any, known: KnownLabels) -> LabelledTexts:
        found = read_source(source, options, known, texts_of_table)
        return found.without_empty() if has_labels else found

    own = read(data, known)
    alike = known.of_others_than(own)
    examples = with_other_data(own, options, lambda source: read(source, alike))
    return checked_labels(examples) if has_labels and classes is None else examples


@dataclass(frozen=True, kw_only=True)
class KnownLabels(Known):
    """What is known of texts with classes before they are read.

    Attributes:
        separator: What stands between several classes; None to find it out.
        names: What classes that are given by number are called; None where they are given by name.
        classes: Those of a trained model, of which there may be no other; None where there is no model.
        unit: What one text is in other files that hold nothing else; None where it is to be found out.
    """

    separator: str | None
    names: Sequence[str] | None
    classes: Sequence[str] | None
    unit: Unit | None

    @property
    def is_of_model(self) -> bool:
        """As of `Known`; the classes of a model say so too."""
        return super().is_of_model or self.classes is not None

    def of_others_than(self, own: LabelledTexts) -> Self:
        """Return what is known of other data that are read with the first ones, `own`."""
        return replace(self.of_others(own.roles), separator=own.label_separator, unit=own.unit or self.unit)


def read_source(
    data: Any,
    options: LabelledTextOptions,
    known: KnownLabels,
    of_table: Callable[[TextTable, LabelledTextOptions, KnownLabels], LabelledTexts],
) -> LabelledTexts:
    """Return the texts of one source as they stand there, those that are empty too.

    Args:
        data: As of `read_labelled_texts`.
        options: Likewise.
        known: What is known before.
        of_table: Returns the texts of a table.

    Raises:
        DataError: As `read_labelled_texts`, as all others.
        OptionError: Likewise.
        TypeError: Likewise.
    """
    if not is_path(data):
        known.check_none_ignored(options, "a dataframe or lists", (*CELL_OPTIONS, "unit"))
        if isinstance(data, tuple) and len(data) == 2:
            data = {"text": data[0], "label": data[1]}
            # Which is which needs no guess.
            options = replace(options, text=options.text or "text", label=options.label or "label")
        return of_table(table_of_data(data), options, known)
    files, notes = find_files(paths_of(data))
    alone = _texts_alone(files, options, known, notes)
    if alone is not None:
        known.check_none_ignored(
            options, "folders by class", ("text", "label", "part", "label_separator", *CELL_OPTIONS)
        )
        found = read_folders(alone, options.codec, options.unit, learned=known.unit, has_classes=known.has_answers)
        return _relabelled(found, known).noted(*notes)
    files = only_of(files, TABLES, notes)
    read = known.read(files, options)
    if isinstance(read, TextLines):
        none = (None,) * len(read.texts)
        found = LabelledTexts(texts=read.texts, labels=none, places=read.places, part=none, notes=read.notes)
    else:
        known.check_none_ignored(options, "a table", ["unit"])
        found = of_table(read, options, known)
    return found.noted(*notes)


def _texts_alone(
    files: list[DataFile], options: LabelledTextOptions, known: KnownLabels, notes: list[str]
) -> list[DataFile] | None:
    """Return the files that hold nothing but texts; None where these stand on their lines, or in tables."""
    by_class = files_by_class(files, notes)
    if known.has_answers or (by_class is not None and all(file.folders for file in by_class)):
        return by_class
    # Without classes, files need not be ordered by them.
    is_cut = any(getattr(options, name) is not None for name in CELL_OPTIONS if name in known.given)
    is_whole = (options.unit or known.unit) == "file" and not is_cut
    return files if is_whole and all(file.kind in PLAIN for file in files) else None


def texts_of_table(table: TextTable, options: LabelledTextOptions, known: KnownLabels) -> LabelledTexts:
    """Return the texts of a table, and the classes of each.

    Args:
        table: The table.
        options: Which columns are named.
        known: What is known before; of a model that tells classes these are not read.

    Raises:
        DataError: A column is not there, or a class is none of the model's.
    """
    columns = known.columns(table, text=options.text, label=options.label, part=options.part)
    found = guess_labelled(table, **columns, has_labels=known.has_answers, way_out=known.way_out)
    table = replace(table, notes=(*table.notes, *known.guessed_anew(table, found)))
    texts = text_column(table, found.columns["text"], "text")
    if not known.has_answers:
        return LabelledTexts(
            texts=texts,
            labels=(None,) * len(texts),
            places=table.places,
            part=parts_of(table, found),
            roles=found,
            notes=table.notes,
        )
    labels = read_labels(
        table.frame[found.columns["label"]],
        table.places,
        separator=known.separator,
        names=known.names,
        classes=known.classes,
    )
    notes = [*table.notes]
    if labels.separator and known.separator is None:
        no_separator = option("label_separator", "")
        notes.append(
            f"several classes of a text are separated by {labels.separator!r}, as their parts come again; "
            f"{no_separator} takes each cell for one class"
        )
    # Empty texts are told of by themselves.
    missing = [row for row, one in enumerate(labels.labels) if one is None and texts[row].strip()]
    if missing:
        notes.append(f"{quantity(len(missing), 'text')} without a class, such as {table.places[missing[0]]}")
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


def _relabelled(examples: LabelledTexts, known: KnownLabels) -> LabelledTexts:
    """Return the texts of folders with their classes called and checked as those of a table are."""
    if not known.has_answers or (known.names is None and known.classes is None):
        return examples
    cells = pl.Series([one[0] if one else None for one in examples.labels], dtype=pl.String)
    labels = read_labels(cells, examples.places, separator="", names=known.names, classes=known.classes)
    return replace(examples, labels=labels.labels, classes=labels.classes)


def checked_labels(examples: LabelledTexts) -> LabelledTexts:
    """Return the texts, if anything can be learned from them.

    Raises:
        DataError: All classes are missing, or there is but one.
    """
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
