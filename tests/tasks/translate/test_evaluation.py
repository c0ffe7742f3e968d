"""Judging a translator: how likely right targets are, and where answers looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.tasks.translate.conftest import GREEDY, made, pairs

from recur.data.texts import read_pairs
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.trained import TrainedTranslator


def test_pairs_that_are_too_long_are_not_counted_in_the_perplexity(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made("word")
    long, short = "red " * 9000, "red old"
    pairs_of = read_pairs(([short, long], [short.upper(), long.upper()]))
    monkeypatch.setattr("recur.tasks.translate.trained.MAX_ATTENTION", 9000)
    judged = judge_translator(trained, pairs_of, "given")
    alone = judge_translator(trained, pairs_of.take([0]), "given")
    assert judged["likelihood"] == alone["likelihood"]
    note = "of the perplexity 1 pair left out, whose source tokens times target tokens are above 67,108,864, such as"
    assert f"{note} the data, row 2, with 9,000 and 9,001" in judged["notes"]
    only = judge_translator(trained, pairs_of.take([1]), "given")["likelihood"]
    assert (only["perplexity"], only["tokens"]) == (None, 0)


def test_where_answers_looked_is_kept_but_of_those_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made()
    sources, targets = pairs()
    seen = trained.translate(sources[:3], decoding=GREEDY)
    blind = trained.translate(sources[:3], decoding=GREEDY, with_attention=False)
    assert blind == seen
    assert all(one.attention is not None for (one,) in seen)
    assert all(one.attention is None for (one,) in blind)
    asked = []

    def watched(sources: Any, **options: Any) -> Any:
        asked.append((len(sources), options.get("with_attention", True)))
        return TrainedTranslator.translate(trained, sources, **options)

    monkeypatch.setattr(trained, "translate", watched)
    maps = judge_translator(trained, read_pairs((sources, targets)), "given")["attention"]
    assert asked == [(60, False), (10, True)]
    assert {" ".join(one["source"]) for one in maps} <= set(sources)
    assert all(np.shape(one["weights"]) == (len(one["written"]), len(one["source"])) for one in maps)
    texts = TrainedTranslator.translate(trained, [" ".join(one["source"]) for one in maps])
    assert [one["text"] for one in maps] == [found.text for (found,) in texts]
    trained.predict(sources[:2])
    assert asked[2:] == [(2, False)]
