"""Defaults of trainings on texts, and that the help tells those that are chosen."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recur.cli.parser import field_documents
from recur.data.texts.token_options import TokenOptions, WriterTokenOptions
from recur.data.texts.vocabulary import choose_tokens
from recur.models.texts.options import TextClassifierOptions
from recur.models.texts.tagger_options import TaggerOptions
from recur.train import pair_choice, text_choice
from recur.train.options import PairTrainingOptions, TextTrainingOptions
from recur.train.writer_choice import choose_written_tokens


@pytest.mark.parametrize(
    ("num_texts", "is_character", "batch_size", "epochs"),
    [
        (300, False, 8, 30),
        (40, False, 8, 60),
        (20_000, False, 64, 10),
        (20_000, True, 64, 15),
        (100_000, False, 64, 4),
    ],
)
def test_what_is_chosen_grows_with_the_texts(num_texts: int, is_character: bool, batch_size: int, epochs: int) -> None:
    chosen = text_choice.choose(TextTrainingOptions(), num_texts=num_texts, is_character=is_character)
    steps = math.ceil(num_texts / batch_size)
    assert (chosen.batch_size, chosen.max_epochs, chosen.max_minutes) == (batch_size, epochs, 12)
    assert chosen.validate_every == max(10, math.ceil(steps / 2))
    told = field_documents(TextTrainingOptions)
    assert told["validate_every"] == "Steps between validations; half an epoch, but at least 10, when not given."
    for amount in ("200,000 texts, of characters 300,000", "from 4 to 30", "at least 300 steps"):
        assert amount in told["max_epochs"]


@pytest.mark.parametrize(
    ("num_pairs", "has_sentences", "epochs", "share"),
    [(15_000, False, 20, 1), (4_000, True, 16, 2), (100_000, False, 3, 7), (100_000, True, 6, 4)],
)
def test_of_few_passes_over_pairs_there_are_more_validations(
    num_pairs: int, has_sentences: bool, epochs: int, share: int
) -> None:
    chosen = pair_choice.choose(PairTrainingOptions(), num_pairs=num_pairs, has_sentences=has_sentences)
    assert chosen.batch_size is not None
    steps = math.ceil(num_pairs / chosen.batch_size)
    assert (chosen.max_epochs, chosen.validate_every) == (epochs, math.ceil(steps / share))
    told = field_documents(PairTrainingOptions)
    assert "an epoch, but at most a twentieth of the usual passes, and at least 10" in told["validate_every"]
    for amount in ("300,000 pairs, of sentences 600,000", "3 to 30", "4,000 pairs of sentences to 16", "500 steps"):
        assert amount in told["max_epochs"]


@pytest.mark.parametrize("bound", [{}, {"max_epochs": 50}, {"max_steps": 5000}])
def test_no_training_on_texts_stops_early_unless_it_is_asked_to(bound: dict[str, Any]) -> None:
    texts = text_choice.choose(TextTrainingOptions(**bound), num_texts=1000)
    pairs = pair_choice.choose(PairTrainingOptions(**bound), num_pairs=1000)
    assert texts.patience == pairs.patience == 0
    assert text_choice.choose(TextTrainingOptions(patience=3), num_texts=1000).patience == 3
    for options in (TextTrainingOptions, PairTrainingOptions):
        told = field_documents(options)
        assert told["patience"].endswith("0, which holds when not given, never stops early.")
        assert "of the parts that are drawn" in told["seed"]


def test_writers_choose_other_tokens_than_readers_and_say_so() -> None:
    texts = ["A word or two", "Three words here"] * 3
    written, _ = choose_written_tokens(WriterTokenOptions(), texts)
    read, _ = choose_tokens(TokenOptions(), texts)
    assert (written.tokens, written.lowercase, read.tokens, read.lowercase) == ("character", False, "word", True)
    long, _ = choose_written_tokens(WriterTokenOptions(), ["word " * 21])
    spaced, _ = choose_written_tokens(WriterTokenOptions(tokens="space"), texts)
    assert (long.tokens, spaced.min_count) == ("bpe", 2)
    told, others = field_documents(WriterTokenOptions), field_documents(TokenOptions)
    assert "If not given: characters where texts have up to 100 of them in the mean, else a BPE." in told["tokens"]
    assert told["lowercase"].endswith("if not given, they are not.")
    assert "2 for words and for what stands between blanks" in told["min_count"]
    # All else is told once.
    assert {name for name in told if told[name] != others[name]} == {"tokens", "lowercase", "min_count"}


def test_the_size_of_a_tagger_does_not_depend_on_what_its_tokens_are() -> None:
    chosen = TaggerOptions().completed()
    assert (chosen.hidden_size, chosen.embedding_size) == (128, 128)
    told = field_documents(TaggerOptions)
    for name in ("hidden_size", "embedding_size"):
        assert "128" in told[name]
        assert "characters" not in told[name]
        assert "characters" in field_documents(TextClassifierOptions)[name]
