"""Networks of several seeds in one run."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import recur
from recur.data.series.options import SeriesOptions
from recur.errors import Interrupted, OptionError
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.tasks.forecast.evaluation import evaluate_forecaster
from recur.train.display import Display
from recur.train.ensemble import Ensemble
from recur.train.forecast import train_forecaster
from recur.train.options import SeriesTrainingOptions
from recur.train.resumption import resume

QUIET = Console(quiet=True)


def trained(data: Path, out: Path, *, members: int = 2, **training: Any) -> RunFolder:
    return train_forecaster(
        data,
        out=out,
        series=SeriesOptions(horizon=4),
        # Members that stayed at the rules they began with would all be the same.
        model=ForecasterOptions(hidden_size=4, history=12, members=members, rules=False),
        training=SeriesTrainingOptions(**({"max_steps": 8, "validate_every": 4, "batch_size": 16} | training)),
        console=QUIET,
    )


@pytest.fixture
def made(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with a table, "meter.csv", and the run of two seeds on it, "run"."""

    def make(folder: Path) -> None:
        steps = np.arange(300)
        noise = np.random.default_rng(0).normal(size=300)
        times = np.datetime64("2024-01-01", "ms") + steps * np.timedelta64(1, "h")
        table = pl.DataFrame({"time": times, "load": 50 + 10 * np.sin(2 * np.pi * steps / 24) + noise})
        table.write_csv(folder / "meter.csv")
        trained(folder / "meter.csv", folder / "run", seed=3)

    return made_once("ensemble", make)


def test_members_are_what_their_seeds_alone_give(made: Path, tmp_path: Path) -> None:
    alone = trained(made / "meter.csv", tmp_path / "alone", members=1, seed=4, no_report=True)
    member = RunFolder.open(made / "run" / "members" / "2")
    assert (member.path / "model.safetensors").read_bytes() == (alone.path / "model.safetensors").read_bytes()
    assert member.config()["training"]["seed"] == 4
    # Each is a run of its own.
    assert recur.load(member.path).predict(made / "meter.csv").height == 4
    weights = RunFolder.open(made / "run").load_weights()
    for name, value in alone.load_weights().items():
        assert weights[f"members.1.{name}"].equal(value)


def test_all_are_judged_together_and_each(made: Path) -> None:
    run = RunFolder.open(made / "run")
    found = run.read_json("forecast_evaluation.json")
    figures = found["figures"]
    assert list(figures)[:3] == ["model", "member 1", "member 2"]
    assert "member 1" not in found["by_step"]
    assert found["best_rule"] in ("naive", "seasonal naive", "drift", "mean")
    # Squared errors are convex: the mean is no worse than the members are in the mean.
    assert figures["model"]["rmse"] ** 2 < (figures["member 1"]["rmse"] ** 2 + figures["member 2"]["rmse"] ** 2) / 2
    assert evaluate_forecaster(run) == found
    assert found["intervals"]["is_calibrated"]
    assert "member 2" in (run.path / "report.html").read_text(encoding="utf-8")
    told = [row["text"] for row in run.metrics()]
    assert [text.split(" was")[0] for text in told] == ["seed 3", "seed 4"]
    trained_forecaster = recur.load(run)
    assert len(trained_forecaster.members) == 2
    paths = trained_forecaster.sample_paths(made / "meter.csv", num_paths=3, seed=0)
    assert paths.height == 12
    assert run.read_json("model.json")["parameters"] == sum(
        value.numel() for value in trained_forecaster.network.parameters()
    )


def test_interrupted_in_the_second_it_goes_on_there(made: Path, tmp_path: Path, signals_at: Any) -> None:
    signals_at(3, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"all is saved; go on with: recur train --resume \S*/halves$"):
        trained(made / "meter.csv", tmp_path / "halves", seed=3)
    assert not (tmp_path / "halves" / "members" / "2").exists()
    signals_at(2, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^interrupted after step \d, all is saved"):
        resume(tmp_path / "halves", console=QUIET)
    assert (tmp_path / "halves" / "members" / "2" / "checkpoints" / "last.ckpt").exists()
    run = resume(tmp_path / "halves", console=QUIET)
    whole = made / "run"
    assert (run.path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert run.read_json("forecast_evaluation.json") == RunFolder(whole).read_json("forecast_evaluation.json")


def test_longer_trainings_and_other_runs_in_their_place(made: Path, tmp_path: Path) -> None:
    run = trained(made / "meter.csv", tmp_path / "run", max_steps=4, no_report=True)
    assert not run.has("report.html")
    resume(run.path, bounds={"max_steps": 6}, console=QUIET)
    assert [row["step"] for row in run.metrics()] == [6, 6]
    again = train_forecaster(
        made / "meter.csv",
        out=run.path,
        series=SeriesOptions(horizon=4),
        training=SeriesTrainingOptions(max_steps=2, no_report=True),
        overwrite=True,
        console=QUIET,
    )
    assert not (again.path / "members").exists()


def test_seeds_are_not_shared_by_processes(made: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^devices is 2, but the 2 members are trained one after the other, e"):
        trained(made / "meter.csv", tmp_path / "run", devices=2, batch_size=16)


def test_letters_that_are_boxes_in_pictures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recur.report.write_report", lambda run, say: say("of pictures"))
    run, shown = RunFolder.create(tmp_path / "run"), io.StringIO()
    job = Ensemble(run=run, members=[], finish=lambda jobs, display: None, way_on="")
    assert job.train(Display(Console(file=shown))) is run
    assert shown.getvalue() == "note     of pictures\n"
