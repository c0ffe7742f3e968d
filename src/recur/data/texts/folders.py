"""Folders by class: a folder for each class with a file for each text, or a file for each class with a text a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from recur.data.texts.examples import LabelledTexts, PartName, Unit, in_order
from recur.data.texts.files import DataFile, left_out, lines_in, text_in
from recur.data.texts.places import Places
from recur.errors import OptionError
from recur.wording import option

PLAIN = (".txt", ".text", "")
"""Suffixes of files that hold nothing but text."""
_FEW_FILES, _MANY_LINES = 4, 20
"""With fewer files a class than this, of more lines than that, each line is a text."""


def files_by_class(files: Sequence[DataFile], notes: list[str]) -> list[DataFile] | None:
    """Return the files that are ordered by class; None where they are not.

    They are where most are text in folders of several names, or where all are text beside each other, of several names
    that are not those of parts.

    Args:
        files: All that were found.
        notes: Takes a note of those in no folder that are left out.
    """
    in_folders: list[DataFile] = []
    others: list[DataFile] = []
    for file in files:
        (in_folders if file.folders and file.kind in PLAIN else others).append(file)
    if 2 * len(in_folders) > len(files):
        if len({file.folders[0] for file in in_folders}) < 2:
            return None
        if others:
            names = [file.path.name for file in others]
            notes.append(f"{left_out(names)}, as the others are text in folders by class")
        return in_folders
    is_text = all(file.kind in PLAIN and not file.folders and _class_of(file) for file in files)
    return list(files) if is_text and len({_class_of(file) for file in files}) > 1 else None


def _class_of(file: DataFile) -> str:
    """Return the class that a file's folder names, or else its own name without that of a part."""
    if file.folders:
        return file.folders[0]
    return Path(file.side).stem.strip("_-. ") if file.part is not None else file.stem


def read_folders(
    files: Sequence[DataFile],
    codec: str,
    unit: Unit | None = None,
    *,
    learned: Unit | None = None,
    has_classes: bool = True,
) -> LabelledTexts:
    """Return the texts in files that hold nothing else.

    Args:
        files: Ordered by class, as `files_by_class` returns them; without classes any.
        codec: Their encoding.
        unit: What one text is. If not given it is as in the data learned from, or else a line where a file is all that
            a class has, or where classes have few files of many lines.
        learned: What it was in the data learned from; None where there are none, or these had no such files.
        has_classes: Whether each text is of the class that its folder or file is called by; else classes are missing.

    Raises:
        DataError: A file is missing, empty, binary, or in another encoding.
        OptionError: Files without a folder are to be one text each, so that nothing tells their class.
    """
    in_folders = all(file.folders for file in files)
    if unit == "file" and has_classes and not in_folders:
        raise OptionError(
            f"unit: {files[0].path} is in no folder of a class, so that nothing tells the class of a whole file; "
            f"say {option('unit', 'line')}, or put the files of each class into a folder."
        )
    by_class: dict[str, list[DataFile]] = {}
    for file in files:
        by_class.setdefault(_class_of(file), []).append(file)
    is_told = in_folders or not has_classes
    chosen = unit or (learned if is_told else "line") or _unit_of(files, by_class, codec)
    texts: list[str] = []
    labels: list[tuple[str, ...] | None] = []
    part: list[PartName | None] = []
    places: list[Places] = []
    for name, own in by_class.items():
        for file in own:
            found = lines_in(file.path, codec) if chosen == "line" else [text_in(file.path, codec).strip()]
            texts += [line.strip() for line in found]
            labels += [(name,) if has_classes else None] * len(found)
            part += [file.part] * len(found)
            unit_name = "line" if chosen == "line" else ""
            places.append(Places.of(str(file.path), np.arange(1, len(found) + 1), unit_name))
    why = ""
    if learned is not None and unit is None:
        why = ", as in the data learned from" if chosen == learned else ", as nothing tells the class of a whole file"
    elif unit is None and has_classes and files[0].folders:
        why = f"; {option('unit', 'file' if chosen == 'line' else 'line')} says otherwise"
    if has_classes:
        where = "folder" if files[0].folders else "file"
        note = f"each {where} is a class, {len(by_class)} in all, and each {chosen} a text"
    else:
        name = f"{files[0].path}{' and others' if len(files) > 1 else ''}"
        note = f"{name}: each {chosen} is taken for a text"
        why += "; each line of a .tsv is one" if chosen == "file" else ""
    return LabelledTexts(
        texts=tuple(texts),
        labels=tuple(labels),
        classes=in_order(by_class) if has_classes else (),
        places=Places.joined(places),
        part=tuple(part),
        unit=chosen,
        notes=(note + why,),
    )


def _unit_of(files: Sequence[DataFile], by_class: dict[str, list[DataFile]], codec: str) -> Unit:
    if not all(file.folders for file in files):
        return "line"
    parts = {file.part for file in files}
    if median(len(own) for own in by_class.values()) / len(parts) >= _FEW_FILES:
        return "file"
    lines = [sum(bool(line.strip()) for line in lines_in(file.path, codec)) for file in files]
    return "line" if median(lines) > _MANY_LINES else "file"
