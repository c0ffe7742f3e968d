"""Labels of a user's own, one a symbol, as properties to search units for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError
from recur.kinds import is_finite, is_number
from recur.tasks.inspection.unit_search import Property
from recur.wording import quantity

_MOST_WORDS = 20
_LONGEST_SHOWN = 40
Label = float | str | bool


def read_labels(path: str | Path) -> list[Label]:
    """Return the labels in a file.

    A file whose name ends in .json holds a list of numbers, of true and false, or of words. Any other is text in UTF-8:
    one label a line, numbers if all lines are, else words; or, if it is a single line, one label a character.

    Raises:
        DataError: The file cannot be read or is something else, or a label is none or like all others; file and place
            are named.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file of labels; check the path.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 at byte {error.start}; save the labels as UTF-8.") from error
    labels: list[Label]
    if path.suffix.lower() == ".json":
        labels, place = _from_json(path, text), "item"
    else:
        lines = text.splitlines()
        words, place = (list(lines[0]), "character") if len(lines) == 1 else (lines, "line")
        try:
            labels = [float(word) for word in words]
        except ValueError:
            labels = list(words)
    _check(labels, str(path), place)
    return labels


def _from_json(path: Path, text: str) -> list[Label]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON: {error}.") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: must be a list of labels, but is {type(content).__name__}.")
    return content


def label_properties(labels: Sequence[Label] | NDArray[Any]) -> list[Property]:
    """Return the properties that labels make.

    True and False make one binary property, as do numbers of only two values, true for the larger one; other numbers
    make one of kind "number"; words make a binary property each, but two words only one, true for the rarer.

    Args:
        labels: Of N symbols, all finite numbers, all bools, or all texts.

    Raises:
        DataError: A label is of another kind, a number is not finite, all are the same, or there are over 20 words.

    Example:
        >>> [(each.key, each.name, each.values.tolist()) for each in label_properties(["noun", "verb", "verb"])]
        [('label', "your label 'noun'", [1.0, 0.0, 0.0])]
    """
    listed = _plain(labels)
    _check(listed, "labels", "number")
    distinct = sorted(set(listed))
    if isinstance(distinct[0], str):
        return _of_words(listed, distinct)
    if len(distinct) == 2:
        return [_binary("label", "your label", [label == distinct[1] for label in listed])]
    return [Property(key="label", name="your label", kind="number", values=np.array(listed, dtype=np.float64))]


def _plain(labels: Sequence[Any] | NDArray[Any]) -> list[Any]:
    """Return labels as a list, numpy's scalars as Python's own."""
    return [label.item() if isinstance(label, np.generic) else label for label in labels]


def _check(labels: Sequence[Any], owner: str, place: str) -> None:
    for number, label in enumerate(labels, start=1):
        if not isinstance(label, bool | str) and not is_finite(label):
            raise DataError(
                f"{owner}, {place} {number}: is {shown(label)}, expected a finite number, true, false or a word."
            )
        if type(label) is not type(labels[0]) and not (is_number(label) and is_number(labels[0])):
            raise DataError(
                f"{owner}, {place} {number}: is {shown(label)}, but the first is {shown(labels[0])}; use one kind."
            )
    if not labels:
        raise DataError(f"{owner}: there are no labels; give one a character, or one a symbol.")
    if all(label == labels[0] for label in labels):
        raise DataError(f"{owner}: all labels are {shown(labels[0])}; give two kinds.")


def shown(label: object) -> str:
    """Return what was given for a label, for a sentence."""
    try:
        written = repr(label)
    except ValueError:
        # Of whole numbers Python writes some thousand digits and no more.
        written = f"a number of {label.bit_length():,} bits" if isinstance(label, int) else type(label).__name__
    return written if len(written) <= _LONGEST_SHOWN else written[:_LONGEST_SHOWN] + "..."


def _of_words(labels: list[str], distinct: list[str]) -> list[Property]:
    if len(distinct) > _MOST_WORDS:
        raise DataError(
            f"labels: there are {len(distinct)} different words, at most {_MOST_WORDS} are searched for; "
            "join some of them."
        )
    if len(distinct) == 2:
        rarer = min(distinct, key=labels.count)
        return [_binary("label", f"your label {rarer!r}", [label == rarer for label in labels])]
    return [
        _binary(f"label_{number}", f"your label {word!r}", [label == word for label in labels])
        for number, word in enumerate(distinct, start=1)
    ]


def _binary(key: str, name: str, values: list[bool]) -> Property:
    return Property(key=key, name=name, kind="binary", values=np.array(values, dtype=np.float64))


def labels_by_symbol(labels: Sequence[Label] | NDArray[Any], pieces: Sequence[str], num_characters: int) -> list[Label]:
    """Return one label for each of N shown symbols.

    Args:
        labels: One a shown symbol, or one a character of the whole text; then a symbol of several characters gets
            that of its last one, and one that completes none that of the symbol before.
        pieces: The text that each shown symbol completes.
        num_characters: Characters of the whole text, of which the shown symbols are the beginning.

    Raises:
        DataError: There are as many labels as neither symbols nor characters.
    """
    listed = _plain(labels)
    if len(listed) == len(pieces):
        return listed
    if len(listed) != num_characters:
        raise DataError(
            f"labels: there are {quantity(len(listed), 'label')} for {quantity(num_characters, 'character')}, of which "
            f"{quantity(len(pieces), 'symbol')} are shown; give one a character, or one a shown symbol."
        )
    ends = np.cumsum([len(piece) for piece in pieces])
    return [listed[max(int(end) - 1, 0)] for end in ends]
