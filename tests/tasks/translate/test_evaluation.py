"""Judging a run's translator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.tasks.translate.conftest import made, pairs

from recur.data.texts.pairs import read_pairs
from recur.tasks.translate.evaluation import evaluate_translator, finish_translator

LONGER = "train it for longer, that it may beat the best rule"
MORE = "it has read the pairs 20 times, so give it more pairs rather than more time, that it may beat the best rule"


def test_one_that_is_no_better_than_the_rules_is_told_what_may_help(tmp_path: Path) -> None:
    trained = made()
    run = trained.save(tmp_path / "run")
    sources, targets = pairs()
    parts = replace(read_pairs((sources, targets)), part=("train",) * 30 + ("test",) * 30)
    assert LONGER in finish_translator(run, trained, parts)["notes"]
    run.append_metrics({"kind": "train", "step": 200, "epoch": 19})
    assert MORE in finish_translator(run, trained, parts)["notes"]
    # Of other pairs the training may know nothing.
    judged = evaluate_translator(run.path, {"source": sources[:30], "target": targets[:30]})
    assert not judged["verdict"]["is_better"]
    assert not any("best rule" in note for note in judged["notes"])
