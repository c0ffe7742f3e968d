from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from recur.tasks.trained_language import load


def test_it_writes_the_report_anew(copied: Path, recur: Any) -> None:
    assert not Path("run/report.html").exists()
    result = recur("inspect", "run")
    assert (result.code, result.out) == (0, "report   run/report.html\n")
    assert Path("run/report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_text_of_ones_own(copied: Path, recur: Any) -> None:
    Path("own.txt").write_text("the miller €")
    for given, title in (("the miller €", "your text"), ("own.txt", "own.txt")):
        result = recur("inspect", "run", "--input", given)
        assert result.code == 0, result.err
        stored = json.loads(Path("run/inspect.json").read_text())
        assert stored["title"] == title
        losses = -load("run").log_probs("the miller €", unknown="map")
        assert stored["losses"] == pytest.approx(losses.tolist(), abs=1e-4)
        assert len(stored["text"]) == 12
        assert result.out.splitlines()[0] == f"text     {title}: {losses.mean():.3f} nats per character"


def test_a_long_text_is_cut(copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "the mill " * 600)
    title = "your text, the first 5,000 of 5,400 characters"
    assert re.match(rf"text     {title}: \d\.\d{{3}} nats per character\n", result.out)
    stored = json.loads(Path("run/inspect.json").read_text())
    assert stored["title"] == title
    assert len(stored["losses"]) == 5000


def test_texts_that_cannot_be_shown(copied: Path, recur: Any) -> None:
    Path("empty.txt").write_text("")
    for name, line in (
        ("empty.txt", "recur: empty.txt: is empty; give a file with text in it.\n"),
        ("", "recur: your text: is empty; give at least one character.\n"),
    ):
        result = recur("inspect", "run", "--input", name)
        assert (result.code, result.err) == (1, line)


@pytest.mark.parametrize("name", ["nofile.txt", "texts/nofile", "./nofile", "texts/"])
def test_a_name_of_no_file_is_not_taken_for_text(name: str, copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", name)
    advice = "no such file; check the path. To show it as text itself, add a blank to it."
    assert (result.code, result.err) == (1, f"recur: {name}: {advice}\n")
    assert not Path("run/inspect.json").exists()
    assert recur("inspect", "run", "--input", f"{name} ").out.startswith("text     your text: ")


@pytest.mark.parametrize("text", ["mill", "mill.", "one/two three", "one.\ntwo.three", "x" * 5000])
def test_what_looks_like_no_name_is_text(text: str, copied: Path, recur: Any) -> None:
    assert recur("inspect", "run", "--input", text).out.startswith("text     your text: ")


def test_a_file_in_another_encoding(copied: Path, recur: Any) -> None:
    text = "The mill is naïve, she said, and the river ran past über the boats.\n" * 20
    Path("latin.txt").write_bytes(text.encode("cp1252"))
    result = recur("inspect", "run", "--input", "latin.txt")
    assert result.code == 1
    assert re.match(r"recur: latin\.txt: is not utf-8: byte 14 \(0xef\) .*: try --encoding cp1252\.$", result.err)
    assert recur("inspect", "run", "--input", "latin.txt", "--encoding", "cp1252").code == 0
    expected = json.loads(Path("run/inspect.json").read_text())["losses"]
    assert expected == pytest.approx((-load("run").log_probs(text, unknown="map")).tolist(), abs=1e-4)
    # What the run's own text is in needs no telling.
    config = json.loads(Path("run/config.json").read_text())
    config["data"]["encoding"] = "cp1252"
    Path("run/config.json").write_text(json.dumps(config))
    assert recur("inspect", "run", "--input", "latin.txt").code == 0
    assert json.loads(Path("run/inspect.json").read_text())["losses"] == expected
