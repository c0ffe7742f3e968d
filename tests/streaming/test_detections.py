"""Anomalies on live series: the scores of the batch, whatever the rows come in."""

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

from recur.data.series import Columns
from recur.errors import OptionError, RunError
from recur.models.detector_choice import build_detector
from recur.models.detector_options import DetectorOptions
from recur.streaming import Stream, stream
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_reading import SeriesReading

HISTORY = 12

Make = Callable[..., TrainedDetector]


def hours(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("hour", maintain_order=True)


@pytest.fixture(scope="module")
def long_table() -> pl.DataFrame:
    """Two series of 240 hours with a season, a category, and values that are missing."""
    draw = np.random.default_rng(0)
    parts = []
    for number, name in enumerate("ab"):
        load = 10 * (number + 1) + np.sin(np.arange(240) / 24 * 2 * np.pi) + 0.2 * draw.standard_normal(240)
        load[draw.random(240) < 0.05] = np.nan
        load[200] += 5
        parts.append(
            pl.DataFrame(
                {
                    "place": [name] * 240,
                    "hour": np.datetime64("2024-03-01T05", "us") + np.arange(240) * np.timedelta64(1, "h"),
                    "load": pl.Series(load, nan_to_null=True),
                    "heat": draw.standard_normal(240),
                    "wind": draw.choice(["N", "S"], 240),
                }
            )
        )
    return pl.concat(parts)


@pytest.fixture(scope="module")
def make_detector(long_table: pl.DataFrame) -> Make:
    """A maker of detectors with weights as they were drawn, which know what was ordinary."""

    def make(
        way: str = "forecast", *, double: bool = False, known: bool = False, has_network: bool = True, **given: Any
    ) -> TrainedDetector:
        roles: dict[str, Any] = (
            {"targets": "load", "known_future": ("heat", "wind")}
            if known
            else {"targets": ("load", "heat"), "past_only": ("wind",)}
        )
        reading = SeriesReading(columns=Columns(series_id="place", **roles))
        panel = reading.first(long_table)
        setup, split = ForecastSetup.fit(panel, history=HISTORY, horizon=1, reading=reading)
        leads = (1, 3) if way == "forecast" else (1,)
        options: Any = {"way": way, "history": HISTORY, "hidden_size": 6, "leads": leads, "level": False, "quiet": 10}
        options |= {"false_alarms": 0.01} | ({"window": 5} if way == "autoencoder" else {})
        chosen = DetectorOptions(**options | given)
        torch.manual_seed(1)
        network = build_detector(chosen, setup.shape)
        made = TrainedDetector(network.double() if double else network, setup, chosen, has_network=has_network)
        return made.fitted(split)

    return make


def compare(found: pl.DataFrame, wanted: pl.DataFrame, rtol: float) -> None:
    found, wanted = (frame.sort("series_id", "time") for frame in (found, wanted))
    assert found.columns == wanted.columns
    for name in found.columns:
        if found[name].dtype.is_float():
            np.testing.assert_allclose(found[name].to_numpy(), wanted[name].to_numpy(), rtol=rtol, atol=rtol)
        else:
            assert found[name].to_list() == wanted[name].to_list()


@pytest.mark.parametrize("way", ["forecast", "autoencoder"])
@pytest.mark.parametrize("size", [7, 480])
def test_scores_are_those_of_the_batch(way: str, size: int, make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector(way)
    rows = hours(long_table)
    live = stream(trained)
    answers = [live.push(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
    wanted = trained.predict(long_table)
    assert wanted["alarm"].sum() > 0
    assert wanted["begins"].sum() > 0
    compare(pl.concat([one.to_polars() for one in answers]), wanted, 1e-6)


@pytest.mark.parametrize("way", ["forecast", "autoencoder"])
def test_single_rows_in_doubles(way: str, make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector(way, double=True)
    live = stream(trained)
    rows = hours(long_table)[:120]
    frame = pl.concat([live.push(row).to_polars() for row in rows.iter_rows(named=True)])
    compare(frame, trained.predict(rows), 1e-10)


@pytest.mark.parametrize("given", [{"no_rules": True}, {"memory": 200}, {"has_network": False}])
def test_other_options(given: dict[str, Any], make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector(**given)
    compare(stream(trained).push(long_table).to_polars(), trained.predict(long_table), 1e-6)


def test_known_future_columns_are_read_with_their_step(make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector(known=True)
    answers = stream(trained).push(long_table)
    assert answers.left_out == ()
    compare(answers.to_polars(), trained.predict(long_table), 1e-6)


@pytest.mark.parametrize("size", [1, 5, 240])
def test_a_series_that_training_had_not(size: int, make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector()
    new = long_table[:240].with_columns(place=pl.lit("new"), load=pl.col("load") * 100)[: 40 if size == 1 else 240]
    live = stream(trained)
    frame = pl.concat([live.push(new[begin : begin + size]).to_polars() for begin in range(0, len(new), size)])
    assert frame["score"].is_nan()[:HISTORY].all()
    compare(frame, trained.predict(new), 1e-6)


@pytest.mark.parametrize("hole", [(30, 36), (5, 20)])
def test_steps_that_are_left_out_are_missing(
    hole: tuple[int, int], make_detector: Make, long_table: pl.DataFrame
) -> None:
    trained = make_detector()
    for name in ("a", "new"):
        own = long_table[:240].with_columns(place=pl.lit(name))
        gaps = pl.concat([own[: hole[0]], own[hole[1] :]])
        wanted = trained.predict(gaps).filter(pl.col("time").is_in(gaps["hour"].implode()))
        live = stream(trained, longest_gap=20)
        found = pl.concat([live.push(gaps[:60]).to_polars(), live.push(gaps[60:]).to_polars()])
        compare(found, wanted, 1e-6)


def test_after_a_long_gap_a_series_begins_anew(make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector()
    own = long_table[:240]
    both = stream(trained, longest_gap=3).push(pl.concat([own[:60], own[64:120]]))
    assert np.flatnonzero(both.began_anew).tolist() == [60]
    fresh = stream(trained).push(own[64:120])
    np.testing.assert_allclose(both.score[60:], fresh.score, rtol=1e-6)


def test_any_order_of_series(make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector(double=True)
    mixed = pl.concat([long_table[:50], long_table[240:300], long_table[50:240], long_table[300:]])
    live = stream(trained)
    frames = [live.push(mixed[begin : begin + 45].sample(fraction=1, shuffle=True, seed=0)) for begin in (0, 45)]
    frames.append(live.push(mixed[90:][::-1]))
    compare(pl.concat([one.to_polars() for one in frames]), trained.predict(long_table), 1e-9)


def test_late_and_repeated_rows_change_nothing(make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector()
    live, plain = stream(trained), stream(trained)
    for one in (live, plain):
        one.push(long_table[:100])
    wrong = live.push(pl.concat([long_table[99:100], long_table[3:4], long_table[100:101]]))
    assert wrong.left_out == ((0, "repeated"), (1, "late"))
    np.testing.assert_array_equal(wrong.score, plain.push(long_table[100:101]).score)


@pytest.mark.parametrize("way", ["forecast", "autoencoder"])
def test_a_stream_goes_on_elsewhere(way: str, make_detector: Make, long_table: pl.DataFrame, tmp_path: Path) -> None:
    # With a series that has no scale yet.
    rows = hours(pl.concat([long_table, long_table[:240].with_columns(place=pl.lit("new"))]))
    whole = stream(make_detector(way))
    whole.push(rows[:25])
    whole.save(tmp_path / "state")
    wanted = whole.push(rows[25:])
    moved = stream(make_detector(way), state=tmp_path / "state")
    got = moved.push(rows[25:])
    np.testing.assert_array_equal(got.score, wanted.score)
    np.testing.assert_array_equal(got.channels, wanted.channels)
    np.testing.assert_array_equal(got.begins, wanted.begins)
    assert moved.report().equals(whole.report())
    assert moved.report()["steps"].to_list() == [240] * 3
    with pytest.raises(RunError, match="another model"):
        stream(make_detector("autoencoder" if way == "forecast" else "forecast"), state=tmp_path / "state")


def test_form_of_the_answers(make_detector: Make, long_table: pl.DataFrame) -> None:
    trained = make_detector()
    answers = stream(trained).push(long_table[:240])
    one = answers.rows()[60]
    assert one.keys() == {"row", "series_id", "time", "score", "alarm", "begins", "because"}
    assert one["time"] == "2024-03-03T17:00:00.000000"
    assert one["score"] == pytest.approx(sum(one["because"].values()))
    lost = long_table.filter(pl.col("place") == "a")[["load"]].with_row_index().filter(pl.col("load").is_null())
    alone = stream(trained).push(long_table[:1].with_columns(load=None, heat=None))
    # As JSON can hold it: without NaN.
    assert json.loads(json.dumps(alone.rows(), allow_nan=False))[0]["score"] is None
    assert answers.channels[int(lost["index"][-1]), 0] == 0
    assert len(stream(trained).push([])) == 0
    assert stream(trained).push([]).to_polars().columns == answers.to_polars().columns


def test_what_makes_no_sense(make_detector: Make) -> None:
    trained = make_detector()
    live = stream(trained)
    assert isinstance(live, Stream)
    with pytest.raises(OptionError, match="learn: rows tell what came, from which forecasters learn on"):
        live.learn()
    for option in ({"levels": (0.5,)}, {"keep": 3}, {"use_calibration": False}):
        (name,) = option
        with pytest.raises(OptionError, match=f"{name}: is of forecasters, and this is a detector; leave it out"):
            stream(trained, **option)
    with pytest.raises(OptionError, match="coverage: is of regressors, and this is a detector"):
        stream(trained, coverage=0.5)
    unknown = TrainedDetector(trained.network, trained.setup, trained.options)
    with pytest.raises(RunError, match="the detector does not know what is ordinary"):
        stream(unknown)
    apart = TrainedDetector(
        trained.network, replace(trained.setup, frequency=None), trained.options, ordinary=trained.ordinary
    )
    with pytest.raises(OptionError, match="the series of the run have no step in common"):
        stream(apart)
    uneven = replace(trained.setup, time_unit=1.0)
    with pytest.raises(OptionError, match="the run's steps are not equally far apart, as its series keep their gaps"):
        stream(TrainedDetector(trained.network, uneven, trained.options, ordinary=trained.ordinary))
    with pytest.raises(
        OptionError,
        match="expected a trained model of series, a forecaster, a detector, a classifier, a regressor, got int",
    ):
        stream(3)  # type: ignore[arg-type]


def test_a_run_folder(make_detector: Make, long_table: pl.DataFrame, tmp_path: Path) -> None:
    trained = make_detector()
    folder = trained.save(tmp_path / "run")
    got = stream(folder).push(long_table[:100])
    np.testing.assert_array_equal(got.score, stream(trained).push(long_table[:100]).score)
