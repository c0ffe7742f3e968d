"""Texts and what each is to be written from: its classes, and numbers in other columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.texts.examples import LabelledTexts, Unit
from recur.data.texts.files import find_files, is_path, only_of, paths_of
from recur.data.texts.guessing import check_column
from recur.data.texts.known import Known
from recur.data.texts.labelled import KnownLabels, checked_labels, read_source, texts_of_table
from recur.data.texts.labels import read_labels, read_names
from recur.data.texts.options import CELL_OPTIONS, WrittenTextOptions
from recur.data.texts.parts import with_other_data
from recur.data.texts.places import Places
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TABLES, TextTable, table_of_data
from recur.errors import DataError, OptionError
from recur.wording import option


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WrittenTexts(LabelledTexts):
    """Texts with the classes and the numbers that each is written from.

    Attributes:
        numbers: (N,) tuples of the numbers of each, one of each column; empty ones without columns. Where there are no
            classes, each text has none, `()`.

    Example:
        >>> examples = WrittenTexts(
        ...     texts=("Ann", "Benedict"), labels=((), ()), is_multi=True, numbers=((3.0,), (8.0,)),
        ...     places=Places.of("names.csv", [1, 2], "row"), part=("train", "train"),
        ... )
        >>> examples.take([1]).numbers
        ((8.0,),)
    """

    numbers: tuple[tuple[float, ...], ...]

    _columns: ClassVar[tuple[str, ...]] = (*LabelledTexts._columns, "numbers")


def read_written_texts(
    data: Any,
    options: WrittenTextOptions | None = None,
    *,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    roles: TextRoles | None = None,
    unit: Unit | None = None,
    given: Collection[str] = CELL_OPTIONS,
) -> WrittenTexts:
    """Return the texts that some data hold, and what each is written from.

    Classes are read as `recur.data.texts.read_labelled_texts` does, and numbers from the columns that are named. Where
    there are such columns, classes are read only if theirs is named too.

    Args:
        data: As of `read_labelled_texts`.
        options: How they are read, where that is not to be found out.
        classes: Those of a trained model, of which there may be no other.
        names: As of `read_labelled_texts`.
        roles: What the columns of a trained model's data were for.
        unit: As of `read_labelled_texts`.
        given: As of `read_labelled_texts`.

    Raises:
        DataError: The data cannot become such texts; the message names the file and the place in it.
        OptionError: An option makes no sense, or would be ignored.
        TypeError: `data` is nothing of the above.

    Example:
        >>> names = {"name": ["Ann", "Bo", "Benedict"], "length": [3, 2, 8]}
        >>> read_written_texts(names, WrittenTextOptions(columns="length")).numbers
        ((3.0,), (2.0,), (8.0,))
    """
    options = options or WrittenTextOptions()
    if names is None and options.label_names is not None:
        names = read_names(options.label_names, options.codec)
    known = KnownLabels(
        roles=roles,
        separator=options.label_separator,
        names=names,
        classes=classes,
        unit=unit,
        has_answers=options.has_labels,
        given=given,
    )

    def of_table(table: TextTable, _: object, known: KnownLabels) -> WrittenTexts:
        return _of_table(table, options, known)

    def read(source: Any, known: KnownLabels) -> WrittenTexts:
        found = read_source(source, options, known, of_table)
        if not isinstance(found, WrittenTexts):
            if options.columns is not None:
                raise OptionError(
                    f"columns: {found.places[0]} is no row of a table, so that there are no columns of numbers; leave "
                    f"{option('columns')} out."
                )
            found = _written(found, ((),) * len(found))
        return found.without_empty()

    own = read(data, known)
    alike = known.of_others_than(own)
    examples = with_other_data(own, options, lambda source: read(source, alike))
    if options.has_labels and classes is None:
        checked_labels(examples)
    return examples


def read_contexts(
    data: Any,
    options: WrittenTextOptions,
    *,
    label: str | None,
    classes: Sequence[str],
    names: Sequence[str] | None = None,
    separator: str | None,
    given: Collection[str] = CELL_OPTIONS,
) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.float64]]:
    """Return what texts are to be written from: the classes and the numbers of each row of a table, without its texts.

    Args:
        data: A path, or several; a dataframe, or a mapping from names to columns.
        options: How tables are read, and which columns have numbers.
        label: The column of the classes; None where there are none.
        classes: Those of the model.
        names: As of `read_labelled_texts`.
        separator: What stands between several classes; "" where each cell is one.
        given: As of `read_labelled_texts`.

    Returns:
        The classes of each row, and its numbers, (N, M).

    Raises:
        DataError: A column is missing, a class is none of the model's, or a cell is no number.
        OptionError: An option says nothing of such data.
    """
    known = Known(roles=TextRoles(columns={} if label is None else {"label": label}), has_answers=True, given=given)
    if is_path(data):
        files, notes = find_files(paths_of(data))
        table = known.table(only_of(files, TABLES, notes), options)
    else:
        known.check_none_ignored(options, "a dataframe or lists", CELL_OPTIONS)
        table = table_of_data(data)
    labels: tuple[tuple[str, ...], ...] = ((),) * table.frame.height
    if label is not None:
        check_column(table, "label", label)
        found = read_labels(table.frame[label], table.places, separator=separator, names=names, classes=classes)
        for row, one in enumerate(found.labels):
            if one is None:
                raise DataError(f"{table.places[row]}, column {label!r}: is empty; give a class for each text.")
        labels = tuple(one or () for one in found.labels)
    return labels, np.array(_numbers(table.frame, table.places, table, options), np.float64).reshape(len(labels), -1)


def _of_table(table: TextTable, options: WrittenTextOptions, known: KnownLabels) -> WrittenTexts:
    numbers = _numbers(table.frame, table.places, table, options)
    # What has numbers is neither a text nor a class.
    rest = replace(table, frame=table.frame.drop(options.column_names))
    found = texts_of_table(rest, options, known)
    if not options.has_labels:
        roles = found.roles
        if roles is not None and "label" in roles.columns:
            columns = {role: name for role, name in roles.columns.items() if role != "label"}
            roles = replace(roles, columns=columns, ignored=(*roles.ignored, roles.columns["label"]))
        found = replace(found, labels=((),) * len(found), is_multi=True, roles=roles)
    return _written(found, numbers)


def _written(found: LabelledTexts, numbers: tuple[tuple[float, ...], ...]) -> WrittenTexts:
    own = {field.name: getattr(found, field.name) for field in fields(LabelledTexts)}
    return WrittenTexts(**own, numbers=numbers)


def _numbers(
    frame: pl.DataFrame, places: Places, table: TextTable, options: WrittenTextOptions
) -> tuple[tuple[float, ...], ...]:
    columns = []
    for name in options.column_names:
        check_column(table, "columns", name)
        cells = frame[name]
        values = cells.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        is_bad = (values.is_null() | ~values.is_finite()).fill_null(value=True)
        if is_bad.any():
            row = int(is_bad.arg_true()[0])
            shown = "is empty" if cells[row] is None else f"{str(cells[row])!r} is no number"
            raise DataError(f"{places[row]}, column {name!r}: {shown}; give a finite number for each text.")
        columns.append(values.to_list())
    return tuple(zip(*columns, strict=True)) if columns else ((),) * frame.height
