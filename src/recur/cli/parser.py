"""Option parsing shared by the commands: jsonargparse, with options made from dataclasses."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, NoReturn, TypeVar, get_type_hints

from jsonargparse import ArgumentParser, Namespace

Options = TypeVar("Options")


class CommandParser(ArgumentParser):
    """A parser whose complaints are one line, name the nearest option, and exit with 2."""

    def __init__(self, command: str, description: str, epilog: str = "") -> None:
        super().__init__(prog=f"recur {command}", description=description, epilog=epilog)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong in one line and exit with 2."""
        line = " ".join(str(message).split())
        sys.stderr.write(f"{self.prog}: {line}{self._nearest(line)} `{self.prog} --help` lists the options.\n")
        sys.exit(2)

    def _nearest(self, message: str) -> str:
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        unknown = re.findall(r"(?:arguments: .*?|Option ')(?:--)?([\w-]+)", message)
        if not unknown:
            return "."
        near = difflib.get_close_matches("--" + unknown[0].replace("_", "-"), known, n=1)
        return f"; did you mean {near[0]}?" if near else "."

    def add_options(self, options: type[Any], title: str) -> None:
        """Add an option for every field of a dataclass; its docstring is the help."""
        group = self.add_argument_group(title)
        hints, documents = get_type_hints(options), field_documents(options)
        for field in fields(options):
            name, default = field.name.replace("_", "-"), field.default
            assert default is not MISSING
            if hints[field.name] is bool:
                group.add_argument(f"--{name}", action="store_true", help=documents[field.name])
            else:
                group.add_argument(f"--{name}", type=hints[field.name], default=default, help=documents[field.name])


def options_from(namespace: Namespace, options: type[Options]) -> Options:
    """Return the dataclass that the parsed options make.

    Raises:
        OptionError: As the dataclass's own checks.
    """
    return options(**{field.name: namespace[field.name] for field in fields(options)})  # type: ignore[arg-type]


def given_options(arguments: Sequence[str]) -> set[str]:
    """Return the names, as fields, of the options that stand in `arguments`.

    Example:
        >>> sorted(given_options(["a.txt", "--max-minutes", "3", "--seed=1"]))
        ['max_minutes', 'seed']
    """
    return {argument[2:].split("=")[0].replace("-", "_") for argument in arguments if argument.startswith("--")}


@cache
def field_documents(options: type[Any]) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(options))).body[0]
    assert isinstance(body, ast.ClassDef)
    documents: dict[str, str] = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            # A % would be an argparse format.
            documents[statement.target.id] = " ".join(str(after.value.value).split()).replace("%", "%%")
    return documents
