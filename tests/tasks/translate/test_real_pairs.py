"""Real pairs, where there are some: how they are found to be written, and their scores beside sacreBLEU's own."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import sacrebleu

from recur.data.texts import read_pairs
from recur.tasks.translate.judgement import judge_pairs
from recur.tasks.translate.writing import main_score, writing_of


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("RECUR_DATA")
    if not folder:
        pytest.skip("RECUR_DATA names no folder with real texts")
    return Path(folder)


def test_pronunciations_of_all_languages_are_symbols(data: Path) -> None:
    files = sorted((data / "sigmorphon2020-g2p" / "train").glob("*.tsv"))
    assert len(files) == 15
    for file in files:
        targets = [line.split("\t")[1] for line in file.read_text(encoding="utf-8").splitlines()]
        assert (writing_of(targets), main_score(targets)) == ("symbols", "exact"), file.name


def test_actions_sentences_and_answers(data: Path) -> None:
    for file in sorted((data / "scan").glob("*/tasks_train_*.txt.gz")):
        assert main_score(read_pairs(file).targets) == "exact", file.name
    tanaka = data / "enja-tanaka"
    pairs = read_pairs([tanaka / "test.en", tanaka / "test.ja"])
    assert (writing_of(pairs.targets), main_score(pairs.targets)) == ("characters", "chrf")
    assert (writing_of(pairs.sources), main_score(pairs.sources)) == ("words", "chrf")
    answers = read_pairs(data / "chatterbot-corpus" / "english").targets
    assert (writing_of(answers), main_score(answers)) == ("words", "chrf")


@pytest.mark.parametrize(("language", "tokens"), [("ja", "char"), ("en", "13a")])
def test_sentences_score_what_sacrebleu_says(data: Path, language: str, tokens: str) -> None:
    tanaka = data / "enja-tanaka"
    names = [tanaka / "test.en", tanaka / "test.ja"]
    pairs = read_pairs(names if language == "ja" else names[::-1])
    drawn = random.Random(0)
    outputs = [" ".join(word for word in text.split() if drawn.random() > 0.15) for text in pairs.targets]
    found = judge_pairs(pairs, outputs, "test", repeated="each")
    right = [list(pairs.targets)]
    assert found["figures"]["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(outputs, right, tokenize=tokens, force=True).score, rel=1e-8
    )
    assert found["figures"]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(outputs, right).score, rel=1e-8)
    assert found["verdict"]["is_better"]
