"""`recur inspect` of a classifier of texts."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.tasks.texts.conftest import Made, drawn, made  # noqa: F401

from recur import report


@pytest.fixture
def run(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A folder to work in with the run of a classifier of texts, and no time spent on pages."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made(False) / "run", "run")
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    return tmp_path / "run"


def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("run/inspect.json").read_bytes())
    return found


def test_a_text_of_ones_own(run: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "My day was so tasty, zzz!")
    assert result.code == 0
    assert "note     the run is an ensemble of 2" in result.err
    lines = result.out.splitlines()
    assert lines[:2] == ["text     your text", "reads    My day was so tasty, zzz!"]
    assert "'zzz'" in lines[2]
    assert lines[2].startswith("unknown  ")
    assert lines[2].endswith("; what the model does not know speaks for nothing")
    first = content()["answers"]["answers"][0]
    assert lines[3] == f"says     class food: {first['said']}"
    assert lines[4].startswith("for      tasty +")
    assert lines[4].endswith(" for unknown words")
    assert any(line.startswith("check    elsewhere, without the 20% of words that raise it most") for line in lines)
    assert lines[-2:] == [f"page     {Path('run/page.html')}", f"report   {Path('run/page.html')}"]


def test_texts_of_files(run: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("one.txt").write_bytes("so süß and loud".encode("latin-1"))
    result = recur("inspect", "run", "--input", "one.txt", "--encoding", "latin-1")
    assert result.out.startswith("text     one.txt\nreads    so süß and loud\n")
    result = recur("inspect", "run", "--input", "one.txt")
    assert (result.code, "one.txt" in result.complaint) == (1, True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"so loud"), encoding="utf-8"))
    assert recur("inspect", "run", "--input", "-").out.startswith("text     standard input\nreads    so loud\n")
    texts, labels = drawn(8, seed=3)
    table = "review\tkind\n" + "".join(f"{text} ü\t{label}\n" for text, label in zip(texts, labels, strict=True))
    Path("other.tsv").write_bytes(table.encode("latin-1"))
    assert recur("inspect", "run", "other.tsv").code == 1
    result = recur("inspect", "run", "other.tsv", "--number", "5", "--encoding", "latin-1")
    assert result.out.startswith(f"text     other.tsv, row 5\nreads    {texts[4]} ü\n")
    assert f"says     class {labels[4]}: probability" in result.out
    assert "; a true class\n" in result.out
    result = recur("evaluate", "run", "other.tsv", "--encoding", "latin-1", "--json")
    assert json.loads(result.out)["series"] == 8
    assert recur("predict", "run", "other.tsv", "--encoding", "latin-1", "--out", "told.csv").code == 0
    assert recur("inspect", "run").out.startswith("text     ")
    assert "texts.tsv, row " in content()["title"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["other.tsv", "--input", "so"], 2, "data would be ignored, for --input is the text; leave DATA out."),
        (
            ["--input", "so", "--number", "2"],
            2,
            "number would be ignored, for --input is the text; leave --number out.",
        ),
        (["--input", "so good", "--encoding", "utf-16"], 2, "encoding is of DATA, or of the file that --input names"),
        (["--input", "so good", "--separator", ";"], 2, "separator is of DATA; give one, or leave --separator out."),
        (["--number", "999"], 1, "number: there is no text 999; 80 texts, counted from 1 on."),
        (["--input", ""], 1, "your text: has no word that could be read; give a text with at least one."),
        (["--series", "a"], 2, "series is of classify, regress, forecast and detect runs"),
        (["--labels", "a.txt"], 2, "labels is of language runs"),
    ],
)
def test_what_does_not_go_together(run: Path, recur: Any, options: list[str], code: int, message: str) -> None:
    Path("other.tsv").write_text("review\tkind\nso\tfood\n")
    result = recur("inspect", "run", *options)
    assert message in result.complaint
    assert result.code == code


def test_tables_that_are_written_otherwise(run: Path, recur: Any) -> None:
    texts, labels = drawn(8, seed=3)
    rows = "".join(f"{text}^{label}\n" for text, label in zip(texts, labels, strict=True))
    Path("other.csv").write_text(rows)
    given = ("--separator", "^", "--has-header", "false")
    told = recur("predict", "run", "other.csv", *given, "--out", "told.csv")
    assert told.code == 0, told.err
    assert pl.read_csv("told.csv")["text"].to_list() == texts
    assert json.loads(recur("evaluate", "run", "other.csv", *given, "--json").out)["series"] == 8
    result = recur("inspect", "run", "other.csv", "--number", "5", *given)
    assert result.out.startswith(f"text     other.csv, row 5\nreads    {texts[4]}\n")
    Path("other.csv").write_text("review^kind\n" + rows)
    assert recur("predict", "run", "other.csv", "--separator", "^", "--out", "named.csv").code == 0
    assert Path("named.csv").read_text() == Path("told.csv").read_text()


@pytest.mark.parametrize("command", ["predict", "evaluate", "inspect"])
def test_cells_that_files_do_not_have(run: Path, recur: Any, command: str) -> None:
    Path("other.jsonl").write_text('{"text": "so tasty", "label": "food"}\n')
    for options in (("--separator", ";"), ("--has-header", "true")):
        result = recur(command, "run", "other.jsonl", *options)
        assert result.code == 2
        assert f"says nothing of .jsonl files, which the data are; leave {options[0]} out" in result.complaint


def test_plain_text_with_its_name_above(run: Path, recur: Any) -> None:
    Path("plain.txt").write_text("text\nso tasty, really\nso far\n")
    for options, texts in (
        ((), ["text", "so tasty, really", "so far"]),
        (("--has-header", "true"), ["so tasty, really", "so far"]),
    ):
        told = recur("predict", "run", "plain.txt", *options, "--out", f"{len(texts)}.csv")
        assert (told.code, pl.read_csv(f"{len(texts)}.csv")["text"].to_list()) == (0, texts)
        below = " below the first" if options else ""
        assert f"note     plain.txt: each line{below} is taken for a text; --separator says" in told.err


@pytest.mark.parametrize("command", ["predict", "evaluate", "inspect"])
@pytest.mark.parametrize(
    "options", [("--decimal-comma", "true"), ("--missing", "NA"), ("--duplicates", "mean"), ("--time-format", "%Y")]
)
def test_what_says_nothing_of_texts(run: Path, recur: Any, command: str, options: tuple[str, str]) -> None:
    Path("other.tsv").write_text("review\tkind\nso\tfood\n")
    result = recur(command, "run", "other.tsv", *options)
    name = options[0][2:].replace("-", "_")
    said = "is of classify, regress, forecast and detect runs, and this is one of task classify-text"
    assert (result.code, f"{name} {said}; leave {options[0]} out." in result.complaint) == (2, True)


def test_an_encoding_of_nothing(run: Path, recur: Any) -> None:
    result = recur("evaluate", "run", "--encoding", "latin-1")
    assert (result.code, "encoding" in result.complaint) == (2, True)
