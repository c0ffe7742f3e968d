"""The networks of translators: one or several, and which vocabularies they go with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.translate.conftest import GREEDY, made, pairs

import recur
from recur.errors import OptionError
from recur.tasks.translate.trained import TrainedTranslator


def test_joined_translators_write_by_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    data = pairs()
    single, both = made(data=data), made(data=data, members=2)
    joined = TrainedTranslator.joined([single, both])
    assert joined.options.members == 3
    assert joined.networks == (*single.networks, *both.networks)
    (answer,) = joined.translate(data[0][:1], decoding=GREEDY)[0]
    (batch,) = joined.batches(data[0][:1], [answer.text])
    with torch.no_grad():
        said = torch.stack([network(batch).exp() for network in joined.networks]).mean(0).log()
    of_tokens = said[0].gather(1, batch.y[0][:, None]).sum()
    assert answer.log_prob == pytest.approx(of_tokens.item(), abs=1e-4)
    joined.save(tmp_path / "joined")
    again = TrainedTranslator.load(tmp_path / "joined").translate(data[0][:1], decoding=GREEDY)[0][0]
    assert (again.text, again.log_prob) == (answer.text, pytest.approx(answer.log_prob, abs=1e-5))
    assert TrainedTranslator.joined([single]) is single


def test_what_cannot_be_joined() -> None:
    with pytest.raises(OptionError, match="takes one translator or more, and none was given"):
        TrainedTranslator.joined([])
    with pytest.raises(OptionError, match=r"number 1 and number 2 have different options: hidden_size is \d+ and 4\."):
        TrainedTranslator.joined([made(), made(hidden_size=4)])
    with pytest.raises(OptionError, match=r"number 1 and number 3 have different vocabularies\.$"):
        TrainedTranslator.joined([made(), made(), made("character")])


@pytest.mark.parametrize(
    ("options", "tokens", "joint", "message"),
    [
        ({"tied": "all"}, "word", False, "tied: all makes one of the vectors of sources and of targets.*tied='output'"),
        ({"copying": True}, "bpe", False, "copying: pieces of a BPE of sources are no pieces of that of targets"),
        ({"copying": True}, ("word", "bpe"), False, "copying: pieces of a BPE"),
        (
            {"copying": True},
            ("word", "character"),
            False,
            "no token of sources, of kind word, is one of targets, of kind",
        ),
        ({"copying": True}, ("character", "space"), False, "is one of targets, of kind space; give tokens of one kind"),
    ],
)
def test_vocabularies_that_do_not_do(options: dict[str, Any], tokens: Any, joint: bool, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(tokens, joint=joint, **options)


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_one_vocabulary_for_both(tokens: str, tmp_path: Path) -> None:
    trained = made(tokens, joint=True, tied="all", copying=True)
    setup = trained.setup
    assert setup.source_vocabulary is setup.target_vocabulary
    assert setup.source_vocabulary.encode("red RED").tolist().count(1) == 0
    trained.save(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "schema.json").read_text())["target_vocabulary"] is None
    again = recur.load(tmp_path / "run")
    assert again.setup.has_one_vocabulary
    assert again.network.source_embedding is again.network.embedding
    assert again.network.output.weight is again.network.embedding.weight
    assert again.translate(["red door"]) == trained.translate(["red door"])
