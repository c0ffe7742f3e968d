"""Live series: the answers of the batch, whatever the rows come in; and what becomes of rows that are odd."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.series import Columns
from recur.errors import DataError, OptionError
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.streaming import Answers, Stream, stream
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.series_reading import SeriesReading

Make = Callable[..., TrainedForecaster]

KINDS = ("direct", "encoder-decoder", "window", "segments", "autoregressive", "one step", "counts")
SAID = ["mean", "q0.1", "q0.5", "q0.9"]


def last_answers(answers: list[Answers]) -> dict[str, np.ndarray]:
    """Return the last of the answers for each series, by the time of its row."""
    found = {}
    for one in answers:
        for number in np.argsort(one.time, kind="stable").tolist():
            found[one.ids[number]] = one.values[number]
    return found


def batch_answers(trained: TrainedForecaster, table: Any) -> dict[str, np.ndarray]:
    frame = trained.predict(table, history="all")
    found = {}
    for name in frame["series_id"].unique():
        own = frame.filter(pl.col("series_id") == name).select(SAID).to_numpy()
        found[name] = own.reshape(trained.setup.horizon, -1, len(SAID))
    return found


def compare(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], rtol: float) -> None:
    assert got.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_batch(kind: str, make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster(kind)
    by_time = table.sort("hour", maintain_order=True)
    live = stream(trained)
    answers = [live.push(by_time[begin : begin + 7]) for begin in range(0, len(by_time), 7)]
    assert sum(map(len, answers)) == len(table)
    compare(last_answers(answers), batch_answers(trained, table), 1e-6)


@pytest.mark.parametrize("kind", ["encoder-decoder", "window", "segments", "autoregressive", "counts"])
def test_the_networks_of_an_ensemble_have_a_state_each(
    kind: str, make_forecaster: Make, table: pl.DataFrame, tmp_path: Path
) -> None:
    trained = make_forecaster(kind, members=2)
    by_time = table.sort("hour", maintain_order=True)
    live = stream(trained)
    answers = [live.push(by_time[:60])]
    live.save(tmp_path / "state")
    live = stream(trained.save(tmp_path / "run"), state=tmp_path / "state")
    answers += [live.push(by_time[begin : begin + 30]) for begin in range(60, len(by_time), 30)]
    compare(last_answers(answers), batch_answers(trained, table), 1e-6)
    # It says something else than its members do.
    alone = batch_answers(TrainedForecaster(trained.network.members[0], trained.setup), table)
    assert not np.allclose(alone["a"], last_answers(answers)["a"], rtol=1e-2)


@pytest.mark.parametrize("kind", ["encoder-decoder", "segments", "one step"])
def test_in_doubles_only_rounding_is_left(kind: str, make_forecaster: Make, table: pl.DataFrame) -> None:
    # What is said is float32; what it is made of is compared.
    trained = make_forecaster(kind, double=True)
    one_by_one, at_once = stream(trained), stream(trained)
    for row in table[:40].iter_rows(named=True):
        one_by_one.push(row)
    at_once.push(table[:40])
    for name, state in one_by_one.states.tensors().items():
        np.testing.assert_allclose(state, at_once.states.tensors()[name], rtol=1e-10, atol=1e-10)


def test_each_answer_is_what_predict_says_of_the_rows_so_far(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    own = table.filter(pl.col("place") == "a")
    answers = stream(trained).push(own)
    for number in (0, 3, 17, 59):
        if own["load"][number] is not None:
            wanted = batch_answers(trained, own[: number + 1])["a"]
            np.testing.assert_allclose(answers.values[number], wanted, rtol=1e-6)


def test_a_series_that_training_had_not_is_scaled_by_its_beginning(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    new = table.filter(pl.col("place") == "b").with_columns(place=pl.lit("new"), load=pl.col("load") * 100)
    live = stream(trained)
    answers = live.push(new[:30])
    for number in (0, 5, 11, 12, 29):
        if new["load"][number] is not None:
            wanted = batch_answers(trained, new[: number + 1])["new"]
            np.testing.assert_allclose(answers.values[number], wanted, rtol=1e-5)
    again = [stream(trained)]
    for begin, end in ((0, 5), (5, 13), (13, 30)):
        step = again[0].push(new[begin:end])
    np.testing.assert_allclose(step.values[-1], answers.values[-1], rtol=1e-5)


def test_times_and_form_of_the_answers(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    answers = stream(trained).push(table[:2])
    frame = answers.to_polars()
    assert frame.columns == ["series_id", "after", "time", "target", *SAID, "drift"]
    hours = table["hour"]
    assert frame["after"].to_list() == [hours[0]] * 4 + [hours[1]] * 4
    assert frame["time"].to_list() == [*hours[1:5], *hours[2:6]]
    one = next(iter(answers))
    assert (one["row"], one["series_id"], one["time"], one["drift"]) == (0, "a", "2024-03-01T05:00:00.000000", False)
    assert one["forecast"][1]["time"] == "2024-03-01T07:00:00.000000"
    assert one["forecast"][1]["mean"] == pytest.approx(frame["mean"][1])
    assert len(one["forecast"]) == 4


def test_late_and_repeated_rows_change_nothing(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    own = table.filter(pl.col("place") == "a")
    live, plain = stream(trained), stream(trained)
    live.push(own[:10])
    plain.push(own[:10])
    wrong = live.push(pl.concat([own[9:10], own[3:4], own[10:11], own[10:11].with_columns(load=pl.lit(0.0))]))
    assert wrong.left_out == ((0, "repeated"), (1, "late"), (3, "repeated"))
    assert wrong.row.tolist() == [2]
    np.testing.assert_array_equal(wrong.values, plain.push(own[10:11]).values)


def test_steps_that_are_left_out_are_missing(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    own = table.filter(pl.col("place") == "a")
    gaps = pl.concat([own[:20], own[27:40]])
    live = stream(trained)
    answers = [live.push(gaps[:20]), live.push(gaps[20:])]
    compare(last_answers(answers), batch_answers(trained, gaps), 1e-6)


def test_after_a_long_gap_a_series_begins_anew(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    own = table.filter(pl.col("place") == "a")
    live = stream(trained, longest_gap=3)
    both = live.push(pl.concat([own[:20], own[24:30]]))
    assert both.began_anew.tolist() == [number == 20 for number in range(26)]
    fresh = stream(trained).push(own[24:30])
    np.testing.assert_allclose(both.values[20:], fresh.values, rtol=1e-6)
    # One step fewer is no reason to.
    assert not stream(trained, longest_gap=4).push(pl.concat([own[:20], own[24:30]])).began_anew.any()


@pytest.fixture(scope="module")
def known(make_forecaster: Make, table: pl.DataFrame) -> TrainedForecaster:
    columns = Columns(
        series_id="place", targets="load", known_future=("heat", "wind"), static=(), ignored=("size", "kind")
    )
    return make_forecaster(columns=columns)


def test_what_is_known_of_the_future_comes_first(known: TrainedForecaster, table: pl.DataFrame) -> None:
    own = table.filter(pl.col("place") == "a")
    live = stream(known)
    ahead = own.with_columns(load=pl.lit(None, dtype=pl.Float64))
    told = live.push(pl.concat([own[:20], ahead[20:24]]))
    assert told.left_out[-4:] == ((20, "ahead"), (21, "ahead"), (22, "ahead"), (23, "ahead"))
    answers = [told]
    for step in range(20, 40):
        answers.append(live.push(pl.concat([ahead[step + 1 : step + 5], own[step : step + 1]])))
    last = 40 - next(k for k in range(1, 9) if own["load"][40 - k] is not None)
    wanted = batch_answers(known, pl.concat([own[: last + 1], ahead[last + 1 : last + 5]]))
    compare(last_answers(answers), wanted, 1e-6)


@pytest.mark.parametrize(("first", "begin"), [(1, 0), (2, 0), (2, 3), (0, 20)])
def test_a_series_begins_with_its_first_row_that_is_read(
    first: int, begin: int, known: TrainedForecaster, table: pl.DataFrame
) -> None:
    own = table.filter(pl.col("place") == "a").with_columns(pl.col("load").fill_null(20.0))
    ahead = own.with_columns(load=pl.lit(None, dtype=pl.Float64))
    live, plain = stream(known), stream(known)
    # What is known ahead may come in pieces, the later first.
    assert [reason for _, reason in live.push(ahead[first + 2 : first + 4]).left_out] == ["ahead"] * 2
    assert [reason for _, reason in live.push(ahead[first : first + 2]).left_out] == ["ahead"] * 2
    rest = pl.concat([ahead[begin + 1 : first], ahead[max(first + 4, begin + 1) : begin + 5]])
    told = live.push(pl.concat([own[begin : begin + 1], rest]))
    wanted = plain.push(pl.concat([own[begin : begin + 1], ahead[begin + 1 : begin + 5]]))
    assert [reason for _, reason in told.left_out] == ["ahead"] * len(rest)
    np.testing.assert_array_equal(told.values, wanted.values)
    assert live.report().equals(plain.report())
    again = [one.push(pl.concat([own[begin + 1 : begin + 2], ahead[begin + 5 : begin + 6]])) for one in (live, plain)]
    np.testing.assert_array_equal(again[0].values, again[1].values)


def test_what_was_told_ahead_need_not_be_said_again(known: TrainedForecaster, table: pl.DataFrame) -> None:
    own = table.filter(pl.col("place") == "a").with_columns(pl.col("load").fill_null(20.0))
    ahead = own.with_columns(load=pl.lit(None, dtype=pl.Float64))
    live, plain = stream(known), stream(known)
    for one in (live, plain):
        one.push(pl.concat([own[:20], ahead[20:25]]))
    short = own[20:21].select("place", "hour", "load").row(0, named=True)
    np.testing.assert_array_equal(live.push(short).values, plain.push(own[20:21]).values)


def test_rows_that_are_left_out_take_no_others_with_them(known: TrainedForecaster, table: pl.DataFrame) -> None:
    own = table.filter(pl.col("place") == "a").with_columns(pl.col("load").fill_null(20.0))
    ahead = own.with_columns(load=pl.lit(None, dtype=pl.Float64))
    live, plain = stream(known), stream(known)
    for one in (live, plain):
        one.push(pl.concat([own[:20], ahead[20:24]]))
    good = [*own[20:21].iter_rows(named=True), *ahead[24:25].iter_rows(named=True)]
    off = {**good[0], "hour": good[0]["hour"] + timedelta(minutes=20)}
    told = live.push([good[0], {**good[0], "load": "high"}, off, good[1]], on_error="skip", first=100)
    assert told.row.tolist() == [100]
    assert [(row, reason[:9]) for row, reason in told.left_out] == [
        (101, "the rows,"),
        (102, "the rows,"),
        (103, "ahead"),
    ]
    assert "column 'load', row 102: 'high' is no number" in told.left_out[0][1]
    assert "row 103: series 'a' has the time 2024-03-02T01:20" in told.left_out[1][1]
    np.testing.assert_array_equal(told.values, plain.push(good).values)


def test_what_was_told_ahead_is_on_the_grid_of_what_comes(known: TrainedForecaster, table: pl.DataFrame) -> None:
    own = table.filter(pl.col("place") == "a")
    live = stream(known)
    live.push(own[1:5].with_columns(load=pl.lit(None, dtype=pl.Float64)))
    off = own[:1].with_columns(pl.col("hour") + timedelta(minutes=20), load=pl.lit(3.0))
    message = (
        "row 1: series 'a' begins at 2024-03-01T05:20.*, from which what was told ahead of it, at 2024-03-01T06:00"
    )
    with pytest.raises(DataError, match=message):
        live.push(off)


def test_the_future_must_be_known(known: TrainedForecaster, table: pl.DataFrame) -> None:
    own = table.filter(pl.col("place") == "a")
    live = stream(known)
    message = "row 2: series 'a' lacks 'heat' for the 4. step after it, but it is known of the future"
    with pytest.raises(DataError, match=message):
        live.push(pl.concat([own[:2], own[2:5].with_columns(load=pl.lit(None, dtype=pl.Float64))]))
    assert len(live) == 0
    far = own[40:41].with_columns(load=pl.lit(None, dtype=pl.Float64))
    live.push(own[:10].with_columns(load=pl.lit(None, dtype=pl.Float64)))
    with pytest.raises(DataError, match="row 1: tells of series 'a' 41 steps ahead, but at most 17 are kept"):
        live.push(far)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load": "much"}, "the rows, column 'load', row 1: 'much' is no number, but the column is in targets"),
        ({"loda": 3.0}, "there is a column 'loda', which the model's data had not; is it 'load'?"),
        ({"load": float("inf")}, "the rows, column 'load', row 1: is infinite"),
        ({"hour": "2024-03-01 05:30"}, "is no step of 1h from"),
        ({"hour": None}, "the rows, column 'hour', row 1: the time is missing"),
        ({"place": None}, "the name of the series is missing"),
        ({"size": 7.0}, "column 'size', row 1: changes within series 'a', but is static"),
    ],
)
def test_a_row_that_cannot_be_is_an_error_and_changes_nothing(
    change: dict[str, Any], message: str, make_forecaster: Make, table: pl.DataFrame
) -> None:
    trained = make_forecaster()
    live, plain = stream(trained), stream(trained)
    rows = [{**row, "hour": str(row["hour"])} for row in table[:5].iter_rows(named=True)]
    for one in (live, plain):
        one.push(rows[:3])
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        live.push(rows[3] | change)
    np.testing.assert_array_equal(live.push(rows[3]).values, plain.push(rows[3]).values)


def test_bad_rows_can_be_left_out(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    rows = list(table[:9].iter_rows(named=True))
    bad = [*rows[:2], rows[2] | {"load": "x"}, *rows[3:6], rows[6] | {"when": 1}, *rows[7:]]
    answers = stream(trained).push(bad, on_error="skip")
    assert [number for number, _ in answers.left_out] == [2, 6]
    assert "column 'load', row 3: 'x' is no number" in answers.left_out[0][1]
    assert answers.row.tolist() == [0, 1, 3, 4, 5, 7, 8]
    plain = stream(trained).push([row for number, row in enumerate(rows) if number not in (2, 6)])
    np.testing.assert_allclose(answers.values, plain.values, rtol=1e-5)


def test_names_that_a_row_lacks_are_missing_values(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    rows = list(table[:4].iter_rows(named=True))
    short = [*rows[:3], {name: value for name, value in rows[3].items() if name not in ("heat", "size", "load")}]
    written = [*rows[:3], rows[3] | {"heat": None, "load": None}]
    np.testing.assert_array_equal(stream(trained).push(short).values, stream(trained).push(written).values)


def test_new_categories_are_none_of_them(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    new, none = (table[:3].with_columns(wind=pl.lit(word, dtype=pl.String)) for word in ("E", None))
    np.testing.assert_array_equal(stream(trained).push(new).values, stream(trained).push(none).values)


@pytest.mark.parametrize("step", ["1h", "1d", "1mo"])
def test_clocks_that_change_and_steps_of_the_calendar(step: str) -> None:
    hours = pl.datetime_range(pl.datetime(2024, 3, 28), pl.datetime(2040, 1, 1), step, eager=True)[:90]
    # Instants, on a clock that is put forward on March 31.
    table = pl.DataFrame({"day": hours.dt.replace_time_zone("Europe/Paris", non_existent="null"), "load": range(90)})
    table = table.drop_nulls().with_columns(load=(pl.col("load") / 5).sin())
    trained = plain_forecaster(table)
    answers = stream(trained).push(table)
    frame = trained.predict(table, history="all")
    said = answers.to_polars()[-frame.height :]
    assert said["time"].to_list() == frame["time"].to_list()
    np.testing.assert_allclose(said["mean"], frame["mean"], rtol=1e-5)
    assert answers.rows()[-1]["time"] == table["day"].dt.to_string("iso:strict")[-1]


def test_times_that_are_numbers_or_are_not_told() -> None:
    values = np.sin(np.arange(80) / 3)
    half = pl.DataFrame({"t": np.arange(80) / 2, "load": values})
    counted = pl.DataFrame({"load": values})
    for table in (half, counted):
        trained = plain_forecaster(table)
        live = stream(trained)
        answers = [live.push(table[begin : begin + 9]) for begin in range(0, 80, 9)]
        frame = trained.predict(table, history="all")
        said = answers[-1].to_polars()[-frame.height :]
        assert said["time"].to_list() == frame["time"].to_list()
        np.testing.assert_allclose(said["mean"], frame["mean"], rtol=1e-5)


def test_tables_with_a_column_for_each_series() -> None:
    values = np.sin(np.arange(80) / 3)
    hours = np.datetime64("2024-01-01", "us") + np.arange(80) * np.timedelta64(1, "h")
    table = pl.DataFrame({"time": hours, "north": values, "south": values[::-1] * 3})
    trained = plain_forecaster(table, SeriesReading(form="wide"))
    live = stream(trained)
    answers = [live.push(row) for row in table.iter_rows(named=True)]
    compare(last_answers(answers), batch_answers(trained, table), 1e-5)


def plain_forecaster(table: pl.DataFrame, reading: SeriesReading | None = None) -> TrainedForecaster:
    """Return a forecaster of a table with little in it, its weights as they were drawn."""
    reading = reading or SeriesReading()
    setup, split = ForecastSetup.fit(reading.first(table), history=6, horizon=2, reading=reading)
    torch.manual_seed(0)
    chosen = {"kind": "encoder-decoder", "hidden_size": 6, "head": "gaussian", "normalize": "last", "level": True}
    network = ForecastNetwork(ForecasterOptions.from_json(history=6, **chosen), setup.shape)
    return TrainedForecaster(network, setup).calibrated(split.valid)


def test_a_thousand_series(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster(scaling="none")
    many = pl.concat(
        [table[step : step + 1].with_columns(place=pl.lit(f"s{n}")) for step in (0, 1) for n in range(1000)]
    )
    live = stream(trained)
    answers = [live.push(many[:1000]), live.push(many[1000:][::-1])]
    assert len(live) == 1000
    wanted = stream(trained).push(table[:2].with_columns(place=pl.lit("s0"))).values
    np.testing.assert_allclose(answers[0].values, np.broadcast_to(wanted[:1], answers[0].values.shape), rtol=1e-5)
    np.testing.assert_allclose(answers[1].values, np.broadcast_to(wanted[1:], answers[1].values.shape), rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_order_of_series_and_any_pieces(data: st.DataObject, make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster(double=True)
    live = stream(trained)
    left = {name: list(range(60 * number, 60 * number + 15)) for number, name in enumerate("abc")}
    answers = []
    while any(left.values()):
        chosen = data.draw(st.lists(st.sampled_from([name for name in "abc" if left[name]]), min_size=1, max_size=12))
        rows = [left[name].pop(0) for name in chosen if left[name]]
        answers.append(live.push(table[data.draw(st.permutations(rows))]))
    plain = stream(trained).push(pl.concat([table[60 * number : 60 * number + 15] for number in range(3)]))
    compare(last_answers(answers), last_answers([plain]), 1e-6)


def test_nothing_in_nothing_out(make_forecaster: Make, table: pl.DataFrame) -> None:
    live = stream(make_forecaster())
    for nothing in ([], table[:0]):
        assert len(live.push(nothing)) == 0
    assert live.push([]).to_polars().columns == ["series_id", "after", "time", "target", *SAID, "drift"]


def test_what_cannot_be_streamed(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained = make_forecaster()
    with pytest.raises(OptionError, match="longest_gap: expected a number of steps from 0 on, got -1"):
        stream(trained, longest_gap=-1)
    with pytest.raises(OptionError, match="on_error: expected 'raise' or 'skip', got 'ignore'"):
        stream(trained).push(table, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a row must be a mapping from names to values, but is int"):
        stream(trained).push([3])
    assert isinstance(stream(trained), Stream)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "the rows, row 2: is empty; a row has at least one name with its value."),
        ({"load": [1.0, 2.0]}, "the rows, column 'load', row 2: holds several values, but a cell must be a number"),
        (
            {"load": {"kW": 1.0}},
            "the rows, column 'load', row 2: holds several values, but a cell must be a number, a ",
        ),
    ],
)
def test_rows_that_are_none(bad: dict[str, Any], message: str, make_forecaster: Make, table: pl.DataFrame) -> None:
    live = stream(make_forecaster())
    good = table.row(0, named=True)
    bad = {**table.row(1, named=True), **bad} if bad else bad
    with pytest.raises(DataError, match=re.escape(message)):
        live.push([good, bad])
    with pytest.raises(DataError, match=re.escape(message.replace("row 2", "row 1"))):
        live.push(bad)
    answers = live.push([good, bad], on_error="skip")
    assert (len(answers), [number for number, _ in answers.left_out]) == (1, [1])
    assert answers.left_out[0][1].startswith(message)


def test_a_mapping_of_columns_of_any_kind_is_a_table(make_forecaster: Make, table: pl.DataFrame) -> None:
    trained, some = make_forecaster(), table[:5]
    wanted = stream(trained).push(some).values
    columns = {name: some[name].to_list() for name in some.columns}
    for kind in (pd.Series, np.array, pl.Series):
        mixed = {**columns, "heat": kind(columns["heat"])}
        np.testing.assert_array_equal(stream(trained).push(mixed).values, wanted)
