"""The judgement of made-up outputs."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recur.data.texts import read_pairs
from recur.data.texts.examples import TextPairs
from recur.errors import DataError, OptionError
from recur.tasks.translate.judgement import judge_pairs

SOUNDS = {"a": "AE", "c": "K", "d": "D", "g": "G", "o": "AO", "t": "T"}
LETTERS = "acdgot"


def spelled(count: int, seed: int) -> TextPairs:
    """Made-up words of 1 to 6 letters, and what they sound like."""
    drawn = np.random.default_rng(seed)
    words = ["".join(drawn.choice(list(LETTERS), drawn.integers(1, 7))) for _ in range(count)]
    words = list(dict.fromkeys(words))
    return read_pairs((words, [" ".join(SOUNDS[letter] for letter in word) for word in words]))


def sentences() -> TextPairs:
    return read_pairs(
        (
            ["Guten Tag!", "Ich habe eine Katze.", "Das ist ein Hund.", "Das ist ein Hund.", "Danke"],
            ["Good day!", "I have a cat.", "This is a dog.", "That is a dog.", "Thank you"],
        )
    )


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    """Words of which the long ones were written wrong."""
    pairs, train = spelled(150, 0), spelled(300, 1)
    outputs = [
        target if len(source) < 5 else target[2:] for source, target in zip(pairs.sources, pairs.targets, strict=True)
    ]
    return judge_pairs(pairs, outputs, "test", train=train, log_probs=[-len(text) / 10 for text in outputs])


def test_what_is_in_a_judgement(judged: dict[str, Any]) -> None:
    pairs = spelled(150, 0)
    short = np.mean([len(source) < 5 for source in pairs.sources])
    assert judged["main"] == "exact"
    assert judged["figures"]["exact"] == pytest.approx(short)
    assert (judged["pairs"], judged["texts"], judged["part"]) == (len(pairs), len(pairs), "test")
    assert list(judged["figures"]) == ["exact", "token_accuracy", "wrong", "ser", "bleu", "chrf", "length_ratio"]
    lost = sum(len(source) >= 5 for source in pairs.sources)
    symbols = sum(map(len, pairs.sources))
    assert judged["figures"]["ser"] == pytest.approx(lost / symbols)
    assert judged["figures"]["length_ratio"] == pytest.approx(1 - lost / symbols)
    bleu = next(one for one in judged["scores"] if one["name"] == "bleu")
    assert bleu["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|version:")
    assert bleu["is_share"] is False
    assert judged["notes"] == []
    # As JSON has it, without what is not a number.
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged


def test_the_verdict_names_all_rules_the_best_first(judged: dict[str, Any]) -> None:
    best, *others = judged["baselines"]
    assert best["name"] == "nearest"
    assert {one["name"] for one in others} == {"copy", "most_frequent"}
    own = judged["figures"]["exact"]
    assert best["difference"] == pytest.approx(own - best["figures"]["exact"])
    assert best["lower"] < best["difference"] < best["upper"]
    text = judged["verdict"]["text"]
    assert text.startswith(f"Exact match {own:.1%} on {judged['texts']} texts of the test part, against ")
    assert f"against {best['figures']['exact']:.1%} by the target of the nearest source, " in text
    assert "more than noise, p < 0.001. The difference to the best of these is " in text
    assert text.endswith(f"(95% interval: {best['lower']:.1%} to {best['upper']:.1%}).")
    assert judged["verdict"]["is_better"] is True


def test_figures_by_length(judged: dict[str, Any]) -> None:
    found = judged["by_length"]
    assert found["unit"] == "character"
    rows = found["rows"]
    assert sum(row["texts"] for row in rows) == judged["texts"]
    for one, after in itertools.pairwise(rows):
        assert one["least"] <= one["most"] < after["least"]
    assert [row["exact"] for row in rows if row["most"] < 5] == [1.0] * sum(row["most"] < 5 for row in rows)
    assert [row["exact"] for row in rows if row["least"] >= 5] == [0.0] * sum(row["least"] >= 5 for row in rows)
    assert all(row["figure"] == row["exact"] for row in rows)
    assert rows[-1]["most"] == 6


def test_examples(judged: dict[str, Any]) -> None:
    worst = judged["worst"]
    assert judged["told_by"] == "token_accuracy"
    assert len(worst) == 20
    assert not any(one["is_right"] for one in worst)
    assert [one["figure"] for one in worst] == sorted(one["figure"] for one in worst)
    # One of five symbols is missing.
    assert worst[0]["figure"] == pytest.approx(4 / 5)
    assert (worst[0]["length"], worst[0]["reference_lengths"]) == (4, [5])
    assert worst[0]["log_prob"] == pytest.approx(-0.7)
    assert len({one["place"] for one in judged["random"]}) == 20
    assert 0 < sum(one["is_right"] for one in judged["random"]) < 20


def test_of_equal_ones_the_surest_is_the_worst() -> None:
    pairs = read_pairs((["b", "c", "d"], ["one two", "three four", "five six"]))
    found = judge_pairs(pairs, ["x", "y", "five six"], "test", log_probs=[-2.0, -1.0, 0.0])
    assert [one["output"] for one in found["worst"]] == ["y", "x"]


def test_a_model_that_is_worse_or_not_surely_better() -> None:
    pairs = sentences()
    found = judge_pairs(pairs, ["?"] * 5, "test", train=pairs)
    assert found["verdict"]["is_better"] is False
    assert found["verdict"]["text"].startswith(
        "The model does NOT beat the best rule: chrF 0.0 on 4 texts of the test part"
    )
    assert found["baselines"][0]["figures"]["chrf"] == pytest.approx(100)
    assert found["baselines"][0]["difference"] == pytest.approx(-100)
    good = judge_pairs(pairs, pairs.targets, "test")
    assert good["verdict"]["text"].startswith(
        "It is NOT shown that the model beats the best rule: chrF 100.0 on 4 texts"
    )
    # Four texts prove nothing, however much better they are.
    assert good["baselines"][0]["p"] == pytest.approx(0.125)


def test_of_errors_less_is_better() -> None:
    pairs, train = spelled(150, 0), spelled(300, 1)
    found = judge_pairs(pairs, pairs.targets, "test", train=train, main="ser")
    rates = [one["figures"]["ser"] for one in found["baselines"]]
    assert rates == sorted(rates)
    assert found["baselines"][0]["difference"] == pytest.approx(-rates[0])
    assert found["verdict"]["is_better"]
    assert found["verdict"]["text"].startswith("Symbol error rate (of phonemes: PER) 0.0% on ")


def test_any_target_of_a_source_is_right() -> None:
    pairs = sentences()
    outputs = ["Good day!", "I have a cat.", "That is a dog.", "That is a dog.", "Thank you"]
    found = judge_pairs(pairs, outputs, "test")
    assert (found["pairs"], found["texts"], found["figures"]["exact"]) == (5, 4, 1.0)
    assert "5 pairs have 4 different sources, each judged once; 1 of these with several targets" in found["notes"][0]
    dog = next(one for one in found["random"] if one["output"] == "That is a dog.")
    assert dog["references"] == ["This is a dog.", "That is a dog."]
    assert found["scores"][-1]["signature"] is None
    chrf = next(one for one in found["scores"] if one["name"] == "chrf")
    assert chrf["signature"].startswith("nrefs:var|")
    each = judge_pairs(pairs, outputs, "test", repeated="each")
    assert (each["texts"], each["figures"]["exact"]) == (5, 0.8)


def test_the_form_in_which_texts_are_compared() -> None:
    pairs = read_pairs((["a", "b"], ["CAFÉ noir", "ﬁn de"]))
    outputs = ["cafe\N{COMBINING ACUTE ACCENT} noir", "fin de"]
    assert judge_pairs(pairs, outputs, "test")["figures"]["exact"] == 0
    lower = judge_pairs(pairs, outputs, "test", is_lowercase=True)
    assert lower["figures"]["exact"] == 0.5
    assert "all texts are compared in small letters." in lower["notes"]
    assert "|case:lc|" in next(one["signature"] for one in lower["scores"] if one["name"] == "chrf")
    both = judge_pairs(pairs, outputs, "test", is_lowercase=True, unicode="nfkc")
    assert both["figures"]["exact"] == 1


def test_notes() -> None:
    pairs = sentences()
    found = judge_pairs(pairs, ["Good day!", "", " ", "", "Thank you"], "valid")
    assert found["notes"][0] == "the figures flatter the model: its weights were chosen by this part."
    assert "2 outputs empty." in found["notes"]
    assert found["notes"][-1].startswith("the training part is not at hand")
    assert [one["name"] for one in found["baselines"]] == ["copy"]
    none = judge_pairs(pairs, pairs.targets, "given", train=pairs.take([]))
    assert none == judge_pairs(pairs, pairs.targets, "given")


def test_what_hangs_together_is_drawn_together() -> None:
    pairs, train = spelled(150, 0), spelled(300, 1)
    alone = judge_pairs(pairs, pairs.targets, "test", train=train)["baselines"][0]
    pairs = replace(pairs, group=np.arange(len(pairs)) // 50)
    together = judge_pairs(pairs, pairs.targets, "test", train=train)["baselines"][0]
    assert alone["p"] < 0.01
    # Three groups prove nothing.
    assert together["p"] == pytest.approx(0.25)
    assert together["difference"] == alone["difference"]


@pytest.mark.parametrize(
    ("outputs", "options", "said"),
    [
        (["a"], {}, "there are 1 outputs, but references for 5; give as many"),
        (["a"] * 5, {"log_probs": [0.0]}, "there are 5 outputs, but 1 log-probabilities; give as many"),
        (["a"] * 5, {"main": "ser"}, r"main=: expected one of exact, .*rouge_l, got 'ser'"),
        (["a"] * 5, {"repeated": "all"}, "repeated: expected 'any' or 'each', got 'all'"),
    ],
)
def test_what_cannot_be_judged(outputs: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises((DataError, OptionError), match=said):
        judge_pairs(sentences(), outputs, "test", **options)


def test_pairs_without_targets() -> None:
    pairs = replace(sentences(), targets=("",) * 5)
    with pytest.raises(DataError, match="no pair has a target, so that there is nothing to judge by"):
        judge_pairs(pairs, ["a"] * 5, "test")
    with pytest.raises(DataError, match="there is no output"):
        judge_pairs(pairs.take([]), [], "test")


def test_the_page_says_what_its_example_prints(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (root / "docs" / "tasks" / "judging.md").read_text(encoding="utf-8")
    code, printed = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "text"))
    assert code is not None
    assert printed is not None
    exec(code[1], {})
    assert capsys.readouterr().out == printed[1]
