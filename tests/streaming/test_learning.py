"""Learning on: what is new is learnt, what is old is kept, and a loss that rises is not."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import recur
from recur.data.series import Part, SeriesBatch, Windows, read_series
from recur.errors import DataError, OptionError, RunError
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.streaming import stream
from recur.streaming.continuation import continue_run
from recur.streaming.learning import LearningOptions, adapt
from recur.streaming.replay import Replay, Reservoir
from recur.tasks.forecast.trained import TrainedForecaster

QUICK = LearningOptions(steps=60, learning_rate=5e-3)


def test_a_run_learns_on(folder: Path, tmp_path: Path) -> None:
    made, record = continue_run(folder / "run", folder / "new.csv", out=tmp_path / "next", options=QUICK)
    assert record.is_kept
    assert record.loss_new[1] < record.loss_new[0] - 0.01
    assert record.loss_old is not None
    assert made.path == tmp_path / "next"
    assert record.weights[0] == RunFolder.open(folder / "run").weights_checksum()
    assert record.weights[1] == made.weights_checksum()
    written = json.loads((made.path / "adaptations.json").read_text())["adaptations"]
    assert [one["loss_new"][1] for one in written] == [record.loss_new[1]]
    assert made.config()["continues"] == str((folder / "run").resolve())
    # It is a run like any other: it is measured by the same, predicts, and learns on.
    for name in ("yardstick.json", "model.json", "env.json"):
        assert (made.path / name).read_bytes() == (folder / "run" / name).read_bytes()
    live = stream(made)
    assert len(live.push(pl.read_csv(folder / "new.csv")[:30])) == 30
    assert live.forecaster.calibration is not None
    grown = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    later = grown.with_columns(pl.col("hour") + (grown["hour"][-1] - grown["hour"][0]) + timedelta(hours=1))
    again, second = continue_run(made, pl.concat([grown, later]), out=tmp_path / "third", options=QUICK)
    assert second.new_rows == len(later)
    assert len(json.loads((again.path / "adaptations.json").read_text())["adaptations"]) == 2
    assert second.weights[0] == record.weights[1]
    assert second.old_windows > 0


def test_the_replay_keeps_what_was_learnt(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, with_replay = continue_run(folder / "run", folder / "new.csv", out=tmp_path / "with", options=QUICK)
    of_run = Replay.of_run

    def without_what_was_learnt(*given: Any, **options: Any) -> Replay:
        made = of_run(*given, **options)
        made.learnt.windows = None
        return made

    # Judged by the same windows, but not learnt from.
    monkeypatch.setattr(Replay, "of_run", without_what_was_learnt)
    _, without = continue_run(folder / "run", folder / "new.csv", out=tmp_path / "without", options=QUICK)
    assert with_replay.loss_old is not None
    assert without.loss_old is not None
    assert with_replay.loss_old[0] == without.loss_old[0]
    assert with_replay.loss_old[1] < without.loss_old[1]


def test_weights_that_are_worse_are_not_kept(folder: Path, tmp_path: Path) -> None:
    run = RunFolder.open(folder / "run")
    before = run.weights_checksum()
    wild = LearningOptions(steps=3, learning_rate=1.0)
    made, record = continue_run(run, folder / "new.csv", out=tmp_path / "wild", options=wild)
    assert not record.is_kept
    assert made.path == run.path
    assert run.weights_checksum() == before
    assert not (tmp_path / "wild").exists()
    assert "not kept, the model stays as it was" in str(record)
    assert not json.loads((run.path / "adaptations.json").read_text())["adaptations"][-1]["is_kept"]


def test_a_stream_learns_on(folder: Path, tmp_path: Path) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    live, still = stream(folder / "run", keep=300), stream(folder / "run")
    live.push(new[:300])
    still.push(new[:300])
    record = live.learn(QUICK)
    assert record.is_kept
    assert (record.new_rows, record.loss_new[1] < record.loss_new[0]) == (300, True)
    assert live.adaptations == [record]
    answers, others = live.push(new[300:]), still.push(new[300:])
    truth = new["load"].to_numpy()
    errors = [np.abs(one.values[:-1, 0, 0, 0] - truth[301:]).mean() for one in (answers, others)]
    assert errors[0] < 0.9 * errors[1]
    # What was learnt goes with the model, and the state with it.
    live.forecaster.save(tmp_path / "learnt")
    assert (tmp_path / "learnt" / "yardstick.json").read_bytes() == (folder / "run" / "yardstick.json").read_bytes()
    live.save(tmp_path / "state")
    assert len(stream(tmp_path / "learnt", state=tmp_path / "state", keep=300)) == 1
    with pytest.raises(RunError, match="another model"):
        stream(folder / "run", state=tmp_path / "state", keep=300)


def test_states_after_learning_are_those_of_the_new_weights(folder: Path) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    live = stream(folder / "run", keep=300)
    live.push(new[:300])
    live.learn(LearningOptions(steps=5, learning_rate=1e-3))
    fresh = stream(live.forecaster)
    history = live.forecaster.setup.history
    fresh.push(new[300 - history : 300])
    np.testing.assert_allclose(live.push(new[300:301]).values, fresh.push(new[300:301]).values, rtol=1e-5)


def test_too_few_rows(folder: Path) -> None:
    live = stream(folder / "run")
    live.push(pl.read_csv(folder / "new.csv", try_parse_dates=True)[:20])
    with pytest.raises(
        DataError, match=r"^learn: there are too few new rows: series 'series' has 20 and needs 96 at least;"
    ):
        live.learn()


def test_options() -> None:
    with pytest.raises(OptionError, match="steps: expected a whole number from 1 on, got 0"):
        LearningOptions(steps=0)
    with pytest.raises(OptionError, match="held_back: expected a number above 0 and below 1, got 1"):
        LearningOptions(held_back=1.0)


def test_a_reservoir_is_a_fair_sample_and_is_saved(tmp_path: Path) -> None:
    panel = read_series({"y": np.arange(400.0)})
    windows = Windows(Part.whole(panel), history=4, horizon=2, batch_size=7)
    sample = Reservoir(50)
    sample.add(windows)
    assert sample.windows is not None
    kept = sample.windows.row.tolist()
    assert (len(kept), len(set(kept)), sample.seen) == (50, 50, windows.num_windows)
    # Of uniform draws the mean is within four deviations.
    assert abs(np.mean(kept) - 202) < 4 * 115 / 50**0.5
    torch.testing.assert_close(sample.windows.target[:, 0, 0], sample.windows.row.float())
    run = RunFolder.create(tmp_path / "run")
    replay = Replay()
    replay.learnt = sample
    replay.save(run)
    setup: Any = None
    again = Replay.of_run(run, setup)
    assert again.learnt.windows is not None
    assert (again.learnt.windows.row.tolist(), again.learnt.seen) == (kept, sample.seen)
    assert (again.held.windows, again.held.seen) == (None, 0)


def test_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from recur.cli.main import main

    monkeypatch.chdir(tmp_path)
    run, new = str(folder / "run"), str(folder / "new.csv")
    options = ["--out", "next", "--max-steps", "20", "--learning-rate", "0.003"]
    assert main(["train", "--continue", run, new, *options]) == 0
    printed = capsys.readouterr()
    assert printed.out == "run      next\n"
    assert "kept: loss on the newest rows" in printed.err
    assert main(["train", "--continue", run, new, "--patience", "3"]) == 2
    assert "leave --patience out" in capsys.readouterr().err
    assert main(["train", "--continue", run]) == 2
    assert "--continue takes one table of new rows, or a folder of them, got 0 names" in capsys.readouterr().err


def test_a_continued_run_is_not_trained_anew(folder: Path, tmp_path: Path) -> None:
    from rich.console import Console

    from recur.train.resumption import resume

    made, _ = continue_run(folder / "run", folder / "new.csv", out=tmp_path / "next", options=QUICK)
    before = made.weights_checksum()
    with pytest.raises(
        RunError, match=r"next: has weights, but no checkpoint .* with: recur train --continue .*next DATA"
    ):
        resume(made.path, bounds={"max_steps": 90}, console=Console(file=io.StringIO()))
    assert made.weights_checksum() == before
    assert made.config()["training"]["max_steps"] == 80


def test_rows_count_as_much_as_their_weight_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = recur.load(folder / "run")
    panel = trained.setup.read(folder / "new.csv")
    weight = np.random.default_rng(0).integers(0, 3, len(panel.rows)).astype(np.float32)
    weighted = replace(panel, rows=replace(panel.rows, weight=weight))
    learnt: list[SeriesBatch] = []
    loss = ForecastNetwork.loss

    def kept(self: ForecastNetwork, batch: SeriesBatch, state: Any = None) -> Any:
        learnt.append(batch)
        return loss(self, batch, state)

    monkeypatch.setattr(ForecastNetwork, "loss", kept)
    replay = Replay()
    adapt(trained, Part.whole(weighted), replay, LearningOptions(steps=3))
    assert len(learnt) == 3
    for batch in learnt:
        assert batch.history_weight is not None
        (row,), (length,) = batch.row.tolist(), batch.lengths.tolist()
        assert batch.history_weight[0, :length].tolist() == weight[row - length : row].tolist()


def test_rows_before_the_newest_are_read_and_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = recur.load(folder / "run")
    panel = trained.setup.read(folder / "new.csv")
    begin = 110
    newest = Part(panel=panel, start=np.array([begin]), stop=np.array([begin + 130]), name="new")
    learnt: list[SeriesBatch] = []
    loss = ForecastNetwork.loss

    def kept(self: ForecastNetwork, batch: SeriesBatch, state: Any = None) -> Any:
        learnt.append(batch)
        return loss(self, batch, state)

    monkeypatch.setattr(ForecastNetwork, "loss", kept)
    replay = Replay()
    _, record = adapt(trained, newest, replay, LearningOptions(steps=4, learning_rate=1e-30))
    assert (record.new_rows, record.new_windows) == (130, 10)
    # Of 97 rows, 33 being held back, four windows of 24 tell some; the first reads what is older.
    rows = sorted(batch.row.item() for batch in learnt)
    assert rows == [begin + 97 - 24 - 24 * place for place in (3, 2, 1, 0)]
    for batch in learnt:
        assert batch.history_weight is not None
        read = np.arange(batch.row.item() - 24, batch.row.item())
        assert batch.history_weight[0].tolist() == (read >= begin).tolist()
    assert replay.learnt.windows is not None
    assert replay.learnt.windows.row.min() == begin


def test_a_reservoir_knows_the_weights_of_some() -> None:
    panel = read_series({"y": np.arange(40.0)})
    weighted = replace(panel, rows=replace(panel.rows, weight=np.full(40, 0.5, np.float32)))
    sample = Reservoir(200)
    for one in (panel, weighted, panel):
        sample.add(Windows(Part.whole(one), history=4, horizon=2, batch_size=7, least_history=4))
    assert sample.windows is not None
    assert sample.windows.history_weight is not None
    count = len(sample.windows.row) // 3
    expected = np.repeat([1.0, 0.5, 1.0], count)[:, None].repeat(4, axis=1)
    np.testing.assert_array_equal(sample.windows.history_weight.numpy(), expected)


def test_interrupted_it_leaves_the_model_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    live, still = (stream(folder / "run", keep=300) for _ in range(2))
    live.push(new[:300])
    still.push(new[:300])
    step, taken = torch.optim.AdamW.step, []

    def interrupted(self: torch.optim.AdamW, *given: Any) -> Any:
        taken.append(step(self, *given))
        if len(taken) == 3:
            raise KeyboardInterrupt
        return taken[-1]

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        live.learn(QUICK)
    assert len(taken) == 3
    assert not live.forecaster.network.training
    assert live.adaptations == []
    np.testing.assert_array_equal(live.push(new[300:310]).values, still.push(new[300:310]).values)


def test_rows_that_the_run_has_are_not_learnt_again(folder: Path, tmp_path: Path) -> None:
    old, new = (pl.read_csv(folder / name, try_parse_dates=True) for name in ("old.csv", "new.csv"))
    with pytest.raises(
        DataError, match=r"^there are no new rows: the run has those of every series until 2024-01-21T19:00"
    ):
        continue_run(folder / "run", folder / "old.csv", out=tmp_path / "none", options=QUICK)
    assert not (tmp_path / "none").exists()
    _, record = continue_run(folder / "run", pl.concat([old, new]), out=tmp_path / "grown", options=QUICK)
    _, alone = continue_run(folder / "run", new, out=tmp_path / "alone", options=QUICK)
    assert record.new_rows == len(new)
    assert record.weights == alone.weights


def test_each_member_of_an_ensemble_learns_on(folder: Path) -> None:
    trained = recur.load(folder / "run")
    panel = trained.setup.read(folder / "new.csv")
    seeds = (QUICK.seed, QUICK.seed + 1)
    alone = []
    for seed in seeds:
        one = recur.load(folder / "run")
        adapt(one, Part.whole(panel), Replay.of_run(None, one.setup), replace(QUICK, seed=seed))
        alone.append(one.network.state_dict())
    network = ForecastEnsemble([copy.deepcopy(trained.network) for _ in seeds])
    several = TrainedForecaster(network, trained.setup).calibrated(trained.setup.own_data().valid)
    made, record = adapt(several, Part.whole(panel), Replay.of_run(None, trained.setup), QUICK)
    assert record.is_kept
    for number, weights in enumerate(alone):
        for name, value in weights.items():
            torch.testing.assert_close(network.state_dict()[f"members.{number}.{name}"], value, rtol=0, atol=0)
    assert made.calibration is not None


def test_what_was_learnt_or_judged_by_is_not_learnt_again(folder: Path, tmp_path: Path) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    live = stream(folder / "run", keep=200)
    live.push(new[:200])
    assert live.report()["steps"][0] == 200
    assert live.learn(QUICK).new_rows == 200
    # The states were made anew from a window, and nothing is held against the new weights.
    report = live.report()
    assert (report["steps"][0], report["scored"][0], report["score"][0]) == (24, 0, 0.5)
    with pytest.raises(DataError, match=r"^learn: there are no new rows\.$"):
        live.learn(QUICK)
    live.push(new[200:300])
    live.save(tmp_path / "state")
    made = live.save_run(tmp_path / "learnt")
    records = made.read_json("adaptations.json")["adaptations"]
    assert records[-1]["weights"] == list(live.adaptations[0].weights)
    again = stream(made, keep=200, state=tmp_path / "state")
    assert again.learn(QUICK).new_rows == live.learn(QUICK).new_rows == 100
    assert again.adaptations[0].weights == live.adaptations[1].weights
    assert len(again.save_run(tmp_path / "more").read_json("adaptations.json")["adaptations"]) == len(records) + 1


def test_what_has_no_target_to_judge_by_is_told(folder: Path) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)[:200]
    lacking = new.with_columns(load=pl.when(pl.int_range(pl.len()) < 140).then("load"))
    live = stream(folder / "run", keep=200)
    live.push(lacking)
    with pytest.raises(DataError, match=r"^learn: the last 25% of the new rows are to say what was gained, but have n"):
        live.learn(QUICK)


def test_the_newest_rows_are_those_that_are_learnt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = recur.load(folder / "run")
    panel = trained.setup.read(pl.read_csv(folder / "new.csv", try_parse_dates=True)[:236])
    told: list[int] = []
    loss = ForecastNetwork.loss

    def kept(self: ForecastNetwork, batch: SeriesBatch, state: Any = None) -> Any:
        told.extend(batch.row.tolist())
        return loss(self, batch, state)

    monkeypatch.setattr(ForecastNetwork, "loss", kept)
    adapt(trained, Part.whole(panel), Replay(), replace(QUICK, steps=6))
    # 177 rows are not held back.
    last = 177 - trained.setup.horizon
    assert sorted(set(told)) == list(range(last - 24 * ((last - 24) // 24), last + 1, 24))


def test_new_series_are_learnt_as_they_are_scaled_in_the_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)[:200].with_columns(load=pl.col("load") * 100)
    trained = recur.load(folder / "run")
    scaler = replace(trained.setup.scaler, ids=("another",))
    made = TrainedForecaster(trained.network, replace(trained.setup, scaler=scaler), options=trained.options)
    live = stream(made, keep=200)
    live.push(new)
    scales: list[float] = []
    loss = ForecastNetwork.loss

    def kept(self: ForecastNetwork, batch: SeriesBatch, state: Any = None) -> Any:
        assert batch.scale is not None
        scales.extend(batch.scale[:, 0].tolist())
        return loss(self, batch, state)

    monkeypatch.setattr(ForecastNetwork, "loss", kept)
    live.learn(replace(QUICK, steps=6))
    # The older windows have a scale of their own.
    assert {scale for scale in scales if scale > 100} == {float(np.float32(live.slots.scale[0, 0]))}


def test_steps_that_are_not_equally_far_apart_are_learnt(tmp_path: Path) -> None:
    from rich.console import Console

    from recur.train.forecast import train_forecaster
    from recur.train.options import SeriesTrainingOptions

    time = np.cumsum(np.random.default_rng(0).exponential(1.0, 700) + 0.01)
    pl.DataFrame({"t": time[:400], "y": np.sin(time[:400])}).write_csv(tmp_path / "old.csv")
    pl.DataFrame({"t": time[400:], "y": -np.sin(time[400:])}).write_csv(tmp_path / "new.csv")
    run = train_forecaster(
        tmp_path / "old.csv",
        out=tmp_path / "run",
        model=ForecasterOptions(history=24, hidden_size=8, normalize="series"),
        training=SeriesTrainingOptions(max_steps=5, no_report=True),
        console=Console(file=io.StringIO()),
    )
    _, record = continue_run(run.path, tmp_path / "new.csv", out=tmp_path / "next", options=QUICK)
    assert record.loss_new[1] < record.loss_new[0]
