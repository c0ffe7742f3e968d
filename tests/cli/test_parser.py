from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Literal

import pytest

from recur.cli.parser import (
    CommandParser,
    check_device,
    check_seed,
    config_first,
    field_documents,
    fields_in_order,
    given_options,
    options_from,
)
from recur.cli.train import build_parser
from recur.errors import OptionError
from recur.train.table import TASKS


@dataclass(frozen=True, kw_only=True)
class Options:
    speed: int | None = None
    """How fast,
    in 100 % of it."""

    is_loud: bool = False
    """Whether it is heard."""

    color: Literal["red", "green"] = "red"
    """What it looks like."""

    name: str | None = None
    """What it is called."""

    def __post_init__(self) -> None:
        if self.speed == 13:
            raise OptionError("speed must not be 13.")


@dataclass(frozen=True, kw_only=True)
class MoreOptions(Options):
    width: int = field(default=3, metadata={"after": "speed"})
    """How wide."""

    height: int = field(default=4, metadata={"after": "width"})
    """How high."""

    is_loud: bool = True
    """Whether everybody hears it."""


@pytest.fixture
def parser() -> CommandParser:
    parser = CommandParser("go", "Goes.")
    parser.add_options(Options, "going")
    return parser


def test_options_come_from_the_fields(parser: CommandParser) -> None:
    assert options_from(parser.parse_args([]), Options) == Options()
    chosen = options_from(parser.parse_args(["--speed", "3", "--is-loud", "--color=green"]), Options)
    assert chosen == Options(speed=3, is_loud=True, color="green")
    with pytest.raises(OptionError, match=r"^speed must not be 13\.$"):
        options_from(parser.parse_args(["--speed", "13"]), Options)


@pytest.mark.parametrize("name", ["#", "# of rows", "~", "null", "1", "a: b", "[a]", ""])
def test_text_is_taken_as_it_stands(name: str, parser: CommandParser) -> None:
    parser.add_argument("--by-hand", type=str | None, default=None)
    chosen = parser.parse_args(["--name", name, "--by-hand", name])
    assert chosen.name == chosen.by_hand == name
    assert parser.parse_args([]).name is None


def test_help_is_the_docstring(parser: CommandParser) -> None:
    assert field_documents(Options)["speed"] == "How fast, in 100 % of it."
    shown = " ".join(parser.format_help().split())
    assert "How fast, in 100 % of it." in shown


def test_derived_options_stand_where_they_want_to_and_say_their_own() -> None:
    names = ["speed", "width", "height", "is_loud", "color", "name"]
    assert [field.name for field in fields_in_order(MoreOptions)] == names
    assert field_documents(MoreOptions) == {
        "speed": "How fast, in 100 % of it.",
        "width": "How wide.",
        "height": "How high.",
        "is_loud": "Whether everybody hears it.",
        "color": "What it looks like.",
        "name": "What it is called.",
    }


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--sped", "3"], "recur go: unrecognized arguments: --sped 3; did you mean --speed? "),
        (["--xyz"], "recur go: unrecognized arguments: --xyz. "),
        # They share many letters, and nothing else.
        (["--scored", "3"], "recur go: unrecognized arguments: --scored 3. "),
        (["--speed", "high"], "recur go: --speed: expected a whole number, got high. "),
        (["--color", "grene"], "recur go: --color: expected one of red, green, got grene. Did you mean green? "),
        (["--is-loud=maybe"], "recur go: "),
    ],
)
def test_complaints_are_one_line(
    arguments: list[str], line: str, parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.endswith("`recur go --help` lists the options.\n")
    assert printed.count("\n") == 1


def test_configuration_files_come_first() -> None:
    arguments = ["a", "--config", "1.yaml", "--seed", "1", "--config=2.yaml", "b", "--config"]
    assert config_first(arguments) == ["--config", "1.yaml", "--config=2.yaml", "--config", "a", "--seed", "1", "b"]


def test_given_options() -> None:
    assert given_options(["a.txt", "-h", "--max-steps=3", "--seed", "1", "--overwrite"]) == {
        "max_steps",
        "seed",
        "overwrite",
    }


def test_seeds_and_devices() -> None:
    check_seed(None)
    check_seed(2**63 - 1)
    for seed in (-1, 2**63):
        with pytest.raises(
            OptionError, match=rf"^seed must be a whole number from 0 to 9223372036854775807, not {seed}\.$"
        ):
            check_seed(seed)
    check_device("cpu")


def test_a_part_of_a_name_is_no_name(parser: CommandParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--col", "red"])
    assert "unrecognized arguments: --col red; did you mean --color?" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_the_command_line_has_the_defaults_of_python(task: str) -> None:
    chosen = build_parser(task).parse_args(["data"])
    for options in TASKS[task].options.values():
        for one in fields(options):
            assert getattr(chosen, one.name) == one.default, one.name


@pytest.mark.parametrize("task", TASKS)
def test_help_speaks_neither_of_python_nor_of_modules(task: str) -> None:
    for options in TASKS[task].options.values():
        for name, text in field_documents(options).items():
            assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|`\w+[._]\w+", text), (options, name)
    assert "null}" not in build_parser(task).format_help()


def test_what_is_so_by_default_can_be_turned_off() -> None:
    assert build_parser("classify").parse_args(["data", "--bidirectional", "false"]).bidirectional is False
