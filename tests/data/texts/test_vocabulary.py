"""Texts to ids and back, and the places of tokens."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vocabulary import TextVocabulary, choose_tokens, marks
from recur.errors import DataError, OptionError, RunError
from recur.token_ids import SPECIAL, UNKNOWN, Ragged

TEXTS = ["The cat sat.", "the CAT ran, it's fast", "Ein Café: naïve?"]


def fitted(texts: list[str] = TEXTS, **options: Any) -> TextVocabulary:
    return TextVocabulary.fit(texts, choose_tokens(TokenOptions(**options), texts)[0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("word", ["it's", "so", "-", "so", "!"]),
        ("space", ["It's", "so-so!"]),
        ("character", list("It's so-so!")),
    ],
)
def test_what_a_token_is(kind: str, expected: list[str]) -> None:
    assert [piece.text for piece in fitted(tokens=kind).cut("It's so-so!")] == expected


@pytest.mark.parametrize(
    "text",
    [
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",  # Hindi
        "\u09ac\u09be\u0982\u09b2\u09be \u09ad\u09be\u09b7\u09be",  # Bengali
        "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0bae\u0bca\u0bb4\u0bbf",  # Tamil
        "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0e17\u0e35\u0e48",  # Thai
        "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05b4\u05d1",  # Hebrew with points
        "\u0641\u064e\u062a\u0652\u062d \u0645\u06cc\u200c\u062e",  # Arabic with vowels, Persian with a joiner
        "x\u0302y\u0302 \u845b\U000e0100",  # letters that no accent joins, and a variant of a character
        "d'o\u0331\u0331n e\u0304\u0331n's",  # with apostrophes
    ],
)
@pytest.mark.parametrize("unicode", ["nfc", "nfkc", "none"])
def test_words_go_on_over_combining_marks(text: str, unicode: str) -> None:
    vocabulary = fitted(tokens="word", unicode=unicode)
    words = vocabulary.normalised(text).split()
    assert [piece.text for piece in vocabulary.cut(text)] == words
    assert [piece.text for piece in vocabulary.cut(f"\u201c{'! '.join(words)}\u201d.")][1:-2:2] == words


def test_marks_are_all_that_unicode_has() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    found = re.findall(f"[{marks()}]", every)
    assert found == [c for c in every if unicodedata.category(c)[0] == "M" or c in "\u200c\u200d"]


def test_what_was_saved_with_marks_cut_off_is_cut_as_it_was() -> None:
    text = "\u0939\u093f\u0928 x\u0302"
    saved = {"kind": "word", "lowercase": True, "unicode": "nfc", "symbols": ["\u0939", "\u093f"]}
    of_before = TextVocabulary.from_json(saved)
    assert [piece.text for piece in of_before.cut(text)] == ["\u0939", "\u093f", "\u0928", "x", "\u0302"]
    assert of_before.encode(text).tolist() == [SPECIAL, SPECIAL + 1, UNKNOWN, UNKNOWN, UNKNOWN]
    assert of_before.to_json() == saved
    now = TextVocabulary.from_json(fitted([text, text], tokens="word").to_json())
    assert [piece.text for piece in now.cut(text)] == ["\u0939\u093f\u0928", "x\u0302"]
    assert sorted(now.encode(text).tolist()) == [SPECIAL, SPECIAL + 1]


@pytest.mark.parametrize("kind", ["word", "space", "character", "bpe"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=30))
def test_pieces_are_where_they_say(kind: str, text: str) -> None:
    vocabulary = VOCABULARIES[kind]
    normal, pieces = vocabulary.normalised(text), vocabulary.cut(text)
    ends = [0, *(piece.end for piece in pieces)]
    assert all(end <= piece.begin <= piece.end <= len(normal) for end, piece in zip(ends, pieces, strict=False))
    assert len(vocabulary.encode(text)) == len(pieces)
    if kind != "bpe":
        assert [normal[piece.begin : piece.end] for piece in pieces] == [piece.text for piece in pieces]
    left_out = "".join(normal[end : piece.begin] for end, piece in zip(ends, pieces, strict=False))
    assert not left_out.strip()


VOCABULARIES = {kind: fitted(tokens=kind, lowercase=False) for kind in ("word", "space", "character", "bpe")}


def test_the_most_frequent_come_first_and_the_rare_are_unknown() -> None:
    vocabulary = fitted(["b a b", "b a c"], tokens="space", min_count=2)
    assert vocabulary.symbols == ("b", "a")
    assert vocabulary.encode("a b c").tolist() == [SPECIAL + 1, SPECIAL, UNKNOWN]
    assert fitted(["b a b", "b a c"], tokens="space", vocabulary_size=1).symbols == ("b",)


def test_capitals_and_forms_of_unicode() -> None:
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    keeping, small = fitted([composed], tokens="space"), fitted([composed], tokens="space", lowercase=True)
    assert keeping.encode(decomposed).tolist() == keeping.encode(composed).tolist() == [SPECIAL]
    assert keeping.encode("caf\u00e9").tolist() == [UNKNOWN]
    assert small.encode("CAF\u00c9").tolist() == [SPECIAL]
    raw = fitted([composed], tokens="space", unicode="none")
    assert raw.encode(decomposed).tolist() == [UNKNOWN]
    wide = fitted(["ABC"], tokens="space", unicode="nfkc")
    assert wide.encode("\uff21\uff22\uff23").tolist() == [SPECIAL]


@pytest.mark.parametrize(
    ("texts", "kind", "lowercase"),
    [
        (["Schmidt", "Ito"], "character", False),
        (["\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059" * 4], "character", False),
        (["a good day", "bad"], "word", True),
        (["\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059 " * 4], "character", False),
        (["\u0e2d\u0e32\u0e2b\u0e32\u0e23 \u0e14\u0e35 \u0e21\u0e32\u0e01", "\u6211 \u7231 \u4f60"], "word", True),
    ],
)
def test_what_is_chosen(texts: list[str], kind: str, lowercase: bool) -> None:
    chosen, reasons = choose_tokens(TokenOptions(), texts)
    assert (chosen.tokens, chosen.lowercase) == (kind, lowercase)
    assert set(reasons) == {"tokens", "lowercase", "min_count"}


@pytest.mark.parametrize("kind", ["word", "space", "character", "bpe"])
def test_it_is_the_same_from_json(kind: str) -> None:
    import json

    vocabulary = fitted(tokens=kind)
    again = TextVocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.encode("The cat, naïve").tolist() == vocabulary.encode("The cat, naïve").tolist()
    assert (again.size, again.to_json()) == (vocabulary.size, vocabulary.to_json())


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"kind": "word"},
        {"kind": "word", "lowercase": 1, "unicode": "nfc"},
        {"kind": "word", "lowercase": True, "unicode": "nfc", "has_marks": 1},
        {"kind": "word", "lowercase": True, "unicode": "nfc", "symbols": ["a", "a"]},
        {"kind": "bpe", "lowercase": True, "unicode": "nfc"},
        {"kind": "bpe", "lowercase": True, "unicode": "nfc", "bpe": {"kind": "byte"}},
    ],
)
def test_a_damaged_file_is_refused(content: Any) -> None:
    with pytest.raises(RunError, match="the vocabulary is damaged"):
        TextVocabulary.from_json(content)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_texts_without_tokens(kind: str) -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        fitted(["", ""], tokens=kind)
    assert fitted(tokens=kind).encode("").tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "words"}, "tokens must be one of word, space, character, bpe, not 'words'"),
        ({"unicode": "nfd"}, "unicode must be one of nfc, nfkc, none"),
        ({"vocabulary_size": 0}, "vocabulary_size must be a whole number from 1 on, not 0"),
        ({"tokens": "bpe", "vocabulary_size": 256}, "from 257 on, the 256 bytes and one merge, not 256"),
        ({"min_count": 0}, "min_count must be a whole number from 1 on"),
        ({"tokens": "bpe", "min_count": 2}, "min_count: would be ignored, for a BPE knows every text"),
        ({"lowercase": "yes"}, "lowercase must be true or false"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TokenOptions(**options)


def test_ids_of_no_texts() -> None:
    assert Ragged.of([]).lengths.tolist() == []
    assert Ragged.of([[1], [], [2, 3]]).lengths.tolist() == [1, 0, 2]
