"""Runs that go on: what was learnt is not new any more, windows read what came before, and half a run is none."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.errors import DataError, RunError
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.streaming import stream
from recur.streaming.continuation import continue_run
from recur.streaming.learning import LearningOptions
from recur.tasks.forecast.known_rows import KNOWN_ROWS, KnownRows
from recur.tasks.forecast.trained import TrainedForecaster

QUICK = LearningOptions(steps=60, learning_rate=5e-3)
# Weights that stay as they are do not make the loss rise, and are kept.
STILL = LearningOptions(steps=2, learning_rate=1e-30)
HALF = replace(QUICK, held_back=0.5)


@pytest.fixture(scope="module")
def old(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "old.csv", try_parse_dates=True)


@pytest.fixture(scope="module")
def new(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "new.csv", try_parse_dates=True)


def test_what_a_stream_learnt_is_not_learnt_again(
    folder: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path
) -> None:
    live = stream(folder / "run", keep=200)
    live.push(new[:200])
    assert live.learn(QUICK).is_kept
    live.push(new[200:230])
    made = live.save_run(tmp_path / "learnt")
    with pytest.raises(
        DataError, match=r"^there are no new rows: the run has those of every series until 2024-01-30T03"
    ):
        continue_run(made, pl.concat([old, new[:200]]), out=tmp_path / "none", options=HALF)
    _, record = continue_run(made, pl.concat([old, new[:260]]), out=tmp_path / "next", options=HALF)
    assert record.new_rows == 60
    # A run that is saved again knows the same, though nothing was learnt in between.
    again = stream(made).save_run(tmp_path / "again")
    assert (again.path / KNOWN_ROWS).read_bytes() == (made.path / KNOWN_ROWS).read_bytes()
    assert (again.path / "replay.safetensors").read_bytes() == (made.path / "replay.safetensors").read_bytes()
    assert again.config()["continues"] == str(made.path.resolve())


def test_a_stream_reads_before_the_newest_what_it_keeps(folder: Path, new: pl.DataFrame) -> None:
    live = stream(folder / "run", keep=200)
    live.push(new[:200])
    assert live.learn(replace(QUICK, steps=20)).is_kept
    live.push(new[200:247])
    message = r"too few new rows: series 'series' has 47, after 153 older ones, and needs 48 at least"
    with pytest.raises(DataError, match=message):
        live.learn(HALF)
    live.push(new[247:248])
    assert live.learn(replace(HALF, steps=20)).new_rows == 48


def test_a_saved_run_that_learnt_nothing_knows_its_own_data(
    folder: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path
) -> None:
    made = stream(folder / "run").save_run(tmp_path / "same")
    assert (made.path / KNOWN_ROWS).read_bytes() == (folder / "run" / KNOWN_ROWS).read_bytes()
    _, record = continue_run(made, pl.concat([old, new[:60]]), out=tmp_path / "next", options=HALF)
    assert record.new_rows == 60


def test_windows_read_what_came_before(folder: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path) -> None:
    """Deliveries of 48 rows alone are learnt as those of a table that has grown by them, twice."""
    options = replace(HALF, steps=20)
    alone = grown = RunFolder.open(folder / "run")
    for number in (1, 2):
        rows = new[48 * (number - 1) : 48 * number]
        table = pl.concat([old, new[: 48 * number]])
        alone, record = continue_run(alone, rows, out=tmp_path / f"alone {number}", options=options)
        grown, other = continue_run(grown, table, out=tmp_path / f"grown {number}", options=options)
        assert record.is_kept
        assert (record.new_rows, record.new_windows) == (48, 1)
        assert record.weights == other.weights
    message = r"^learn: there are too few new rows: series 'series' has 47, after 24 older ones, and needs 48 at least;"
    with pytest.raises(DataError, match=message):
        continue_run(alone, new[96:143], out=tmp_path / "short", options=HALF)


@pytest.mark.parametrize("name", ["replay.safetensors", KNOWN_ROWS, "adaptations.json", "config.json"])
def test_a_run_that_is_written_by_half_is_none(
    name: str, folder: Path, new: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = stream(folder / "run", keep=200)
    live.push(new[:200])
    assert live.learn(replace(QUICK, steps=20)).is_kept
    from recur import run

    write = run.write_atomic

    def killed(path: Path, *given: object) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        write(path, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            live.save_run(tmp_path / "learnt")
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.json"):
        RunFolder.open(tmp_path / "learnt")
    made = live.save_run(tmp_path / "learnt", overwrite=True)
    assert made.has(KNOWN_ROWS)


def test_a_run_may_be_saved_in_its_own_place(folder: Path, new: pl.DataFrame, tmp_path: Path) -> None:
    live = stream(folder / "run", keep=200)
    live.push(new[:200])
    live.learn(replace(QUICK, steps=20))
    made = live.save_run(tmp_path / "learnt")
    live.save(tmp_path / "state")
    again = stream(made, keep=200, state=tmp_path / "state")
    records = made.read_json("adaptations.json")
    again.save_run(made.path, overwrite=True)
    config = made.config()
    assert config["continues"] == str((folder / "run").resolve())
    assert made.read_json("adaptations.json") == records
    assert made.has("replay.safetensors")
    assert stream(made, keep=200, state=tmp_path / "state").report().equals(again.report())


def test_rules_that_others_start_from_are_learnt_on(
    made_once: Callable[..., Path], seasonal_table: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    """With the defaults for few values: rules, whose newest values the state carries."""
    from rich.console import Console

    from recur.train.forecast import train_forecaster
    from recur.train.options import SeriesTrainingOptions

    def make(path: Path) -> None:
        seasonal_table(700, noise=0.1).write_csv(path / "all.csv")
        train_forecaster(
            seasonal_table(500, noise=0.1),
            out=path / "run",
            model=ForecasterOptions(history=48, hidden_size=8),
            training=SeriesTrainingOptions(max_steps=10, no_report=True),
            console=Console(file=io.StringIO()),
        )

    path = made_once("learning_on_from_rules", make)
    # The wave drifts away, which the rules alone do not tell.
    table = pl.read_csv(path / "all.csv", try_parse_dates=True).with_columns(
        load=pl.col("load") + 0.05 * pl.int_range(pl.len()).clip(500) ** 1.2
    )
    live = stream(path / "run", keep=180)
    options = live.forecaster.options
    assert options["rules"]
    live.push(table[480:660])
    record = live.learn(QUICK)
    assert record.is_kept
    assert record.loss_new[1] < record.loss_new[0]
    made = live.save_run(tmp_path / "learnt")
    live.save(tmp_path / "state")
    again = stream(made, state=tmp_path / "state", keep=180)
    np.testing.assert_array_equal(again.push(table[660:]).values, live.push(table[660:]).values)


# --- what a run knows -------------------------------------------------------------------------------------------------


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose data lie beside it in old.csv."""
    shutil.copytree(folder / "run", tmp_path / "run")
    shutil.copy(folder / "old.csv", tmp_path)
    run = RunFolder.open(tmp_path / "run")
    schema = run.read_json("schema.json")
    schema["source"]["path"] = str(tmp_path / "old.csv")
    run.write_json("schema.json", schema)
    return run.path


def test_a_table_may_grow_where_the_run_reads_it(
    own: Path, folder: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path
) -> None:
    """What is new in it, and what is older, is what would be if it had grown elsewhere."""
    options = replace(HALF, steps=20)
    _, elsewhere = continue_run(folder / "run", pl.concat([old, new[:60]]), out=tmp_path / "other", options=options)
    pl.concat([old, new[:60]]).write_csv(tmp_path / "old.csv")
    _, record = continue_run(own, tmp_path / "old.csv", out=tmp_path / "next", options=options)
    assert replace(record, time="") == replace(elsewhere, time="")
    assert record.new_rows == 60
    live = stream(own, keep=200)
    live.push(new[60:200])
    assert live.learn(replace(QUICK, steps=20)).old_windows == record.old_windows > 0


def test_series_that_a_stream_did_not_learn_from_stay_known(
    make_forecaster: Callable[..., TrainedForecaster], table: pl.DataFrame, tmp_path: Path
) -> None:
    """Though the data that they were trained with can be read nowhere."""
    trained = make_forecaster()
    trained.known = KnownRows.of_panel(trained.setup.read(table), trained.setup)
    until = trained.known.until
    live = stream(trained)
    later = table.filter(pl.col("place") == "a").with_columns(pl.col("hour") + pl.duration(hours=60))
    live.push(later)
    assert live.learn(STILL).is_kept
    made = TrainedForecaster.load(live.save_run(tmp_path / "learnt"))
    assert made.known is not None
    assert made.known.until == until | {"a": until["a"] + np.timedelta64(60, "h")}


def test_rows_that_a_stream_has_again_move_nothing_back(
    folder: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path
) -> None:
    live = stream(folder / "run", keep=200)
    live.push(old[100:400])
    assert live.learn(STILL).is_kept
    made = live.save_run(tmp_path / "learnt")
    _, record = continue_run(made, pl.concat([old, new[:60]]), out=tmp_path / "next", options=HALF)
    assert record.new_rows == 60


def test_what_was_learnt_long_ago_is_known_with_the_rows_before(
    folder: Path, new: pl.DataFrame, tmp_path: Path
) -> None:
    live = stream(folder / "run", keep=100)
    live.push(new[:100])
    assert live.learn(replace(QUICK, steps=20)).is_kept
    # Of those rows nothing is kept any more.
    live.push(new[100:])
    known = TrainedForecaster.load(live.save_run(tmp_path / "learnt")).known
    assert known is not None
    assert list(known.until.values()) == [new["hour"][99]]
    np.testing.assert_array_equal(known.panel.values[:, 0], new["load"][76:100].to_numpy().astype(np.float32))


def test_a_run_that_does_not_say_what_it_knows_says_so(
    own: Path, old: pl.DataFrame, new: pl.DataFrame, tmp_path: Path
) -> None:
    """As runs of before."""
    (own / KNOWN_ROWS).unlink()
    options = replace(HALF, steps=20)
    _, record = continue_run(own, pl.concat([old, new[:60]]), out=tmp_path / "next", options=options)
    assert record.new_rows == 60
    (tmp_path / "old.csv").unlink()
    live = stream(own, keep=200)
    live.push(new[:200])
    assert live.learn(replace(QUICK, steps=20)).is_kept
    with pytest.warns(UserWarning, match=r"^save_run: nobody knows any more which rows the model was trained on"):
        live.save_run(tmp_path / "learnt")
    with pytest.raises(DataError, match=r"old\.csv: no such file"):
        continue_run(own, new[:60], out=tmp_path / "none", options=options)
