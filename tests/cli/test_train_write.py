"""From texts and labels to a writer, on the command line."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recur.cli.main import main
from recur.report.writing import writing_command

SMALL = ("--max-steps", "12", "--hidden-size", "8", "--embedding-size", "8", "--no-report")


def make(folder: Path) -> None:
    """Write names by language, rows to write from, and runs of labels and of numbers."""
    draw = random.Random(0)
    (folder / "names").mkdir()
    lines = ["name,size"]
    for language, letters in (("Ava", "ptka"), ("Bel", "mnou")):
        names = ["".join(draw.choices(letters, k=draw.randint(3, 6))).capitalize() for _ in range(60)]
        (folder / "names" / f"{language}.txt").write_text("\n".join(names) + "\n")
        lines += [f"{name},{len(name)}" for name in names]
    (folder / "names.csv").write_text("\n".join(lines) + "\n")
    (folder / "rows.csv").write_text("label\nBel\nAva\n")
    with chdir(folder):
        assert main(["train", "names", "--task", "write", "--out", "run", *SMALL]) == 0
        assert main(["train", "names.csv", "--task", "write", "--columns", "size", "--out", "sizes", *SMALL]) == 0


@pytest.fixture
def trained(
    made_once: Callable[[str, Callable[[Path], None]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of what `make` makes, which is the working folder."""
    made = made_once("written", make)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    for name in ("run", "sizes"):
        # The copy's own files, as if it had been trained here.
        schema = tmp_path / name / "schema.json"
        schema.write_text(schema.read_text().replace(str(made), str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_becomes_a_writer(trained: Path, recur: Any) -> None:
    result = recur("train", "names", "--task", "write", "--out", "again", *SMALL)
    assert result.code == 0, result.err
    assert "label    label, one of 2 classes: Ava and Bel" in result.err
    lines = result.out.splitlines()
    assert "nats a character on 1" in lines[0]
    assert any(line.startswith("told that of another ") for line in lines)
    assert any(line.startswith("Ava: ") for line in lines)
    assert lines[-2].startswith("write    recur generate again --label ")
    assert lines[-1] == "judge    recur evaluate again"
    first, second = (json.loads(Path(run, "write_evaluation.json").read_text()) for run in ("run", "again"))
    assert first == second


def test_texts_are_written(trained: Path, recur: Any) -> None:
    result = recur("generate", "run", "--label", "Bel", "--samples", "4", "--temperature", "0.8", "--seed", "1")
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 4
    again = recur("generate", "run", "--label", "Bel", "--samples", 4, "--temperature", 0.8, "--seed", 1, "--json")
    content = json.loads(again.out)
    assert [one["text"] for one in content["texts"]] == result.out.splitlines()
    assert all(one["label"] == ["Bel"] and one["log_prob"] < 0 for one in content["texts"])
    drawn = recur("generate", "run", "--samples", "6", "--seed", "1")
    assert all(line.split(": ")[0] in ("Ava", "Bel") for line in drawn.out.splitlines())
    begun = recur("generate", "run", "--label", "Ava", "--prompt", "Ka", "--length", "1")
    assert begun.out.startswith("Ka")
    assert len(begun.out) <= 4
    sizes = recur("generate", "sizes", "--vector", "4", "--samples", "3", "--seed", "1")
    assert (sizes.code, len(sizes.out.splitlines())) == (0, 3)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (("run", "--label", "bel"), 2, "label: there is no class 'bel'; did you mean 'Bel'?"),
        (("run", "--vector", "1"), 2, "vector: no numbers are read, only labels; leave it out, got [1.0]"),
        (("run", "--stop", "x"), 2, "stop is of language runs, and this is one of task write; leave --stop out."),
        (("run", "--unknown", "drop"), 2, "unknown is of language runs"),
        (("sizes",), 2, "vector: expected a number, of size, got none"),
        (("sizes", "--vector", "a,b"), 2, "vector: expected numbers with commas between them, such as 0.1,0.5"),
        (("sizes", "--vector", "1", "--label", "Ava"), 2, "label: texts are written from numbers, of size"),
        (("run", "--prompt", "X!"), 1, "the prompt has 'X', which the model does not know"),
    ],
)
def test_what_makes_no_sense_is_refused(
    trained: Path, recur: Any, given: tuple[str, ...], code: int, message: str
) -> None:
    result = recur("generate", *given)
    assert (result.code, result.out) == (code, "")
    assert message in result.complaint


def test_rows_become_a_table(trained: Path, recur: Any) -> None:
    result = recur("predict", "run", "rows.csv", "--num-best", "2", "--seed", "3", "--out", "told.csv")
    assert result.code == 0, result.err
    told = pl.read_csv("told.csv")
    assert told.columns == ["label", "text", "log_prob"]
    assert told["label"].to_list() == ["Bel", "Bel", "Ava", "Ava"]
    Path("other.csv").write_text("label^size\nAva^3\n")
    told = recur("predict", "run", "other.csv", "--separator", "^", "--out", "other.jsonl")
    assert told.code == 0, told.err
    assert pl.read_ndjson("other.jsonl")["label"].to_list() == ["Ava"]
    refused = recur("predict", "run", "other.jsonl", "--separator", "^")
    assert refused.code == 2
    assert "separator: says nothing of .jsonl files, which the data are; leave --sep" in refused.complaint
    refused = recur("predict", "run", "rows.csv", "--seed", "-1")
    assert refused.code == 2
    assert "seed must be a whole number from 0 to 9223372036854775807, not -1." in refused.complaint
    refused = recur("predict", "run", "rows.csv", "--beams", "3")
    assert refused.code == 2
    assert "beams is of translate runs, and this is one of task write" in refused.complaint


def test_a_run_is_judged_again_and_goes_on(trained: Path, recur: Any) -> None:
    judged = recur("evaluate", "run", "--json")
    assert judged.code == 0, judged.err
    kept = json.loads(Path("run/write_evaluation.json").read_text())
    assert json.loads(judged.out)["figures"] == kept["figures"]
    shown = recur("evaluate", "sizes", "names.csv")
    assert shown.code == 0, shown.err
    assert "on 120 texts of the data given" in shown.out.splitlines()[0]
    longer = recur("train", "--resume", "run", "--max-steps", "16")
    assert longer.code == 0, longer.err
    assert json.loads(Path("run/write_evaluation.json").read_text())["figures"] != kept["figures"]
    # Whatever is asked for, nothing that could be left out would help.
    for given in ((), ("--input", "Kata"), ("names.csv", "--number", "3")):
        refused = recur("inspect", "run", *given)
        assert refused.code == 1
        assert "is a run of task 'write', into which recur inspect does not look. To write texts: recur gen" in (
            refused.complaint
        )


def test_the_command_that_is_printed_writes_of_labels_and_numbers(trained: Path, recur: Any) -> None:
    rows = [line.split(",") for line in Path("names.csv").read_text().splitlines()[1:]]
    labels = ["An {Ava}" if set(name.lower()) <= set("ptka") else "Bel" for name, _ in rows]
    table = pl.DataFrame({"name": [row[0] for row in rows], "language": labels, "size": [-int(row[1]) for row in rows]})
    table.write_csv("both.csv")
    roles = ("--text", "name", "--label", "language", "--columns", "size")
    result = recur("train", "both.csv", "--task", "write", *roles, "--out", "both", *SMALL)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert any(line.startswith(("An {Ava}, -", "Bel, -")) for line in lines)
    (command,) = (line.removeprefix("write    recur ") for line in lines if line.startswith("write "))
    assert "--vector=-" in command
    done = recur(*shlex.split(command))
    assert (done.code, done.err) == (0, "")
    found = json.loads(Path("both/write_evaluation.json").read_text())
    assert found["samples"][0]["labels"][0] in ("An {Ava}", "Bel")
    sizes = recur(*shlex.split(writing_command("sizes", json.loads(Path("sizes/schema.json").read_text())))[1:])
    assert (sizes.code, sizes.err) == (0, "")


def test_a_class_that_has_a_comma_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recur: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{word * 2}{number}\t{of}" for word, of in (("ab", "Albany, NY"), ("cd", "Rome")) for number in range(20)]
    Path("towns.tsv").write_text("\n".join(["text\tlabel", *rows, "abcd\tAlbany, NY;Rome"]) + "\n")
    trained = recur("train", "towns.tsv", "--task", "write", "--label-separator", ";", "--out", "run", *SMALL)
    assert trained.code == 0, trained.err
    found = recur("generate", "run", "--label", "Albany, NY", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["texts"][0]["label"] == ["Albany, NY"]
    none = recur("generate", "run", "--json")
    assert json.loads(none.out)["texts"][0]["label"] == []


def test_a_label_is_of_writers(copied: Path, recur: Any) -> None:
    result = recur("generate", copied / "run", "--label", "Ava")
    assert result.code == 2
    assert "label is of write runs, and this is one of task language; leave --label out." in result.complaint
