"""A trained forecaster in use: what it says of new data, in which form, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch import nn

from recur.data.series import Columns, Split, panel_of_array, read_series
from recur.errors import DataError, OptionError, RunError
from recur.models.distributions import Point
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.tasks.forecast.evaluation import judge_forecasts
from recur.tasks.forecast.trained import TrainedForecaster

Made = tuple[TrainedForecaster, Split]


@pytest.fixture
def table(seasonal_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return seasonal_table(300, series=2)


@pytest.fixture
def made(table: pl.DataFrame, linear_forecaster: Callable[..., Made]) -> Made:
    trained, split = linear_forecaster(read_series(table), history=24, horizon=4)
    return trained.calibrated(split.valid), split


def by_hand(trained: TrainedForecaster, values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the next steps, from the network's weights and the last day."""
    network: Any = trained.network
    centre, scale = trained.setup.scaler.centre[number, 0], trained.setup.scaler.scale[number, 0]
    weight, bias = (one.detach().double().numpy() for one in (network.map.weight, network.map.bias))
    said = weight @ ((values[-24:] - centre) / scale) + bias
    return said * scale + centre, network.log_scale.detach().double().exp().numpy()[:, 0] * scale


def test_forecasts_by_hand(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    found = trained.predict(table, levels=(0.1, 0.5, 0.9), use_calibration=False)
    assert found.columns == ["series_id", "time", "target", "mean", "q0.1", "q0.5", "q0.9"]
    assert found["series_id"].to_list() == ["m0"] * 4 + ["m1"] * 4
    assert found["target"].unique().to_list() == ["load"]
    assert found["time"].to_list()[:4] == [table["hour"].max() + timedelta(hours=step) for step in range(1, 5)]
    for number in range(2):
        mean, deviation = by_hand(trained, table["load"].to_numpy()[number * 300 : (number + 1) * 300], number)
        own = found[4 * number : 4 * number + 4]
        np.testing.assert_allclose(own["mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(own["q0.5"], mean, rtol=1e-5)
        np.testing.assert_allclose(own["q0.9"], mean + 1.2815516 * deviation, rtol=1e-5)
        np.testing.assert_allclose(own["q0.1"], mean - 1.2815516 * deviation, rtol=1e-5)


def test_calibration_moves_quantiles_by_its_margins(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    assert trained.calibration is not None
    plain, moved = (trained.predict(table, use_calibration=use) for use in (False, True))
    margin = trained.calibration.margin[trained.calibration.coverages.index(0.8), :, 0].numpy()
    for number in range(2):
        own = slice(4 * number, 4 * number + 4)
        by = margin * trained.setup.scaler.scale[number, 0]
        np.testing.assert_allclose(moved["q0.9"][own] - plain["q0.9"][own], by, atol=1e-4)
        np.testing.assert_allclose(moved["q0.1"][own] - plain["q0.1"][own], -by, atol=1e-4)
    for name in ("mean", "q0.5"):
        np.testing.assert_allclose(moved[name], plain[name], rtol=1e-6)


def test_fewer_steps_and_other_levels(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    whole = trained.predict(table)
    found = trained.predict(table, horizon=2, levels=[0.025])
    assert found.columns[3:] == ["mean", "q0.025"]
    assert found["mean"].to_list() == whole["mean"].to_list()[:2] + whole["mean"].to_list()[4:6]


def test_batches_change_nothing(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    for one, other in zip(trained.predict(table), trained.predict(table, batch_size=1), strict=True):
        assert one.to_list() == other.to_list() or np.allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (lambda table: table, pl.DataFrame),
        (lambda table: table.lazy(), pl.DataFrame),
        (lambda table: pd.DataFrame(table.to_dict(as_series=False)), pd.DataFrame),
        (lambda table: table.to_arrow(), pa.Table),
        (lambda table: table.to_dict(as_series=False), pl.DataFrame),
        (read_series, pl.DataFrame),
    ],
    ids=["polars", "lazy", "pandas", "pyarrow", "mapping", "panel"],
)
def test_what_comes_in_goes_out(made: Made, table: pl.DataFrame, convert: Any, kind: type) -> None:
    trained, _ = made
    found = trained.predict(convert(table))
    assert isinstance(found, kind)
    expected = trained.predict(table)
    plain = {name: found[name].to_pylist() if kind is pa.Table else list(found[name]) for name in expected.columns}
    np.testing.assert_allclose(plain["mean"], expected["mean"], rtol=1e-6)
    assert [str(time)[:16] for time in plain["time"]] == [str(time)[:16] for time in expected["time"]]


@pytest.mark.parametrize("to_pandas", [False, True])
def test_times_are_by_the_clock_of_the_zone(
    seasonal_table: Callable[..., pl.DataFrame], linear_forecaster: Callable[..., Made], to_pandas: bool
) -> None:
    # The clock goes forward at one in the morning of the 31st, by UTC.
    table = seasonal_table(23 + 24 * 9, first="2024-03-21T01:00").with_columns(
        pl.col("hour").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Paris")
    )
    trained, _ = linear_forecaster(read_series(table), history=24, horizon=4)
    assert trained.setup.schema.zone == "Europe/Paris"
    found = trained.predict(pd.DataFrame(table.to_dict(as_series=False)) if to_pandas else table)
    times = [str(time)[:19] for time in found["time"]]
    assert times == ["2024-03-31 01:00:00", "2024-03-31 03:00:00", "2024-03-31 04:00:00", "2024-03-31 05:00:00"]


def test_a_file(made: Made, table: pl.DataFrame, tmp_path: Path) -> None:
    trained, _ = made
    table.write_csv(tmp_path / "new.csv")
    np.testing.assert_allclose(trained.predict(tmp_path / "new.csv")["mean"], trained.predict(table)["mean"], rtol=1e-5)


def test_an_unseen_series_is_scaled_by_its_own_history(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    other = table.filter(pl.col("meter") == "m0").with_columns(
        pl.lit("new").alias("meter"), (pl.col("load") * 1000 + 5).alias("load")
    )
    found = trained.predict(other.tail(24), use_calibration=False)
    values = other["load"].to_numpy()[-24:].astype(np.float32).astype(np.float64)
    network: Any = trained.network
    centre, scale = values.mean(), values.std()
    # What is usual counts as one row of 24.
    seen = trained.setup.scaler
    scale = np.sqrt(scale**2 + (centre * np.median(seen.scale[:, 0] / seen.centre[:, 0])) ** 2 / 24)
    said = network.map(torch.from_numpy((values - centre) / scale).float()).detach().double().numpy()
    np.testing.assert_allclose(found["mean"], said * scale + centre, rtol=1e-4)


def test_a_short_history_is_read_as_far_as_it_goes(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    found = trained.predict(table.filter(pl.col("meter") == "m0").tail(3))
    assert len(found) == 4
    assert found["mean"].is_finite().all()
    assert not np.allclose(found["mean"], trained.predict(table)["mean"][:4], rtol=1e-4)


def test_a_forecast_begins_after_the_last_target(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    one = table.filter(pl.col("meter") == "m0")
    gone = one.with_columns(pl.when(pl.int_range(pl.len()) < 290).then("load").alias("load"))
    found = trained.predict(gone)
    assert found["time"][0] == one["hour"][290]
    np.testing.assert_allclose(found["mean"], trained.predict(one.head(290))["mean"], rtol=1e-6)
    with pytest.raises(DataError, match=r"series 'm0' has no target to go on from; leave it out\.$"):
        trained.predict(one.with_columns(pl.lit(None).alias("load")))


def test_what_is_known_of_the_future_is_needed(table: pl.DataFrame, linear_forecaster: Callable[..., Made]) -> None:
    table = table.with_columns(pl.Series("price", np.arange(600.0) % 7), pl.Series("kind", ["a", "b"] * 300))
    columns = Columns(targets="load", known_future=("price", "kind"), categorical="kind")
    trained, _ = linear_forecaster(read_series(table, columns), history=24, horizon=4)
    with pytest.raises(DataError, match=r"has 0 rows after its last target, but the horizon is 4; give rows for the "):
        trained.predict(table)
    place = pl.int_range(pl.len()).over("meter")
    ahead = table.with_columns(pl.when(place < 296).then("load").alias("load"))
    assert trained.predict(ahead)["time"][0] == table["hour"][296]
    holed = ahead.with_columns(pl.when(place != 298).then("price").alias("price"))
    with pytest.raises(DataError, match=r"series 'm0': 'price' is missing at 2024-01-13T10:00:00\S*, but is known of "):
        trained.predict(holed)
    # Of fewer steps no more must be known than of these, and they are told as they would be among all.
    shape = trained.setup.shape
    options = ForecasterOptions(
        kind="encoder-decoder", history=24, hidden_size=4, head="gaussian", normalize="last", level=False
    )
    network = TrainedForecaster(ForecastNetwork(options, shape), trained.setup)
    whole = network.predict(ahead).filter(pl.int_range(pl.len()).over("series_id") < 2)
    assert network.predict(ahead.filter(place < 298), horizon=2).equals(whole)
    with pytest.raises(DataError, match=r"has 1 row after its last target, but the horizon is 2; give rows for the f"):
        network.predict(ahead.filter(place < 297), horizon=2)
    # A category that the training part did not have is none of them.
    assert len(trained.predict(ahead.with_columns(pl.lit("new").alias("kind")))) == 8


@pytest.mark.parametrize("dtype", ["object", "str", "category", "string"])
def test_text_that_is_missing_ahead_is_so_in_pandas_too(
    table: pl.DataFrame, linear_forecaster: Callable[..., Made], dtype: str
) -> None:
    table = table.with_columns(pl.Series("price", np.arange(600.0) % 7), pl.Series("sky", ["wet", "dry"] * 300))
    columns = Columns(targets="load", known_future="price", past_only="sky", categorical="sky")
    trained, _ = linear_forecaster(read_series(table, columns), history=24, horizon=4)
    is_past = pl.int_range(pl.len()).over("meter") < 296
    ahead = table.with_columns(pl.when(is_past).then(name).alias(name) for name in ("load", "sky"))
    frame = ahead.to_pandas()
    assert frame["sky"].isna().sum() == 8
    found = trained.predict(frame.astype({"sky": dtype}))
    np.testing.assert_allclose(found["mean"], trained.predict(ahead)["mean"], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 5}, r"^horizon: the model was trained to tell 4 steps, not 5; train one with horizon 5\.$"),
        ({"horizon": 0}, r"^horizon: expected a number of steps from 1 on, got 0\.$"),
        ({"levels": (0.9, 0.1)}, r"^levels: levels must be at least one number between 0 and 1, growing, but are "),
        ({"levels": ("a",)}, r"^levels: each level must be a number, but one is 'a'\.$"),
        ({"batch_size": 0}, r"^batch_size: expected a number from 1 on, got 0\.$"),
    ],
)
def test_options_that_make_no_sense(made: Made, table: pl.DataFrame, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        made[0].predict(table, **options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop("hour"), r"has no column 'hour', in time when the model was trained"),
        (lambda table: table.rename({"meter": "Meter"}), r"has no column 'meter', .*; is it 'Meter'\?"),
        (lambda table: table.with_columns(pl.lit("x").alias("load")), r"column 'load', row 1"),
        (lambda table: table.head(0), r"has no rows; give a table with some\.$"),
        (lambda table: np.zeros((30, 1)), r"trained on a table, so an array cannot be read"),
        (lambda table: table.vstack(table.head(1)), r"has the time 2024-01-01T00:00:00\S* already at"),
    ],
)
def test_data_that_cannot_be_read(made: Made, table: pl.DataFrame, change: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        made[0].predict(change(table))


def test_data_of_no_kind(made: Made) -> None:
    with pytest.raises(TypeError, match=r"must be a dataframe that narwhals knows"):
        made[0].predict(3)


def test_series_without_times_are_told_by_number(linear_forecaster: Callable[..., Made]) -> None:
    values = np.sin(np.arange(120.0) / 3)[:, None] * [1.0, 5.0]
    panel = panel_of_array(values)
    trained, _ = linear_forecaster(panel, history=6, horizon=2)
    found = trained.predict(panel)
    assert found["time"].to_list() == [120, 120, 121, 121]
    assert found["target"].to_list() == ["y_1", "y_2"] * 2
    np.testing.assert_allclose(found["mean"][2:], [np.sin(121 / 3), 5 * np.sin(121 / 3)], atol=1e-2)
    array = trained.predict(values)
    assert array["mean"].to_list() == found["mean"].to_list()


# --- paths ---


def test_paths_are_drawn_from_the_forecast(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    found = trained.sample_paths(table, num_paths=4000, seed=1)
    assert found.columns == ["series_id", "time", "target", "path", "value"]
    assert len(found) == 2 * 4 * 4000
    plain = trained.predict(table, use_calibration=False)
    drawn = found.group_by("series_id", "time", maintain_order=True).agg(
        pl.col("value").mean().alias("mean"), pl.col("value").quantile(0.9).alias("high"), pl.col("path").n_unique()
    )
    assert drawn["path"].to_list() == [4000] * 8
    spread = (plain["q0.9"] - plain["q0.1"]).to_numpy() / 2.563
    assert np.abs((drawn["mean"] - plain["mean"]).to_numpy() / spread).max() < 4 / np.sqrt(4000)
    assert np.abs((drawn["high"] - plain["q0.9"]).to_numpy() / spread).max() < 7 / np.sqrt(4000)


def test_the_same_seed_draws_the_same(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    one, same, other = (
        trained.sample_paths(table, num_paths=3, horizon=2, seed=s)["value"].to_list() for s in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert len(one) == 2 * 2 * 3


def test_networks_that_draw_no_paths(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    with pytest.raises(OptionError, match=r"^num_paths: expected a number from 1 on, got 0\.$"):
        trained.sample_paths(table, num_paths=0)
    silent = TrainedForecaster(Steady(), trained.setup)
    with pytest.raises(OptionError, match=r"^num_paths: the network, Steady, cannot draw paths\.$"):
        silent.sample_paths(table)


# --- networks ---


class Steady(nn.Module):
    """Says the same number for everything."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, batch: Any, state: Any = None) -> Any:
        return Point(value=torch.zeros(len(batch.row), 4, 1)) if self.answer is None else self.answer, state


def test_points_have_intervals_by_calibration(made: Made, table: pl.DataFrame) -> None:
    trained, split = made
    steady = TrainedForecaster(Steady(), trained.setup)
    plain = steady.predict(table)
    assert plain["q0.1"].to_list() == plain["q0.9"].to_list() == plain["mean"].to_list()
    moved = steady.calibrated(split.valid).predict(table)
    assert (moved["q0.1"] < moved["q0.9"]).all()


def test_what_a_network_may_return(made: Made, table: pl.DataFrame) -> None:
    trained, _ = made
    with pytest.raises(TypeError, match=r"the network must return a Distribution and a state, but it returned int\.$"):
        TrainedForecaster(Steady(3), trained.setup).predict(table)
    with pytest.raises(ValueError, match=r"distributions have shape \(2, 1\), but must have \(2, 4, 1\): windows, "):
        TrainedForecaster(Steady(Point(value=torch.zeros(2, 1))), trained.setup).predict(table)


def test_it_is_put_in_evaluation_mode(made: Made) -> None:
    assert not TrainedForecaster(nn.Sequential(nn.Dropout(), Steady()), made[0].setup).network.training


def test_nothing_is_told_below_zero_where_nothing_is(
    table: pl.DataFrame, linear_forecaster: Callable[..., Made]
) -> None:
    low = table.with_columns(load=pl.col("load") - pl.col("load").min() + 0.01)
    found = {}
    for asked in (True, False):
        trained, split = linear_forecaster(read_series(low), history=24, horizon=4, non_negative=asked)
        trained = trained.calibrated(split.valid)
        judged = judge_forecasts(trained, split.test, train=split.train, valid=split.valid)
        # Shortly before the lowest hour of the day.
        now = low.filter(pl.int_range(pl.len()).over("meter") < 280)
        paths = trained.sample_paths(now, num_paths=500, seed=1)["value"].to_numpy()
        found[asked] = trained.predict(now, levels=(0.001, 0.5)), paths, judged
    (told, paths, judged), (free, free_paths, free_judged) = found[True], found[False]
    for name in ("mean", "q0.001", "q0.5"):
        assert (told[name].to_numpy() == np.maximum(free[name].to_numpy(), 0)).all()
    assert (paths == np.maximum(free_paths, 0)).all()
    assert free["q0.001"].min() < 0  # type: ignore[operator]
    # Nothing was below 0, so that nothing is lost, and the intervals are the narrower for it.
    assert judged["figures"]["model"]["coverage"] == free_judged["figures"]["model"]["coverage"]
    assert judged["figures"]["model"]["width"]["0.95"] < free_judged["figures"]["model"]["width"]["0.95"]
    assert judged["figures"]["model"]["crps"] < free_judged["figures"]["model"]["crps"]


# --- runs ---


def test_it_can_be_saved_and_loaded(made: Made, table: pl.DataFrame, tmp_path: Path, build_linear: Any) -> None:
    trained, _ = made
    folder = trained.save(tmp_path / "run")
    again = TrainedForecaster.load(folder.path, build=build_linear)
    assert again.options == {"history": 24}
    assert again.predict(table).equals(trained.predict(table))
    with pytest.raises(RunError, match=r"exists already; .* with path=\.$"):
        trained.save(tmp_path / "run")
    bare = TrainedForecaster(trained.network, trained.setup, options=trained.options)
    assert not bare.save(tmp_path / "run", overwrite=True).has("calibration.safetensors")
    assert TrainedForecaster.load(tmp_path / "run", build=build_linear).calibration is None


def config(path: Path, **changes: Any) -> None:
    content = json.loads((path / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps(content))


def test_damaged_runs(made: Made, tmp_path: Path, build_linear: Any) -> None:
    trained, _ = made
    path = trained.save(tmp_path / "run").path

    def load(said: str) -> None:
        with pytest.raises(RunError, match=said):
            TrainedForecaster.load(path, build=build_linear)

    config(path, task="language")
    load(r"run: is a run of task 'language', expected 'forecast'\.$")
    config(path, task="forecast", model=None)
    load(r"config\.json: damaged: model is no object\.$")
    config(path, model={"history": "x"})
    load(r"config\.json: damaged: model: ")
    config(path, model={"history": 23})
    load(r"model\.safetensors: does not fit config\.json: map\.weight is \(4, 24\), expected \(4, 23\)\.$")
    config(path, model={"history": 24})
    (path / "calibration.safetensors").write_bytes(b"")
    load(r"calibration\.safetensors: damaged: ")
    RunFolder(path).write_tensors("calibration.safetensors", {"margin": torch.zeros(1)})
    load(r"calibration\.safetensors: the saved calibration is damaged: ")
    state = trained.calibration.state_dict()  # type: ignore[union-attr]
    RunFolder(path).write_tensors("calibration.safetensors", state | {"margin": state["margin"][:, :3].contiguous()})
    load(r"calibration\.safetensors: damaged: its margins are of \(3, 1\) steps and targets, expected \(4, 1\)\.$")
    (path / "model.safetensors").unlink()
    load(r"model\.safetensors: missing; ")
