"""`recur train`: from data to a run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur._lazy import function_of
from recur.cli.parser import CommandParser, Given, config_first, given_options, options_from
from recur.cli.task_choice import Glance, choose_task, flags_of, options_of_tasks
from recur.data.text import check_found
from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.train.options import ENDINGS
from recur.train.table import TASKS
from recur.wording import enumerated, option

if TYPE_CHECKING:
    from rich.console import Console

_FLAGS = frozenset({"--help", "-h", "--overwrite", "--print_config"})
"""Options of every task that take no value, or none of their own."""


def build_parser(name: str | None = None, reason: str = "") -> CommandParser:
    """Return the command's parser.

    Args:
        name: Of the task whose options it has; the first of the table when None.
        reason: Why it was guessed, for complaints; nothing where it was not.
    """
    first = next(iter(TASKS))
    name = name or first
    task = TASKS[name]
    asked = "recur train --help" if name == first else f"recur train --task {name} --help"
    parser = CommandParser(
        "train",
        "Train a model on DATA and write everything about it to a run folder: best weights, figures, report. "
        f"These are the options of the task {name}: {task.about}.",
        _other_tasks(name),
        f"`{asked}` lists the options{f' of the task {name}, as {reason}' if reason else ''}.",
    )
    parser.add_argument("--config", action="config", help="YAML file of options; those of the command line win")
    parser.add_argument("data", nargs="*", action=Given, default=[], help=task.data)
    names = ", ".join(" or ".join([name, *one.uses]) for name, one in TASKS.items())
    parser.add_argument("--task", type=str | None, default=None, help=f"kind of problem; guessed from DATA: {names}")
    parser.add_argument("--out", type=str | None, default=None, help="run folder; runs/<name of the data> by default")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that stands there")
    parser.add_argument(
        "--resume", type=str | None, default=None, metavar="RUN", help="go on with this run, where it stopped"
    )
    parser.add_argument(
        "--continue",
        type=str | None,
        default=None,
        metavar="RUN",
        help="let the forecaster of this run learn on from DATA, which are new rows; the result is a run beside it",
    )
    for title, options in task.options.items():
        parser.add_options(options, title)
    return parser


def _other_tasks(name: str) -> str:
    """Return how to see the options of the other tasks; nothing where there is none."""
    others = [other for other in TASKS if other != name]
    return " ".join(f"`recur train --task {other} --help` shows those of {TASKS[other].about}." for other in others)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    # Before torch is imported: remarks of its C++ about itself are not for the user's terminal.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    every = {options for task in TASKS.values() for options in task.options.values()}
    glance = Glance.at(arguments, _FLAGS | flags_of(every))
    name, reason = choose_task(glance)
    task = TASKS[name]
    if not glance.asks_for_help:
        _check_takes(name, reason, glance)
    chosen = build_parser(name, reason).parse_args(config_first(arguments))
    if chosen.resume is not None:
        return _resume(chosen.resume, given_options(arguments), chosen.data, chosen)
    data = _names(chosen.data)
    if chosen["continue"] is not None:
        return _continue(chosen["continue"], given_options(arguments), data, chosen)
    if not data:
        raise OptionError(f"train needs DATA: {task.data}; or --resume RUN.")
    options = {argument: options_from(chosen, options) for argument, options in task.options.items()}
    # Before torch is imported, which takes seconds.
    task.check(data, options)
    console = _console()
    if reason:
        console.print(f"task     {name}, as {reason}; --task chooses another{_as_pairs(name, data)}", soft_wrap=True)
    folder = function_of(task.train)(data, out=chosen.out, overwrite=chosen.overwrite, console=console, **options)
    _show(folder)
    return 0


def _check_takes(name: str, reason: str, glance: Glance) -> None:
    """Raise where an option is of other tasks than the one that was said, or guessed for a reason."""
    every = options_of_tasks()
    for one in sorted(glance.given):
        owners = [task for task, own in every.items() if one in own]
        if owners and name not in owners:
            # What is not there tells of no task.
            check_found(glance.data)
            other = ", or choose another task with --task" if reason else ""
            raise OptionError(
                f"{one} is of {enumerated(owners)}, and this is the task {name}{f', as {reason}' if reason else ''}; "
                f"leave {option(one)} out{other}."
            )


def _as_pairs(name: str, data: list[str]) -> str:
    """Return that two files which are taken for text to learn from may as well be meant to belong together."""
    is_two = name == "language" and len(data) == 2 and all(Path(one).is_file() for one in data)
    return f": translate, if the lines of {data[0]} belong to those of {data[1]}" if is_two else ""


def _names(data: object) -> list[str]:
    """Return the names in DATA, for which a configuration file may also have a single one."""
    names = [data] if isinstance(data, str) else data
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"data: expected a name or a list of names, got {data!r}; name files or folders.")
    return names


def _resume(run_path: str, given: set[str], data: object, chosen: Any) -> int:
    others = sorted(given - {"resume", *ENDINGS})
    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise OptionError(f"--resume goes on with the run's own options; leave {names} out, or train anew.")
    sources = _names(data)
    task = RunFolder.open(run_path).config().get("task")
    if sources and not (task in TASKS and TASKS[task].takes_data_again):
        raise OptionError("--resume takes no DATA: the run knows its own.")
    from recur.train.resumption import resume

    bounds = {name: getattr(chosen, name) for name in ENDINGS if name in given}
    _show(resume(run_path, data=sources or None, bounds=bounds, console=_console()))
    return 0


_OF_CONTINUING = {"max_steps": "steps", "learning_rate": "learning_rate", "batch_size": "batch_size", "seed": "seed"}
"""Options of training that say how a model learns on, and what they are called there."""


def _continue(run_path: str, given: set[str], data: list[str], chosen: Any) -> int:
    others = sorted(given - {"continue", "task", "out", "overwrite", *_OF_CONTINUING})
    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise OptionError(f"--continue goes on with the run's own options; leave {names} out, or train anew.")
    if len(data) != 1:
        raise OptionError(f"--continue takes one table of new rows, or a folder of them, got {len(data)} names.")
    folder = RunFolder.open(run_path)
    task = folder.config().get("task")
    if task != "forecast":
        raise RunError(f"{folder.path}: is a run of task {task!r}, but only forecasters learn on.")
    check_found(data)
    from recur.streaming.continuation import continue_run
    from recur.streaming.learning import LearningOptions

    options = {name: getattr(chosen, option) for option, name in _OF_CONTINUING.items() if option in given}
    console = _console()
    with console.status("learning on"):
        made, record = continue_run(
            folder, data[0], out=chosen.out, options=LearningOptions(**options), overwrite=chosen.overwrite
        )
    console.print(str(record), soft_wrap=True)
    if record.is_kept:
        sys.stdout.write(f"run      {made.path}\n")
    return 0


def _console() -> Console:
    """Return where progress is shown: standard error, of the first process alone."""
    from recur.cli.console import plain_console
    from recur.train.processes import is_first

    return plain_console(stderr=True, quiet=not is_first(), soft_wrap=False)


def _show(folder: RunFolder) -> None:
    """Print the figures of a finished run, and what to do next."""
    from recur.cli.console import plain_console
    from recur.cli.handling.run_handling import handling_of

    handling_of(folder.config()["task"]).show_finished(folder.path, plain_console())
