"""The page on texts from labels: its example runs, and the options that it names exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from recur.cli import evaluate, generate, predict
from recur.train.table import TASKS


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/tasks/write.md").read_text(encoding="utf-8")


def test_the_example(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        short = snippet.replace("max_steps=600", "max_steps=4, no_report=True").replace("range(400)", "range(40)")
        exec(compile(short, "write.md", "exec"), names)
    verdict, *written, likely = capsys.readouterr().out.splitlines()
    assert "nats a character on 12 texts of the test part, against" in verdict
    assert [line.split(" [")[0] for line in written] == ["Dwarvish", "Elvish", "Orcish"]
    assert likely.startswith("[-")


def test_its_options_exist(page: str) -> None:
    parsers = (generate.build_parser(), predict.build_parser(), evaluate.build_parser())
    known = {text for parser in parsers for action in parser._actions for text in action.option_strings}
    for options in TASKS["write"].options.values():
        known |= {"--" + field.name.replace("_", "-") for field in fields(options)}
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", page))
    assert len(named) > 12
    assert named <= known | {"--task", "--resume"}
