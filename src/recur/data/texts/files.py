"""Which files are meant, and of which part each is."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.data.absent import no_file
from recur.data.series.delimited import codec_of, utf8_of
from recur.data.series.files import kind_of
from recur.data.text import TextFile, bytes_of, files_below
from recur.data.texts.places import Places
from recur.errors import DataError
from recur.wording import enumerated, quantity

if TYPE_CHECKING:
    from recur.data.texts.examples import PartName

_WORDS: dict[str, PartName] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "development": "valid",
    # As the files of CoNLL 2003 are called.
    "testa": "valid",
    "testb": "test",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
"""What parts are called."""

_DESCRIPTIONS = re.compile(r"_*(readme|licen[cs]e|notice|copying|authors|changelog|sources?|citation)([^a-z].*)?", re.I)
"""Names of files that tell of the data and are none."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file with examples.

    Attributes:
        path: Where it lies.
        part: Which part it is, by its name or that of its folder; None where they do not tell.
        folders: The folders between the one that was named and the file, none of which names a part.
    """

    path: Path
    part: PartName | None = None
    folders: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The suffix by which it is read, in small letters and without `.gz`."""
        return kind_of(self.path)

    @property
    def plain_name(self) -> str:
        """The name without `.gz`."""
        return re.sub(r"(?i)\.gz$", "", self.path.name)

    @property
    def stem(self) -> str:
        """The name without its last suffix and `.gz`."""
        return Path(self.plain_name).stem

    @property
    def side(self) -> str:
        """The name without the word of a part: what files that belong to each other have alike."""
        return "".join("" if word.lower() in _WORDS else word for word in re.split(r"([^a-zA-Z0-9])", self.plain_name))


def part_named(name: str) -> PartName | None:
    """Return the part that a name says; None where it says none, or two.

    Example:
        >>> part_named("fre_dev.tsv.gz"), part_named("tasks_test_simple.txt"), part_named("latest.csv")
        ('valid', 'test', None)
    """
    found = {_WORDS[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def part_of_cell(text: str) -> PartName | None:
    """Return the part that a cell of a table, or a folder, is called by; None where it is none of them."""
    return _WORDS.get(text.strip().lower())


def is_path(data: Any) -> bool:
    """Return whether some data are the names of files and folders."""
    if isinstance(data, str | os.PathLike):
        return True
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(one, str | os.PathLike) for one in data)


def paths_of(data: Any) -> list[Path]:
    """Return the names of files and folders as paths, each of which is there.

    Raises:
        DataError: One is not.
    """
    names = [data] if isinstance(data, str | os.PathLike) else list(data)
    paths = [Path(name) for name in names]
    for path in paths:
        if not path.exists():
            raise no_file(path)
    return paths


def find_files(paths: Sequence[Path]) -> tuple[list[DataFile], list[str]]:
    """Return the files that are named, or lie in folders that are, sorted by path, with notes of what is left out.

    Left out are hidden files, run folders, empty files, those that describe the data, such as README.md, and, where
    names in a folder tell parts, those whose names do not.

    Raises:
        DataError: A folder has no files, or is a run.
    """
    found: list[DataFile] = []
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            found += _in_folder(path, notes)
        else:
            found.append(DataFile(path=path, part=part_named(path.name) or part_of_cell(path.parent.name)))
    if all(file.part in ("valid", "test") for file in found):
        # Nothing would be left to train on, so that the names do not mean it, or all is judged on anyway.
        found = [replace(file, part=None) for file in found]
    return found, notes


def only_of(files: list[DataFile], kinds: Sequence[str], notes: list[str]) -> list[DataFile]:
    """Return the files of some kinds, if there are any, with a note of the others; else all of them."""
    chosen = [file for file in files if file.kind in kinds]
    if not chosen or len(chosen) == len(files):
        return files
    others = [file.path.name for file in files if file.kind not in kinds]
    notes.append(f"{left_out(others)}, as the others are {enumerated(sorted({file.kind for file in chosen}))}")
    return chosen


def _in_folder(folder: Path, notes: list[str]) -> list[DataFile]:
    found: list[DataFile] = []
    described: list[str] = []
    for path in files_below(folder):
        inside = path.relative_to(folder).parts
        if path.stat().st_size == 0:
            continue
        if _DESCRIPTIONS.fullmatch(path.name):
            described.append(path.name)
            continue
        parts = [part_named(path.name), *(part_of_cell(name) for name in reversed(inside[:-1]))]
        part = next((part for part in parts if part is not None), None)
        folders = tuple(name for name in inside[:-1] if part_of_cell(name) is None)
        found.append(DataFile(path=path, part=part, folders=folders))
    if not found:
        raise DataError(f"{folder}: is a folder without data; give one with files in it.")
    if any(file.part is not None for file in found):
        others = [file.path.name for file in found if file.part is None]
        if others:
            notes.append(f"{folder}: {left_out(others)}, as the names of the others tell a part")
        found = [file for file in found if file.part is not None]
    if described:
        notes.append(f"{folder}: {left_out(described)}, taken for a description of the data")
    return found


def left_out(names: Sequence[str]) -> str:
    """Return how many files are left out, as a note begins, and some of their names.

    Example:
        >>> left_out(["a.md", "b.md"])
        '2 files left out (a.md, b.md)'
    """
    shown = [*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])]
    return f"{quantity(len(names), 'file')} left out ({', '.join(shown)})"


def text_in(path: Path, codec: str, start: bytes | None = None) -> str:
    r"""Return the text in a file, its lines ending in \n.

    Args:
        path: The file; one whose name ends in `.gz` is unpacked.
        codec: Its encoding.
        start: What it begins with, unpacked, which is read in place of all; None for all.

    Raises:
        DataError: It is missing, damaged, binary, or in another encoding.
    """
    data = b"".join(bytes_of([TextFile.at(path)])) if start is None else start
    text = utf8_of(data, str(path), codec).decode()
    return text.replace("\r\n", "\n") if "\r" in text else text


def lines_in(path: Path, codec: str) -> list[str]:
    """Return the lines of a file, empty ones too.

    Raises:
        DataError: As of `text_in`, or there is nothing but empty lines.
    """
    return lines_of(text_in(path, codec), str(path))


def lines_of(text: str, name: str) -> list[str]:
    """Return the lines of a text, empty ones too.

    Args:
        text: The whole of it.
        name: What it is called.

    Raises:
        DataError: There is nothing but empty lines.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not any(line.strip() for line in lines):
        raise DataError(f"{name}: is empty; give a file with text in it.")
    return lines


def start_of(path: Path, codec: str, num_bytes: int = 1 << 20) -> bytes:
    """Return the lines that a file begins with, unpacked and whole but where the first alone is longer.

    Args:
        path: The file; one whose name ends in `.gz` is unpacked.
        codec: Its encoding; a byte order mark goes before it.
        num_bytes: How many bytes are looked at.

    Raises:
        DataError: It is missing or damaged.
    """
    data = next(bytes_of([TextFile.at(path)], chunk_bytes=num_bytes), b"")
    if len(data) < num_bytes:
        return data
    # Of characters of two bytes or more, one may begin with the byte of a newline, or end in it.
    one, two = (text.encode(codec_of(data, codec)) for text in ("\n", "\n\n"))
    newline = two[len(one) :][:: -1 if data.startswith(codecs.BOM_UTF16_BE) else 1]
    end = data.rfind(newline)
    while end >= 0 and end % len(newline):
        end = data.rfind(newline, 0, end + len(newline) - 1)
    return data if end < 0 else data[: end + len(newline)]


def start_text_of(path: Path, codec: str, num_bytes: int = 1 << 16) -> str:
    """Return the text of the lines that a file begins with, without what is of another encoding.

    Args:
        path: As of `start_of`, as all others.
        codec: Likewise.
        num_bytes: Likewise.

    Raises:
        DataError: It is missing or damaged.
    """
    data = start_of(path, codec, num_bytes)
    return data.decode(codec_of(data, codec), "ignore").removeprefix("\ufeff")


def has_gaps(path: Path, codec: str) -> bool:
    """Return whether lines of a file are empty: of tables none is, of sentences in columns there is one after each.

    Raises:
        DataError: It is missing or damaged.
    """
    return "\n\n" in start_text_of(path, codec, 1 << 20).replace("\r", "")


def first_line_of(path: Path, codec: str) -> str:
    """Return the first line of a file that is not empty; "" where there is none, or it is of another encoding.

    Raises:
        DataError: It is missing or damaged.
    """
    return next((line for line in start_text_of(path, codec).splitlines() if line.strip()), "")


def texts_on_lines(
    files: Sequence[DataFile], codec: str, *, is_below_first: bool = False
) -> tuple[tuple[str, ...], Places]:
    """Return the lines of files, without the white space around them, and where each stood.

    Args:
        files: The files.
        codec: Their encoding.
        is_below_first: Whether the first line that is not empty is left out, as it says what is below it.

    Raises:
        DataError: A file is missing, empty, or in another encoding.
    """
    texts: list[str] = []
    places = []
    for file in files:
        lines = [line.strip() for line in lines_in(file.path, codec)]
        begin = 1 + lines.index(next(filter(None, lines))) if is_below_first else 0
        if begin == len(lines):
            raise DataError(f"{file.path}: has a header but no rows; give a file with texts below it.")
        texts += lines[begin:]
        places.append(Places.of(str(file.path), range(begin + 1, len(lines) + 1)))
    return tuple(texts), Places.joined(places)
