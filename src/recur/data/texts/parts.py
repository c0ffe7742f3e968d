"""Which part each example is of, where the data say so: by a column, by files, or by other data for a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import polars as pl

from recur.data.texts.examples import Examples, PartName
from recur.data.texts.files import part_of_cell
from recur.data.texts.options import TextOptions
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TextTable
from recur.errors import DataError
from recur.wording import option

E = TypeVar("E", bound=Examples)


def parts_of(table: TextTable, roles: TextRoles) -> tuple[PartName | None, ...]:
    """Return the part of each row of a table: that of its cell, or else of its file.

    Raises:
        DataError: A cell names no part.
    """
    column = roles.columns.get("part")
    if column is None:
        return table.part
    cells = table.frame[column].cast(pl.String)
    names = {text: part_of_cell(text) for text in cells.drop_nulls().unique().to_list()}
    for text, part in names.items():
        if part is None and text.strip():
            row = int((cells == text).arg_true()[0])
            raise DataError(
                f"{table.places[row]}, column {column!r}: {text!r} is no part; expected train, valid or test."
            )
    return tuple([None if text is None else names[text] for text in cells.to_list()])


def with_other_data(examples: E, options: TextOptions, read: Callable[[str], E]) -> E:
    """Return examples together with those of `valid_data` and `test_data`, which are of these parts.

    Args:
        examples: Those of DATA.
        options: Which other data there are.
        read: Reads them.

    Raises:
        DataError: DATA say themselves which examples are of that part.
    """
    sets = [examples]
    names: tuple[tuple[PartName, str | None], ...] = (("valid", options.valid_data), ("test", options.test_data))
    for part, source in names:
        if source is None:
            continue
        if part in examples.part:
            where = examples.places[examples.part.index(part)]
            raise DataError(
                f"{where}: is of the part {part} already, but {option(f'{part}_data')} names other data; leave one of "
                "them out."
            )
        found = read(source)
        sets.append(replace(found, part=(part,) * len(found)))
    return type(examples).joined(sets)
