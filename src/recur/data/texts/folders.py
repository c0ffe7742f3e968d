"""Folders by class: a folder for each class with a file for each text, or a file for each class with a text a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from recur.data.texts.examples import LabelledTexts, PartName, in_order
from recur.data.texts.files import DataFile, lines_in, text_in
from recur.data.texts.places import Places
from recur.data.texts.tables import TABLES
from recur.errors import OptionError
from recur.wording import option

Unit = Literal["file", "line"]

PLAIN = (".txt", ".text", "")
"""Suffixes of files that hold nothing but text."""
_FEW_FILES, _MANY_LINES = 4, 20
"""With fewer files a class than this, of more lines than that, each line is a text."""


def holds_classes(files: Sequence[DataFile]) -> bool:
    """Return whether files are ordered by class: text in folders, or files of text whose names are no parts."""
    if any(file.kind in TABLES or file.kind not in PLAIN for file in files):
        return False
    if all(file.folders for file in files):
        return len({file.folders[0] for file in files}) > 1
    named = [file for file in files if not file.folders and _class_of(file)]
    return len(named) == len(files) and len({_class_of(file) for file in files}) > 1


def _class_of(file: DataFile) -> str:
    """Return the class that a file's folder names, or else its own name without that of a part."""
    if file.folders:
        return file.folders[0]
    return Path(file.side).stem.strip("_-. ") if file.part is not None else file.stem


def read_folders(files: Sequence[DataFile], codec: str, unit: Unit | None = None) -> LabelledTexts:
    """Return the texts in files that are ordered by class.

    Args:
        files: As `holds_classes` accepts them.
        codec: Their encoding.
        unit: What one text is. If not given, a line where a file is all that a class has, or where classes have few
            files of many lines.

    Raises:
        DataError: A file is missing, empty, binary, or in another encoding.
        OptionError: Files without a folder are to be one text each, so that nothing tells their class.
    """
    if unit == "file" and not all(file.folders for file in files):
        raise OptionError(
            f"unit: {files[0].path} is in no folder of a class, so that nothing tells the class of a whole file; "
            f"say {option('unit', 'line')}, or put the files of each class into a folder."
        )
    by_class: dict[str, list[DataFile]] = {}
    for file in files:
        by_class.setdefault(_class_of(file), []).append(file)
    chosen = unit or _unit_of(files, by_class, codec)
    names = list(by_class)
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    part: list[PartName | None] = []
    places: list[Places] = []
    for name, own in by_class.items():
        for file in own:
            found = lines_in(file.path, codec) if chosen == "line" else [text_in(file.path, codec).strip()]
            texts += [line.strip() for line in found]
            labels += [(name,)] * len(found)
            part += [file.part] * len(found)
            unit_name = "line" if chosen == "line" else ""
            places.append(Places.of(str(file.path), np.arange(1, len(found) + 1), unit_name))
    where = "folder" if files[0].folders else "file"
    what = "line" if chosen == "line" else "file"
    told = "" if unit else f"; {option('unit', 'file' if chosen == 'line' else 'line')} says otherwise"
    note = f"each {where} is a class, {len(names)} in all, and each {what} a text{told if files[0].folders else ''}"
    return LabelledTexts(
        texts=tuple(texts),
        labels=tuple(labels),
        classes=in_order(names),
        places=Places.joined(places),
        part=tuple(part),
        notes=(note,),
    )


def _unit_of(files: Sequence[DataFile], by_class: dict[str, list[DataFile]], codec: str) -> Unit:
    if not all(file.folders for file in files):
        return "line"
    parts = {file.part for file in files}
    if median(len(own) for own in by_class.values()) / len(parts) >= _FEW_FILES:
        return "file"
    lines = [sum(bool(line.strip()) for line in lines_in(file.path, codec)) for file in files]
    return "line" if median(lines) > _MANY_LINES else "file"
