"""Which command takes an option, for messages that advise one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import fields
from functools import cache


def owner_of(name: str, command: str, arguments: Sequence[str]) -> str | None:
    """Return the command to give an option to: the one that runs, else `train`; None where neither takes it.

    Args:
        name: Of the option, in Python.
        command: The one that runs.
        arguments: What it was given; with --stream, `recur predict` takes fewer.
    """
    if name in _options(command, "--stream" in arguments):
        return command
    return "train" if name in _options("train", False) else None


@cache
def _options(command: str, is_stream: bool) -> frozenset[str]:
    """Return the options of a command, `train` with those of all tasks, by their names in Python."""
    module = importlib.import_module(f"recur.cli.{command}")
    actions = module.build_parser()._actions
    found = {text.removeprefix("--").replace("-", "_") for action in actions for text in action.option_strings}
    if command == "train":
        from recur.train.table import TASKS

        found |= {one.name for task in TASKS.values() for each in task.options.values() for one in fields(each)}
    return frozenset(found.difference(module.NOT_OF_STREAMS) if is_stream and command == "predict" else found)
