"""Answers that must hold some texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.tasks.translate.conftest import made

from recur.decode import DecodingOptions
from recur.errors import OptionError
from recur.tasks.translate.translation import lacking


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_words_are_forbidden_and_required(tokens: str) -> None:
    trained = made(tokens)
    sources = ["red old door", "", "green house"]
    if tokens == "word":
        usual = trained.translate(sources[:1], decoding=DecodingOptions(min_length=1))[0][0].text.split()[0]
        assert usual not in trained.translate(sources[:1], forbidden=[usual])[0][0].text.split()
    required = [["NEW"], ["NEW"], []]
    found = trained.translate(sources, required=required, decoding=DecodingOptions(beams=4, max_length=12))
    assert "NEW" in found[0][0].text
    assert found[1][0].text == ""
    with pytest.raises(OptionError, match="required: there are 3 texts, and what 1 of them require"):
        trained.translate(sources, required=[["NEW"]])
    if tokens == "word":
        with pytest.raises(OptionError, match="required: 'zonk' is not made of tokens"):
            trained.translate(sources, required=[["zonk"], [], []])


def test_what_is_required_and_has_no_room_is_told() -> None:
    trained = made()
    sources, short = ["red old door", "", "green"], DecodingOptions(beams=4, max_length=2)
    texts = ["RED", "NEW GREEN"]
    found = trained.translate(sources, required=[texts, texts, ["RED"]], decoding=short)
    assert [one.missing for (one,) in found][1:] == [(), ()]
    assert found[0][0].missing == tuple(text for text in texts if text not in found[0][0].text) != ()
    table = trained.predict(sources, required=texts, decoding=short)
    assert table.columns == ["source", "target", "score", "ended", "missing"]
    assert [told is None for told in table["missing"]] == [False, True, False]
    assert lacking(table["missing"].to_list()) == [
        "2 of 3 answers without some of what is required, which does not fit into the most tokens that they may have, "
        "or with what else is asked, or could but be copied from another text"
    ]
    both = trained.predict(sources, required=texts, decoding=replace(short, max_length=6))
    assert both["missing"].to_list() == [None] * 3
    assert lacking(both["missing"].to_list()) == []


def test_a_word_that_can_but_be_copied_may_be_required() -> None:
    trained = made("word", copying=True)
    wide = DecodingOptions(beams=4, max_length=6)
    found = trained.translate(["zonk red", "red zig zonk"], required=[["zonk"], ["RED zonk", "zig"]], decoding=wide)
    assert "zonk" in found[0][0].tokens
    assert "RED zonk" in found[1][0].text
    assert "zig" in found[1][0].tokens
    assert [one.missing for (one,) in found] == [(), ()]
    with pytest.raises(OptionError, match="'zonk' is not made of tokens that the translator can write, or copy from a"):
        trained.translate(["red zig", "zonk"], required=[["zonk"], []])


def test_a_required_word_that_a_source_lacks_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made("word", copying=True)
    wide = DecodingOptions(beams=4, max_length=6)
    table = trained.predict(["zonk red", "red", "", "zonk"], required=["zonk", "RED"], decoding=wide, batch_size=1)
    assert table["missing"].to_list() == [None, "zonk", None, None]
    assert all("RED" in text.split() for text in table["target"] if text)
    # What none can hold is said before anything is written.
    monkeypatch.setattr(trained, "members", lambda: pytest.fail("began to write"))
    with pytest.raises(OptionError, match="required: 'zig' is not made of tokens"):
        trained.predict(["zonk red", "red"], required=["zonk", "zig"])


@pytest.mark.parametrize(
    ("required", "message"),
    [
        ("NEW", r"required: takes a list of texts for each source, not one text; give \[\[text\]\]"),
        (3, "required: takes a list of texts for each source, not int"),
        (["NEW"], r"required: takes a list of texts for each source, but number 1 is a text; give \[text\]"),
        ([[3]], "required, number 1: takes a list of texts, but number 1 is int"),
        ([None], "required, number 1: takes a list of texts, not NoneType"),
    ],
)
def test_what_is_required_is_no_text_alone(required: Any, message: str) -> None:
    # Letters of a word would else be taken for texts, which all can be written.
    with pytest.raises(TypeError, match=message):
        made("character").translate(["red old door"], required=required)


def test_what_a_table_requires_is_no_text_alone() -> None:
    for name in ("required", "forbidden"):
        lists: Any = {name: "NEW"}
        with pytest.raises(TypeError, match=rf"{name}: takes a list of texts, not one; give \[text\]"):
            made("character").predict(["red old door"], **lists)
