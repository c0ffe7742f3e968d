"""Cells of classes to the classes that each text is of."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recur.data.texts.examples import in_order
from recur.data.texts.files import lines_in
from recur.data.texts.places import Places
from recur.errors import DataError
from recur.wording import known_names, option

Classes = tuple[str, ...]

_SEPARATORS = ("|", ";", ",")
_KNOWN_PIECES = 0.8
"""Share of the cells with a separator of which all pieces must stand in others too, for it to separate classes."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The classes of N texts.

    Attributes:
        labels: (N,) the classes of each; None where missing.
        classes: All of them, sorted, numbers by size; or in the order of the names that were given.
        is_multi: Whether a text may have several.
        separator: What stood between several classes in a cell; "" where each cell is one, or a list.
    """

    labels: tuple[Classes | None, ...]
    classes: Classes
    is_multi: bool
    separator: str = ""


def read_labels(
    cells: pl.Series,
    places: Places,
    *,
    separator: str | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> Labels:
    """Return the classes that the cells of a column name; an empty cell names none and is missing.

    Several classes stand in a list, also one written as JSON does, or with a separator between them, which is found
    where nearly all pieces of the cells that have it occur in other cells too.

    Args:
        cells: The column, (N,): text, whole numbers, or lists of them.
        places: Where each cell stood.
        separator: What stands between several classes; "" where each cell is one class, None to find it out.
        names: What classes that are given by number, from 0 on, are called; or all that may occur.
        classes: Those of a trained model, of which there may be no other.

    Raises:
        DataError: A class has no name, or is none of those of the model.
    """
    is_list = isinstance(cells.dtype, pl.List)
    texts = _as_text(cells)
    # What is done for each different cell once, is quick for many rows.
    different = texts.drop_nulls().unique().to_list()
    if is_list:
        parsed = {text: _of_list(text) or () for text in different}
        found = ""
    else:
        found = _separator(different) if separator is None else separator
        parsed = {text: _pieces(text, found) for text in different}
    is_multi = is_list or bool(found) or any(len(set(pieces)) != 1 for pieces in parsed.values())
    parsed = {text: tuple(dict.fromkeys(piece for piece in pieces if piece)) for text, pieces in parsed.items()}
    if names is not None:
        parsed = {text: _called(pieces, names, texts, text, places) for text, pieces in parsed.items()}
    known = tuple(names if names is not None else in_order({piece for pieces in parsed.values() for piece in pieces}))
    if classes is not None:
        known = tuple(classes)
        for text, pieces in parsed.items():
            for piece in pieces:
                _check_known(piece, known, texts, text, places)
    # An empty list, or one of a cell such as [], says that a text has none of the classes.
    is_missing = {text for text in different if not text.strip()}
    labels = tuple([None if text is None or text in is_missing else parsed[text] for text in texts.to_list()])
    return Labels(labels=labels, classes=known, is_multi=is_multi, separator=found)


def read_names(path: str | Path, codec: str) -> Classes:
    """Return the names of classes in a file, one a line.

    Raises:
        DataError: The file is missing or empty, or a name comes twice.
    """
    names = [line.strip() for line in lines_in(Path(path), codec)]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}: line {number} is empty; each line must be the name of a class.")
        if names.index(name) + 1 < number:
            raise DataError(f"{path}: line {number} is {name!r}, as line {names.index(name) + 1} is; name each once.")
    return tuple(names)


def _as_text(cells: pl.Series) -> pl.Series:
    """Return cells as text, lists as JSON writes them, whole numbers without a point."""
    dtype = cells.dtype
    if isinstance(dtype, pl.List):
        lists = cells.to_list()
        return pl.Series(
            [None if one is None else json.dumps(one, ensure_ascii=False) for one in lists], dtype=pl.String
        )
    if dtype.is_float() and (cells.drop_nulls() % 1 == 0).all():
        cells = cells.cast(pl.Int64)
    return cells.cast(pl.String)


def _of_list(text: str) -> Classes | None:
    """Return the entries of a list as JSON or Python write it; None where a text is none."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found: Any = json.loads(text)
    except json.JSONDecodeError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return None
    if not isinstance(found, list) or any(isinstance(one, list | dict) for one in found):
        return None
    return tuple(str(one).strip() for one in found if one is not None)


def _pieces(text: str, separator: str) -> Classes:
    text = text.strip()
    listed = _of_list(text)
    if listed is not None:
        return listed
    return tuple(piece.strip() for piece in text.split(separator)) if separator else (text,)


def _separator(cells: Sequence[str]) -> str:
    """Return what stands between several classes in cells, all of them different; "" where each is one."""
    plain = [cell.strip() for cell in cells if _of_list(cell.strip()) is None]
    for separator in _SEPARATORS:
        split = [tuple(piece.strip() for piece in cell.split(separator)) for cell in plain]
        several = [pieces for pieces in split if len(pieces) > 1]
        if not several:
            continue
        count: dict[str, int] = {}
        for pieces in split:
            for piece in set(pieces):
                count[piece] = count.get(piece, 0) + 1
        recurring = sum(all(piece and count[piece] > 1 for piece in pieces) for pieces in several)
        if recurring >= _KNOWN_PIECES * len(several):
            return separator
    return ""


def _called(pieces: Classes, names: Sequence[str], texts: pl.Series, text: str, places: Places) -> Classes:
    """Return classes by their names; they are given by number, or by name already."""
    known = set(names)
    found = []
    for piece in pieces:
        if piece in known:
            found.append(piece)
            continue
        if not piece.isdecimal() or int(piece) >= len(names):
            raise DataError(
                f"{_place(texts, text, places)}: the class {piece!r} has no name; {option('label_names')} has "
                f"{len(names)}, for the numbers 0 to {len(names) - 1}: {known_names(names)}."
            )
        found.append(names[int(piece)])
    return tuple(found)


def _check_known(piece: str, known: Classes, texts: pl.Series, text: str, places: Places) -> None:
    if piece not in known:
        raise DataError(
            f"{_place(texts, text, places)}: the class {piece!r} is none of those of the model, {known_names(known)}."
        )


def _place(texts: pl.Series, text: str, places: Places) -> str:
    return places[int((texts == text).arg_true()[0])]
