"""Batches of sentences: each token with its word, its characters and its tag, none lost."""

from __future__ import annotations

import unicodedata
from itertools import accumulate, pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from recur.data.texts.raw_sentences import _cluster, _places, cut_into_words
from recur.data.texts.tag_schemes import find_entities, scheme_of
from recur.data.texts.tagged_batches import TaggedBatches, Words
from recur.data.texts.token_options import TokenOptions, WordOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.token_ids import Ragged


def vocabularies() -> tuple[TextVocabulary, TextVocabulary]:
    known = TextVocabulary.fit_tokens(["so", "good", "New York"], WordOptions(min_count=1))
    return known, TextVocabulary.fit(["so Good"], TokenOptions(tokens="character", lowercase=False))


def test_each_token_comes_once_with_its_word_characters_and_tag() -> None:
    known, letters = vocabularies()
    draw = np.random.default_rng(0)
    spelt = ["so", "Good", "new york", "x", ""]
    sentences = [[spelt[k] for k in draw.integers(0, 5, count)] for count in draw.integers(0, 30, 60)]
    tags = [list(draw.integers(0, 4, len(own))) for own in sentences]
    seen = set()
    batches = TaggedBatches(Words.of(sentences, known, letters), Ragged.of(tags), batch_size=8, max_tokens=64, seed=3)
    for batch in batches:
        assert batch.x.numel() <= 64
        starts = batch.character_lengths.cumsum(0) - batch.character_lengths
        for row, number in enumerate(batch.index.tolist()):
            seen.add(number)
            own = sentences[number]
            assert batch.lengths[row] == len(own)
            assert batch.target[row, : len(own)].tolist() == tags[number]
            assert batch.x[row, : len(own)].tolist() == known.encode_tokens(own).tolist()
            assert not batch.x[row, len(own) :].any()
            for place, token in enumerate(own):
                word = batch.word[row, place]
                first, count = int(starts[word]), int(batch.character_lengths[word])
                assert batch.characters[first : first + count].tolist() == letters.encode(token).tolist()
    assert seen == set(range(60))


def test_a_sentence_with_an_unknown_tag_has_no_weight() -> None:
    known, letters = vocabularies()
    words = Words.of([["so", "so"], ["good"]], known, letters)
    (batch,) = TaggedBatches(words, Ragged.of([[0, -1], [1]]), batch_size=2)
    assert dict(zip(batch.index.tolist(), batch.weight.tolist(), strict=True)) == {0: 0.0, 1: 1.0}
    assert int(batch.target.min()) == 0
    (without,) = TaggedBatches(words, batch_size=2)
    assert not without.weight.any()


def test_words_are_looked_up_in_their_normal_form() -> None:
    known = TextVocabulary.fit_tokens(["caf\u00e9", "Stra\u00dfe"], WordOptions(min_count=1))
    assert known.encode_tokens(["CAFE\u0301", "stra\u00dfe", "cafe"]).tolist() == [2, 3, 1]
    kept = TextVocabulary.fit_tokens(["Us", "us"], WordOptions(min_count=1, lowercase=False))
    assert kept.encode_tokens(["US", "Us"]).tolist() == [1, 2]
    assert TextVocabulary.fit_tokens(["a", "b", "b"], WordOptions()).symbols == ("b", "a")
    twice = TextVocabulary.fit_tokens(["a", "b", "b"], WordOptions(min_count=2))
    assert twice.symbols == ("b",)


@pytest.mark.parametrize(
    ("unicode", "text"),
    [
        ("nfc", "e\u0301a\u0323\u0302 x"),
        ("nfkc", "\ufb01ne\u2460 \uff21\u0301bc"),
        ("none", "e\u0301 a"),
        ("nfc", " a\n"),
    ],
)
def test_words_lie_where_they_say(unicode: str, text: str) -> None:
    words = TextVocabulary.fit_tokens(["a"], WordOptions(unicode=unicode))  # type: ignore[arg-type]
    found = cut_into_words(text, words)
    assert [text[piece.begin : piece.end] for piece in found] == [piece.text for piece in found]
    assert all(one.end <= other.begin for one, other in pairwise(found))
    if unicode != "none":
        assert "".join(piece.text for piece in found) == "".join(text.split())


@pytest.mark.parametrize("unicode", ["nfc", "nfkc"])
@settings(max_examples=200, deadline=None)
@given(
    text=st.text(
        st.sampled_from("aA\u00e9e\u0301\u0323\u0302\ufb01\u2460\u1100\u1161\u11a8\uac00\uff76\uff9e\u0915\u093c\u3131")
    )
)
def test_characters_lie_where_they_came_from(unicode: str, text: str) -> None:
    words = TextVocabulary.fit_tokens(["a"], WordOptions(unicode=unicode))  # type: ignore[arg-type]
    normal, places = words.normalised(text), _places(text, words)
    lengths = list(accumulate((len(words.normalised(text[:end])) for end in range(len(text) + 1)), max))
    expected = [0, *(max(end for end, n in enumerate(lengths) if n <= to) for to in range(1, len(normal) + 1))]
    assert places == expected


def test_what_joins_the_character_before_is_of_its_cluster() -> None:
    begins = {one: unicodedata.normalize("NFKD", one)[0] for one in map(chr, range(0x20000))}
    joining = [
        one for one, first in begins.items() if unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"
    ]
    assert [one for one in joining if not _cluster().fullmatch(f"a{one}")] == []


def test_a_long_run_without_blanks_is_normalised_once() -> None:
    class Counting(TextVocabulary):
        def normalised(self, text: str) -> str:
            read.append(len(text))
            return super().normalised(text)

    read: list[int] = []
    text = "\u732b\u304b\u3099" * 1000
    words = Counting(kind="word", lowercase=True, unicode="nfc")
    assert [(piece.begin, piece.end) for piece in cut_into_words(text, words)] == [(0, len(text))]
    assert sum(read) < 10 * len(text)


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        (["O", "B-A", "I-A"], "BIO"),
        (["B-A"], "BIO"),
        (["O", "B-A", "E-A", "S-B"], "IOBES"),
        (["O", "B-A", "L-A", "U-B"], "BILOU"),
        (["O", "B-A", "L-A", "S-B"], None),
        (["O", "S-bar"], None),
        (["NOUN", "B-A"], None),
        (["O"], None),
        ([], None),
    ],
)
def test_schemes(names: list[str], scheme: str | None) -> None:
    assert scheme_of(names) == scheme


def test_no_entity_goes_on_into_another_sentence() -> None:
    tags = np.array(["B-A", "I-A", "I-A", "O", "I-A"], object)
    found = find_entities(tags, np.array([0, 2]))
    assert list(zip(found.begins.tolist(), found.ends.tolist(), strict=True)) == [(0, 2), (2, 3), (4, 5)]
    nothing = find_entities(np.zeros(0, object), np.zeros(0, np.int64))
    assert [len(part) for part in nothing] == [0, 0, 0]
