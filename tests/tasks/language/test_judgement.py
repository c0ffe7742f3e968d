"""The last word on a run: figures beside baselines, and what is said of them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.tasks.language.held_out import HeldOutFigures
from recur.tasks.language.judgement import (
    advice_for,
    baselines,
    evaluate_run,
    judge,
    streams_for,
    surprising_passages,
    verdict,
)
from recur.tasks.language.trained import TrainedLanguageModel


def figures(nats_per_character: float) -> HeldOutFigures:
    return HeldOutFigures(nats=nats_per_character * 100, tokens=50, characters=100)


@pytest.fixture
def run(real_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the trained run with its text and its cache, to be spoilt."""
    shutil.copytree(real_run.path.parent, tmp_path / "copy")
    copy = RunFolder(tmp_path / "copy" / "run")
    copy.write_json("config.json", copy.config() | {"sources": [str(tmp_path / "copy" / "counting.txt")]})
    return copy


# --- verdict ----------------------------------------------------------------------------------------------------------


def test_verdict_where_the_best_baseline_is_beaten() -> None:
    others = {"unigram": figures(3.0), "trigram": figures(2.0)}
    assert verdict("test", figures(1.5), others) == (
        "1.500 nats per character on the test text, 0.500 below a trigram model (2.000)."
    )


@pytest.mark.parametrize("ours", [2.5, 2.0, math.nan])
def test_verdict_where_it_is_not(ours: float) -> None:
    others = {"unigram": figures(3.0), "trigram": figures(2.0)}
    assert verdict("valid", figures(ours), others) == (
        f"{ours:.3f} nats per character on the valid text: the model does NOT beat a trigram model (2.000); "
        "train it for longer."
    )


def test_verdict_gives_the_advice() -> None:
    others = {"trigram": figures(2.0)}
    assert verdict("test", figures(2.5), others, advice="do this").endswith("a trigram model (2.000); do this.")
    assert "do this" not in verdict("given", figures(2.5), others, advice="do this")
    assert "do this" not in verdict("test", figures(1.5), others, advice="do this")


def test_advice_is_more_text_where_more_training_would_not_help(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    assert advice_for(run, 4999) == "4,999 tokens to train on are too few, so give it more text"
    assert advice_for(run, 5000) == "train it for longer"
    run.append_metrics({"kind": "train", "step": 190, "epoch": 18})
    assert advice_for(run, 5000) == "train it for longer"
    run.append_metrics({"kind": "train", "step": 200, "epoch": 19})
    assert advice_for(run, 5000) == "it has read the text 20 times, so give it more text rather than more time"
    (run.path / "metrics.jsonl").write_text("damaged\n{}\n")
    assert advice_for(run, 5000) == "train it for longer"


def test_verdict_on_another_text_does_not_blame_the_training() -> None:
    assert verdict("given", figures(2.5), {"trigram": figures(2.0)}).endswith(
        "does NOT beat a trigram model (2.000), which has counted the training part."
    )


def test_verdict_without_baselines() -> None:
    assert verdict("given", figures(1.5), {}) == "1.500 nats per character on the given text."


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_short_text_is_one_stream_and_a_long_one_many() -> None:
    assert [streams_for(n) for n in (2, 8191, 16384, 10**9)] == [1, 1, 2, 64]


def test_a_trigram_model_only_where_its_codes_fit() -> None:
    ids = np.arange(10)
    assert list(baselines(ids, 100)) == ["unigram", "trigram"]
    assert list(baselines(ids, 2_000_000)) == ["unigram"]


def test_judge_gives_one_loss_for_every_token_but_the_first(characters: TrainedLanguageModel, text: str) -> None:
    ids = characters.tokenizer.encode(text)
    against = baselines(ids, characters.tokenizer.vocabulary_size)
    for streams in (None, 3):
        ours, others, nats = judge(
            characters, ids, characters=len(text), document_starts=None, against=against, streams=streams
        )
        assert nats.shape == (len(ids) - 1,)
        first = characters.first_token_nats(int(ids[0]))
        assert ours.nats == pytest.approx(first + float(nats.sum(dtype=np.float64)), rel=1e-6)
        assert list(others) == ["unigram", "trigram"]
        assert others["trigram"].nats < others["unigram"].nats < ours.nats, "the model is as it was drawn"


def test_passages_are_told_by_their_symbols(characters: TrainedLanguageModel, text: str) -> None:
    ids = characters.tokenizer.encode(text)
    nats = np.ones(len(ids) - 1, dtype=np.float32)
    place = text.index("猫")
    nats[place - 1] = 50
    found = surprising_passages(characters, ids, nats, passages=1)
    assert len(found) == 1
    passage = found[0]
    assert "".join(passage["tokens"]) == text[passage["position"] : passage["position"] + 300]
    assert passage["losses"][place - passage["position"]] == 50
    assert passage["loss_mean"] == pytest.approx(1 + 49 / 300)
    json.dumps(found, allow_nan=False)


# --- a run ------------------------------------------------------------------------------------------------------------


def test_evaluating_a_run_agrees_with_what_was_said_at_its_end(real_run: RunFolder) -> None:
    written = real_run.read_json("evaluation.json")
    seen: list[int] = []
    found = evaluate_run(real_run.path, progress=seen.append)
    assert found["part"] == "test"
    assert found["notes"] == []
    assert found["verdict"] == written["verdict"]
    for key, value in written["model"].items():
        if key != "seconds":
            assert found["model"][key] == pytest.approx(value, abs=1e-5), key
    assert found["baselines"] == written["baselines"]
    assert seen[-1] == found["model"]["tokens"] - 1
    json.dumps(found, allow_nan=False)


def test_evaluating_a_part_and_other_streams(real_run: RunFolder) -> None:
    whole = evaluate_run(real_run.path, part="valid")
    assert whole["part"] == "valid"
    cut = evaluate_run(real_run.path, part="valid", streams=5, window=17)
    assert cut["model"]["nats_per_character"] == pytest.approx(whole["model"]["nats_per_character"], abs=1e-5)
    written = real_run.read_json("evaluation.json")["valid"]
    assert whole["model"]["nats_per_character"] == pytest.approx(written["nats_per_character"], abs=1e-5)


def test_evaluating_another_text(real_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("aabbaaabbbx")
    found = evaluate_run(real_run.path, [tmp_path / "other.txt"])
    assert found["part"] == "given"
    assert found["model"]["tokens"] == found["model"]["characters"] == 11
    assert found["notes"] == ["1 of 11 tokens is a character that the training part does not have."]
    assert list(found["baselines"]) == ["unigram", "trigram"]


def test_without_its_own_text_a_run_is_judged_from_the_cache(run: RunFolder) -> None:
    before = evaluate_run(run.path)
    (run.path.parent / "counting.txt").unlink()
    after = evaluate_run(run.path)
    assert after["model"]["nats_per_character"] == before["model"]["nats_per_character"]


def test_without_text_and_cache_the_lack_is_named(run: RunFolder, tmp_path: Path) -> None:
    (run.path.parent / "counting.txt").unlink()
    shutil.rmtree(run.path.parent / ".corpus")
    with pytest.raises(RunError, match="the corpus is missing; train with the same text"):
        evaluate_run(run.path)
    (tmp_path / "other.txt").write_text("aabbaaabbb")
    found = evaluate_run(run.path, [tmp_path / "other.txt"])
    assert found["baselines"] == {}
    assert found["notes"][0].startswith("no baselines, for they need the run's own text: ")
    assert found["verdict"].endswith("nats per character on the given text.")


def test_a_text_that_has_changed_is_named(run: RunFolder, tmp_path: Path) -> None:
    with (run.path.parent / "counting.txt").open("a") as file:
        file.write("aabb")
    with pytest.raises(RunError, match=r"the text has changed since the run was started \(.*counting\.txt\); bring"):
        evaluate_run(run.path)
    (tmp_path / "other.txt").write_text("aabbaaabbb")
    assert evaluate_run(run.path, [tmp_path / "other.txt"])["baselines"] == {}


def test_own_text_that_is_no_text_any_more_does_not_stop_the_judging_of_another(run: RunFolder, tmp_path: Path) -> None:
    (run.path.parent / "counting.txt").write_bytes(b"")
    (tmp_path / "other.txt").write_text("aabbaaabbb")
    with pytest.raises(DataError, match="empty"):
        evaluate_run(run.path)
    assert evaluate_run(run.path, [tmp_path / "other.txt"])["baselines"] == {}


def test_data_that_cannot_be_used_is_named(real_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt"):
        evaluate_run(real_run.path, [tmp_path / "none.txt"])
    (tmp_path / "one.txt").write_text("a")
    with pytest.raises(DataError, match=r"one\.txt: has only 1 token; at least 2 are needed to judge\."):
        evaluate_run(real_run.path, [tmp_path / "one.txt"])


def test_a_run_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        evaluate_run(tmp_path / "none")
