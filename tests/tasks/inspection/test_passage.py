"""Passages: cut where stated, shown as they stand, found in the run or in what is left of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recur.data.tokenizer import BpeTokenizer, ByteTokenizer, CharacterTokenizer
from recur.errors import DataError
from recur.inspection_format import MAX_SYMBOLS
from recur.run import RunFolder
from recur.tasks.inspection.passage import passage_of_run, passage_of_text
from recur.tasks.language.run_text import corpus_of
from recur.tasks.language.trained import TrainedLanguageModel, load


def test_characters_are_shown_as_they_stand() -> None:
    found = passage_of_text(CharacterTokenizer.of("banana"), ["ban", "dß", "ßn"], "own")
    assert found.symbols == found.pieces == list("bandßßn")
    assert found.ids.tolist() == [1, 0, 2, 3, 3, 3, 2]
    assert found.unknown == {"d": 1, "ß": 2}
    assert (found.title, found.cut, found.unit, found.num_characters) == ("own", "", "character", 7)
    assert found.document_starts is None


def test_bytes_and_tokens() -> None:
    found = passage_of_text(ByteTokenizer(), ["é!"])
    assert (found.symbols, found.pieces, found.unit) == (["\\xc3", "\\xa9", "!"], ["", "é", "!"], "byte")
    assert (found.unknown, found.num_characters) == ({}, 2)
    tokenizer = BpeTokenizer.trained(["low lower lowest low"], vocabulary_size=260)
    found = passage_of_text(tokenizer, ["slower"])
    assert found.symbols == found.pieces == ["s", "low", "e", "r"]
    assert found.unit == "token"


def test_half_a_surrogate_pair_is_unknown_to_bytes() -> None:
    found = passage_of_text(ByteTokenizer(), ["a\ud800"])
    assert found.unknown == {"\ud800": 1}
    assert "".join(found.pieces) == "a\ufffd"


def test_a_long_text_is_cut_and_only_its_beginning_held() -> None:
    many = MAX_SYMBOLS * 20
    found = passage_of_text(CharacterTokenizer.of("ab"), ("ab" * 500 for _ in range(many // 1000)))
    assert len(found.ids) == len(found.symbols) == MAX_SYMBOLS
    assert found.cut == "the first 5,000 of 100,000 characters"
    assert found.num_characters == many
    found = passage_of_text(ByteTokenizer(), ["aé" * MAX_SYMBOLS])
    # Of 3 bytes for two characters, 5,000 end after the first byte of a character.
    assert found.cut == "the first 5,000 bytes, 3,333 of 10,000 characters"
    found = passage_of_text(ByteTokenizer(), ["a" * MAX_SYMBOLS])
    assert found.cut == ""
    found = passage_of_text(CharacterTokenizer.of("ab"), ["a" * MAX_SYMBOLS, "b"])
    assert found.cut == "the first 5,000 of 5,001 characters"


def test_an_unknown_character_after_the_cut_is_not_counted() -> None:
    assert passage_of_text(CharacterTokenizer.of("ab"), ["a" * MAX_SYMBOLS + "ß"]).unknown == {}


@pytest.mark.parametrize("chunks", [[], [""]])
def test_an_empty_text(chunks: list[str]) -> None:
    with pytest.raises(DataError, match=r"^own\.txt: is empty; give at least one character\.$"):
        passage_of_text(CharacterTokenizer.of("ab"), chunks, "own.txt")


def test_the_runs_own_held_out_text(real_run: RunFolder) -> None:
    found, note = passage_of_run(real_run, load(real_run))
    ids = corpus_of(real_run).ids("test")
    assert note == ""
    assert found.title == "the text held out for the test"
    assert found.ids.tolist() == ids[:2000].tolist()
    assert found.ids.dtype == np.int64
    assert found.num_characters == len(ids)
    assert found.cut == (f"the first 2,000 of {len(ids):,} characters" if len(ids) > 2000 else "")
    assert set(found.symbols) == {"a", "b"}


def test_without_its_text_what_surprised_the_model_is_shown(trained: TrainedLanguageModel, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_json("config.json", {"format": 1, "task": "language"})
    run.write_json("schema.json", {})
    tokenizer = trained.tokenizer
    ids = [tokenizer.encode(text).tolist() for text in ("the cat", "café hat")]
    passages: list[Any] = [{"tokens": [tokenizer.symbol(token) for token in own]} for own in ids]
    run.write_json("evaluation.json", {"surprising": [*passages, {"tokens": ["no such symbol"]}, {"tokens": 3}, 4]})
    found, note = passage_of_run(run, trained)
    assert note.startswith(f"the text that was held out is not there, so another is shown: {run.path}: damaged: ")
    assert found.title == "the passages that surprised the model most"
    assert tokenizer.decode(found.ids) == "the catcafé hat"
    assert found.document_starts is not None
    assert found.document_starts.tolist() == [0, len(ids[0])]
    assert found.cut == ""


@pytest.mark.parametrize("evaluation", [None, {"surprising": 3}, {"surprising": [{"tokens": []}]}])
def test_without_any_text_the_model_writes_one(trained: TrainedLanguageModel, tmp_path: Path, evaluation: Any) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_json("config.json", {"format": 1, "task": "language"})
    run.write_json("schema.json", {})
    if evaluation is not None:
        (run.path / "evaluation.json").write_text(json.dumps(evaluation))
    first, note = passage_of_run(run, trained)
    again, _ = passage_of_run(run, trained)
    assert first.title == "a text that the model wrote"
    assert "so another is shown" in note
    assert len(first.ids) > 100
    assert first.ids.tolist() == again.ids.tolist()
