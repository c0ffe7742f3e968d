"""Trigrams of targets that speak with a translator: how much, in all that is written, and kept in its run."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tasks.translate.conftest import GREEDY, WIDE, made, pairs

from recur.data.texts import read_pairs
from recur.errors import RunError
from recur.run import RunFolder
from recur.tasks.inspection.trained_translator import inspect_translator
from recur.tasks.translate.evaluation import finish_translator, judge_translator
from recur.tasks.translate.explanation import AskedToken, explain_tokens, gradient_reach
from recur.tasks.translate.rule import SpeakingTrigrams, best_share, fit_rule
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.watched import watch
from recur.token_ids import END, Ragged

SOURCE = "red old house"
KINDS: list[dict[str, Any]] = [{}, {"members": 2, "cell": "gru"}, {"attention": "none"}]
LONG = replace(WIDE, min_length=2)


def speaking(share: float = 0.4, **options: Any) -> TrainedTranslator:
    """Return a translator with drawn weights, with which trigrams of its targets speak."""
    trained = made(**options)
    rule = fit_rule(trained.setup, read_pairs(pairs()))
    assert rule is not None
    trained.trigrams = SpeakingTrigrams(rule=rule, share=share)
    return trained


def chances(trained: TrainedTranslator, source: str, tokens: tuple[int, ...]) -> torch.Tensor:
    """Return the probability of each token and of the end by the formula, (T + 1,) float64."""
    (batch,) = trained.batches([source])
    own = replace(batch, y=torch.tensor([[*tokens, END]]), y_lengths=torch.tensor([len(tokens) + 1]))
    with torch.no_grad():
        said = torch.stack([network(own)[0].exp() for network in trained.networks]).mean(0)
    said = said.gather(1, own.y[0][:, None])[:, 0].double()
    speaks = trained.trigrams
    assert speaks is not None
    of_rule = torch.from_numpy(np.exp(-speaks.rule.token_nats(Ragged.of([tokens]))))
    return (1 - speaks.share) * said + speaks.share * of_rule


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_all_that_writes_says_the_mixture(options: dict[str, Any]) -> None:
    trained = speaking(**options)
    vocabulary = trained.setup.target_vocabulary
    for decoding in (LONG, GREEDY):
        for one in trained.translate([SOURCE], decoding=decoding)[0]:
            ids = tuple(map(vocabulary.id_of, one.tokens))
            logs = chances(trained, SOURCE, ids).log()
            # What was cut off has no end.
            expected = logs.sum() if one.ended == "end" else logs[:-1].sum()
            assert one.log_prob == pytest.approx(float(expected), rel=1e-5)
            assert (one.attention is None) == (options.get("attention") == "none")
    best = trained.translate([SOURCE], decoding=GREEDY)[0][0]
    assert "".join(trained.stream(SOURCE, decoding=GREEDY)) == best.text
    seen = watch(trained, SOURCE, decoding=LONG)
    assert seen.translations[0].text == trained.translate([SOURCE], decoding=LONG)[0][0].text
    tokens = seen.hypotheses[0].tokens
    logs = chances(trained, SOURCE, tokens).log()
    assert seen.nodes[seen.ends[0]].log_prob == pytest.approx(float(logs[: len(tokens)].sum()), rel=1e-5)
    # Contributions are to its log-odds, and gradients those of its log-probability.
    asked = [AskedToken(tokens[:place], token) for place, token in enumerate(tokens)]
    pieces = trained.setup.source_vocabulary.cut(SOURCE)
    for log, one in zip(
        logs, explain_tokens(trained, SOURCE, pieces, seen.batch, asked, ["?"] * len(asked)), strict=False
    ):
        assert one.answer == pytest.approx(float(log - torch.log1p(-log.exp())), rel=1e-4, abs=1e-5)
        assert abs(one.shares.sum() - (one.answer - one.neutral)) <= 0.02 * abs(one.shares).sum() + 1e-5
    reach = gradient_reach(trained, seen.batch, tokens)
    trigrams, trained.trigrams = trained.trigrams, None
    alone = gradient_reach(trained, seen.batch, tokens)
    assert trigrams is not None
    # d ln((1 - s) p + s q) = (1 - s) p / ((1 - s) p + s q) d ln p.
    of_rule = torch.from_numpy(np.exp(-trigrams.rule.token_nats(Ragged.of([tokens]))))
    part = (1 - trigrams.share * of_rule / logs.exp())[: len(tokens)]
    torch.testing.assert_close(reach, alone * part[:, None].float(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_perplexity_is_that_of_the_mixture(options: dict[str, Any]) -> None:
    trained = speaking(**options)
    examples = read_pairs(tuple(side[:9] for side in pairs()))
    encoded = [tuple(trained.setup.target_vocabulary.encode(target).tolist()) for target in examples.targets]
    logs = [
        float(chances(trained, source, tokens).log().sum())
        for source, tokens in zip(examples.sources, encoded, strict=True)
    ]
    judged = judge_translator(trained, examples, "given")
    assert judged["likelihood"]["nats_per_token"] == pytest.approx(
        -sum(logs) / sum(len(one) + 1 for one in encoded), rel=1e-5
    )
    note = "a trigram model of targets speaks with the network: its probabilities count 40%"
    assert f"{note}, as the validation part has chosen" in judged["notes"]
    found = inspect_translator(trained, examples).content
    worst = int(np.argmin([log / (len(one) + 1) for log, one in zip(logs, encoded, strict=True)]))
    assert found["symbols"] == examples.sources[worst].split()
    told = "; what is written and contributes is of both, all else is of the network"
    assert f"{note}{told}" in found["answers"]["notes"]


def test_the_share_is_that_which_held_out_targets_ask_for() -> None:
    # Each is right of some tokens, and knows nothing of the others.
    sure, lost, is_ours = math.log(0.9), math.log(0.01), torch.arange(10) < 4
    said, of_rule = torch.where(is_ours, sure, lost), torch.where(is_ours, lost, sure)

    def nats(share: float) -> float:
        own, other = 0.9 * (1 - share) + 0.01 * share, 0.01 * (1 - share) + 0.9 * share
        return -(0.4 * math.log(own) + 0.6 * math.log(other))

    best = best_share(said, of_rule)
    most = nats(0) - min(nats(number / 20) for number in range(20))
    assert 0.05 < best < 0.6
    assert nats(0) - nats(best - 0.05) < 0.75 * most <= nats(0) - nats(best)
    every = torch.ones(9)
    assert best_share(every * sure, every * lost) == 0
    # What saves less than a hundredth is not worth the time.
    assert best_share(every * -2.0, every * -1.98) == 0
    assert best_share(every * -2.0, every * -1.9) == pytest.approx(0.75)


def test_where_trigrams_speak_and_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = read_pairs(pairs())
    for options in ({}, {"attention": "none"}):
        # Weights as they are drawn know nothing of targets.
        trained = made(**options)
        rule = fit_rule(trained.setup, examples)
        trained.choose_share(examples, rule)
        assert trained.trigrams is not None
        assert trained.trigrams.rule is rule
        assert trained.trigrams.share > 0.1
        trained.choose_share(examples.take(list(range(19))), rule)
        assert trained.trigrams is None
        trained.choose_share(examples.take(list(range(20))), rule)
        assert trained.trigrams is not None
        trained.choose_share(examples, None)
        assert trained.trigrams is None
    copying = made(copying=True)
    copying.choose_share(examples, fit_rule(copying.setup, examples))
    assert copying.trigrams is None
    assert fit_rule(copying.setup, None) is None
    monkeypatch.setattr("recur.models.texts.trigrams._LARGEST_VOCABULARY", 3)
    assert fit_rule(copying.setup, examples) is None


def finished(path: Path, **options: Any) -> RunFolder:
    """Return a run of drawn weights, judged as at the end of a training."""
    trained = made(**options)
    run = trained.save(path)
    examples = read_pairs(pairs())
    parts = replace(examples, part=("train",) * 30 + ("valid",) * 30)
    finish_translator(run, trained, parts)
    return run


def test_they_are_kept_in_the_run(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    trained = TrainedTranslator.load(run)
    assert trained.trigrams is not None
    assert trained.trigrams.share > 0.1
    kept = run.read_json("translate_evaluation.json")
    assert any("a trigram model of targets speaks with the network" in note for note in kept["notes"])
    trained.save(tmp_path / "again")
    again = TrainedTranslator.load(tmp_path / "again")
    assert [one.log_prob for one in again.translate([SOURCE], decoding=WIDE)[0]] == [
        one.log_prob for one in trained.translate([SOURCE], decoding=WIDE)[0]
    ]
    # Of other weights the share says nothing.
    with torch.no_grad():
        next(trained.network.parameters()).add_(1)
    run.save_weights(trained.network.state_dict())
    assert TrainedTranslator.load(run).trigrams is None
    alone = finished(tmp_path / "alone", ngrams=False)
    assert not alone.has("rule.safetensors")
    assert TrainedTranslator.load(alone).trigrams is None
    assert alone.read_json("translate_evaluation.json")["likelihood"]["trigram_perplexity"] > 1
    # Where they spoke before, and do not any more, nothing of them is left.
    trained = TrainedTranslator.load(tmp_path / "again")
    examples = read_pairs(pairs())
    finish_translator(RunFolder(tmp_path / "again"), trained, replace(examples, part=("train",) * 45 + ("test",) * 15))
    assert not RunFolder(tmp_path / "again").has("rule.safetensors")
    assert not RunFolder(tmp_path / "again").has("calibration.safetensors")


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    run = finished(tmp_path / "run").path
    knows = TrainedTranslator.load(run).setup.fingerprint
    known = {"weights": RunFolder(run).weights_checksum() or "", "knows": knows}

    def spoilt(name: str, tensors: dict[str, torch.Tensor] | None) -> Path:
        shutil.rmtree(tmp_path / "spoilt", ignore_errors=True)
        shutil.copytree(run, tmp_path / "spoilt")
        (tmp_path / "spoilt" / name).unlink()
        if tensors is not None:
            save_file(tensors, tmp_path / "spoilt" / name, metadata=known)
        return tmp_path / "spoilt"

    counts = load_file(run / "rule.safetensors")
    cases: list[tuple[str, dict[str, torch.Tensor] | None, str]] = [
        ("rule", None, "missing, but it speaks with the network; train the run anew"),
        ("rule", {"1.codes": counts["1.codes"]}, "damaged: '1.counts'"),
        ("rule", {**counts, "2.counts": -counts["2.counts"]}, "damaged: n-grams are not sorted, or one was never told"),
        ("rule", {**counts, "3.codes": counts["3.codes"].float()}, "damaged: n-grams and their counts are int64"),
        ("rule", {**counts, "3.codes": counts["3.codes"].bfloat16()}, "damaged: "),
        ("calibration", {"share": torch.tensor(1.5)}, "damaged: the share of the trigrams is 1.5, expected a number"),
        ("calibration", {"shares": torch.tensor(0.5)}, "damaged: 'share'"),
        ("calibration", {"share": torch.tensor([0.5, 0.5])}, "damaged: "),
    ]
    for name, tensors, message in cases:
        with pytest.raises(RunError, match=rf"{name}\.safetensors: {message}"):
            TrainedTranslator.load(spoilt(f"{name}.safetensors", tensors))
    known["knows"] = "others"
    with pytest.raises(RunError, match=r"rule\.safetensors: is of another model, with another vocabulary"):
        TrainedTranslator.load(spoilt("rule.safetensors", counts))


def test_joined_translators_have_the_trigrams_of_the_first() -> None:
    one, two = speaking(0.4), speaking(0.6)
    joined = TrainedTranslator.joined([one, two])
    assert joined.trigrams is one.trigrams
    (answer,) = joined.translate([SOURCE], decoding=GREEDY)[0]
    ids = tuple(map(joined.setup.target_vocabulary.id_of, answer.tokens))
    logs = chances(joined, SOURCE, ids).log()
    expected = logs.sum() if answer.ended == "end" else logs[:-1].sum()
    assert answer.log_prob == pytest.approx(float(expected), rel=1e-5)
    assert TrainedTranslator.joined([one, made()]).trigrams is None
