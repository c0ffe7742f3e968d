"""What is judged of classifiers and regressors of series, and what is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recur.data.series import Part
from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.tasks.labels.evaluation import _num_apart, evaluate_labels, finish_labels, judge_labels
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.labels.setup import Parts
from recur.tasks.labels.trained import CALIBRATION
from recur.tasks.noise import sign_test


def test_classes(classifier: Any) -> None:
    trained, parts = classifier
    found = judge_labels(trained, parts.test)
    json.dumps(found, allow_nan=False)
    assert (found["task"], found["part"], found["of"], found["series"]) == ("classify", "test", "series", 10)
    told = trained.probabilities(trained.outcomes(parts.test).output)
    true = torch.from_numpy(parts.test.panel.labels[parts.test.series])
    assert found["figures"]["accuracy"] == float((told.argmax(1) == true).double().mean())
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (true.numpy(), told.argmax(1).numpy()), 1)
    assert found["figures"]["confusion"] == tuple(map(tuple, confusion.tolist()))
    # A few series, of which some are wrong: better than the rule, but by no more than chance would be.
    figures = found["figures"]
    assert figures["accuracy"] > figures["baseline_accuracy"]
    right, rule = told.argmax(1) == true, true == trained.classes.index(figures["most_frequent"])
    assert figures["p"] == pytest.approx(sign_test(int((right & ~rule).sum()), int((~right & rule).sum())))
    assert found["verdict"]["is_better"] == (figures["p"] < 0.05)
    assert sum(found["reliability"]["calibrated"]["weight"]) == 10
    assert found["reliability"]["raw"]["confidence"] != found["reliability"]["calibrated"]["confidence"]
    assert len(found["worst"]) == 10 - confusion.trace()


def test_the_surest_of_the_wrong_ones_comes_first(classifier: Any) -> None:
    trained, parts = classifier
    flipped = parts.test.panel.labels.copy()
    flipped[parts.test.series[:4]] = 1 - flipped[parts.test.series[:4]]
    panel = type(parts.test.panel)(**{**vars(parts.test.panel), "labels": flipped})
    found = judge_labels(trained, Part(panel=panel, start=parts.test.start, stop=parts.test.stop, name="given"))
    wrong = found["worst"]
    assert len(wrong) >= 4
    assert [one["probability"] for one in wrong] == sorted((one["probability"] for one in wrong), reverse=True)
    assert all(one["true"] != one["told"] for one in wrong)
    assert "time" not in wrong[0]


def test_numbers(regressor: Any) -> None:
    trained, parts, _ = regressor
    found = judge_labels(trained, parts.test)
    json.dumps(found, allow_nan=False)
    outcomes = trained.outcomes(parts.test)
    told = outcomes.output.double().clamp(0, 15)
    error = told - outcomes.target.double()
    assert found["figures"]["rmse"] == pytest.approx(float(error.square().mean().sqrt()))
    assert found["figures"]["nasa"] > 0
    assert found["of"] == "steps"
    assert len(found["points"]["true"]) == len(parts.test)
    groups = found["by_true"]
    assert sum(groups["count"]) == len(parts.test)
    assert np.average(groups["mae"], weights=groups["count"]) == pytest.approx(found["figures"]["mae"])
    assert np.average(groups["bias"], weights=groups["count"]) == pytest.approx(found["figures"]["bias"])
    held = found["intervals"]["coverage"]
    assert held == sorted(held)
    worst = found["worst"]
    assert len({one["series"] for one in worst}) == len(worst) == 3
    assert abs(worst[0]["error"]) == pytest.approx(float(error.abs().max()), rel=1e-6)
    assert [run["kind"] for run in found["runs"]] == ["worst", "ordinary", "best"]
    errors = [run["rmse"] for run in found["runs"]]
    assert errors == sorted(errors, reverse=True)
    assert len(found["runs"][0]["told"]) == len(found["runs"][0]["times"])


def test_the_last_steps_alone(regressor: Any) -> None:
    trained, parts, _ = regressor
    found = judge_labels(trained, parts.test, only_last=True)
    assert found["of"] == "last steps"
    assert found["figures"]["num_told"] == 3
    # Of engines that failed nothing is left.
    assert found["points"]["true"] == [0.0] * 3
    assert found["by_true"]["true"] == []


def test_a_finished_run(regressor: Any, tmp_path: Any) -> None:
    trained, parts, path = regressor
    folder = trained.save(tmp_path / "run")
    found = finish_labels(folder, trained, parts)
    kept = folder.read_json("label_evaluation.json")
    assert kept == json.loads(json.dumps(found))
    assert kept["weights"] == folder.weights_checksum()
    again = evaluate_labels(folder.path)
    assert again["figures"] == found["figures"]
    for part, how in {
        "valid": "its weights were chosen by this part, and how sure it is was fitted to it",
        "train": "it was trained on this part",
    }.items():
        judged = evaluate_labels(folder.path, part=part)
        assert judged["part"] == part
        assert judged["notes"][0] == f"the figures flatter the model: {how}."
    assert not any("flatter" in note for note in evaluate_labels(folder.path)["notes"])
    given = evaluate_labels(folder.path, path)
    assert (given["part"], given["series"]) == ("given", 12)
    assert any("every series is taken to have ended with its last row" in note for note in given["notes"])
    left = evaluate_labels(folder.path, path, life_left=[2.0] * 12)
    assert (left["of"], left["points"]["true"]) == ("last steps", [2.0] * 12)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_nothing_is_calibrated_by_what_is_judged(kind: str, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    """With other labels in the test part the temperature, or the errors of intervals, are the very same."""
    trained, parts = request.getfixturevalue(kind)[:2]
    panel, test = parts.test.panel, parts.test
    found = []
    for turn in (False, True):
        labels, rows = panel.labels, panel.rows
        if turn and labels is not None:
            labels = labels.copy()
            labels[test.series] = 1 - labels[test.series]
        elif turn:
            rows = replace(rows, labels=np.where(test.has_row, 3 * rows.labels + 50, rows.labels).astype(np.float32))
        changed = replace(panel, labels=labels, rows=rows)
        own = Parts(**{name: replace(part, panel=changed) for name, part in vars(parts).items()})
        finish_labels(trained.save(tmp_path / str(turn)), trained, own)
        found.append((tmp_path / str(turn) / CALIBRATION).read_bytes())
    assert found[0] == found[1]


def test_it_is_told_why_nothing_is_calibrated(classifier: Any, tmp_path: Any) -> None:
    trained, parts = classifier
    folder = trained.save(tmp_path / "run")
    folder.delete(CALIBRATION)
    found = evaluate_labels(folder.path, parts.test.panel)
    assert any(note.endswith("own: too few labels were held out to calibrate them.") for note in found["notes"])
    folder.write_json("config.json", {**folder.config(), "training": {}})
    found = evaluate_labels(folder.path, parts.test.panel)
    assert any("they are calibrated at the end of the training; finish that with" in note for note in found["notes"])


def test_steps_of_one_series_are_few_labels() -> None:
    def outcomes(series: list[int], weight: list[float]) -> SeriesOutcomes:
        zeros = torch.zeros(len(series))
        numbers = torch.tensor(series)
        return SeriesOutcomes(
            output=zeros, target=zeros, weight=torch.tensor(weight), is_bound=zeros.bool(), series=numbers, row=numbers
        )

    assert _num_apart(outcomes([0] * 20, [1.0] * 20)) == 1
    assert _num_apart(outcomes([0] * 21 + [1] * 3 + [2] * 5, [1.0] * 24 + [0.0] * 5)) == 3
    assert _num_apart(outcomes(list(range(20)), [1.0] * 20)) == 20


def test_few_labels_calibrate_no_probabilities(classifier: Any, tmp_path: Any) -> None:
    trained, parts = classifier
    other = type(trained)(trained.network, trained.setup, trained.options)
    folder = other.save(tmp_path / "run")
    assert not folder.has("calibration.safetensors")
    found = finish_labels(folder, other, parts)
    assert len(parts.valid.series) == 12
    assert not folder.has("calibration.safetensors")
    assert any("too few labels were held out to calibrate them" in note for note in found["notes"])


def test_what_cannot_be_judged(regressor: Any, classifier: Any, tmp_path: Any) -> None:
    folder = regressor[0].save(tmp_path / "run")
    with pytest.raises(OptionError, match=r"^part: expected 'train', 'valid' or 'test', got 'dev'\.$"):
        evaluate_labels(folder.path, part="dev")
    with pytest.raises(OptionError, match=r"^life_left: is of given data, and of a model that tells remaining lives"):
        evaluate_labels(folder.path, life_left=[1.0])
    classes = classifier[0].save(tmp_path / "classes")
    with pytest.raises(RunError, match=r"^the run's own data were not in a file"):
        evaluate_labels(classes.path)
    other = RunFolder.create(tmp_path / "other")
    other.write_json("config.json", {"format": 1, "task": "language"})
    with pytest.raises(RunError, match=r"is a run of task 'language', expected 'classify' or 'regress'\.$"):
        evaluate_labels(other.path)


@pytest.mark.parametrize(("kind", "module"), [("regressor", "numbers"), ("classifier", "classes")])
def test_the_verdict_knows_what_windows_share(
    kind: str, module: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, parts = request.getfixturevalue(kind)[:2]
    told = replace(trained.setup, window=7)
    monkeypatch.setattr(trained, "setup", told)
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(
        f"recur.tasks.labels.{module}.p_of_gain",
        lambda gain, outcomes, window: found.append((len(gain) - len(outcomes), window)),
    )
    judged = judge_labels(trained, parts.test)
    assert found == [(0, 7)]
    assert judged["figures"]["p"] is None
