"""The text of a run, and the options it was read with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.tasks.language.run_text import corpus_of, corpus_options, text_options


@pytest.fixture
def run(real_run: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(real_run.path.parent, tmp_path / "copy")
    return RunFolder(tmp_path / "copy" / "run")


def test_the_text_of_a_run_is_found_again(real_run: RunFolder) -> None:
    stages: list[str] = []
    text = corpus_of(real_run, lambda stage, done, total: stages.append(stage))
    assert text.key == real_run.read_json("schema.json")["corpus"]["key"]
    assert "".join(text.text("train")).startswith("a")
    assert stages


def test_text_from_standard_input_is_found_in_the_cache(run: RunFolder) -> None:
    run.write_json("config.json", run.config() | {"sources": ["-"]})
    assert len(corpus_of(run).train) > 1000


@pytest.mark.parametrize("sources", [None, "counting.txt", [1], {}])
def test_damaged_sources_are_named(run: RunFolder, sources: Any) -> None:
    run.write_json("config.json", run.config() | {"sources": sources})
    with pytest.raises(RunError, match=r"run: damaged: it does not say which text it was trained on\.$"):
        corpus_of(run)


@pytest.mark.parametrize("corpus", [None, [], "x"])
def test_a_damaged_corpus_entry_is_named(run: RunFolder, corpus: Any) -> None:
    run.write_json("schema.json", run.read_json("schema.json") | {"corpus": corpus})
    with pytest.raises(RunError, match="damaged: it does not say which text it was trained on"):
        corpus_of(run)


@pytest.mark.parametrize("data", [None, [], {"tokens": "words"}, {"token": "byte"}, {"encoding": 5}, {"valid": {}}])
def test_damaged_corpus_options_are_named(run: RunFolder, data: Any) -> None:
    run.write_json("config.json", run.config() | {"data": data})
    with pytest.raises(RunError, match=r"config\.json: damaged: data: .*\.$") as error:
        corpus_options(run)
    assert "\n" not in str(error.value)


def test_other_text_is_read_as_the_runs_own_unless_told_otherwise(run: RunFolder) -> None:
    data = run.config()["data"]
    run.write_json("config.json", run.config() | {"data": data | {"encoding": "cp1252", "document_separator": "\\n"}})
    assert text_options(run) == corpus_options(run)
    assert (text_options(run, "utf-16").codec, text_options(run, "utf-16").separator) == ("utf-16", "\n")
    with pytest.raises(OptionError, match=r"^encoding: 'utf8x' is not an encoding of text files; "):
        text_options(run, "utf8x")
    run.write_json("config.json", run.config() | {"data": data | {"tokens": "byte"}})
    with pytest.raises(
        OptionError, match=r"^encoding: 'cp1252' would be ignored, for the model reads bytes; leave enc"
    ):
        text_options(run, "cp1252")
