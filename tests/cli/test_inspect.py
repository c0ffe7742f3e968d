from __future__ import annotations

import json
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
    assert result.err == "recur: the text has 5,400 characters; the first 5,000 are shown.\n"
    assert len(json.loads(Path("run/inspect.json").read_text())["losses"]) == 5000


def test_texts_that_cannot_be_shown(copied: Path, recur: Any) -> None:
    Path("latin.txt").write_bytes("naïve".encode("latin-1"))
    Path("empty.txt").write_text("")
    for name, line in (
        ("latin.txt", "recur: latin.txt: byte 2 is no UTF-8; give a text file in UTF-8.\n"),
        ("empty.txt", "recur: empty.txt: is empty; give at least one character.\n"),
        ("", "recur: your text: is empty; give at least one character.\n"),
    ):
        result = recur("inspect", "run", "--input", name)
        assert (result.code, result.err) == (1, line)


def test_a_name_of_no_file_is_read_as_text_but_not_in_silence(copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "nofile.txt")
    assert result.code == 0
    assert result.err == "recur: there is no file 'nofile.txt', so it is read as text.\n"
    assert "nats per character" in result.out
