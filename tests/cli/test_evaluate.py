from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from recur.run import RunFolder
from recur.tasks.language.trained import load

FIGURES = {
    *("nats_per_character", "bits_per_character", "nats_per_token", "perplexity", "top1", "top5"),
    *("tokens", "characters", "seconds"),
}


@pytest.fixture
def evaluate(finished: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(finished)

    def run(*arguments: object) -> dict[str, Any]:
        result = recur("evaluate", "run", *arguments, "--json")
        assert result.code == 0, result.err
        return json.loads(result.out, parse_constant=pytest.fail)

    return run


def test_json_has_the_documented_keys(evaluate: Any) -> None:
    found = evaluate()
    assert found.keys() == {"part", "model", "baselines", "verdict", "notes"}
    assert found["part"] == "test"
    assert found["model"].keys() == FIGURES
    assert found["baselines"].keys() == {"unigram", "trigram"}
    assert found["notes"] == []


def test_it_agrees_with_the_end_of_the_training(evaluate: Any, finished: Path) -> None:
    trained = json.loads((finished / "run/evaluation.json").read_text())
    for part, expected in (("test", trained["model"]), ("valid", trained["valid"])):
        found = evaluate("--part", part)["model"]
        for name in ("nats_per_character", "perplexity", "top1", "top5"):
            assert found[name] == pytest.approx(expected[name], abs=1e-5)


def test_batch_size_and_window_change_nothing(evaluate: Any) -> None:
    exact = evaluate("--part", "train", "--batch-size", "1", "--window", "9000")["model"]
    assert exact["tokens"] == 9000
    for batch, window in ((1, 7), (3, 512), (8, 100)):
        found = evaluate("--part", "train", "--batch-size", batch, "--window", window)["model"]
        assert found["tokens"] == 9000
        assert found["nats_per_token"] == pytest.approx(exact["nats_per_token"], abs=1e-5)
        assert found["top1"] == pytest.approx(exact["top1"], abs=2 / 9000)


def test_other_text(evaluate: Any, tmp_path: Path, recur: Any, make_text: Any) -> None:
    other = make_text(600, seed=5) + "€"
    path = tmp_path / "other.txt"
    path.write_text(other)
    found = evaluate(path)
    assert found["part"] == "given"
    assert found["model"]["tokens"] == found["model"]["characters"] == 601
    assert found["notes"] == ["1 of 601 tokens is a character that the training part does not have."]
    nats = -float(load("run").log_probs(other, unknown="map").sum()) / 601
    assert found["model"]["nats_per_character"] == pytest.approx(nats, abs=1e-5)
    assert found["model"]["bits_per_character"] == pytest.approx(nats / math.log(2), abs=1e-5)
    shown = recur("evaluate", "run", path)
    assert "note     1 of 601 tokens is a character that the training part does not have." in shown.out.splitlines()


def test_another_text_in_another_encoding(evaluate: Any, tmp_path: Path, recur: Any) -> None:
    text = "The mill is naïve, she said, and the river ran past über the boats.\n" * 20
    plain, other = tmp_path / "plain.txt", tmp_path / "other.txt"
    plain.write_text(text)
    other.write_bytes(text.encode("cp1252"))
    result = recur("evaluate", "run", other)
    assert result.code == 1
    assert result.complaint.endswith(" it looks like cp1252: try --encoding cp1252.")
    found, expected = evaluate(other, "--encoding", "cp1252")["model"], evaluate(plain)["model"]
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}


def test_without_its_own_text_there_are_no_baselines(copied: Path, recur: Any, make_text: Any) -> None:
    import shutil

    shutil.rmtree(".corpus")
    Path("text.txt").unlink()
    Path("other.txt").write_text(make_text(600, seed=5))
    found = json.loads(recur("evaluate", "run", "other.txt", "--json").out)
    assert found["baselines"] == {}
    assert found["notes"][0].startswith("no baselines, for they need the run's own text: ")
    assert recur("evaluate", "run").code == 1


def test_the_table(evaluate: Any, recur: Any) -> None:
    figures = evaluate()["model"]
    result = recur("evaluate", "run")
    row = next(line for line in result.out.splitlines() if line.startswith("model"))
    assert row.split()[1:] == [
        f"{figures['nats_per_character']:.3f}",
        f"{figures['bits_per_character']:.3f}",
        f"{figures['perplexity']:.2f}",
        f"{figures['top1']:.1%}",
        f"{figures['top5']:.1%}",
    ]


def test_a_run_whose_training_was_stopped_says_so(finished: Path, tmp_path: Path, recur: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    assert not RunFolder(run).is_unfinished()
    # As Ctrl-C leaves it.
    (run / "evaluation.json").unlink()
    said = f"the training of this run is not finished; go on with: recur train --resume {run}"
    assert json.loads(recur("evaluate", run, "--json").out)["notes"] == [said]
    assert recur("generate", run, "--length", "2").err == f"note     {said}\n"
