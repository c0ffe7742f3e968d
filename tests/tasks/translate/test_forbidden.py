"""Texts that no answer may hold, whichever tokens write them and wherever the words come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.translate.conftest import GREEDY, WIDE, WORDS, always, made, pairs, rare

from recur.decode import DecodingOptions, Sampling
from recur.errors import OptionError
from recur.tasks.translate.forbidden import ForbiddenTexts

DRAWN = DecodingOptions(sampling=Sampling(temperature=2.0), num_best=10, max_length=8)
SOURCES = ["red zonk, old zig.", "green zag zonk zig", "new"]


def held(trained: Any, text: str, answer: Any) -> bool:
    """Return whether an answer has a text in it, as whole words where targets are of words."""
    vocabulary = trained.setup.target_vocabulary
    if vocabulary.kind in ("bpe", "character"):
        return text in answer.text
    own, wanted = ([piece.text for piece in vocabulary.cut(one)] for one in (answer.text, text))
    return any(own[n : n + len(wanted)] == wanted for n in range(len(own)))


@pytest.mark.parametrize(
    ("tokens", "options"),
    [
        ("word", {}),
        ("word", {"copying": True}),
        ("space", {"copying": True, "members": 2}),
        ("character", {}),
        ("bpe", {}),
        (("bpe", "word"), {}),
        (("space", "character"), {"copying": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("decoding", [GREEDY, WIDE, DRAWN], ids=["greedy", "wide", "drawn"])
def test_no_answer_holds_what_is_forbidden(tokens: Any, options: dict[str, Any], decoding: DecodingOptions) -> None:
    sources, targets = rare()
    # A word of a letter, so that words can be copied to letters.
    trained = made(tokens, data=([*sources, *(f"R {one}" for one in WORDS)], [*targets, *WORDS]), **options)
    forbidden: list[str] = []
    # What was written at first is forbidden, then what comes in its place, and so on.
    for number in range(6):
        answers = [one for found in trained.translate(SOURCES, decoding=decoding, forbidden=forbidden) for one in found]
        assert not [text for text in forbidden for one in answers if held(trained, text, one)]
        # Bytes that make no letter are none that could be forbidden.
        texts = [one.text.replace("\N{REPLACEMENT CHARACTER}", " ") for one in answers]
        longest = max(texts, key=len).split()
        forbidden += [" ".join(longest[:2]) or "zonk"] if number % 2 else (longest or ["zonk"])[-1:]
    assert len(set(forbidden)) > 3


def test_a_word_that_takes_the_place_of_an_unknown_one_may_be_forbidden() -> None:
    trained = always(made("word", data=rare()), 1)
    source = "red zonk, old zig."
    usual = trained.translate([source], decoding=GREEDY)[0][0]
    assert len(usual.tokens) == 8
    network: Any = trained.network
    with torch.no_grad():
        # When it may not be written, another word is.
        network.output.bias[5] = -1.0
    found = trained.translate([source], decoding=GREEDY, forbidden=[usual.tokens[0]])[0][0]
    assert usual.tokens[0] not in found.tokens
    assert len(found.tokens) == 8
    other = next(word for word in ("red", "zonk", "old", "zig") if word not in usual.tokens)
    assert trained.translate([source], decoding=GREEDY, forbidden=[other])[0][0].text == usual.text


def test_a_word_that_is_copied_may_be_forbidden() -> None:
    trained = made("word", copying=True)
    network: Any = trained.network
    torch.nn.init.constant_(network.gate.bias, -1e4)
    (alone,), (beside,) = trained.translate(["zonk", "zonk zig"], decoding=GREEDY, forbidden=["zonk"])
    assert "zonk" not in alone.text
    assert beside.text == " ".join(["zig"] * 8)
    # Of several words only those that follow one another.
    ((best,),) = trained.translate(["zonk"], decoding=GREEDY, forbidden=["zonk zonk zonk"])
    assert best.tokens[:2] == ("zonk", "zonk")
    assert "zonk zonk zonk" not in best.text


@pytest.mark.parametrize("form", ["DOOR", " DOOR", "D"])
def test_however_a_bpe_writes_it(form: str) -> None:
    trained = made("bpe")
    vocabulary = trained.setup.target_vocabulary
    token = vocabulary.encode(form).tolist()[-1]
    always(trained, token)
    assert "D" in trained.translate(["red"], decoding=GREEDY)[0][0].text
    for forbidden in ("DOOR", "OOR", "DO", "D"):
        assert forbidden not in trained.translate(["red"], decoding=GREEDY, forbidden=[forbidden])[0][0].text
    # Letter by letter, though the BPE has a piece for the word.
    letters = [int(vocabulary.encode(letter)[0]) for letter in "DOOR"]
    network: Any = trained.network
    with torch.no_grad():
        network.output.bias.fill_(-1e4)
        network.output.bias[letters] = torch.tensor([0.0, -0.1, -0.1, -0.2])
    many = DecodingOptions(sampling=Sampling(), num_best=200, max_length=8)
    assert any("DOO" in one.text for one in trained.translate(["red"], decoding=many)[0])
    assert not any("DOO" in one.text for one in trained.translate(["red"], decoding=many, forbidden=["DOO"])[0])


def test_a_longer_word_is_another_one() -> None:
    sources, targets = pairs()
    trained = made("word", data=(sources, [target.replace("OLD", "COLD OLD") for target in targets]))
    always(trained, trained.setup.target_vocabulary.id_of("COLD"))
    assert trained.translate(["old"], decoding=GREEDY, forbidden=["OLD"])[0][0].text == " ".join(["COLD"] * 8)


def test_what_cannot_be_forbidden() -> None:
    trained = made()
    for given in ("", " "):
        with pytest.raises(OptionError, match=f"forbidden: {given!r} is not made of tokens that the translator can"):
            trained.translate(["red"], forbidden=[given])
    with pytest.raises(OptionError, match="required: 'NEW OLD DOOR' holds one of the texts which are forbidden"):
        trained.translate(["red"], required=[["RED", "NEW OLD DOOR"]], forbidden=["RED OLD", "OLD DOOR", "zonk"])
    with pytest.raises(TypeError, match="forbidden: takes a list of texts, not one"):
        trained.translate(["red"], forbidden="DOOR")


# --- a BPE of sources ---


def test_pieces_of_a_bpe_become_words() -> None:
    for kind in ("word", "space", "character"):
        trained = always(made(("bpe", kind), data=rare()), 1)
        setup = trained.setup
        trained.setup.__dict__["num_unknown"] = 1
        source = "the redhouse, olddoorzonk"
        found = setup.words_at(source)
        assert len(found) == len(setup.source_vocabulary.cut(source))
        ((best,),) = trained.translate([source], decoding=GREEDY)
        assert best.attention is not None
        assert best.tokens == tuple(found[place] for place in best.attention.argmax(1).tolist())
        assert "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}" not in best.text
        if kind == "character":
            assert "".join(found) == "theredhouse,olddoorzonk"
        else:
            assert list(dict.fromkeys(found)) == [piece.text for piece in setup.target_vocabulary.cut(source)]
        assert setup.words_at("") == []
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(setup.words_at("猫 \N{GRINNING FACE}"))


@pytest.mark.parametrize("tokens", ["character", "bpe"])
def test_texts_that_begin_and_end_alike_are_all_found(tokens: str) -> None:
    vocabulary = made(tokens, data=(["ab", "ba", "abc"] * 20,) * 2).setup.target_vocabulary
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(["a", "b", "c"], draw.integers(1, 7))) for _ in range(300)]
    for number in range(40):
        forbidden = texts[number * 4 : number * 4 + 4]
        found = ForbiddenTexts(forbidden, vocabulary)
        for text in texts[160:]:
            if any(one in text for one in forbidden):
                with pytest.raises(OptionError, match="holds one of the texts which are forbidden"):
                    found.check_required([text])
            else:
                found.check_required([text])


def test_tables_of_texts_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made_of = []

    class Counted(ForbiddenTexts):
        def __init__(self, texts: Any, vocabulary: Any) -> None:
            made_of.append([*texts])
            super().__init__(texts, vocabulary)

    monkeypatch.setattr("recur.tasks.translate.trained.ForbiddenTexts", Counted)
    trained = made()
    for forbidden in (["RED"], ["RED"], ("RED",), ["OLD"], ["OLD"]):
        for found in trained.translate(SOURCES, decoding=GREEDY, forbidden=forbidden):
            assert forbidden[0] not in found[0].text
    assert made_of == [["RED"], ["OLD"]]
