from __future__ import annotations

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.tokenizer import BpeTokenizer, ByteTokenizer, CharacterTokenizer, tokenizer_from_json
from recur.errors import DataError, RecurError, RunError

PROSE = "the lowest of the lower, the low: “naïve” 😀\n\n  indented\tline 1234 don't\r\n" * 8
BPE = BpeTokenizer.trained([PROSE], vocabulary_size=320)
CHARACTER = CharacterTokenizer.of(PROSE)
ALL = [pytest.param(tokenizer, id=tokenizer.kind) for tokenizer in (CHARACTER, ByteTokenizer(), BPE)]


@pytest.mark.parametrize("tokenizer", ALL)
def test_decoding_gives_the_text_back(tokenizer):
    ids = tokenizer.encode(PROSE)
    assert ids.dtype == np.int64
    assert ids.min() >= 0
    assert ids.max() < tokenizer.vocabulary_size
    assert tokenizer.decode(ids) == PROSE
    assert tokenizer.decode(ids.tolist()) == PROSE
    assert tokenizer.characters_of(ids) == len(PROSE)
    assert tokenizer.decode([]) == ""
    assert tokenizer.encode("").shape == (0,)


@pytest.mark.parametrize("tokenizer", ALL)
def test_json_gives_the_same_tokeniser_back(tokenizer):
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert type(again) is type(tokenizer)
    assert again.vocabulary_size == tokenizer.vocabulary_size
    np.testing.assert_array_equal(again.encode(PROSE), tokenizer.encode(PROSE))
    assert [again.symbol(token) for token in range(again.vocabulary_size)] == [
        tokenizer.symbol(token) for token in range(tokenizer.vocabulary_size)
    ]


@pytest.mark.parametrize("tokenizer", ALL)
@settings(deadline=None)
@given(data=st.data())
def test_decoding_one_by_one_never_gives_half_a_character(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=30))
    decoder = tokenizer.decoder()
    pieces = [decoder.push(token) for token in ids]
    assert "".join([*pieces, decoder.flush()]) == tokenizer.decode(ids)
    assert tokenizer.characters_of(ids) == len(tokenizer.decode(ids))
    # After the flush it starts anew.
    assert decoder.push(tokenizer.encode("t").item()) == "t"


@pytest.mark.parametrize("tokenizer", ALL)
@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_is_encoded_or_its_unknown_characters_are_named(tokenizer, text):
    unknown = tokenizer.unknown_in(text)
    assert len(unknown) == len(set(unknown))
    if unknown:
        with pytest.raises(DataError, match="that the model has never seen") as caught:
            tokenizer.encode(text)
        assert "\n" not in str(caught.value)
    else:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    dropped = "".join(character for character in text if character not in unknown)
    mapped = "".join("\ufffd" if character in unknown else character for character in text)
    assert tokenizer.decode(tokenizer.encode(text, unknown="drop")) == dropped
    assert tokenizer.decode(tokenizer.encode(text, unknown="map")) == mapped


def test_the_symbols_are_sorted_by_code_point_and_the_unknown_id_is_last():
    tokenizer = CharacterTokenizer.of("zebra😀é")
    assert tokenizer.symbols == "aberzé😀"
    assert tokenizer.unknown_id == 7
    assert tokenizer.vocabulary_size == 8
    assert [tokenizer.symbol(token) for token in range(8)] == [*"aberzé😀", "\ufffd"]
    assert tokenizer.encode("az\U0010ffff0", unknown="map").tolist() == [0, 4, 7, 7]


def test_every_other_character_of_unicode_is_unknown():
    everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    ids = CharacterTokenizer.of("zebra\u20ac").encode(everything, unknown="drop")
    assert ids.tolist() == list(range(6))


def test_unknown_characters_are_named():
    tokenizer = CharacterTokenizer.of("ab")
    with pytest.raises(DataError, match=r"has 2 characters that the model has never seen: '€' \(U\+20AC\), '\\n' "):
        tokenizer.encode("a€\nb€")
    with pytest.raises(DataError, match=r"has 1 character that .* \(unknown='map'\) or dropped \(drop\)\.$"):
        tokenizer.encode("c")
    with pytest.raises(DataError, match=r"has 7 characters that .* and 2 more; leave"):
        tokenizer.encode("cdefghi")


def test_half_a_surrogate_pair_is_no_text():
    for tokenizer in (ByteTokenizer(), BPE):
        assert tokenizer.unknown_in("a\udc80") == ["\udc80"]
        with pytest.raises(DataError, match=r"U\+DC80"):
            tokenizer.encode("a\udc80")
        assert tokenizer.decode(tokenizer.encode("a\udc80", unknown="map")) == "a\ufffd"


def test_one_symbol_is_refused():
    with pytest.raises(DataError, match=r"has only one symbol: 'a'; there is nothing to predict"):
        CharacterTokenizer.of("aaa")
    with pytest.raises(DataError, match="has no symbols"):
        CharacterTokenizer.of("")


def test_bytes_are_utf8_and_invalid_ones_are_shown():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("é€").tolist() == list("é€".encode())
    assert tokenizer.decode([0x61, 0xFF, 0x62]) == "a\ufffdb"
    assert [tokenizer.symbol(token) for token in (0x41, 0x0A, 0xC3)] == ["A", "\n", "\\xc3"]
    assert tokenizer.unknown_id is None


def test_the_characters_of_many_bytes_are_counted_across_chunks(monkeypatch):
    monkeypatch.setattr("recur.data.tokenizer._CHUNK", 5)
    tokenizer = ByteTokenizer()
    assert tokenizer.characters_of(tokenizer.encode("a€😀é" * 7)) == 28


def test_bpe_merges_what_is_frequent():
    tokenizer = BpeTokenizer.trained(["abab abab abab cd"] * 3, vocabulary_size=258)
    assert [tokenizer.symbol(token) for token in tokenizer.encode("abab cd").tolist()] == ["abab", " ", "c", "d"]
    assert tokenizer.vocabulary_size == 258


def test_bpe_of_a_short_text_is_smaller_than_asked_for():
    assert BpeTokenizer.trained(["ab"], vocabulary_size=5000).vocabulary_size == 257


def test_bpe_cuts_long_words_so_that_their_time_does_not_explode():
    text = "acgt" * 25_000 + " acgt"
    tokenizer = BpeTokenizer.trained([text], vocabulary_size=300)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    # 256 characters and the same again and again: 390 whole pieces, the rest of 160, and the word after the blank.
    assert ids[:389].tolist() == [ids[0]] * 389
    assert max(len(tokenizer.symbol(token)) for token in range(tokenizer.vocabulary_size)) == 256


def test_bpe_encodes_many_as_one_by_one():
    texts = ["the lowest", "", "x" * 600, "of 😀 the"]
    for together, alone in zip(BPE.encode_all(texts), map(BPE.encode, texts), strict=True):
        np.testing.assert_array_equal(together, alone)


def test_bpe_training_is_the_same_in_every_process():
    code = (
        "import sys, json; from recur.data.tokenizer import BpeTokenizer;"
        "text = sys.stdin.buffer.read().decode();"
        "print(json.dumps(BpeTokenizer.trained([text], vocabulary_size=320).to_json()))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], input=PROSE.encode(), capture_output=True, check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert json.loads(done.stdout) == BPE.to_json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected an object, found NoneType"),
        ({}, "kind is None, expected character, byte or bpe"),
        ({"kind": "word"}, "kind is 'word'"),
        ({"kind": "character"}, "symbols must be a list of single characters"),
        ({"kind": "character", "symbols": ["a", "bc"]}, "symbols must be a list of single characters"),
        ({"kind": "character", "symbols": ["a"]}, "at least two, sorted by code point"),
        ({"kind": "character", "symbols": ["b", "a"]}, "at least two, sorted by code point"),
        ({"kind": "character", "symbols": ["a", "\udc80"]}, "half a surrogate pair"),
        ({"kind": "bpe"}, "symbols must be a list of texts"),
        ({"kind": "bpe", "symbols": ["a"]}, "some of the 256 bytes are missing"),
        ({**BPE.to_json(), "symbols": [*BPE.symbols, "a"]}, "a symbol occurs twice"),
        ({**BPE.to_json(), "symbols": [*BPE.symbols, "日"]}, "stands for no byte"),
        ({**BPE.to_json(), "merges": None}, "merges must be a list of pairs"),
        ({**BPE.to_json(), "merges": [["a"]]}, "merges must be a list of pairs"),
        ({**BPE.to_json(), "merges": [["#", "#"]]}, "the merge of '#' and '#' is not in symbols"),
    ],
)
def test_a_damaged_description_is_refused(content, message):
    with pytest.raises(RunError, match=f"the tokeniser is damaged: .*{message}.*; restore the file, or train again"):
        tokenizer_from_json(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(data=st.data(), tokenizer=st.sampled_from([CHARACTER, ByteTokenizer(), BPE]))
def test_a_mutated_description_is_refused_or_makes_a_tokeniser_that_works(data, tokenizer):
    content = copy.deepcopy(tokenizer.to_json())
    name = data.draw(st.sampled_from(sorted(content)))
    if isinstance(content[name], list) and data.draw(st.booleans()):
        content[name][data.draw(st.integers(0, len(content[name]) - 1))] = data.draw(json_values)
    else:
        content[name] = data.draw(json_values)
    try:
        mutated, refusal = tokenizer_from_json(content), ""
    except RecurError as error:
        mutated, refusal = None, str(error)
    assert "\n" not in refusal
    if mutated is not None:
        ids = mutated.encode("the low", unknown="map")
        assert ids.max() < mutated.vocabulary_size
        assert len(mutated.decode(ids)) == 7
