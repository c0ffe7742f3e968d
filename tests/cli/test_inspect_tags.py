"""`recur inspect` of a tagger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.tags.conftest import made  # noqa: F401

from recur import report


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A folder to work in with the run of a tagger, and no time spent on pages."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "run", "run")
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    return tmp_path / "run"


def test_a_sentence_of_ones_own(run: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "Ada Bemsson left New Kanburg.")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[:2] == ["text     your text", "reads    Ada Bemsson left New Kanburg."]
    assert lines[2].startswith("unknown  ")
    assert lines[2].endswith("; what the model does not know speaks by its characters alone, where it reads them")
    assert lines[3] == "tells    Ada B-PER, Bemsson I-PER, New B-LOC, Kanburg I-LOC"
    assert lines[4].startswith("says     B-PER of word 1, Ada: probability ")
    assert lines[5].startswith("for      Ada +")
    assert lines[5].endswith(" for unknown words")
    assert any(line.startswith("check    elsewhere, without the 20% of words that raise it most") for line in lines)
    assert lines[-2:] == [f"page     {Path('run/page.html')}", f"report   {Path('run/page.html')}"]


def test_sentences_of_files(run: Path, recur: Any) -> None:
    Path("other.conll").write_bytes("Ada B-PER\nleft O\nKöln B-PER\n".encode("latin-1"))
    assert recur("inspect", "run", "other.conll").code == 1
    result = recur("inspect", "run", "other.conll", "--encoding", "latin-1")
    assert result.out.startswith("text     other.conll, line 1\nreads    Ada left Köln\n")
    assert "wrong    1 of 3 tags\n" in result.out
    assert "; in truth B-PER\n" in result.out
    figures = recur("evaluate", "run", "other.conll", "--encoding", "latin-1", "--json")
    assert json.loads(figures.out)["series"] == 1
    assert recur("predict", "run", "other.conll", "--encoding", "latin-1", "--out", "told.csv").code == 0
    result = recur("evaluate", "run", "--encoding", "latin-1")
    assert (result.code, "encoding" in result.complaint) == (2, True)
    assert "names.conll, line " in recur("inspect", "run").out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["other.tsv", "--input", "so"], 2, "data would be ignored, for --input is the text; leave DATA out."),
        (["--input", "so good", "--encoding", "utf-16"], 2, "encoding is of DATA, or of the file that --input names"),
        (["--number", "999"], 1, "number: there is no sentence 999; 60 sentences, counted from 1 on."),
        (["--input", ""], 1, "your text: has no word that could be read; give a text with at least one."),
        (["--labels", "a.txt"], 2, "labels is of language runs"),
    ],
)
def test_what_does_not_go_together(run: Path, recur: Any, options: list[str], code: int, message: str) -> None:
    Path("other.tsv").write_text("review\tkind\nso\tfood\n")
    result = recur("inspect", "run", *options)
    assert message in result.complaint
    assert result.code == code
