"""Properties of a text, written out by hand under it."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.tokenizer import ByteTokenizer
from recur.tasks.inspection.text_properties import text_properties


def marks(pieces: list[str] | str, key: str, starts: list[int] | None = None) -> str:
    """Return the values of a property, one character each."""
    document_starts = None if starts is None else np.array(starts)
    found = {each.key: each for each in text_properties(list(pieces), document_starts)}
    assert set(found[key].values.tolist()) <= {0.0, 1.0} or found[key].kind == "number"
    return "".join(f"{int(value):x}" for value in found[key].values)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("inside_quotes", 'a "bc" d', "00111000"),
        ("inside_quotes", "„ab“ «c» “d”", "111001100110"),
        # An apostrophe is no quote, and one kind of quote within another ends nothing.
        ("inside_quotes", "don't “a\"b” c", "0000001111000"),
        # What is never closed ends with the paragraph, not with the line.
        ("inside_quotes", '"a\nb\n\nc"d', "111110011"),
        ("inside_brackets", "a(b[c]d)e)", "0111111000"),
        ("bracket_depth", "a(b[c]{d})e)", "011221221000"),
        # What nothing closes marks nothing, and what is between it and the next one's end is the next one's.
        ("inside_brackets", "a(b c", "00000"),
        ("inside_brackets", ":( a(b)c", "00001100"),
        ("bracket_depth", "(a[b)c]d(e{f}g)", "111100001122110"),
        # In code they go on over empty lines.
        ("inside_brackets", "{\n\n}", "1110"),
        ("position_in_line", "ab\n\nc\n", "120010"),
        ("position_in_word", "ab, c1d", "1200123"),
        ("line_start", "ab\n\nc\n", "100110"),
        ("word_start", "ab, c1d", "1000100"),
        ("word_end", "ab, c1d e", "010000101"[:-1] + "0"),
        ("white_space", "a b\t\n", "01011"),
        ("vowel", "aXÉyoü", "101011"),
        ("upper_case", "aBÉ1", "0110"),
        ("digit", "a1٣", "011"),
        ("punctuation", "a,!— $", "011100"),
    ],
)
def test_by_hand(key: str, text: str, expected: str) -> None:
    assert marks(text, key) == expected


def test_every_property_once_and_depth_only_where_brackets_are_nested() -> None:
    keys = [each.key for each in text_properties(list("a(b)c"))]
    assert keys == [
        *("inside_quotes", "inside_brackets", "position_in_line", "position_in_word", "line_start", "word_start"),
        *("word_end", "white_space", "vowel", "upper_case", "digit", "punctuation"),
    ]
    assert "bracket_depth" in [each.key for each in text_properties(list("a((b))c"))]
    kinds = {each.key: each.kind for each in text_properties(list("a((b))c"))}
    assert {key for key, kind in kinds.items() if kind == "number"} == {
        *("bracket_depth", "position_in_line", "position_in_word"),
    }


def test_tokens_have_the_course_of_their_last_character_and_the_classes_of_any() -> None:
    pieces = ["Say", ' "no', '"', ".\nB", "ut", " (no"]
    assert marks(pieces, "inside_quotes") == "010000"
    assert marks([*pieces, ")"], "inside_brackets") == "0000010"
    assert marks(pieces, "position_in_line") == "3" + "7" + "8" + "1" + "3" + "7"
    assert marks(pieces, "position_in_word") == "320132"
    assert marks(pieces, "upper_case") == "100100"
    assert marks(pieces, "word_start") == "110101"
    assert marks(pieces, "word_end") == "110010"
    assert marks(pieces, "line_start") == "100100"
    assert marks(pieces, "punctuation") == "011101"


def test_bytes_have_a_property_once_they_make_a_character() -> None:
    tokenizer = ByteTokenizer()
    decoder = tokenizer.decoder()
    pieces = [decoder.push(token) for token in tokenizer.encode('é"ü').tolist()]
    assert pieces == ["", "é", '"', "", "ü"]
    assert marks(pieces, "vowel") == "01001"
    assert marks(pieces, "position_in_line") == "01223"
    assert marks(pieces, "inside_quotes") == "00111"
    assert marks(pieces, "line_start") == "01000"


def test_a_document_begins_anew() -> None:
    text = '(a "bcd'
    assert marks(text, "inside_quotes") == "0001111"
    assert marks(text, "inside_quotes", [0, 5]) == "0001100"
    assert marks("(a (bcd)", "inside_brackets") == "00011110"
    assert marks("(a (bcd)", "inside_brackets", [5]) == "00000000"
    assert marks(text, "line_start", [5]) == "1000010"
    assert marks(text, "position_in_line", [5]) == "1234512"
    assert marks(text, "word_start", [5]) == "0100110"
    # What follows in the next document tells nothing of this one.
    assert marks("ab c", "word_end") == "0100"
    assert marks("ab c", "word_end", [2]) == "0000"


def test_an_empty_text() -> None:
    assert {len(each.values) for each in text_properties([])} == {0}
