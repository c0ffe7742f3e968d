"""`recur predict --stream` with runs of detectors, classifiers and regressors."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from recur.data.series import Columns
from recur.data.series.partition import Partition
from recur.models.detector_choice import build_detector
from recur.models.detector_options import DetectorOptions
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.streaming import stream
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.labels.setup import LabelSetup
from recur.tasks.labels.trained import TrainedClassifier, TrainedRegressor, build_network
from recur.tasks.series_reading import SeriesReading


@pytest.fixture(scope="module")
def table(seasonal_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    is_high = pl.col("load") > pl.col("load").mean().over("meter")
    return seasonal_table(100, series=4).with_columns(pl.col("load").round(3), up=is_high.cast(pl.String))


@pytest.fixture(scope="module")
def runs(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs detect, classify and regress, of networks as they were drawn."""
    made = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    setup, split = ForecastSetup.fit(SeriesReading().first(table.drop("up")), history=12, horizon=1)
    options = DetectorOptions(history=12, hidden_size=6, leads=(1, 3), level=False, quiet=10)
    TrainedDetector(build_detector(options, setup.shape), setup, options).fitted(split).save(made / "detect")
    for task, label in (("classify", "up"), ("regress", "load")):
        reading = SeriesReading(columns=Columns(targets=(), label=label))
        labels, parts = LabelSetup.fit(
            reading.first(table), reading=reading, partition=Partition(by="series", valid=1, test=1), per_step=True
        )
        given: Any = {"hidden_size": 4, "members": 1, "per_step": True, "bidirectional": False, "convolutions": ()}
        chosen = (SeriesClassifierOptions if task == "classify" else SeriesRegressorOptions)(**given)
        network = build_network(chosen, labels)
        network.fit_statistics(list(labels.batches(parts.train, batch_size=4)))
        kind: Any = TrainedClassifier if task == "classify" else TrainedRegressor
        trained = kind(network, labels, chosen)
        trained.calibrate(trained.outcomes(parts.valid))
        trained.save(made / task)
    return made


@pytest.fixture
def piped(recur: Any, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs `recur predict RUN --stream` on a text, with more arguments."""
    monkeypatch.chdir(tmp_path)

    def run(task: str, text: str, *arguments: str) -> Any:
        path = tmp_path / "input"
        path.write_text(text)
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            done = recur("predict", runs / task, "--stream", *arguments)
            return done.code, done.out, done.err

    return run


@pytest.mark.parametrize("task", ["detect", "classify", "regress"])
def test_lines_are_answered_as_rows_are(task: str, piped: Any, runs: Path, table: pl.DataFrame) -> None:
    rows = table.drop({"detect": "up", "classify": "up", "regress": "load"}[task])
    wanted = stream(runs / task).push(rows)
    code, out, error = piped(task, rows.write_csv())
    assert (code, error) == (0, "")
    found, frame = pl.read_csv(io.StringIO(out)), wanted.to_polars()
    assert found.columns == frame.columns
    for name, cells in frame.to_dict().items():
        if cells.dtype.is_float():
            close = pytest.approx(cells.cast(pl.Float64).to_list(), rel=1e-5, abs=1e-6, nan_ok=True)
            assert found[name].cast(pl.Float64).to_list() == close
    code, out, error = piped(task, rows[:100].write_ndjson(), "--state", f"{task}.state")
    assert (code, error) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 100
    assert lines[70].keys() == wanted.rows()[70].keys()
    # And on from the state.
    code, out, error = piped(task, rows[99:101].write_ndjson(), "--state", f"{task}.state")
    assert (code, error) == (0, "recur: row 1: repeated, left out.\n")
    assert [json.loads(line)["series_id"] for line in out.splitlines()] == ["m1"]


def test_options_of_tasks(piped: Any, table: pl.DataFrame) -> None:
    rows = table.drop("load")[:3].write_csv()
    wide, narrow = (
        pl.read_csv(io.StringIO(piped("regress", rows, "--coverage", share)[1])) for share in ("0.9", "0.5")
    )
    assert ((wide["upper"] - wide["lower"]) > (narrow["upper"] - narrow["lower"])).all()
    for task, option, message in (
        ("regress", "--only-last", "only_last: does not go with --stream; leave it out"),
        ("classify", "--only-last", "only_last: does not go with --stream; leave it out"),
        ("detect", "--uncalibrated", "uncalibrated is of forecast runs, and this is one of task detect"),
    ):
        code, _, error = piped(task, rows, option)
        assert (code, message in error) == (2, True)


def test_only_forecasters_learn_on(recur: Any, runs: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    table.write_csv(tmp_path / "new.csv")
    for task in ("detect", "classify", "regress"):
        done = recur("train", "--continue", runs / task, tmp_path / "new.csv")
        assert done.code == 1
        assert f"is a run of task '{task}', but only forecasters learn on" in done.err
