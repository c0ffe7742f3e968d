"""What stands between data and a network: fitted on the training part, saved, and used again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recur.data.series import Assembly, Columns, LastWindows, Panel, Part, Scaler, Windows, read_series
from recur.data.series.partition import Partition
from recur.errors import DataError, RunError
from recur.run import FORMAT, RunFolder
from recur.tasks.forecast import calibration
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_reading import SeriesReading


@pytest.fixture
def table(seasonal_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    steps = 200
    return seasonal_table(steps, series=2).with_columns(
        pl.Series("warm", np.tile(np.arange(steps) % 5, 2) * 1.0),
        pl.Series("day_type", (["work"] * (steps - 10) + ["holiday"] * 10) * 2),
    )


def fitted(table: Any, **options: Any) -> tuple[ForecastSetup, Any]:
    return ForecastSetup.fit(read_series(table), history=24, horizon=6, **options)


def test_everything_is_fitted_on_the_training_part(table: pl.DataFrame) -> None:
    setup, split = fitted(table)
    expected = Scaler.fit(split.train)
    assert np.array_equal(setup.scaler.centre, expected.centre)
    # Holidays come in the test part alone.
    assert setup.schema.categories["day_type"] == ("work",)
    assert split.test.panel.rows.codes[199, 0] == 0
    assert (setup.season.steps, str(setup.frequency)) == (24, "1h")
    changed = table.with_columns(
        pl.when(pl.int_range(pl.len()).over("meter") >= 140).then(1e6).otherwise("load").alias("load")
    )
    other, _ = fitted(changed)
    assert np.array_equal(other.scaler.centre, setup.scaler.centre)
    assert other.season == setup.season


def test_windows_are_those_of_the_data(table: pl.DataFrame) -> None:
    setup, split = fitted(table, calendar=("hour",), scaling="robust")
    assert setup.channels == ("load", "warm", "hour_sin", "hour_cos")
    assert setup.future_channels == ("hour_sin", "hour_cos")
    ours = setup.windows(split.valid, batch_size=500)
    theirs = Windows(split.valid, history=24, horizon=6, batch_size=500, scaler=setup.scaler, calendar=("hour",))
    assert ours.channels == theirs.channels == setup.channels
    assert ours.future_channels == setup.future_channels
    assert (next(iter(ours)).x == next(iter(theirs)).x).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda steps: steps % 5, True),
        (lambda steps: np.maximum(steps % 50 - 1.5, 0), True),
        (lambda steps: steps % 50 + 0.5, False),
        (lambda steps: np.where(steps == 7, 0, steps % 50 + 0.5), False),
        (lambda steps: steps % 5 - 1, False),
        # What comes after the training part is not looked at.
        (lambda steps: np.where(steps >= 280, -1, steps % 5), True),
    ],
)
def test_what_is_never_below_zero(values: Callable[[Any], Any], expected: bool, tmp_path: Path) -> None:
    steps = np.arange(400)
    panel = read_series({"t": steps, "y": values(steps), "z": -1.0 * steps}, Columns(targets=("y", "z")))
    setup, _ = ForecastSetup.fit(panel, history=12, horizon=3)
    assert setup.non_negative == (expected, False)
    asked, _ = ForecastSetup.fit(panel, history=12, horizon=3, non_negative=not expected)
    assert asked.non_negative == (not expected,) * 2
    least = 0.0 if expected else -2.0
    assert setup.bounded(torch.full((4, 3, 2), -2.0))[0, 0].tolist() == [least, -2]
    assert setup.bounded(torch.full((4, 3, 2, 5), -2.0))[0, 0, :, 0].tolist() == [least, -2]
    folder = saved(setup, tmp_path / "run")
    assert ForecastSetup.load(folder).non_negative == setup.non_negative
    folder.write_json("schema.json", folder.read_json("schema.json") | {"non_negative": [True]})
    with pytest.raises(RunError, match=r"damaged: non_negative must be true or false for each of the 2 targets, got "):
        ForecastSetup.load(folder)


def test_where_steps_are_not_equally_far_apart_the_network_is_told(
    table: pl.DataFrame, seasonal_table: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    assert fitted(table)[0].time_unit is None
    keeping = SeriesReading(assembly=Assembly(gaps="keep"))
    holed = table.filter(pl.int_range(pl.len()).over("meter") % 7 > 0)
    for data in (table, holed):
        setup, split = ForecastSetup.fit(keeping.first(data), history=24, horizon=6, reading=keeping)
        assert (str(setup.frequency), setup.time_unit) == ("1h", 1.0)
        assert setup.channels[-1] == setup.future_channels[-1] == "since_last"
        assert setup.windows(split.valid, batch_size=8).channels == setup.channels
        assert setup.shape.num_calendar == len(setup.channels) - 2
    # After its end the series goes on step by step.
    batch = next(iter(setup.last_windows(setup.read(holed), batch_size=8)))
    assert batch.future is not None
    assert torch.allclose(batch.future[..., -1], torch.tensor(2.0).log())
    assert batch.x[..., -1].amax() == torch.tensor(3.0).log()
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, 200) * 60.0)
    setup, split = ForecastSetup.fit(read_series({"t": times, "y": times % 50}), history=12, horizon=3)
    assert setup.frequency is None
    assert setup.time_unit == np.median(np.diff(times[:140]))
    # A few regular rows are read as the others were: in the same unit.
    again = setup.read({"t": times[-1] + 60 * np.arange(20), "y": [*np.arange(17.0), *[None] * 3]})
    assert again.frequency is None
    batch = next(iter(setup.last_windows(again, batch_size=8)))
    assert torch.allclose(batch.x[0, 1:, -1], torch.tensor(60 / setup.time_unit).log1p())
    folder = saved(setup, tmp_path / "run")
    assert ForecastSetup.load(folder).time_unit == setup.time_unit
    folder.write_json("schema.json", folder.read_json("schema.json") | {"time_unit": 0})
    with pytest.raises(RunError, match=r"schema\.json: damaged: time_unit must be a number above 0, got 0\.$"):
        ForecastSetup.load(folder)


def test_a_short_part_keeps_the_least_history_of_the_training(seasonal_table: Callable[..., pl.DataFrame]) -> None:
    setup, split = ForecastSetup.fit(read_series(seasonal_table(60)), history=100, horizon=2)
    assert setup.least_history == 40
    assert setup.windows(split.test, batch_size=8).least_history == 40


@pytest.mark.parametrize(
    ("lengths", "least"),
    [
        # One long series must not leave out all others, of which 63 steps are trained on.
        ([500, *[90] * 9], 63 - 24),
        ([500] * 9 + [90], 48),
        # Those that are too short for the horizon do not decide.
        ([90, 20, 20, 20], 63 - 24),
    ],
)
def test_most_series_have_windows(lengths: list[int], least: int) -> None:
    values = np.random.default_rng(0).normal(size=(sum(lengths), 1))
    panel = Panel.of_rows([str(number) for number in range(len(lengths))], lengths, values)
    setup, split = ForecastSetup.fit(panel, history=48, horizon=24, partition=Partition(valid=0.3, test=0))
    assert setup.least_history == least
    left_out = setup.windows(split.train, batch_size=8).left_out
    assert len(left_out) == sum(round(0.7 * length) < least + 24 for length in lengths)


def saved(setup: ForecastSetup, path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_json("config.json", {"format": FORMAT, "task": "forecast"})
    setup.save(folder)
    return folder


@pytest.mark.parametrize("per_series", [True, False])
def test_it_can_be_saved(table: pl.DataFrame, tmp_path: Path, per_series: bool) -> None:
    path = tmp_path / "meters.csv"
    table.write_csv(path)
    reading = SeriesReading()
    setup, _ = ForecastSetup.fit(
        reading.first(path), history=24, horizon=6, per_series=per_series, reading=reading, path=str(path),
        partition=Partition(valid=20, test=30),
    )  # fmt: skip
    again = ForecastSetup.load(saved(setup, tmp_path / "run"))
    assert again.to_json() == setup.to_json()
    assert (again.schema, again.frequency, again.season) == (setup.schema, setup.frequency, setup.season)
    for name, tensor in setup.scaler.tensors().items():
        assert (again.scaler.tensors()[name] == tensor).all()
    split = again.own_data()
    assert len(split.test) == 60
    assert split.train.panel.schema.categories == setup.schema.categories
    table.head(300).write_csv(path)
    with pytest.raises(RunError, match=r"meters\.csv: is not what the model was trained on any more; put the data "):
        again.own_data()


def test_rows_that_came_since_are_left_out(tmp_path: Path) -> None:
    """Of any series, with series and categories that came too; all else is another table."""
    path = tmp_path / "winds.csv"
    hours = list(range(60))

    def rows(place: str, begin: int, end: int, winds: str) -> pl.DataFrame:
        return pl.DataFrame({"hour": hours[begin:end]}).with_columns(
            place=pl.lit(place),
            wind=pl.Series([winds[hour % len(winds)] for hour in hours[begin:end]]),
            load=pl.col("hour") * 1.5,
        )

    old = pl.concat([rows("b", 0, 40, "SW"), rows("d", 0, 50, "WS")])
    old.write_csv(path)
    reading = SeriesReading(columns=Columns(series_id="place", targets="load", past_only="wind"))
    setup, split = ForecastSetup.fit(
        reading.first(path), history=6, horizon=2, reading=reading, path=str(path), partition=Partition(valid=5, test=5)
    )
    again = ForecastSetup.load(saved(setup, tmp_path / "run"))
    new = [rows("b", 40, 60, "NS"), rows("d", 50, 53, "S"), rows("a", 0, 30, "N"), rows("c", 0, 60, "E")]
    pl.concat([*new, old]).write_csv(path)
    assert len(reading.first(path).schema.categories["wind"]) == 4
    found = again.own_data()
    for name in ("train", "valid", "test"):
        own, first = getattr(found, name), getattr(split, name)
        assert own.panel.ids == first.panel.ids
        np.testing.assert_array_equal(own.panel.times, first.panel.times)
        np.testing.assert_array_equal(own.panel.rows.codes, first.panel.rows.codes)
        np.testing.assert_array_equal((own.start, own.stop), (first.start, first.stop))
    for other in (
        pl.concat([*new, old[1:]]),
        pl.concat([*new, old]).with_columns(load=pl.when(pl.col("hour") == 3).then(0.5).otherwise("load")),
        pl.concat([*new, old]).filter(pl.col("place") != "d"),
        pl.concat([*new[1:], old]).filter(~((pl.col("place") == "b") & (pl.col("hour") == 39))),
    ):
        other.write_csv(path)
        with pytest.raises(RunError, match=r"winds\.csv: is not what the model was trained on any more; put the data "):
            again.own_data()


def test_columns_stay_what_they_were_found_to_be_when_rows_come(
    seasonal_table: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    """Series of a length each are told apart by a column whose name says nothing, others are not."""
    path = tmp_path / "meters.csv"
    table = seasonal_table(200, series=2).rename({"meter": "k"})
    is_new = pl.int_range(pl.len()).over("k") >= 120
    table.filter(~is_new).write_csv(path)
    reading = SeriesReading()
    setup, split = ForecastSetup.fit(reading.first(path), history=24, horizon=6, reading=reading, path=str(path))
    pl.concat([table.filter(~is_new), table.filter(is_new)[:-30]]).write_csv(path)
    with pytest.raises(DataError, match="already"):
        reading.first(path)
    found = ForecastSetup.load(saved(setup, tmp_path / "run")).own_data()
    assert found.train.panel.lengths.tolist() == [120, 120]
    np.testing.assert_array_equal(found.test.panel.values, split.test.panel.values)


def test_data_without_a_file_cannot_be_read_again(table: pl.DataFrame) -> None:
    with pytest.raises(RunError, match=r"the run's own data were not in a file, so they cannot be read again"):
        fitted(table)[0].own_data()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content.pop("history"), r"schema\.json: damaged: it lacks 'history'\.$"),
        (lambda content: content.update(horizon="6"), r"damaged: horizon must be a whole number from 0 on, got '6'\.$"),
        (lambda content: content.update(season={"length": 3}), r"schema\.json: damaged: .*unexpected keyword argument"),
        (lambda content: content["scaler"].update(ids=[]), r"damaged: the saved scaler is damaged: centre must have "),
        (lambda content: content.update(schema=None), r"schema\.json: damaged: "),
        (lambda content: content["schema"].update(more=1), r"damaged: the schema of the series has the unknown entry"),
    ],
)
def test_damage_is_told(table: pl.DataFrame, tmp_path: Path, damage: Callable[[Any], Any], said: str) -> None:
    folder = saved(fitted(table)[0], tmp_path / "run")
    content = folder.read_json("schema.json")
    damage(content)
    (folder.path / "schema.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=said):
        ForecastSetup.load(folder)


def test_a_lost_scaler_is_told(table: pl.DataFrame, tmp_path: Path) -> None:
    folder = saved(fitted(table)[0], tmp_path / "run")
    (folder.path / "scaler.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"scaler\.safetensors: damaged: "):
        ForecastSetup.load(folder)
    (folder.path / "scaler.safetensors").unlink()
    with pytest.raises(RunError, match=r"scaler\.safetensors: missing; the run is incomplete\.$"):
        ForecastSetup.load(folder)


def test_rows_for_the_future_are_made_where_nothing_is_known_of_it(table: pl.DataFrame) -> None:
    setup, _ = fitted(table)
    panel = setup.read(table.filter(pl.col("hour") < pl.datetime(2024, 1, 3)))
    windows = setup.last_windows(panel, batch_size=8)
    assert isinstance(windows, LastWindows)
    assert windows.panel.lengths.tolist() == [54, 54]
    batch = next(iter(windows))
    assert batch.row.tolist() == [48, 102]
    # They are made once: those that are there already are taken.
    assert setup.last_windows(windows.panel, batch_size=8).panel is windows.panel


def test_what_is_known_of_the_future_must_be_there(table: pl.DataFrame) -> None:
    from recur.data.series import Columns

    panel = read_series(table, Columns(targets="load", known_future="warm", past_only=()))
    setup, _ = ForecastSetup.fit(panel, history=24, horizon=6)
    with pytest.raises(DataError, match=r"has 0 rows after its last target, but the horizon is 6; give rows for the "):
        setup.last_windows(setup.read(table), batch_size=8)
    later = table.with_columns(
        pl.when(pl.int_range(pl.len()).over("meter") >= 194).then(None).otherwise("load").alias("load")
    )
    batch = next(iter(setup.last_windows(setup.read(later), batch_size=8)))
    assert batch.row.tolist() == [194, 394]
    assert batch.future is not None
    assert batch.future.shape[2] == len(setup.future_channels)


def test_windows_to_calibrate_on_are_bounded(table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:

    setup, split = fitted(table)
    whole = setup.calibration_windows(split.valid, batch_size=100)
    assert whole is not None
    assert whole.num_windows == 2 * 15
    monkeypatch.setattr(calibration, "_MOST_SCORES", 6 * len(calibration.COVERAGES) * 10)
    some = setup.calibration_windows(split.valid, batch_size=100)
    assert some is not None
    assert some.num_windows == 2 * 5
    valid = split.valid
    short = Part(panel=valid.panel, start=valid.start, stop=valid.start + 3, name="valid")
    assert setup.calibration_windows(short, batch_size=100) is None


@pytest.mark.parametrize(("options", "part"), [({"valid": 5}, "valid"), ({"test": 5}, "test")])
def test_parts_that_no_window_fits_into_are_told_at_once(
    table: pl.DataFrame, options: dict[str, float], part: str
) -> None:
    with pytest.raises(DataError, match=rf"^no window fits into the part '{part}': it needs 24 to read and 6 to tell"):
        fitted(table, partition=Partition(**options))
    setup, split = fitted(table, partition=Partition(valid=0, test=0))
    assert len(split.valid) == len(split.test) == 0
    assert setup.calibration_windows(split.valid, batch_size=8) is None
