"""Runs that go on: what was learnt is not new any more, windows read what came before, and half a run is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.series import Columns, Panel
from recur.errors import DataError, RunError
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.streaming import stream
from recur.streaming.continuation import continue_run
from recur.streaming.known_rows import KNOWN_ROWS, KnownRows
from recur.streaming.learning import LearningOptions
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_reading import SeriesReading

QUICK = LearningOptions(steps=60, learning_rate=5e-3)
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
    assert not made.has(KNOWN_ROWS)
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


# --- rows that are known ----------------------------------------------------------------------------------------------


def setup_of(panel: Panel) -> ForecastSetup:
    return ForecastSetup.fit(panel, history=3, horizon=1, reading=SeriesReading())[0]


def weekly(first: int, count: int, **more: list[float]) -> dict[str, list[float]]:
    """Two series of daily rows from day `first` on."""
    days = list(range(first, first + count))
    return {
        "shop": ["a"] * count + ["b"] * count,  # type: ignore[list-item]
        "day": [*days, *days],
        "sales": [float(day) for day in days] + [100.0 + day for day in days],
        **more,
    }


def test_known_rows_are_the_last_ones_up_to_the_last_target(tmp_path: Path) -> None:
    table = weekly(0, 30)
    table["sales"][28:30] = [float("nan")] * 2
    panel = SeriesReading().first(table)
    setup = setup_of(panel)
    known = KnownRows.of_panel(panel, setup)
    assert known.until == {"a": 27, "b": 29}
    assert known.panel.values[:, 0].tolist() == [25, 26, 27, 127, 128, 129]
    run = RunFolder.create(tmp_path / "run")
    known.save(run)
    again = KnownRows.of_run(run, setup)
    assert again.until == known.until
    assert again.panel.times.dtype == panel.times.dtype
    np.testing.assert_array_equal(again.panel.values, known.panel.values)
    # Those of a are new from 28 on, with what is known before; of b nothing is new.
    newest = known.newest(setup.read(weekly(28, 2)), setup)
    assert newest.panel.values[:5, 0].tolist() == [25, 26, 27, 28, 29]
    assert (newest.start - newest.panel.offsets[:-1]).tolist() == [3, 2]
    assert (newest.stop - newest.start).tolist() == [2, 0]
    both = known.with_newer(KnownRows.of_panel(newest.panel.select([0]), setup))
    assert both.until == {"b": 29, "a": 29}
    assert both.panel.series("a").values[:, 0].tolist() == [27, 28, 29]
    (run.path / KNOWN_ROWS).write_bytes((run.path / KNOWN_ROWS).read_bytes()[:-8])
    with pytest.raises(RunError, match=r"known_rows\.safetensors: damaged: "):
        KnownRows.of_run(run, setup)


def test_weights_of_new_rows_stay(tmp_path: Path) -> None:
    rising = [float(number) for number in range(1, 9)]
    setup = setup_of(SeriesReading().first(weekly(0, 30, weight=[1.0] * 60)))
    known = KnownRows.of_panel(setup.read(weekly(0, 30, weight=[1.0] * 60)), setup)
    newest = known.newest(setup.read(weekly(30, 4, weight=rising)), setup)
    assert newest.panel.rows.weight is not None
    assert newest.panel.rows.weight[newest.has_row].tolist() == rising


def test_series_without_times_are_all_new() -> None:
    panel = SeriesReading().first(np.arange(40.0))
    setup = setup_of(panel)
    known = KnownRows.of_panel(panel, setup)
    assert len(known) == 0
    assert len(known.newest(panel, setup)) == 40


def test_categories_of_known_rows_are_those_of_the_training(tmp_path: Path) -> None:
    """The first one by its name came after the training part, so that of all rows the others have other codes."""
    winds = [*("W" if day % 3 else "S" for day in range(28)), "N", "S"]
    table = pl.DataFrame({"day": range(30), "sales": [float(day) for day in range(30)], "wind": winds})
    table.write_csv(tmp_path / "table.csv")
    reading = SeriesReading(columns=Columns(targets="sales", past_only="wind"))
    panel = reading.first(tmp_path / "table.csv")
    setup, _ = ForecastSetup.fit(panel, history=3, horizon=1, reading=reading, path=str(tmp_path / "table.csv"))
    assert panel.rows.codes[-3:, 0].tolist() == [2, 1, 2]
    known = KnownRows.of_run(None, setup)
    assert known.panel.rows.codes[:, 0].tolist() == setup.read(table).rows.codes[-3:, 0].tolist() == [1, 0, 1]
