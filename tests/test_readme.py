"""What README.md shows works: its Python runs, its commands run, its options exist, its links lead somewhere."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import io
import random
import re
import shlex
import string
from pathlib import Path
from typing import Any

import pytest

from recur.cli.main import COMMANDS, main

WORDS = "the river ran past a mill and miller daughter counted boats how many asked crow seven she said one is blue"
SHORT = "0.02"
"""Minutes that a training gets here, whatever the README gives it."""


@pytest.fixture(scope="module")
def readme() -> str:
    return (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(text: str, *languages: str) -> list[str]:
    """Return the fenced blocks in these languages, in order."""
    return [body for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S) if language in languages]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each `$ recur ...` of the console blocks; only plain calls, nothing with a pipe."""
    found = []
    for block in blocks(text, "console", "sh", "bash"):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        for line in (line.removeprefix("$ ") for line in lines if line.startswith("$ recur ")):
            arguments = shlex.split(line, comments=True)[1:]
            if not {"|", ">", "<", "&&", ";"} & set(arguments):
                found.append(arguments)
    return found


def test_fenced_blocks_are_found() -> None:
    console = "$ recur train x.txt \\\n    --seed 3  # why\nhello\n$ ls\n$ recur info | head\n"
    text = f"```python\na = 1\n```\n\n```console\n{console}```\n"
    assert blocks(text, "python") == ["a = 1\n"]
    assert commands(text) == [["train", "x.txt", "--seed", "3"]]


def test_there_is_something_to_test(readme: str) -> None:
    assert blocks(readme, "python")
    assert {arguments[0] for arguments in commands(readme)} & {"train", "demo"}


@pytest.mark.slow
def test_its_python_runs(readme: str, folder: Path) -> None:
    """Block after block in one folder; what is printed without a clock in it must be what stands below the block."""
    names: dict[str, Any] = {"__name__": "__main__"}
    pattern = r"^```python\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?"
    for code, expected in re.findall(pattern, readme, re.M | re.S):
        printed = io.StringIO()
        shortened = re.sub(r"max_minutes=[\d.]+", f"max_minutes={SHORT}", code)
        with contextlib.redirect_stdout(printed):
            exec(compile(shortened, "README.md", "exec"), names)
        if expected and shortened == code:
            assert printed.getvalue() == expected
        else:
            assert printed.getvalue() or "print(" not in code


@pytest.mark.slow
def test_its_commands_run(readme: str, folder: Path) -> None:
    """One after the other, with short budgets, on made-up files in the place of those that the reader has."""
    draw = random.Random(0)
    # Once every character, so that any prompt is known.
    text = string.printable[:95] + "\n"
    text += "".join(" ".join(draw.choice(WORDS.split()) for _ in range(8)).capitalize() + ".\n" for _ in range(400))
    for arguments in commands(readme):
        for name in arguments:
            if re.fullmatch(r"[\w./-]+\.(txt|md)", name) and not Path(name).exists():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_text(text)
            if name.endswith(".csv") and not Path(name).exists():
                days = [datetime.date(2013, 1, 1) + datetime.timedelta(days=day) for day in range(500)]
                rows = [f"{day},{10 + day.weekday() + draw.random():.3f}" for day in days]
                Path(name).write_text("\n".join(["day,load", *rows]) + "\n")
        chosen = list(arguments)
        for option in ("--max-minutes", "--minutes"):
            if option in chosen:
                chosen[chosen.index(option) + 1] = SHORT
        if chosen[0] == "train" and "--max-minutes" not in chosen and "--resume" not in chosen:
            chosen += ["--max-minutes", SHORT]
        if chosen[0] == "demo" and "--minutes" not in chosen:
            chosen += ["--minutes", SHORT]
        assert main(chosen) == 0, f"recur {shlex.join(arguments)}"


def test_its_commands_and_options_exist(readme: str) -> None:
    for arguments in commands(readme):
        assert arguments[0] in [*COMMANDS, "--help", "--version"], arguments
        if arguments[0] in COMMANDS:
            importlib.import_module(f"recur.cli.{arguments[0]}").build_parser().parse_args(arguments[1:])
    known = {
        option
        for name in COMMANDS
        for action in importlib.import_module(f"recur.cli.{name}").build_parser()._actions
        for option in action.option_strings
    }
    named = {name for span in re.findall(r"`([^`\n]+)`", readme) for name in re.findall(r"--[a-z][a-z-]+", span)}
    assert named <= known | {"--version", "--traceback"}


def test_its_links_lead_somewhere(readme: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", readme) + re.findall(r'(?:src|srcset|href)="([^"]+)"', readme)
    local = [link for link in links if not link.startswith(("http://", "https://", "mailto:"))]
    assert local
    assert [link for link in local if not (root / link).exists()] == []
    assert set(re.findall(r"`make (\w+)`", readme)) <= set(
        re.findall(r"^(\w+):", (root / "Makefile").read_text(), re.M)
    )
