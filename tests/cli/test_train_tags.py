"""From sentences with tags to tags of others, on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.tasks.tags.conftest import drawn, written

SMALL = ("--max-steps", "20", "--hidden-size", "4", "--out", "run", "--no-report")


@pytest.fixture
def names(folder: Path) -> Path:
    return written(folder / "names.conll", 60)


def test_from_a_file_in_columns_to_tags(names: Path, folder: Path, recur: Any) -> None:
    result = recur("train", "names.conll", *SMALL)
    assert result.code == 0, result.err
    said = "task     tag, as names.conll has a token and its tag on each line; --task chooses another"
    assert result.err.splitlines()[0] == said
    assert "sentences 60: 48 to train on, 6 to choose by, 6 to test" in result.err
    lines = result.out.splitlines()
    assert "on 6 sentences of the test part" in lines[0]
    assert lines[1].split()[0] == "precision"
    assert lines[-3:] == [
        "predict  recur predict run sentences.txt --out tags.conll",
        'explain  recur inspect run --input "a sentence"',
        "judge    recur evaluate run",
    ]
    judged = recur("evaluate", "run", "--json")
    assert judged.code == 0, judged.err
    stored = json.loads((folder / "run" / "label_evaluation.json").read_text())
    assert json.loads(judged.out)["figures"] == stored["figures"]
    other = recur("evaluate", "run", str(written(folder / "other.conll", 9, seed=4)))
    assert other.code == 0, other.err
    assert "on 9 sentences of the data given" in other.out.splitlines()[0]
    self_told(folder, recur)


def self_told(folder: Path, recur: Any) -> None:
    """What is told is written in each form alike, and can be judged as if it were true."""
    tokens = drawn(9, seed=4)[0]
    forms = {}
    for suffix in (".conll", ".csv", ".jsonl"):
        told = recur("predict", "run", "other.conll", "--out", f"told{suffix}")
        assert told.code == 0, told.err
        forms[suffix] = folder / f"told{suffix}"
    blocks = forms[".conll"].read_text().split("\n\n")[:-1]
    rows = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    assert [[token for token, _ in block] for block in rows] == tokens
    flat = pl.read_csv(forms[".csv"])
    assert flat.columns == ["sentence", "token", "tag", "probability"]
    assert flat["tag"].to_list() == [tag for block in rows for _, tag in block]
    nested = [json.loads(line) for line in forms[".jsonl"].read_text().splitlines()]
    assert [one["tags"] for one in nested] == [[tag for _, tag in block] for block in rows]
    again = recur("evaluate", "run", "told.conll", "--json")
    assert json.loads(again.out)["figures"]["token_accuracy"] == 1
    wrong = recur("predict", "run", "other.conll", "--out", "told.xyz")
    assert wrong.code == 2
    assert "out: told.xyz must end in one of .csv, .tsv, .parquet, .arrow, .json, .jsonl, .conll" in wrong.err


def test_lines_of_text_are_cut_into_words(names: Path, folder: Path, recur: Any) -> None:
    assert recur("train", "names.conll", *SMALL).code == 0
    (folder / "new.txt").write_text("Ada Lanmann left Bolton, in 1914.\n\nBo saw Rutford.\n")
    shown = recur("predict", "run", "new.txt")
    assert shown.code == 0, shown.err
    assert re.split(r"\s{2,}", shown.out.splitlines()[0]) == ["sentence", "token", "tag", "probability"]
    assert [line.split()[:2] for line in shown.out.splitlines()[5:8]] == [["1", ","], ["1", "in"], ["1", "1914"]]
    (folder / "alike.txt").write_text("Ada left Bolton\n\nBo saw Rutford\n")
    assert "note     alike.txt: has a sentence on each line, as there" in recur("predict", "run", "alike.txt").err
    (folder / "table.csv").write_text("tokens^year\nAda left Bolton^1801\nBo saw Rutford^1802\n")
    refused = recur("predict", "run", "names.conll", "--separator", ";")
    assert refused.code == 2
    assert "separator: says nothing of files in columns, which the data are; leave --sep" in refused.complaint
    told = recur("predict", "run", "table.csv", "--separator", "^")
    assert told.code == 0, told.err
    words = ["1 Ada", "1 left", "1 Bolton", "2 Bo", "2 saw", "2 Rutford"]
    assert [" ".join(line.split()[:2]) for line in told.out.splitlines()[1:]] == words
    told = recur("predict", "run", "nowhere.txt")
    assert told.code == 1
    assert "nowhere.txt" in told.err


def test_a_file_that_says_nothing_of_itself_is_tagged_where_that_is_asked(folder: Path, recur: Any) -> None:
    rows = (f"the DET\ndog{number} NOUN\nruns VERB\n\nit PRON\nsat{number} VERB\n\n" for number in range(9))
    (folder / "words.txt").write_text("".join(rows))
    result = recur("train", "words.txt", "--task", "tag", *SMALL)
    assert result.code == 0, result.err
    assert "tags     4: DET, NOUN, PRON and VERB" in result.err
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["task"] == "tag"
    assert config["model"]["output"] == "crf"
