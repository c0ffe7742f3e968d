"""What a task tells the commands that work on its runs, and which of their options are whose."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from recur._lazy import function_of
from recur.cli.parser import options_from
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.train.table import TASKS
from recur.wording import enumerated, option

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.tasks.inspection.content import Inspection

T = TypeVar("T")

OF_TABLES = frozenset(one.name for one in fields(OtherTableOptions)) - {"encoding"}
"""Options of how DATA are written that the runs on series have; the encoding is of any text."""

Command = Literal["evaluate", "predict", "inspect", "generate"]
"""A command that takes a run."""


def _takes_all(chosen: Namespace) -> None:
    """Find nothing wrong with the arguments of `recur inspect`."""


@dataclass(frozen=True, kw_only=True)
class RunHandling:
    """What the commands do with the runs of a task; its module loads no torch.

    Attributes:
        evaluate: Judges, by the arguments of `recur evaluate`, and returns what --json prints; it has "notes".
        show: Prints what `evaluate` returned, but for the notes.
        show_finished: Prints the figures of the run that was just trained, which lies there, and what to do next.
        predict: Predicts, by the run and the arguments of `recur predict`; None where such models cannot.
        takes_lines: Whether it predicts of lines of standard input too, each of which is a text.
        writers: Kinds of files, by their suffix, that predictions can be written to beside those of tables.
        stream: Answers the lines of standard input, by the run and the arguments of `recur predict`; None where such
            models cannot.
        inspect: Looks inside, by the run, the arguments of `recur inspect`, where to print notes, and what is called
            with what is being done; returns what was found, and the lines to print of it. None where such models cannot
            be looked into.
        check_inspection: Raises an `OptionError` where arguments of `recur inspect` do not go with each other.
        instead: Where they cannot, what can be done with them, as a sentence.
        options: By command, the options that not the runs of every task have, but these do; `recur generate` takes the
            runs that have a word on it here.
    """

    evaluate: Callable[[Namespace], dict[str, Any]]
    show: Callable[[Mapping[str, Any], Console], None]
    show_finished: Callable[[Path, Console], None]
    inspect: Callable[[RunFolder, Namespace, Console, Callable[[str], None]], tuple[Inspection, Iterator[str]]] | None
    check_inspection: Callable[[Namespace], None] = _takes_all
    predict: Callable[[RunFolder, Namespace], pl.DataFrame] | None = None
    takes_lines: bool = False
    writers: Mapping[str, Callable[[pl.DataFrame, Path], None]] = field(default_factory=dict)
    stream: Callable[[RunFolder, Namespace], None] | None = None
    instead: str = ""
    options: Mapping[Command, Collection[str]]


def handling_of(task: str) -> RunHandling:
    """Return what the commands do with the runs of a task of the table."""
    made: RunHandling = function_of(TASKS[task].handling)()
    return made


def open_run(path: str, command: Command, given: Collection[str]) -> tuple[RunFolder, str]:
    """Return a run folder and its task, once it is clear that the options go with it.

    Args:
        path: The folder.
        command: The command that was given.
        given: Names of the options that were.

    Raises:
        RunError: There is no such folder, or it is damaged, of a task that this version does not know, or of one that
            cannot be looked into and was to be.
        OptionError: An option is of runs of other tasks.
    """
    try:
        folder = RunFolder.open(path)
    except RunError as error:
        with suppress(OSError):
            if Path(path).is_file():
                data = shlex.quote(path)
                reason = f"{path}: is a file, not a run folder; the run comes first: recur {command} RUN {data}"
                raise RunError(reason) from error
        raise
    task = folder.config().get("task")
    if task not in TASKS:
        raise RunError(f"{folder.path}: is a run of task {task!r}, expected {' or '.join(map(repr, TASKS))}.")
    handling = handling_of(task)
    if command == "inspect" and handling.inspect is None:
        # Before its options: there is nothing that these could be of.
        raise RunError(
            f"{folder.path}: is a run of task {task!r}, into which recur inspect does not look. {handling.instead}"
        )
    check_owned(str(task), command, given)
    return folder, str(task)


def check_owned(task: str, command: Command, given: Collection[str]) -> None:
    """Raise where an option of a command is of runs of other tasks.

    Args:
        task: Of the run.
        command: The command that was given.
        given: Names of the options that were.

    Raises:
        OptionError: One is.
    """
    owners: dict[str, list[str]] = {}
    for name in TASKS:
        for owned in handling_of(name).options.get(command, ()):
            owners.setdefault(owned, []).append(name)
    for name in sorted(given):
        if name in owners and task not in owners[name]:
            raise OptionError(
                f"{name} is of {enumerated(owners[name])} runs, and this is one of task {task}; leave "
                f"{'DATA' if name == 'data' else option(name)} out."
            )


def loaded(load: Callable[..., T], folder: RunFolder, chosen: Namespace) -> T:
    """Return the model of a run, which reads other data as the arguments of a command say that they are written.

    Args:
        load: Loads it.
        folder: The run.
        chosen: The arguments.
    """
    trained = load(folder, device=chosen.device)
    reader: Any = trained
    reader.setup = reader.setup.for_other(options_from(chosen, OtherTableOptions))
    return trained


def unfinished(folder: RunFolder) -> list[str]:
    """Return a note where the training of a run has not ended, so that more is to be had of it; nothing elsewhere.

    Raises:
        RunError: The folder is damaged.
    """
    if not folder.is_unfinished():
        return []
    return [
        f"the training of this run is not finished; go on with: recur train --resume {shlex.quote(str(folder.path))}"
    ]


def show_notes(notes: Iterable[str]) -> None:
    """Print notes beside what a command writes, on standard error."""
    for note in notes:
        sys.stderr.write(f"note     {note}\n")


def show_next(path: Path, console: Console, **commands: str) -> None:
    """Print where the report of a run is, if it has one, and commands with the run in place of {run}."""
    run = shlex.quote(str(path))
    if (path / "report.html").exists():
        console.print(f"{'report':<8} {path / 'report.html'}")
    for what, command in {**commands, "judge": "recur evaluate {run}"}.items():
        console.print(f"{what:<8} {command.format(run=run)}")
