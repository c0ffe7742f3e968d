"""The page on texts from texts: its example runs, and the options that it names exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from recur.cli import inspect, predict
from recur.train.table import TASKS


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/tasks/translate.md").read_text(encoding="utf-8")


def test_the_example(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        short = snippet.replace("max_steps=600", "max_steps=4, no_report=True").replace("range(1000)", "range(60)")
        exec(compile(short, "translate.md", "exec"), names)
    verdict, answer, several, *_ = capsys.readouterr().out.splitlines()
    assert "on 6 texts of the test part, against" in verdict
    assert set(answer) <= set("0123456789")
    assert several.startswith("[(")
    assert len(names["several"]) == 3
    assert names["found"].nodes[0].step == 0
    table = names["table"]
    assert table.columns == ["source", "target", "score", "ended"]
    again = type(names["translator"]).load("runs/copy")
    assert again.predict(["ninety nine", "six"]).equals(table)


def test_its_options_exist(page: str) -> None:
    parsers = (predict.build_parser(), inspect.build_parser())
    known = {text for parser in parsers for action in parser._actions for text in action.option_strings}
    known |= {"--part", "--json"}
    for options in TASKS["translate"].options.values():
        known |= {"--" + field.name.replace("_", "-") for field in fields(options)}
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", page))
    assert len(named) > 20
    assert named <= known | {"--task", "--resume"}
