"""Options of translators: each bad value's message, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from recur.data.texts.token_options import PairTokenOptions
from recur.errors import OptionError
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_options import TranslatorOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "elman"}, "cell must be one of rnn, gru, lstm, indrnn, mgu, ligru, not 'elman'"),
        ({"attention": "luong"}, "attention must be one of additive, dot, .*, location, none, not 'luong'"),
        ({"tied": True}, "tied must be one of none, output, all, not True"),
        ({"hidden_size": 0}, "hidden_size must be a whole number from 1 to 1048576, not 0"),
        ({"num_layers": 1.0}, "num_layers must be a whole number from 1 to 1000, not 1.0"),
        ({"embedding_size": True}, "embedding_size must be a whole number from 1 to 1048576, not True"),
        ({"members": 0}, "members must be a whole number from 1 to 1000, not 0"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1, not 1.0"),
        ({"embedding_dropout": -0.1}, "embedding_dropout must be a number from 0 to below 1, not -0.1"),
        ({"label_smoothing": float("nan")}, "label_smoothing must be a number from 0 to below 1, not nan"),
        ({"scheduled_sampling": 1.1}, "scheduled_sampling must be a number from 0 to 1, not 1.1"),
        ({"coverage": -1}, "coverage must be a number from 0 on, not -1"),
        ({"coverage": float("inf")}, "coverage must be a number from 0 on, not inf"),
        ({"ngrams": 1}, "ngrams must be true or false, not 1"),
        ({"copying": 1}, "copying must be true or false, not 1"),
        ({"bidirectional": None}, "bidirectional must be true or false, not None"),
        ({"residual": True}, "residual acts from the second layer on, but num_layers is 1; leave it out"),
        ({"attention": "none", "copying": True}, "copying needs to know where the decoder looks, but attention is"),
        ({"attention": "none", "input_feeding": True}, "input_feeding needs to know where the decoder looks"),
        ({"attention": "none", "coverage": 1.0}, "coverage needs to know where the decoder looks"),
        (
            {"attention": "multi-head", "hidden_size": 6},
            "multi-head attention has 4 heads .* hidden_size, 6, is no",
        ),
        ({"attention": "dot"}, "dot attention compares .* give bidirectional=False, or general attention"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TranslatorOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_tokens": "letter"}, "source_tokens must be one of word, space, character, bpe, not 'letter'"),
        ({"target_tokens": 3}, "target_tokens must be one of word, space, character, bpe, not 3"),
        ({"vocabulary": "yes"}, "vocabulary must be one of own, joint, not 'yes'"),
        ({"lowercase": None}, "lowercase must be true or false, not None"),
        ({"unicode": "nfd"}, "unicode must be one of nfc, nfkc, none, not 'nfd'"),
        ({"vocabulary_size": 0}, "vocabulary_size must be a whole number from 1 on, not 0"),
        ({"target_tokens": "bpe", "vocabulary_size": 100}, "vocabulary_size must be a whole number from 257 on"),
        ({"min_count": 0}, "min_count must be a whole number from 1 on, not 0"),
        ({"source_tokens": "bpe", "min_count": 2}, "min_count: would be ignored, for a BPE knows every text"),
        (
            {"source_tokens": "bpe", "target_tokens": "word", "vocabulary": "joint"},
            "vocabulary: sources of bpe and targets of word have no joint one",
        ),
    ],
)
def test_tokens_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PairTokenOptions(**options)


def test_what_is_of_one_side() -> None:
    options = PairTokenOptions(source_tokens="bpe", target_tokens="word", min_count=3, lowercase=True)
    assert options.of_one("bpe").min_count is None
    assert (options.of_one("word").min_count, options.of_one("word").lowercase) == (3, True)


def test_vectors_of_tokens_have_a_size_where_none_is_said() -> None:
    assert TranslatorOptions().embedding_size is None
    assert TranslatorOptions().completed().embedding_size == 128
    assert TranslatorOptions(embedding_size=5).completed().embedding_size == 5
    assert TranslatorNetwork(TranslatorOptions(hidden_size=4), 10, 7).embedding.embedding_dim == 128


def test_vectors_of_a_joint_vocabulary_are_one() -> None:
    assert TranslatorOptions().completed(has_one_vocabulary=True).tied == "all"
    assert TranslatorOptions().completed().tied == "none"
    assert TranslatorOptions(tied="output").completed(has_one_vocabulary=True).tied == "output"


def test_what_is_left_open_goes_by_the_pairs() -> None:
    usual, of_few = TranslatorOptions().completed(), TranslatorOptions().completed(is_few=True)
    assert (usual.hidden_size, usual.embedding_size, usual.dropout, usual.members) == (256, 128, 0.3, 1)
    assert (of_few.hidden_size, of_few.embedding_size, of_few.dropout, of_few.members) == (512, 256, 0.5, 3)
    given = TranslatorOptions(hidden_size=8, dropout=0.0, members=1).completed(is_few=True)
    assert (given.hidden_size, given.dropout, given.embedding_dropout, given.members) == (8, 0.0, 0.5, 1)
