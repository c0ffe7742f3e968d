"""The page on classes of texts: its examples run, and the options that it names exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recur.cli import evaluate, inspect, predict
from recur.train.table import TASKS

PRAISE, BLAME = ("good food", "lovely place", "so kind"), ("bad food", "awful place", "so rude")


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/tasks/text.md").read_text(encoding="utf-8")


def of_reviews() -> tuple[list[str], list[str]]:
    """60 texts and what they say, 0 or 1 by turns."""
    texts = [f"{(BLAME, PRAISE)[number % 2][number % 3]} at table {number}" for number in range(60)]
    return texts, [("complains", "praises")[number % 2] for number in range(60)]


def test_the_examples(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    texts, labels = of_reviews()
    pl.DataFrame({"text": texts, "label": labels}).write_csv("reviews.csv")
    emotions = tmp_path / "goemotions"
    emotions.mkdir()
    (emotions / "labels.txt").write_text("joy\nanger\nfear\n")
    for part, own in (("train", texts[:40]), ("dev", texts[40:50]), ("test", [*texts[50:], texts[0]])):
        lines = [f"{text}\t{('0', '1', '1,2', '2')[row % 4]}\tid{part}{row}\n" for row, text in enumerate(own)]
        (emotions / f"{part}.tsv").write_text("".join(lines))
    names: dict[str, Any] = {"__name__": "page"}
    first, read, fitted, explained = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    few = 'train_text_classifier("reviews.csv", training=TextTrainingOptions(max_steps=4))'
    given = "from recur.train.options import TextTrainingOptions\n"
    exec(compile(given + first.replace('train_text_classifier("reviews.csv")', few), "text.md", "exec"), names)
    verdict, _, told = capsys.readouterr().out.partition("\n")
    assert "on 6 texts of the test part, against" in verdict
    assert told.startswith("shape: (2, ")
    own = dict(names)
    exec(compile(read, "text.md", "exec"), own)
    roles, *notes = capsys.readouterr().out.split("several classes of a text are separated by ','")
    assert re.findall(r"^(\w+) +(\w+)", roles, re.MULTILINE) == [
        ("text", "column_1"),
        ("label", "column_2"),
        ("ignored", "column_3"),
    ]
    assert "1 of the 11 texts of test stands in train too" in notes[0]
    assert own["texts"].classes == ("joy", "anger", "fear")
    exec(compile(fitted.replace("max_minutes=1", "max_steps=4"), "text.md", "exec"), names)
    assert names["classifier"].predict_proba(names["new"]["text"]).shape == (10, 2)
    names["classifier"] = type(names["classifier"]).load("runs/fitted")
    exec(compile(explained, "text.md", "exec"), names)
    assert names["told"].columns[-1] == "contribution"


def test_its_options_exist(page: str) -> None:
    parsers = (evaluate.build_parser(), inspect.build_parser(), predict.build_parser())
    known = {text for parser in parsers for action in parser._actions for text in action.option_strings}
    for options in TASKS["classify-text"].options.values():
        known |= {"--" + field.name.replace("_", "-") for field in fields(options)}
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", page))
    assert len(named) > 10
    assert named <= known | {"--task", "--resume", "--out"}
