"""Scores of texts, beside sacreBLEU's own answers, torchmetrics and counts by hand."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from torchmetrics.functional.text import char_error_rate, word_error_rate
from torchmetrics.functional.text.rouge import rouge_score

from recur.errors import DataError
from recur.tasks.translate.scores import (
    SymbolErrorRate,
    TokenAccuracy,
    Writing,
    check_references,
    scores_for,
)

OUTPUTS = ["the cat sat on the mat", "a dog's life, isn't it?", "", "It costs 3.50 (in U.S. dollars).", "so long"]
REFERENCES = [
    ["the cat is on the mat", "there is a cat on the mat"],
    ["it is a dog's life, isn't it?"],
    ["nothing"],
    ["It costs $3.50 (U.S.) &amp; more.", "It costs 3.50.", ""],
    ["so long", "farewell"],
]
JAPANESE = ["私は 猫が 好きです。", "これはペンだ"]
RIGHT_JAPANESE = [["私は猫が大好きです。"], ["これはペンです", "ペンだ"]]


def figures(outputs: list[str], references: list[list[str]], writing: Writing, **options: Any) -> dict[str, float]:
    found = {}
    for name, score in scores_for(references, writing, **options).items():
        found[name] = float(score.figure(score.counts(outputs).sum(0)))
    return found


def firsts(references: list[list[str]]) -> list[list[str]]:
    return [own[:1] for own in references]


# --- by sacreBLEU ---


# What `corpus_score` of sacrebleu 2.6.0 answers, references given as sets with None where there is none.
@pytest.mark.parametrize(
    ("outputs", "references", "writing", "lowercase", "bleu", "chrf", "words"),
    [
        (OUTPUTS, firsts(REFERENCES), "words", False, 45.316817616085416, 57.16981538257381, 57.288159038951626),
        (OUTPUTS, REFERENCES, "words", False, 47.43017372241818, 70.4658449515465, 71.42193218704539),
        (["THE CAT sat"], [["the cat sat down"]], "words", True, 0.0, 66.01764142221674, 68.3557292119746),
        (["a b c d", "x"], [["a b d c"], ["x y z"]], "symbols", False, 25.466654589274857, 24.390243902439025, None),
        (JAPANESE, RIGHT_JAPANESE, "characters", False, 70.43651697021375, 49.10075039923863, None),
        (["", ""], [["a"], [""]], "words", False, 0.0, 0.0, 0.0),
    ],
)
def test_bleu_and_chrf_are_what_sacrebleu_says(
    outputs: list[str],
    references: list[list[str]],
    writing: Writing,
    lowercase: bool,
    bleu: float,
    chrf: float,
    words: float | None,
) -> None:
    if lowercase:
        outputs = [text.lower() for text in outputs]
    found = figures(outputs, references, writing, is_lowercase=lowercase)
    assert found["bleu"] == pytest.approx(bleu, abs=1e-9)
    assert found["chrf"] == pytest.approx(chrf, abs=1e-9)
    assert found.get("chrf++") == (None if words is None else pytest.approx(words, abs=1e-9))


def test_counts_of_single_texts_add_up_to_the_corpus() -> None:
    from sacrebleu import BLEU, CHRF

    drawn = random.Random(3)
    words = ["the", "cat", "is", "on", "a", "mat", "dog", ".", ",", "3.5", "x-y", "(hi)", "café"]
    references = [[" ".join(drawn.choices(words, k=drawn.randrange(1, 12)))] for _ in range(60)]
    outputs = [" ".join(word for word in own[0].split() if drawn.random() > 0.2) for own in references]
    right = [[own[0] for own in references]]
    for name, metric in (("bleu", BLEU(force=True)), ("chrf", CHRF()), ("chrf++", CHRF(word_order=2))):
        score = scores_for(references, "words")[name]
        counts = score.counts(outputs)
        whole = metric.corpus_score(outputs, right).score
        part = metric.corpus_score(outputs[:10], [right[0][:10]]).score
        both = score.figure(np.stack([counts.sum(0), counts[:10].sum(0)]))
        assert both.tolist() == pytest.approx([whole, part], abs=1e-9)
        assert score.signature() == str(metric.get_signature())


def test_signatures_say_what_was_counted() -> None:
    kinds: list[tuple[Writing, str]] = [("words", "13a"), ("symbols", "none"), ("characters", "char")]
    for writing, tokens in kinds:
        said = scores_for([["b"]], writing)["bleu"].signature()
        assert said is not None
        assert said.startswith(f"nrefs:1|case:mixed|eff:no|tok:{tokens}|smooth:exp|version:")
    lower = scores_for(REFERENCES, "words", is_lowercase=True)["chrf++"]
    assert str(lower.signature()).startswith("nrefs:var|case:lc|eff:yes|nc:6|nw:2|space:no|version:")
    assert lower.title == "chrF++"
    assert scores_for(REFERENCES, "words")["wer"].signature() is None


# --- by edits ---


def test_edits_over_tokens_by_hand() -> None:
    found = figures(["a cat", "one two three", ""], [["the cat"], ["one three"], ["x"]], "words")
    # 1 of 2 words replaced, 1 too many beside 2, 1 of 1 missing.
    assert found["wer"] == pytest.approx(3 / 5)
    # By the longer text: 2, 3 and 1 tokens.
    assert found["token_accuracy"] == pytest.approx(1 - 3 / 6)
    # a -> the: 3; " two" is 4 too many; x is missing.
    assert found["cer"] == pytest.approx((3 + 4 + 1) / (7 + 9 + 1))
    assert found["exact"] == 0


def test_of_several_references_the_nearest_counts() -> None:
    counts = SymbolErrorRate([["a b c d e f", "a x c", ""]]).counts(["a b c"])
    assert counts.tolist() == [[1, 3]]
    # By the share of what is wrong, not by how much is.
    assert SymbolErrorRate([["b", "a c"]]).counts(["a"]).tolist() == [[1, 2]]
    assert TokenAccuracy([["x", "a b c d"]], str.split).counts(["a b c"]).tolist() == [[1, 4]]
    assert figures(["b"], [["a", "b"]], "words")["exact"] == 1


def test_phonemes() -> None:
    found = figures(["k a t", "d ɔ g", "h u"], [["k a t"], ["d o g"], ["h a s"]], "symbols")
    assert found["ser"] == pytest.approx(3 / 9)
    # What benchmarks of pronunciation call the word error rate.
    assert found["wrong"] == pytest.approx(2 / 3) == 1 - found["exact"]
    assert "wer" not in found
    # Symbols are told apart by blanks.
    assert figures(["k at", "かな"], [["k a t"], ["か な"]], "symbols")["exact"] == 0


def test_error_rates_are_those_of_torchmetrics() -> None:
    drawn = random.Random(5)
    texts = [" ".join(drawn.choices(["a", "bb", "c", "ddd"], k=drawn.randrange(1, 9))) for _ in range(80)]
    outputs = [" ".join(drawn.choices(["a", "bb", "c", "x"], k=drawn.randrange(0, 9))) for _ in range(80)]
    found = figures(outputs, [[text] for text in texts], "words")
    # Its sums are float32, of whole numbers below 2^24.
    assert found["wer"] == pytest.approx(float(word_error_rate(outputs, texts)), rel=2**-23)
    assert found["cer"] == pytest.approx(float(char_error_rate(outputs, texts)), rel=2**-23)


def test_references_without_a_token() -> None:
    found = figures(["", ""], [[""], [""]], "words")
    assert found["exact"] == 1
    assert found["token_accuracy"] == 1
    assert np.isnan(found["wer"])
    assert np.isinf(figures(["a"], [[""]], "words")["wer"])
    # Among others they count for what is too much.
    assert figures(["a", "b"], [[""], ["b"]], "words")["wer"] == 1


def test_blanks_do_not_count_where_a_script_writes_none() -> None:
    found = figures(["私 は 猫 が 好き です 。", "Anna  Maria"], [["私は猫が好きです。"], ["AnnaMaria"]], "characters")
    assert found["exact"] == 0.5
    assert found["cer"] == pytest.approx(1 / (9 + 9))


# --- ROUGE ---


def test_rouge_is_that_of_torchmetrics() -> None:
    drawn = random.Random(1)
    words = ["The", "cat,", "it's", "ON", "a", "mat-like", "DOG", "3.5", "x"]
    for _ in range(40):
        output, *own = (" ".join(drawn.choices(words, k=drawn.randrange(1, 14))) for _ in range(3))
        found = figures([output], [own], "words")
        for name, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
            # Each by the reference that is best for it.
            best = max(float(rouge_score(output, one, rouge_keys=theirs)[f"{theirs}_fmeasure"]) for one in own)
            assert found[name] == pytest.approx(best, rel=2**-22), (output, own)


def test_rouge_beyond_ascii() -> None:
    # Signs of vowels belong to the word, marks do not, and characters are words where there are no blanks.
    found = figures(["हिन्दी है।", "un café"], [["हिन्दी"], ["Café!"]], "words")
    assert found["rouge_1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    found = figures(["猫が好き。"], [["猫も好き"]], "characters")
    assert found["rouge_1"] == pytest.approx(3 / 4)
    assert found["rouge_2"] == pytest.approx(1 / 3)
    assert figures(["", "."], [["a"], ["."]], "words")["rouge_l"] == 0


@pytest.mark.parametrize(
    ("outputs", "references", "said"),
    [
        (["a"], [["a"], ["b"]], "there are 1 outputs, but references for 2; give as many"),
        ([], [], "there is no output, so that there is nothing to judge"),
        (["a", "b"], [["a"], []], "output 2 has no reference; give one at least"),
    ],
)
def test_what_does_not_go_together(outputs: list[str], references: list[list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_references(outputs, references)
