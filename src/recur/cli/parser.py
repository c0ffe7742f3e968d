"""Option parsing shared by the commands: jsonargparse, with options made from dataclasses."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import textwrap
from argparse import SUPPRESS, Action
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, NoReturn, TypeVar, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from recur.errors import OptionError

Options = TypeVar("Options")

_KINDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
LARGEST_SEED = 2**63 - 1
_ALIKE = 0.7
"""How like each other, from 0 to 1, an option that there is not and the one that may be meant are at least."""

Device = Literal["cpu", "cuda", "mps"]


class _Help(DefaultHelpFormatter):
    """Help that names a default where there is one, and leaves out the types, which the text tells."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        is_told = action.option_strings and action.default not in (None, False, SUPPRESS)
        return f"{text} (default: %(default)s)" if is_told else text


class Given(Action):
    """Takes what stands on the command line, and leaves what a configuration file says where nothing stands there."""

    def __call__(
        self, parser: object, namespace: object, values: str | Sequence[Any] | None, option_string: str | None = None
    ) -> None:
        """Set the option, unless there are no values."""
        if values:
            setattr(namespace, self.dest, values)


class CommandParser(ArgumentParser):
    """A parser whose complaints are one line, name the nearest option, and exit with 2.

    Args:
        command: The command.
        description: What it does.
        epilog: What else there is to say at the end of its help.
        way_out: What a complaint ends in; by default where the options are listed.
    """

    def __init__(self, command: str, description: str, epilog: str = "", way_out: str = "") -> None:
        super().__init__(prog=f"recur {command}", description=description, epilog=epilog, formatter_class=_Help)
        self._way_out = way_out or f"`{self.prog} --help` lists the options."
        # A part of a name is no name: what it is short for changes with the options that there are.
        self.allow_abbrev = False

    def add_argument(self, *args: Any, **kwargs: Any) -> Action:
        """Add an argument; text is taken as it stands, where `str | None` would read `#` and `null` as YAML does."""
        if kwargs.get("type") == str | None:
            kwargs["type"] = str
        if kwargs.get("type") == bool | None:
            # To leave an option out says the same as null, which is YAML's.
            kwargs.setdefault("metavar", "{true,false}")
        action: Action = super().add_argument(*args, **kwargs)
        return action

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong in one line and exit with 2."""
        line = " ".join(str(message).split())
        line = _wrong_value(line) or f"{line.removesuffix('.')}{self._nearest(line)}"
        sys.stderr.write(f"{self.prog}: {line} {self._way_out}\n")
        sys.exit(2)

    def _nearest(self, message: str) -> str:
        # The dashes, which all have, make no two alike.
        known = [option[2:] for action in self._actions for option in action.option_strings if option[:2] == "--"]
        # Of the command line, and of a configuration file.
        unknown = re.findall(r"arguments: .*?--([\w-]+)|(?:Option|Key) '([\w.-]+)'", message)
        if not unknown:
            return "."
        group, _, name = "".join(unknown[0]).rpartition(".")
        near = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=_ALIKE)
        flat = f"; a configuration file is flat: write {name} at its left margin, without {group!r}" if group else ""
        is_other = bool(near) and _option(near[0]) != _option(name)
        return f"{flat}; did you mean {_option(near[0])}?" if is_other else f"{flat}."

    def add_options(self, options: type[Any], title: str) -> None:
        """Add an option for every field of a dataclass; its docstring is the help."""
        group = self.add_argument_group(title)
        hints, documents = get_type_hints(options), field_documents(options)
        for field in fields_in_order(options):
            name, default = field.name.replace("_", "-"), field.default
            assert default is not MISSING
            if hints[field.name] is bool and default is False:
                group.add_argument(f"--{name}", action="store_true", help=documents[field.name])
            else:
                group.add_argument(f"--{name}", type=hints[field.name], default=default, help=documents[field.name])


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _wrong_value(message: str) -> str:
    """Return what is wrong with an option's value, in the user's words; empty if `message` is about something else."""
    found = re.match(r'Parser key "(?P<key>\w+)": .*(?:Given|Got) value: (?P<value>.*)$', message)
    if found is None:
        return ""
    literals = re.findall(r"Literal\[([^]]*)\]", message)
    classes = re.findall(r"Expected an? <class '(\w+)'>", message)
    choices = literals[0].replace("'", "").split(", ") if literals else []
    expected = [f"one of {', '.join(choices)}"] if choices else []
    expected += [_KINDS[name] for name in classes if name in _KINDS]
    if not expected:
        return ""
    near = difflib.get_close_matches(found["value"], choices, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    value = found["value"].removesuffix(".")
    return f"{_option(found['key'])}: expected {' or '.join(expected)}, got {value}.{hint}"


def options_from(namespace: Namespace, options: type[Options]) -> Options:
    """Return the dataclass that the parsed options make.

    Raises:
        OptionError: As the dataclass's own checks.
    """
    return options(**{field.name: namespace[field.name] for field in fields(options)})  # type: ignore[arg-type]


def check_seed(seed: int | None) -> None:
    """Raise unless `seed` is one that random generators take.

    Raises:
        OptionError: It is negative or too large.
    """
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise OptionError(f"seed must be a whole number from 0 to {LARGEST_SEED}, not {seed}.")


def check_device(device: Device) -> None:
    """Raise unless `device` is one of this machine.

    Raises:
        OptionError: It is not there.
    """
    if device == "cpu":
        return
    import torch

    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there[device]:
        raise OptionError(f"device {device} is not available on this machine; use cpu.")


def config_first(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with the configuration files first, for of two values the later one wins.

    Example:
        >>> config_first(["a.txt", "--seed", "1", "--config", "own.yaml"])
        ['--config', 'own.yaml', 'a.txt', '--seed', '1']
    """
    first: list[str] = []
    others: list[str] = []
    for place, argument in enumerate(arguments):
        is_value = place > 0 and arguments[place - 1] == "--config"
        is_config = is_value or argument == "--config" or argument.startswith("--config=")
        (first if is_config else others).append(argument)
    return first + others


def given_options(arguments: Sequence[str]) -> set[str]:
    """Return the names, as fields, of the options that stand in `arguments`.

    Example:
        >>> sorted(given_options(["a.txt", "--max-minutes", "3", "--seed=1"]))
        ['max_minutes', 'seed']
    """
    return {argument[2:].split("=")[0].replace("-", "_") for argument in arguments if argument.startswith("--")}


def fields_in_order(options: type[Any]) -> list[Field[Any]]:
    """Return the fields of a dataclass, each whose metadata has "after" after the one of that name."""
    ordered: list[Field[Any]] = []
    for field in fields(options):
        before = field.metadata.get("after")
        place = len(ordered) if before is None else [other.name for other in ordered].index(before) + 1
        ordered.insert(place, field)
    return ordered


def field_documents(options: type[Any]) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, on one line; where several bases have one, the last."""
    documents: dict[str, str] = {}
    for base in reversed(options.__mro__):
        if is_dataclass(base):
            documents |= _documents_of(base)
    return documents


def _documents_of(options: type[Any]) -> dict[str, str]:
    """Return the docstrings of the fields that a dataclass itself declares."""
    body = ast.parse(textwrap.dedent(inspect.getsource(options))).body[0]
    assert isinstance(body, ast.ClassDef)
    documents: dict[str, str] = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            documents[statement.target.id] = " ".join(str(after.value.value).split())
    return documents
