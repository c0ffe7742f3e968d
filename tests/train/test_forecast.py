from __future__ import annotations

import io
import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import recur
from recur.data.series import Panel, Part, Split, Windows, read_series
from recur.data.series.options import SeriesOptions
from recur.errors import DataError, Interrupted, OptionError, RunError, TrainingError
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.tasks.forecast.season_choice import Season
from recur.tasks.forecast.setup import ForecastSetup
from recur.train.forecast import train_forecaster
from recur.train.forecast_judge import MOST_WINDOWS, ForecastJudge, some_items
from recur.train.forecast_preparation import choose_horizon, training_windows
from recur.train.options import SeriesTrainingOptions
from recur.train.resumption import resume

QUIET = Console(quiet=True)
MODEL = ForecasterOptions(hidden_size=8, history=16)


def table(rows: int = 400, *, seed: int = 0) -> pl.DataFrame:
    """A day and a trend, and noise of a tenth of the day's height."""
    steps = np.arange(rows)
    noise = np.random.default_rng(seed).normal(size=rows)
    times = np.datetime64("2024-01-01", "ms") + steps * np.timedelta64(1, "h")
    return pl.DataFrame({"time": times, "load": 50 + 10 * np.sin(2 * np.pi * steps / 24) + noise})


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "meter.csv"
    table().write_csv(path)
    return path


def trained(data: Any, out: Path, **training: Any) -> RunFolder:
    return train_forecaster(
        data,
        out=out,
        series=SeriesOptions(horizon=6),
        model=MODEL,
        training=SeriesTrainingOptions(
            **({"max_steps": 12, "validate_every": 6, "batch_size": 16, "no_report": True} | training)
        ),
        console=QUIET,
    )


def test_a_run_has_all_that_its_users_need(csv: Path, tmp_path: Path) -> None:
    run = trained(csv, tmp_path / "run", no_report=False)
    assert run.config()["task"] == "forecast"
    assert run.config()["model"]["history"] == 16
    found = run.read_json("forecast_evaluation.json")
    assert found["part"] == "test"
    assert found["horizon"] == 6
    assert set(found["figures"]) >= {"model", "naive", "seasonal naive", "drift"}
    assert "load" in (run.path / "report.html").read_text(encoding="utf-8")
    assert run.read_json("model.json")["parameters"] == sum(
        value.numel() for value in recur.load(run).network.parameters()
    )
    trained_forecaster = recur.load(run.path)
    assert isinstance(trained_forecaster, recur.TrainedForecaster)
    forecast = trained_forecaster.predict(csv)
    assert forecast.shape == (6, 7)
    assert forecast["time"][0] == pl.read_csv(csv, try_parse_dates=True)["time"][-1] + np.timedelta64(1, "h").item()


def test_the_report_can_be_left_out(csv: Path, tmp_path: Path) -> None:
    run = trained(csv, tmp_path / "run", no_report=True)
    assert run.has("forecast_evaluation.json")
    assert not list(run.path.glob("*.html")) + list(run.path.glob("*.png"))


def test_what_is_learned_beats_the_rules(tmp_path: Path) -> None:
    run = train_forecaster(
        table(1500),
        out=tmp_path / "run",
        series=SeriesOptions(horizon=4),
        model=ForecasterOptions(hidden_size=16),
        training=SeriesTrainingOptions(max_steps=400, learning_rate=0.005, no_report=True),
        console=QUIET,
    )
    found = run.read_json("forecast_evaluation.json")
    figures = found["figures"]
    # The seasonal rule errs by the noise of two values, a mean error of 2 / sqrt(pi); nobody by less than that of one.
    assert figures["seasonal naive"]["mae"] == pytest.approx(2 / math.sqrt(math.pi), abs=0.1)
    assert math.sqrt(2 / math.pi) - 0.1 < figures["model"]["mae"] < 0.95 * figures["seasonal naive"]["mae"]
    assert found["verdict"]["is_better"]


def test_what_depends_on_the_distance_of_the_steps_is_learned(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(1.0, 1500))
    run = train_forecaster(
        {"t": times, "y": np.sin(times / 2)},
        out=tmp_path / "run",
        series=SeriesOptions(horizon=1),
        model=ForecasterOptions(hidden_size=16, history=16),
        training=SeriesTrainingOptions(max_steps=250, learning_rate=0.01),
        console=QUIET,
    )
    assert run.read_json("schema.json")["time_unit"] == pytest.approx(np.log(2), abs=0.1)
    figures = run.read_json("forecast_evaluation.json")["figures"]
    # Who does not know how long a step is cannot tell where in the wave it ends: so blinded it has 0.85 of their error.
    assert figures["model"]["mae"] < 0.5 * min(own["mae"] for name, own in figures.items() if name != "model")


def test_interrupted_and_resumed_is_as_if_it_was_not(csv: Path, tmp_path: Path, signals_at: Any) -> None:
    whole = trained(csv, tmp_path / "whole")
    signals_at(7, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^interrupted after step 7, all is saved; go on with: recur train --resume"):
        trained(csv, tmp_path / "halves")
    halves = resume(tmp_path / "halves", console=QUIET)
    assert (halves.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert halves.read_json("forecast_evaluation.json") == whole.read_json("forecast_evaluation.json")


def test_data_in_memory_are_given_once_more_to_go_on(csv: Path, tmp_path: Path, signals_at: Any) -> None:
    signals_at(7, signal.SIGINT, task=ExamplesTask)
    wanted = r"go on with: recur\.train\.resumption\.resume\('\S*run', data=\.\.\.\), with the same data$"
    with pytest.raises(Interrupted, match=wanted):
        trained(table(), tmp_path / "run")
    with pytest.raises(RunError, match=r"^the run's own data were not in a file, so they cannot be read again; "):
        resume(tmp_path / "run", console=QUIET)
    with pytest.raises(RunError, match=r"^the data are not what the model was trained on; give the very same\.$"):
        resume(tmp_path / "run", data=table(seed=1), console=QUIET)
    run = resume(tmp_path / "run", data=table(), console=QUIET)
    whole = trained(table(), tmp_path / "whole", no_report=True)
    assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    of_file = trained(csv, tmp_path / "of file", no_report=True)
    with pytest.raises(OptionError, match=r"^data: the run reads its own from \S*meter\.csv; leave them out\.$"):
        resume(of_file.path, data=csv, console=QUIET)


def test_data_that_have_changed_are_refused(csv: Path, tmp_path: Path) -> None:
    run = trained(csv, tmp_path / "run")
    table(seed=1).write_csv(csv)
    with pytest.raises(RunError, match=r"meter\.csv: is not what the model was trained on any more; put the data back"):
        resume(run.path, bounds={"max_steps": 20}, console=QUIET)


def test_what_is_printed(csv: Path, tmp_path: Path) -> None:
    shown = io.StringIO()
    train_forecaster(
        csv,
        out=tmp_path / "run",
        training=SeriesTrainingOptions(max_steps=2, no_report=True),
        console=Console(file=shown, width=200),
    )
    lines = shown.getvalue().splitlines()
    assert lines[0] == "column   time     time  holds text that reads as times"
    assert lines[1].startswith("column   targets  load  ")
    assert lines[2] == ("series   1 with a step of 1h: 280 rows to train on, 40 to validate, 80 to test; target load")
    assert lines[3].startswith("windows  tells 20 steps (half of the 40 steps that a part to judge on has), reads ")


def test_columns_that_look_like_the_target_are_named(tmp_path: Path) -> None:
    shown = io.StringIO()
    wide = table(200).rename({"load": "north"}).with_columns(south=pl.col("north") * 2)
    train_forecaster(
        wide,
        out=tmp_path / "run",
        series=SeriesOptions(horizon=6),
        model=MODEL,
        training=SeriesTrainingOptions(max_steps=1, no_report=True),
        console=Console(file=shown, width=300),
    )
    note = "note     'south' looks like 'north', but only helps to forecast it; targets='north,south' has all of them"
    assert note in shown.getvalue()


def test_series_that_are_too_short_are_named(tmp_path: Path) -> None:
    shown = io.StringIO()
    values = np.random.default_rng(0).normal(size=(700, 1))
    train_forecaster(
        Panel.of_rows(["long", "longer", "brief"], [320, 360, 20], values),
        out=tmp_path / "run",
        series=SeriesOptions(horizon=12),
        training=SeriesTrainingOptions(max_steps=1),
        console=Console(file=shown, width=300),
    )
    note, kept = [line for line in shown.getvalue().splitlines() if line.startswith("note")]
    assert note.startswith("note     nothing is learned from series brief: each window needs 48 steps to read and 12 ")
    # Noise, of which one step teaches nothing.
    assert kept == (
        "note     the network is kept as it began, at a mix of simple rules: nothing that it learned told the "
        "validation part better by more than noise"
    )


def test_a_training_that_learns_nothing_keeps_its_beginning_however_it_was_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it was made on another device than it is trained on."""
    exact, rng = ForecastJudge._losses, np.random.default_rng(1)

    def rounded(judge: ForecastJudge, network: Any) -> Any:
        losses, loss = exact(judge, network)
        return losses * (1 + 1e-5 * rng.normal(size=losses.shape)), loss

    monkeypatch.setattr(ForecastJudge, "_losses", rounded)
    noise = pl.DataFrame({"time": np.arange(200), "y": np.random.default_rng(0).normal(size=200)})
    run = trained(noise, tmp_path / "run", max_steps=2, learning_rate=1e-9)
    assert [(row["step"], row["is_best"]) for row in run.metrics() if row["kind"] == "valid"] == [(0, True), (2, False)]
    assert run.has("forecast_evaluation.json")


@pytest.mark.parametrize("later", [1.0, math.inf])
def test_a_beginning_whose_loss_is_not_finite(later: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, told = ForecastJudge._losses, iter([math.inf, math.inf])

    def overflowing(judge: ForecastJudge, network: Any) -> Any:
        factor = next(told, later)
        losses, loss = exact(judge, network)
        return losses * factor, loss * factor

    monkeypatch.setattr(ForecastJudge, "_losses", overflowing)
    if later == 1:
        run = trained(table(), tmp_path / "run")
        assert [row["is_best"] for row in run.metrics() if row["kind"] == "valid"][:2] == [False, True]
    else:
        with pytest.raises(TrainingError, match=r"^the loss on the validation part was never finite, in the end inf, "):
            trained(table(), tmp_path / "run")
    assert RunFolder(tmp_path / "run").load_weights()


def test_counts_are_not_centred(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(1, 200)
    run = train_forecaster(
        pl.DataFrame({"day": np.datetime64("2024-01-01") + np.arange(200), "sold": counts}),
        out=tmp_path / "run",
        series=SeriesOptions(horizon=3),
        model=ForecasterOptions(head="negative-binomial", kind="autoregressive", hidden_size=4, num_paths=20),
        training=SeriesTrainingOptions(max_steps=2, no_report=True),
        console=QUIET,
    )
    assert run.read_json("schema.json")["scaler"]["method"] == "mean_abs"
    # Of several steps an autoregressive network tells quantiles of counts, which margins must not bring below 0.
    told = recur.load(run).predict({"day": np.datetime64("2024-01-01") + np.arange(99), "sold": counts[:99]})
    assert run.read_json("schema.json")["non_negative"] == [True]
    assert told["q0.1"].min() >= 0


@pytest.mark.parametrize(
    ("sold", "scaling", "message"),
    [
        (3.7, None, r"^series '[^']*': 'sold' is 3\.7 at 2024-01-06.*, but head negative-binomial tells counts"),
        (-1, None, r"'sold' is -1 at 2024-01-06"),
        (3, "standard", r"^scaling is standard, but head negative-binomial tells counts, which cannot be moved; take"),
    ],
)
def test_what_are_no_counts_is_told_before_a_run_is_made(
    sold: float, scaling: Any, message: str, tmp_path: Path
) -> None:
    counts = np.full(200, 4.0)
    counts[5] = sold
    with pytest.raises((DataError, OptionError), match=message):
        train_forecaster(
            pl.DataFrame({"day": np.datetime64("2024-01-01") + np.arange(200), "sold": counts}),
            out=tmp_path / "run",
            series=SeriesOptions(scaling=scaling),
            model=ForecasterOptions(head="negative-binomial"),
            console=QUIET,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rows", "stride"), [(5_000, 1), (36_000, 11), (60_000, 17)])
def test_training_windows_begin_at_all_hours_of_the_day(rows: int, stride: int) -> None:
    steps = np.arange(rows)
    times = np.datetime64("2020-01-01", "ms") + steps * np.timedelta64(1, "h")
    panel = read_series({"time": times, "load": np.sin(2 * np.pi * steps / 24)})
    setup, split = ForecastSetup.fit(panel, history=72, horizon=24)
    assert setup.season.steps == 24
    windows = training_windows(setup, split, batch_size=512)
    starts = np.concatenate([batch.row.numpy() for batch in windows])
    assert set(np.diff(starts)) == {stride}
    assert len(set(starts % 24)) == 24


@pytest.mark.parametrize(("series", "rows", "stride"), [(1, 900, 1), (100, 961, 25), (30_000, 6, 41)])
def test_few_windows_of_all_series_are_judged_while_training(series: int, rows: int, stride: int) -> None:
    panel = Panel.of_rows([str(number) for number in range(series)], [rows] * series, np.ones((series * rows, 1)))
    windows = Windows(Part.whole(panel), history=1, horizon=1, batch_size=512)
    season = Season(steps=24, why="")
    items = some_items(windows, season)
    assert set(np.diff(items)) == {stride}
    assert len(items) <= MOST_WINDOWS
    # What lies within a day is seen at all hours, not at one.
    assert rows < 24 or len(set((windows.batch(items).row.numpy() % rows) % 24)) == 24


@pytest.mark.parametrize(
    ("series", "message", "error"),
    [
        ({"targets": "lod"}, "did you mean .load.", DataError),
        ({"horizon": 300}, "has 280 steps, but the horizon is 300", DataError),
        ({"horizon": 60}, "no window fits into the part 'valid'", DataError),
        ({"valid": 0}, "a forecaster needs a validation part", OptionError),
    ],
)
def test_bad_input_ends_before_a_run_is_made(
    csv: Path, tmp_path: Path, series: dict[str, Any], message: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=message):
        train_forecaster(csv, out=tmp_path / "run", series=SeriesOptions(**series), console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_task_is_not_loaded(csv: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "other")
    run.write_json("config.json", {"format": 1, "task": "juggling"})
    with pytest.raises(RunError, match=r"is a run of task 'juggling', which this version does not know\.$"):
        recur.load(run.path)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            {"t": [1, 2], "y": [3, 4]},
            {"separator": ";"},
            r"^separator, decimal_comma, has_header, encoding, missing: say",
        ),
        (Panel.of_rows(["a"], [9], np.ones((9, 1))), {"targets": "y"}, r"^the roles of columns: say how data are re"),
        (Panel.of_rows(["a"], [9], np.ones((9, 1))), {"gaps": "keep"}, r"^duplicates, frequency, gaps, zone and time"),
        (Panel.of_rows(["a"], [9], np.ones((9, 1))), {"form": "wide"}, r"^form: say how data are read, but a Panel"),
    ],
)
def test_options_of_reading_that_would_be_ignored(
    data: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        train_forecaster(data, out=tmp_path / "run", series=SeriesOptions(**options), console=QUIET)


def test_several_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^data: expected one table, or a folder of them, got 2 names; put"):
        train_forecaster(["a.csv", "b.csv"], out=tmp_path / "run", console=QUIET)


@pytest.mark.parametrize(
    ("rows", "season", "horizon", "why"),
    [
        (1000, 24, 24, "the season of 24"),
        (1000, 1, 12, "there is no season that would say how many"),
        (2000, 168, 48, "no more than 48, though the season has 168 steps"),
        (100, 24, 5, "half of the 10 steps that a part to judge on has"),
        (10, 1, 1, "half of the 1 step that a part to judge on has"),
    ],
)
def test_the_horizon_is_chosen_for_the_season(rows: int, season: int, horizon: int, why: str) -> None:
    panel = Panel.of_rows(["a"], [rows], np.zeros((rows, 1)))
    assert choose_horizon(Split.by_time(panel), Season(steps=season, why="")) == (horizon, why)


def test_archives_and_arrays_are_read_without_columns(tmp_path: Path) -> None:
    path = tmp_path / "waves.npy"
    np.save(path, np.sin(np.arange(300.0)))
    run = trained(path, tmp_path / "run")
    assert json.loads((run.path / "schema.json").read_text())["schema"]["targets"] == ["y"]
    assert read_series(path).values.shape == (300, 1)
