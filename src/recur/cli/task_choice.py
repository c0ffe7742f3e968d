"""Which task `recur train` is asked for: said, of the run that goes on, or guessed from DATA."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.train.table import TASKS, task_of


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What arguments say before it is known which options there are.

    Attributes:
        task: The last --task, on the command line or else in a configuration file.
        resume: Likewise --resume.
        data: DATA; of a configuration file where the command line has none.
        given: What the last of each other option says, by its name as a field; likewise of configuration files.
    """

    task: str | None
    resume: str | None
    data: tuple[str, ...]
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def asks_for_help(self) -> bool:
        """Whether the options are to be shown, and nothing is to be done."""
        return not _HELP.isdisjoint(self.given)

    @classmethod
    def at(cls, arguments: Sequence[str], flags: frozenset[str]) -> Glance:
        """Return what is seen in `arguments`.

        Args:
            arguments: Of the command.
            flags: The options that take no value, such as "--overwrite".

        Example:
            >>> Glance.at(["--overwrite", "a.txt", "--seed", "3", "--task=language"], frozenset({"--overwrite"}))
            Glance(task='language', resume=None, data=('a.txt',), given={'overwrite': '', 'seed': '3'})
        """
        values: dict[str, list[str]] = {"--task": [], "--resume": [], "--config": []}
        data: list[str] = []
        left = list(arguments)
        while left:
            argument = left.pop(0)
            if argument == "--":
                data += left
                break
            if argument == "-" or not argument.startswith("-"):
                data.append(argument)
                continue
            name, is_joined, value = argument.partition("=")
            if not is_joined and name not in flags and left:
                value = left.pop(0)
            values.setdefault(name, []).append(value)
        from_files: dict[str, Any] = {}
        for path in values["--config"]:
            from_files |= _content(path)
        return cls(
            task=_text(values["--task"][-1] if values["--task"] else from_files.get("task")),
            resume=_text(values["--resume"][-1] if values["--resume"] else from_files.get("resume")),
            data=tuple(data or _names(from_files)),
            given=_flat(from_files, flags)
            | {
                name.removeprefix("--").replace("-", "_"): found[-1]
                for name, found in values.items()
                if name not in _OWN and found
            },
        )


_HELP = frozenset({"help", "_h"})
"""What --help and -h are called as fields."""

_OWN = ("--task", "--resume", "--config")
"""What is looked for by name."""


def _flat(content: dict[str, Any], flags: Collection[str]) -> dict[str, str]:
    """Return what a configuration file says of options, as the command line would; but for nothing, and no flags."""
    return {
        str(name): str(value)
        for name, value in content.items()
        if value is not None
        and name not in ("task", "resume", "data")
        and not (value is False and f"--{name}".replace("_", "-") in flags)
    }


def _content(path: str) -> dict[str, Any]:
    """Return what a configuration file says; nothing where it is none, which the parser will tell."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _names(content: dict[str, Any]) -> list[str]:
    data = content.get("data")
    names = data if isinstance(data, list) else [data]
    return [name for name in names if isinstance(name, str)]


def flags_of(options: Iterable[type[Any]]) -> frozenset[str]:
    """Return the options without a value that dataclasses make."""
    names: set[str] = set()
    for each in options:
        hints = get_type_hints(each)
        names |= {one.name for one in fields(each) if hints[one.name] is bool and one.default is False}
    return frozenset("--" + name.replace("_", "-") for name in names)


_OF_TEXTS = {"classify": "classify-text"}
"""Tasks on series that have one of the same kind on texts, by which they are meant where DATA are texts."""


def choose_task(glance: Glance) -> tuple[str, str]:
    """Return the name of the task, and why it was guessed, or nothing where it was not.

    Raises:
        OptionError: There is no such task.
        DataError: It cannot be guessed, as a file is empty, or a column that an option names is not there.
    """
    try:
        return _chosen(glance)
    except DataError:
        if not glance.asks_for_help:
            raise
        # Help is wanted whatever is wrong with the data.
        return _chosen(replace(glance, data=()))


def _chosen(glance: Glance) -> tuple[str, str]:
    if glance.task is not None:
        name, reason = task_of(glance.task)
        of_texts = _OF_TEXTS.get(name)
        if of_texts is not None and glance.resume is None and glance.data:
            recognised = TASKS[of_texts].recognises(glance.data, glance.given)
            return (of_texts, recognised) if recognised else (name, reason)
        return name, reason
    if glance.resume is not None:
        return _task_of_run(glance.resume), ""
    first = next(iter(TASKS))
    if not glance.data:
        return first, ""
    _check_not_empty(glance.data, glance.given)
    # Tasks that have the options come first, yet an option that is none of its task's is no reason to take another.
    for name in dict.fromkeys([*_with_options(glance.given), *TASKS]):
        reason = TASKS[name].recognises(glance.data, glance.given)
        if reason:
            return name, reason
    return first, "no other task takes such data"


_NOT_EMPTY = 1 << 16
"""Bytes of a file that are not asked whether they are but a header."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _check_not_empty(sources: Iterable[str], given: Mapping[str, str]) -> None:
    """Raise where a file has nothing in it, or nothing but names of columns, whatever task its name tells."""
    from recur.data.series.delimited import codec_of
    from recur.data.text import TextFile, bytes_of
    from recur.data.texts.tables import TABBED

    has_names = given.get("has_header", "true").lower() in ("true", "yes")
    for path in map(Path, sources):
        # What is no file, or cannot be read, is told by whoever reads it; pathlib stumbles over closed folders.
        if not os.path.isfile(path) or not os.access(path, os.R_OK):  # noqa: PTH113
            continue
        start = next(bytes_of([TextFile.at(path)], chunk_bytes=_NOT_EMPTY), b"")
        if len(start) == _NOT_EMPTY:
            continue
        text = _decoded(start, codec_of(start, given.get("encoding") or "utf-8"))
        if "\0" in text:
            # Characters of several bytes, in an encoding that nothing tells, or no text; its reader says so.
            continue
        is_table = Path(path.name.lower().removesuffix(".gz")).suffix in (".csv", *TABBED)
        lines = [line for line in re.split(r"[\r\n]", text) if line.strip(" \t,;" if is_table else " \t")]
        if not lines:
            raise DataError(f"{path}: is empty; give a file with {'a table' if is_table else 'text'} in it.")
        if is_table and has_names and len(lines) == 1 and not _has_number(lines[0], given.get("separator")):
            raise DataError(f"{path}: has a header but no rows; give a file with a table in it.")


def _decoded(data: bytes, codec: str) -> str:
    """Return text with a mark for each character that is of another encoding, so that none is lost."""
    try:
        text = data.decode(codec, "replace")
    except (LookupError, ValueError):
        # There is no such encoding, which its reader says.
        text = data.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def _has_number(line: str, separator: str | None) -> bool:
    """Return whether a cell of a line is a number, whatever may stand between its cells."""
    from recur.data.series.delimited import SEPARATORS

    cells = re.split(f"[{re.escape(SEPARATORS)}]", line)
    if separator and separator != "whitespace":
        cells = [part for cell in cells for part in cell.split(separator)]
    if len(cells) == 1:
        cells = line.split()
    return any(_NUMBER.fullmatch(cell.strip(' "')) for cell in cells)


def options_of_tasks() -> dict[str, set[str]]:
    """Return the names of the options of each task, without those that all tasks have of the command."""
    return {name: {one.name for each in task.options.values() for one in fields(each)} for name, task in TASKS.items()}


def _with_options(given: Mapping[str, str]) -> list[str]:
    """Return the tasks that have all the given options which any task has."""
    options = options_of_tasks()
    known = {option for option in given if any(option in own for own in options.values())}
    return [name for name, own in options.items() if known <= own]


def _task_of_run(path: str) -> str:
    """Return the task of a run, or the first one where that cannot be told, which resuming will say."""
    first = next(iter(TASKS))
    try:
        name = RunFolder.open(path).config().get("task")
    except RunError:
        return first
    return name if isinstance(name, str) and name in TASKS else first
