"""Classes and numbers on live series: what the batch tells of the rows so far."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recur.data.series import Columns, panel_of_array
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError, RunError
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.streaming import ToldClasses, ToldNumbers, stream
from recur.tasks.labels.setup import LabelSetup, Life
from recur.tasks.labels.trained import TrainedClassifier, TrainedRegressor, build_network
from recur.tasks.series_reading import SeriesReading

Trained = TrainedClassifier | TrainedRegressor
Make = Callable[..., Any]

WAYS: dict[str, dict[str, Any]] = {
    "steps": {},
    "windows": {"window": 5},
    "series": {},
}


@pytest.fixture(scope="module")
def engines() -> pl.DataFrame:
    """Six machines of 16 to 21 hours with a state of each hour, a verdict on the whole, and values that are missing."""
    draw = np.random.default_rng(0)
    parts = []
    for number in range(6):
        length = 16 + number
        heat = draw.standard_normal(length)
        heat[draw.random(length) < 0.1] = np.nan
        parts.append(
            pl.DataFrame(
                {
                    "engine": [f"e{number}"] * length,
                    "hour": np.datetime64("2024-03-01T05", "us") + np.arange(length) * np.timedelta64(1, "h"),
                    "heat": pl.Series(heat, nan_to_null=True),
                    "speed": 100 + 20 * draw.standard_normal(length),
                    "wind": draw.choice(["N", "S", "W"], length),
                    "size": [float(number)] * length,
                    "state": draw.choice(["idle", "run", "stop"], length),
                    "verdict": [("good", "bad")[number % 2]] * length,
                    "weight": [100.0 + number] * length,
                }
            )
        )
    return pl.concat(parts)


@pytest.fixture(scope="module")
def make_labels(engines: pl.DataFrame) -> Make:
    """A maker of classifiers and regressors with weights as they were drawn, calibrated somehow."""

    def make(
        way: str = "steps", *, numbers: bool = False, double: bool = False, setup_options: Any = None, **options: Any
    ) -> Trained:
        label = {"series": "weight" if numbers else "verdict"}.get(way, "speed" if numbers else "state")
        unused = tuple({"state", "verdict", "weight"} - {label})
        reading = SeriesReading(
            columns=Columns(series_id="engine", targets=(), label=label, static=("size",), ignored=unused),
        )
        reading = replace(reading, assembly=replace(reading.assembly, labels="number" if numbers else "class"))
        chosen = {"calendar": ("hour",), "partition": Partition(by="series", valid=1, test=1)} | WAYS[way]
        setup, parts = LabelSetup.fit(reading.first(engines), reading=reading, **chosen | (setup_options or {}))
        torch.manual_seed(2)
        options = {
            "hidden_size": 6,
            "members": 1,
            "bidirectional": False,
            "convolutions": (3,),
            "per_step": setup.way == "steps",
        } | options
        kind: Any = SeriesRegressorOptions if numbers else SeriesClassifierOptions
        settings = kind(**options)
        network = build_network(settings, setup)
        network.fit_statistics(list(setup.batches(parts.train, batch_size=4)))
        trained: Any = (TrainedRegressor if numbers else TrainedClassifier)(
            network.double() if double else network, setup, settings
        )
        if numbers:
            trained.errors = torch.linspace(0.1, 5.0, 40, dtype=torch.float64)
        else:
            trained.temperature.load_state_dict({"value": 0.5})
            trained.is_calibrated = True
        return trained

    return make


def unlabelled(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("state", "verdict", "weight")


def rows_of(table: pl.DataFrame, trained: Trained) -> pl.DataFrame:
    """Return what a run has of the table, its label left out, by the hour."""
    drop = [name for name in ("state", "verdict", "weight", "speed") if name == trained.setup.label]
    unknown = {"state", "verdict", "weight"} - {trained.setup.label}
    return table.drop(*drop, *unknown).sort("hour", maintain_order=True)


def so_far(trained: Trained, table: pl.DataFrame) -> pl.DataFrame:
    """Return what the batch tells of each series, after each of its rows where it tells of series."""
    if trained.setup.way != "series":
        return trained.predict(table).sort("series_id", "time")
    frames = []
    for hour in table["hour"].unique().sort():
        begun = table.filter(pl.col("hour") <= hour)
        newest = begun.filter(pl.col("hour") == hour)["engine"]
        told = trained.predict(begun).filter(pl.col("series_id").is_in(newest.implode()))
        frames.append(told.with_columns(time=pl.lit(hour)))
    frame = pl.concat(frames)
    return frame.select("series_id", "time", *frame.columns[1:-1]).sort("series_id", "time")


def compare(found: pl.DataFrame, wanted: pl.DataFrame, rtol: float) -> None:
    found = found.sort("series_id", "time")
    assert found.columns == wanted.columns
    for name in found.columns:
        if found[name].dtype.is_float():
            np.testing.assert_allclose(found[name].to_numpy(), wanted[name].to_numpy(), rtol=rtol, atol=rtol)
        else:
            assert found[name].to_list() == wanted[name].to_list()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("numbers", [False, True])
def test_answers_are_those_of_the_batch(way: str, numbers: bool, make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels(way, numbers=numbers)
    rows = rows_of(engines, trained)
    live = stream(trained)
    frames = [live.push(rows[begin : begin + 9]).to_polars() for begin in range(0, len(rows), 9)]
    frame = pl.concat(frames)
    assert len(frame) == len(engines)
    # Numbers around 100 are told to the last digits of float32.
    compare(frame, so_far(trained, rows), 2e-6 if numbers else 1e-6)
    compare(stream(trained).push(rows).to_polars(), so_far(trained, rows), 2e-6 if numbers else 1e-6)


@pytest.mark.parametrize("cell", ["lstm", "rnn", "phased", "cfc", "grud"])
def test_every_cell_single_rows_in_doubles(cell: str, make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels(cell=cell, double=True, convolutions=(), num_layers=2)
    rows = rows_of(engines, trained)[:40]
    live = stream(trained)
    frame = pl.concat([live.push(row).to_polars() for row in rows.iter_rows(named=True)])
    compare(frame, so_far(trained, rows), 1e-7)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_every_pool_and_several_members(pooling: str, make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels("series", pooling=pooling, members=2, time_input=True, convolutions=(3, 4))
    rows = rows_of(engines, trained)
    compare(stream(trained).push(rows).to_polars(), so_far(trained, rows), 1e-6)


def test_remaining_life(engines: pl.DataFrame) -> None:
    columns = Columns(series_id="engine", targets=(), ignored=("state", "verdict", "weight"))
    reading = SeriesReading(columns=columns)
    partition = Partition(by="series", valid=1, test=1)
    setup, parts = LabelSetup.fit(reading.first(engines), life=Life(cap=8.0), partition=partition, reading=reading)
    options = SeriesRegressorOptions(hidden_size=4, members=1, per_step=setup.way == "steps")
    network = build_network(options, setup)
    network.fit_statistics(list(setup.batches(parts.train, batch_size=4)))
    trained = TrainedRegressor(network, setup, options)
    trained.calibrate(trained.outcomes(parts.valid))
    rows = engines.drop("state", "verdict", "weight").sort("hour", maintain_order=True)
    answers = stream(trained, coverage=0.5).push(rows)
    assert isinstance(answers, ToldNumbers)
    assert answers.values.max() <= 8
    compare(answers.to_polars(), trained.predict(rows, coverage=0.5).sort("series_id", "time"), 2e-6)


@pytest.mark.parametrize("way", WAYS)
def test_steps_that_are_left_out_are_missing(way: str, make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels(way)
    rows = rows_of(engines.filter(pl.col("engine") == "e5"), trained)
    gaps = pl.concat([rows[:7], rows[12:]])
    wanted = so_far(trained, gaps)
    live = stream(trained, longest_gap=10)
    found = pl.concat([live.push(gaps[:6]).to_polars(), live.push(gaps[6:]).to_polars()])
    compare(found, wanted.filter(pl.col("time").is_in(gaps["hour"].implode())), 1e-6)


def test_after_a_long_gap_a_series_begins_anew(make_labels: Make, engines: pl.DataFrame) -> None:
    for way in WAYS:
        trained = make_labels(way, cell="phased", convolutions=())
        rows = rows_of(engines.filter(pl.col("engine") == "e5"), trained)
        both = stream(trained, longest_gap=2).push(pl.concat([rows[:7], rows[10:]]))
        assert np.flatnonzero(both.began_anew).tolist() == [7]
        np.testing.assert_allclose(both.probabilities[7:], stream(trained).push(rows[10:]).probabilities, rtol=1e-6)


def test_runs_of_arrays() -> None:
    x = np.random.default_rng(0).standard_normal((20, 12, 2)).astype(np.float32)
    panel = panel_of_array(x, ["a", "b"] * 10)
    setup, parts = LabelSetup.fit(panel, partition=Partition(by="label", valid=4, test=4))
    options = SeriesClassifierOptions(hidden_size=4, members=1, bidirectional=False)
    network = build_network(options, setup)
    network.fit_statistics(list(setup.batches(parts.train, batch_size=16)))
    trained = TrainedClassifier(network, setup, options)
    # Without names of their own, the columns are called as in panels.
    rows = [
        {"series_id": str(number), "time": step, "y_1": float(x[number, step, 0]), "y_2": float(x[number, step, 1])}
        for step in range(12)
        for number in range(3)
    ]
    answers = stream(trained).push(rows)
    wanted = trained.predict(panel_of_array(x[:3]))
    np.testing.assert_allclose(answers.probabilities[-3:, 0], wanted["p(a)"].to_numpy(), rtol=1e-6)


def test_windows_of_series_that_each_have_their_scale(make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels("windows", setup_options={"per_series": True})
    rows = rows_of(engines.with_columns(engine=pl.col("engine").replace("e0", "new")), trained)
    live = stream(trained)
    frame = pl.concat([live.push(rows[begin : begin + 20]).to_polars() for begin in range(0, len(rows), 20)])
    compare(frame, so_far(trained, rows), 1e-6)


def test_windows_may_be_read_from_their_end_too(make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels("windows", bidirectional=True)
    rows = rows_of(engines, trained)
    compare(stream(trained).push(rows).to_polars(), so_far(trained, rows), 1e-6)


def test_late_and_repeated_rows_and_those_with_a_label(make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels()
    own = engines.filter(pl.col("engine") == "e0").drop("verdict", "weight")
    live, plain = stream(trained), stream(trained)
    live.push(own[:5])
    plain.push(own[:5].drop("state"))
    wrong = live.push(pl.concat([own[4:5], own[2:3], own[5:6]]))
    assert wrong.left_out == ((0, "repeated"), (1, "late"))
    np.testing.assert_array_equal(wrong.probabilities, plain.push(own[5:6].drop("state")).probabilities)
    with pytest.raises(DataError, match="column 'heat', row 1: 'hot' is no number"):
        live.push({"engine": "e0", "hour": own["hour"][6], "heat": "hot", "speed": 1.0, "wind": "N"})


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_goes_on_elsewhere(way: str, make_labels: Make, engines: pl.DataFrame, tmp_path: Path) -> None:
    made = [make_labels(way, members=2) for _ in range(2)]
    rows = rows_of(engines, made[0])
    whole = stream(made[0])
    whole.push(rows[:40])
    whole.save(tmp_path / "state")
    wanted = whole.push(rows[40:])
    moved = stream(made[1], state=tmp_path / "state")
    np.testing.assert_array_equal(moved.push(rows[40:]).probabilities, wanted.probabilities)
    assert moved.report().equals(whole.report())
    with pytest.raises(RunError, match="another model"):
        stream(make_labels(way, hidden_size=7), state=tmp_path / "state")


def test_form_of_the_answers(make_labels: Make, engines: pl.DataFrame) -> None:
    trained = make_labels()
    answers = stream(trained).push(rows_of(engines, trained)[:3])
    assert isinstance(answers, ToldClasses)
    one = answers.rows()[0]
    assert (one["row"], one["series_id"], one["time"]) == (0, "e0", "2024-03-01T05:00:00.000000")
    assert one["label"] == max(one["probabilities"], key=one["probabilities"].__getitem__)
    assert one["probability"] == max(one["probabilities"].values())
    assert list(one["probabilities"]) == ["idle", "run", "stop"]
    numbers = make_labels(numbers=True)
    numbers.errors = numbers.errors[:0]
    said = stream(numbers).push(rows_of(engines, numbers)[:1]).rows()
    assert json.loads(json.dumps(said, allow_nan=False))[0]["lower"] is None
    assert said[0]["label"] == pytest.approx(numbers.predict(rows_of(engines, numbers)[:1])["speed"][0], rel=1e-6)
    empty = stream(trained).push([])
    assert (len(empty), empty.to_polars().columns) == (0, answers.to_polars().columns)


def test_what_cannot_be_streamed(make_labels: Make) -> None:
    for way in ("steps", "series"):
        with pytest.raises(OptionError, match="the network reads each series from its end too, so that what it says"):
            stream(make_labels(way, bidirectional=True))
        with pytest.raises(OptionError, match="the series of the run are scaled each by all of its rows"):
            stream(make_labels(way, setup_options={"per_series": True}))
    trained = make_labels()
    with pytest.raises(OptionError, match="learn: rows tell what came"):
        stream(trained).learn()
    with pytest.raises(OptionError, match="coverage: is of regressors, and this is a classifier; leave it out"):
        stream(trained, coverage=0.5)
    with pytest.raises(OptionError, match="coverage must be a number between 0 and 1, not 2"):
        stream(make_labels(numbers=True), coverage=2)
    with pytest.raises(OptionError, match="levels: is of forecasters, and this is a regressor"):
        stream(make_labels(numbers=True), levels=(0.5,))


def test_a_run_folder(make_labels: Make, engines: pl.DataFrame, tmp_path: Path) -> None:
    for numbers in (False, True):
        trained = make_labels(numbers=numbers)
        folder = trained.save(tmp_path / f"run{numbers}")
        rows = rows_of(engines, trained)[:9]
        assert stream(folder).push(rows).to_polars().equals(stream(trained).push(rows).to_polars())
