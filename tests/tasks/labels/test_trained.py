"""Telling labels of new data with what was trained, and its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import recur
from recur.data.series import Panel
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.labels.trained import MOST_ERRORS, TrainedClassifier, TrainedRegressor


def test_classes_of_series(classifier: Any, make_waves: Callable[..., Panel]) -> None:
    trained, _ = classifier
    found = trained.predict(make_waves(6, seed=5))
    assert found.columns == ["series_id", "label", "probability", "p(down)", "p(up)"]
    assert found["series_id"].to_list() == [str(number) for number in range(6)]
    assert found["label"].to_list() == ["up", "down"] * 3
    assert (found["p(down)"] + found["p(up)"]).to_list() == pytest.approx([1.0] * 6, abs=1e-6)
    assert found["probability"].to_list() == [max(pair) for pair in zip(found["p(down)"], found["p(up)"], strict=True)]
    one = trained.predict(make_waves(6, seed=5), batch_size=1)
    assert one["p(up)"].to_list() == pytest.approx(found["p(up)"].to_list(), abs=1e-6)


def test_one_series_alone(classifier: Any, make_waves: Callable[..., Panel]) -> None:
    # Of one series a table does not say whether the label is that of its rows.
    trained, _ = classifier
    panel = make_waves(2, seed=5)
    both = trained.predict(panel)
    alone = Panel.of_rows(["0"], panel.lengths[:1], panel.values[: panel.lengths[0]], schema=panel.schema)
    labels = np.full(len(alone.rows), -1)
    labels[3] = 1
    labelled = replace(alone, rows=replace(alone.rows, labels=labels))
    found = trained.predict(labelled)
    assert found["p(up)"].to_list() == pytest.approx(both["p(up)"].to_list()[:1], abs=1e-6)
    assert trained.setup.read(labelled).labels.tolist() == [1]
    labels[5] = 0
    with pytest.raises(DataError, match="the label 'label' changes within series '0', but the model was trained on"):
        trained.setup.read(labelled)


def test_probabilities_are_divided_by_the_temperature(classifier: Any) -> None:
    trained, parts = classifier
    assert trained.is_calibrated
    outcomes = trained.outcomes(parts.test)
    expected = (outcomes.output.double() / trained.temperature.value).softmax(-1).float()
    torch.testing.assert_close(trained.probabilities(outcomes.output), expected)


def test_lives_of_steps(regressor: Any, make_engines: Callable[..., pl.DataFrame]) -> None:
    trained, _, _ = regressor
    data = make_engines(2, seed=3)
    found = trained.predict(data)
    assert found.columns == ["series_id", "time", "remaining_life", "lower", "upper"]
    assert found.height == data.height
    assert found["time"].to_list() == data["cycle"].to_list()
    # No life is below nothing or above the cap.
    for column in ("remaining_life", "lower", "upper"):
        assert 0 <= found[column].min() <= found[column].max() <= 15
    true = np.concatenate([np.minimum(np.arange(n)[::-1], 15) for n in (20, 21)])
    assert float(np.abs(found["remaining_life"].to_numpy() - true).mean()) < 3
    last = trained.predict(data, only_last=True)
    assert last["time"].to_list() == [19, 20]
    ends = found.group_by("series_id", maintain_order=True).last()
    assert last["remaining_life"].to_list() == pytest.approx(ends["remaining_life"].to_list(), abs=1e-5)


def test_dataframes_of_the_kind_that_came_in(regressor: Any, make_engines: Callable[..., pl.DataFrame]) -> None:
    pandas = pytest.importorskip("pandas")
    found = regressor[0].predict(make_engines(2).to_pandas(), only_last=True)
    assert isinstance(found, pandas.DataFrame)
    assert list(found["series_id"]) == ["e0", "e1"]


def test_intervals_are_as_wide_as_held_out_errors_say(regressor: Any) -> None:
    trained = TrainedRegressor(regressor[0].network, regressor[0].setup, regressor[0].options)
    told = torch.full((9,), 7.0)
    target = 7.0 + torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0, 0.5, 0.25, -6.0, 8.0])
    is_bound = torch.tensor([False] * 8 + [True])
    where = torch.zeros(9, dtype=torch.int64)
    trained.calibrate(
        SeriesOutcomes(output=told, target=target, weight=torch.ones(9), is_bound=is_bound, series=where, row=where)
    )
    assert trained.errors.tolist() == [0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    lower, upper = trained.interval(torch.tensor([7.0], dtype=torch.float64), 0.5)
    # ceil(9 * 0.5) = 5th smallest of the eight.
    assert (lower.item(), upper.item()) == (4.0, 10.0)
    lower, upper = trained.interval(torch.tensor([7.0], dtype=torch.float64), 0.95)
    assert torch.isnan(lower).all()
    assert torch.isnan(upper).all()


def test_many_errors_are_thinned(regressor: Any) -> None:
    trained = TrainedRegressor(regressor[0].network, regressor[0].setup, regressor[0].options)
    number = 3 * MOST_ERRORS
    told, where = torch.rand(number) * 15, torch.zeros(number, dtype=torch.int64)
    trained.calibrate(
        SeriesOutcomes(
            output=told,
            target=told + torch.arange(number) / number,
            weight=torch.ones(number),
            is_bound=torch.zeros(number, dtype=torch.bool),
            series=where,
            row=where,
        )
    )
    assert len(trained.errors) == MOST_ERRORS
    assert float(trained.errors[MOST_ERRORS // 2]) == pytest.approx(0.5, abs=1e-3)


def test_files(classifier: Any, regressor: Any, make_waves: Callable[..., Panel], tmp_path: Path) -> None:
    folder = classifier[0].save(tmp_path / "classes")
    loaded = recur.load(folder.path)
    assert isinstance(loaded, recur.TrainedClassifier)
    assert loaded.temperature.value == classifier[0].temperature.value
    assert loaded.options == classifier[0].options
    data = make_waves(4, seed=2)
    assert loaded.predict(data).equals(classifier[0].predict(data))
    with pytest.raises(RunError, match=r"classes: is a run of task 'classify', expected 'regress'\.$"):
        TrainedRegressor.load(folder)
    numbers = recur.load(regressor[0].save(tmp_path / "numbers").path)
    assert isinstance(numbers, recur.TrainedRegressor)
    assert torch.equal(numbers.errors, regressor[0].errors)


def test_a_calibration_of_other_weights_is_left_out(classifier: Any, tmp_path: Path) -> None:
    folder = classifier[0].save(tmp_path / "run")
    weights = {name: value + 0.5 for name, value in folder.load_weights().items()}
    folder.save_weights(weights)
    assert not TrainedClassifier.load(folder).is_calibrated


@pytest.mark.parametrize(
    ("task", "tensors", "said"),
    [
        ("classifier", {"temperature": torch.tensor(-1.0)}, r"the temperature is -1\.0, expected a number above 0"),
        ("classifier", {"other": torch.tensor(1.0)}, "temperature"),
        ("regressor", {"errors": torch.tensor([[1.0]])}, "the errors must be numbers from 0 on"),
        ("regressor", {"errors": torch.tensor([1.0, float("nan")])}, "the errors must be numbers from 0 on"),
    ],
)
def test_a_damaged_calibration(
    task: str, tensors: Any, said: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    trained = request.getfixturevalue(task)[0]
    folder = trained.save(tmp_path / "run")
    metadata = {"weights": folder.weights_checksum() or ""}
    folder.write_tensors("calibration.safetensors", tensors, metadata=metadata)
    with pytest.raises(RunError, match=rf"calibration\.safetensors: damaged: .*{said}"):
        type(trained).load(folder)


def test_damaged_options(classifier: Any, tmp_path: Path) -> None:
    folder = classifier[0].save(tmp_path / "run")
    for change, said in (({"cell": "gruu"}, "cell must be one of"), ({"depth": 3}, "unexpected keyword argument")):
        other = RunFolder.open(shutil.copytree(folder.path, tmp_path / said[:4]))
        config = folder.config()
        other.write_json("config.json", config | {"model": config["model"] | change})
        with pytest.raises(RunError, match=rf"config\.json: damaged: model: .*{said}"):
            TrainedClassifier.load(other)


def test_bad_arguments(regressor: Any, make_waves: Callable[..., Panel]) -> None:
    with pytest.raises(OptionError, match=r"^coverage must be a number between 0 and 1, not 90\.$"):
        regressor[0].predict(regressor[2], coverage=90)
    with pytest.raises(DataError, match=r"has no column 'wear', in past_only when the model was trained"):
        regressor[0].predict({"engine": ["a"], "cycle": [1]})
