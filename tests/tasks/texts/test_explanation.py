"""What tokens of texts are said to contribute, against networks run by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.texts.conftest import CUES, Made, drawn

from recur.data.texts.batches import TextBatches
from recur.data.texts.vocabulary import Piece
from recur.errors import OptionError
from recur.run import RunFolder
from recur.tasks.texts.evaluation import evaluate_texts
from recur.tasks.texts.explanation import Explanation, _read_again, check_explanations, explain_texts
from recur.tasks.texts.rule import load_rule
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.token_ids import UNKNOWN, Ragged

WORDS = {word: name for name, words in CUES.items() for word in words}


def odds(trained: TrainedTextClassifier, ids: list[int], code: int) -> float:
    """Return the log-odds of a class by the probabilities of the network and of the linear model that speaks too."""
    batch = next(iter(TextBatches(Ragged.of([ids]), batch_size=1)))
    assert trained.rule is not None
    evidence = trained.rule.evidence(Ragged.of([ids])).double()
    with torch.no_grad():
        logits = trained.network(batch).double()
    if not trained.setup.is_multi:
        logits, evidence = logits.log_softmax(1), evidence.log_softmax(1)
    logits = trained.temperature((1 - trained.share) * logits + trained.share * evidence)
    chance = (logits.sigmoid() if trained.setup.is_multi else logits.softmax(1))[0, code]
    return float(torch.logit(chance))


@pytest.mark.parametrize("is_multi", [False, True])
def test_shares_add_up_to_what_is_said(made: Made, is_multi: bool) -> None:
    trained = TrainedTextClassifier.load(made(is_multi) / "run")
    trained.rule, trained.share = load_rule(RunFolder.open(made(is_multi) / "run"), trained.setup), 0.6
    texts = [*drawn(2, seed=5)[0], "so tasty", "!", "the day was loud " * 3]
    codes = [number % 3 for number in range(len(texts))]
    for one, text, code in zip(explain_texts(trained, texts, codes), texts, codes, strict=True):
        ids = trained.setup.vocabulary.encode(text).tolist()
        assert one.label == trained.classes[code]
        assert one.answer == pytest.approx(odds(trained, ids, code), abs=1e-4)
        assert one.neutral == pytest.approx(odds(trained, [UNKNOWN] * len(ids), code), abs=1e-4)
        missed = abs(one.shares.sum() - (one.answer - one.neutral))
        assert missed == pytest.approx(one.gap * np.abs(one.shares).sum(), abs=1e-5)
        assert one.gap < 0.01
        assert one.probability == pytest.approx(1 / (1 + np.exp(-one.answer)))
        assert [text[piece.begin : piece.end].lower() for piece in one.pieces] == [piece.text for piece in one.pieces]
        unknown = [place for place, number in enumerate(ids) if number == UNKNOWN]
        assert np.abs(one.shares[unknown]).max(initial=0) < 1e-6


def test_the_word_that_tells_the_class_is_found(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    texts = drawn(30, seed=8)[0]
    found = trained.explain(texts)
    best = found.sort("contribution").group_by("number", maintain_order=True).last().sort("number")
    right = [
        WORDS.get(token) == name for token, name in zip(best["token"].to_list(), best["class"].to_list(), strict=True)
    ]
    assert sum(right) >= 28
    assert best["class"].to_list() == trained.predict(texts)["kind"].to_list()
    one = found.row(0, named=True)
    assert (one["number"], one["begin"], one["end"]) == (1, 0, len(one["token"]))
    assert texts[0].startswith(one["token"])


def test_what_is_asked_for_is_explained(made: Made) -> None:
    several = TrainedTextClassifier.load(made(True) / "run")
    text = ["the day was tasty and loud"]
    told = several.predict(text)["kind"].to_list()[0]
    found = several.explain(text)
    assert found["class"].unique(maintain_order=True).to_list() == told == ["food", "music"]
    for name, word in (("food", "tasty"), ("music", "loud")):
        own = found.filter(pl.col("class") == name)
        assert own["token"][int(own["contribution"].arg_max() or 0)] == word
    other = several.explain(text, label="sport")
    assert other["class"].unique().to_list() == ["sport"]
    # What is told of nothing is still told of something.
    assert several.explain(["the day was so"]).height == 4
    with pytest.raises(OptionError, match=r"label: there is no class 'foot'; did you mean 'food'\?"):
        several.explain(text, label="foot")
    with pytest.raises(OptionError, match="label: there is no class 'zzz'; there are food, music and sport"):
        several.explain(text, label="zzz")


def test_a_text_says_the_same_alone_and_among_others(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    texts = drawn(12, seed=2)[0] + ["so", "the " * 40]
    together = explain_texts(trained, texts, [0] * len(texts))
    for text, one in zip(texts, together, strict=True):
        alone = explain_texts(trained, [text], [0])[0]
        np.testing.assert_allclose(one.shares, alone.shares, rtol=0, atol=1e-5)


def explanation(pieces: list[tuple[int, int]], shares: list[float], text: str, **options: Any) -> Explanation:
    given = {"label": "a", "probability": 0.5, "answer": 0.0, "neutral": 0.0, "gap": 0.0, "joins": False}
    return Explanation(
        text=text,
        pieces=tuple(Piece(text[begin:end], begin, end) for begin, end in pieces),
        shares=np.array(shares),
        **given | options,  # type: ignore[arg-type]
    )


def test_parts_of_words_are_told_as_runs() -> None:
    places = [(place, place + 1) for place in range(6)]
    letters = explanation(places, [1.0, 2.0, -0.5, 1.0, 9.0, 1.0], "abcd e", joins=True)
    assert letters.words() == [("ab", 3.0), ("c", -0.5), ("d", 1.0), (" ", 9.0), ("e", 1.0)]
    assert letters.strongest(2) == [("ab", 3.0), ("d", 1.0)]
    assert letters.strongest(2, sign=-1) == [("c", -0.5)]
    words = explanation([(0, 2), (3, 5), (5, 6)], [4.0, 1.0, 0.1], "so ok!")
    assert words.words() == [("so", 4.0), ("ok", 1.0), ("!", 0.1)]
    assert words.strongest(3) == [("so", 4.0), ("ok", 1.0)]


def test_worst_errors_have_the_words_that_spoke_for_them(made: Made, tmp_path: Any) -> None:
    path = tmp_path / "other.tsv"
    long = "loud " + "the " * 1200
    path.write_text(f"review\tkind\nthe day was tasty\tmusic\nso spicy\tfood\n{long}\tsport\n")
    worst = evaluate_texts(made(False) / "run", path)["worst"]
    own = next(one for one in worst if one["series"] == "the day was tasty")
    assert (own["true"], own["told"], own["for"]) == ("music", "food", "food")
    assert own["words"][0][0] == "tasty"
    assert own["words"][0][1] > 1
    # Long ones are not explained.
    assert all("words" not in one for one in worst if one["series"] == long.strip() or len(one["series"]) > 2000)


def test_texts_without_a_word_have_nothing_to_explain(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    one, other = explain_texts(trained, ["", "so"], [0, 0])
    assert (len(one.shares), one.words(), one.gap) == (0, [], 0)
    assert one.answer == pytest.approx(one.neutral)
    assert len(other.shares) == 1


def test_the_linear_model_reads_what_is_left_anew(made: Made) -> None:
    """Words that are deleted take their n-grams with them, and the others weigh more."""
    trained = TrainedTextClassifier.load(made(False) / "run")
    trained.rule, trained.share = load_rule(RunFolder.open(made(False) / "run"), trained.setup), 0.9
    texts = ["the day was tasty and slow", "so loud"]
    ids = [trained.setup.vocabulary.encode(text) for text in texts]
    score, inputs, neutral = _read_again(trained, ids, torch.tensor([0, 1]))
    rows = torch.arange(2)
    whole = [odds(trained, own.tolist(), code) for code, own in enumerate(ids)]
    with torch.no_grad():
        assert score(inputs, rows).tolist() == pytest.approx(whole, abs=1e-4)
        inputs[0, 3] = neutral[0, 3]
        left = [*ids[0][:3].tolist(), UNKNOWN, *ids[0][4:].tolist()]
        assert score(inputs, rows).tolist() == pytest.approx([odds(trained, left, 0), whole[1]], abs=1e-4)
    assert check_explanations(trained, drawn(30, seed=8)[0], [number % 3 for number in range(30)]).is_faithful
