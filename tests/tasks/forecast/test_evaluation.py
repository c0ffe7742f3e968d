"""Forecasts judged from rolling origins: against a loop that does it one window after the other, and in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from recur import models, score
from recur.data.series import Part, Split, panel_of_array, read_series
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError, RunError, TrainingError
from recur.models.baselines import Drift, Mean, Naive, SeasonalNaive
from recur.report.contents import read_contents
from recur.run import RunFolder
from recur.tasks.forecast import backtest, evaluation
from recur.tasks.forecast.backtest import Backtest, BacktestOptions
from recur.tasks.forecast.evaluation import evaluate_forecaster, finish_forecaster, judge_forecasts
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.forecast.yardstick import Yardstick
from recur.tasks.noise import mean_test
from recur.tasks.series_reading import SeriesReading

Made = tuple[TrainedForecaster, Split]


@pytest.fixture
def holed(seasonal_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    """Two series of unlike size, with missing targets in the test part."""
    table = seasonal_table(300, series=2)
    missing = np.random.default_rng(1).random(600) < np.where(np.tile(np.arange(300), 2) >= 250, 0.3, 0)
    return table.with_columns(pl.Series("load", np.where(missing, np.nan, table["load"]), nan_to_null=True))


@pytest.fixture
def made(holed: pl.DataFrame, linear_forecaster: Callable[..., Made]) -> Made:
    return linear_forecaster(read_series(holed), history=24, horizon=4)


@pytest.fixture
def whole(seasonal_table: Callable[..., pl.DataFrame], linear_forecaster: Callable[..., Made]) -> Made:
    """A forecaster of two series without gaps, long enough to tell."""
    return linear_forecaster(read_series(seasonal_table(1200, series=2)), history=24, horizon=4)


def judged(made: Made, **options: Any) -> dict[str, Any]:
    trained, split = made
    return judge_forecasts(
        trained, split.test, train=split.train, valid=split.valid, options=BacktestOptions(**options)
    )


def by_hand(made: Made, stride: int = 1) -> dict[str, dict[str, Any]]:
    """Every figure from one window after the other."""
    trained, split = made
    panel, setup, part = split.test.panel, trained.setup, split.test
    targets, said, means, scales, crps = [], {}, [], [], []  # type: ignore[var-annotated]
    rules = {"naive": Naive(), "seasonal naive": SeasonalNaive(setup.season.steps), "drift": Drift(), "mean": Mean()}
    for batch in setup.windows(part, batch_size=1, stride=stride):
        row, number = int(batch.row), int(batch.index)
        came = torch.from_numpy(panel.values[row : row + setup.horizon, 0].astype(np.float64))
        history = torch.from_numpy(panel.values[panel.offsets[number] : row, 0].astype(np.float64))
        forecast = trained.scaled(batch).rescaled(batch.centre.double(), batch.scale.double())  # type: ignore[union-attr]
        targets.append(came)
        means.append(forecast.mean[0, :, 0])
        crps.append(forecast.crps(came[None, :, None])[0, :, 0])
        said.setdefault("model", []).append(forecast.quantile(0.5)[0, :, 0])
        for name, rule in rules.items():
            said.setdefault(name, []).append(rule.fit(history).forecast(setup.horizon))
        own = panel.values[split.train.start[number] : split.train.stop[number], 0].astype(np.float64)
        scales.append(score.seasonal_scale(torch.from_numpy(own), season=setup.season.steps))
    target, scale = torch.stack(targets), torch.stack(scales)[:, None]
    found = {}
    for name, points in said.items():
        point = torch.stack(points)
        found[name] = {
            "mae": score.mae(target, point),
            "rmse": score.rmse(target, torch.stack(means) if name == "model" else point),
            "smape": score.smape(target, point),
            "mase": score.mase(target, point, scale),
            "steps": score.mae(target, point, keep=-1),
        }
    found["model"]["crps"] = score.mae(torch.where(target.isnan(), torch.nan, 0.0), torch.stack(crps))
    return found


@pytest.mark.parametrize("stride", [1, 3])
def test_figures_are_those_of_a_loop(made: Made, stride: int) -> None:
    found = judged(made, stride=stride, batch_size=37)
    expected = by_hand(made, stride)
    assert set(found["figures"]) == {"model", "naive", "seasonal naive", "drift", "mean"}
    for name, figures in expected.items():
        for loss in ("mae", "rmse", "smape", "mase", "crps"):
            if loss in figures:
                # Forecasts are in float32, and figures are told to nine digits.
                assert found["figures"][name][loss] == pytest.approx(float(figures[loss]), rel=2e-6), (name, loss)
        assert found["by_step"][name]["mae"] == pytest.approx(figures["steps"].tolist(), rel=2e-6)
    assert found["stride"] == stride
    assert found["season"]["steps"] == 24
    assert found["series"] == 2


def test_all_are_judged_on_the_same_targets(made: Made) -> None:
    figures = judged(made)["figures"]
    _, split = made
    rows = split.test.has_row
    assert np.isnan(split.test.panel.values[rows]).any()
    assert len({own["targets"] for own in figures.values()}) == 1


def test_rows_count_as_much_as_they_weigh(
    seasonal_table: Callable[..., pl.DataFrame], linear_forecaster: Callable[..., Made]
) -> None:
    table = seasonal_table(300).with_columns(pl.Series("weight", np.arange(300) % 3 * 1.0))
    trained, split = linear_forecaster(read_series(table), history=24, horizon=4)
    found = judge_forecasts(trained, split.test)["figures"]["model"]
    weight, error = [], []
    for batch in trained.setup.windows(split.test, batch_size=1):
        rows = np.arange(int(batch.row), int(batch.row) + 4)
        said = trained.scaled(batch).rescaled(batch.centre, batch.scale).quantile(0.5)  # type: ignore[arg-type]
        weight += (rows % 3).tolist()
        error += np.abs(split.test.panel.values[rows, 0] - said[0, :, 0].numpy()).tolist()
    assert found["targets"] == sum(weight)
    assert found["mae"] == pytest.approx(np.average(error, weights=weight), rel=1e-5)


def test_batches_change_nothing(made: Made) -> None:
    whole, parts = (judged(made, batch_size=size) for size in (1000, 7))
    assert json.dumps(whole["verdict"]["text"]) == json.dumps(parts["verdict"]["text"])
    for key in ("mae", "crps", "rmse"):
        assert whole["figures"]["model"][key] == pytest.approx(parts["figures"]["model"][key], rel=1e-6)
    assert whole["residuals"]["counts"] == parts["residuals"]["counts"]


def test_groups_add_up(made: Made) -> None:
    found = judged(made)
    weight = np.array([one["weight"] for one in found["by_series"]])
    error = np.array([one["mae"] for one in found["by_series"]])
    assert (weight * error).sum() / weight.sum() == pytest.approx(found["figures"]["model"]["mae"], rel=1e-6)
    assert sum(weight) == found["figures"]["model"]["targets"]
    assert found["by_target"]["load"]["model"]["mae"] == found["figures"]["model"]["mae"]
    over = found["over_time"]
    assert len(over["times"]) == len(over["mae"]["model"])
    known = [value for value in over["mae"]["model"] if value is not None]
    assert min(known) < found["figures"]["model"]["mae"] < max(known)


def test_intervals_before_and_after(whole: Made) -> None:
    trained, split = whole
    with torch.no_grad():
        trained.network.log_scale -= 1.5  # type: ignore[operator]
    plain = judge_forecasts(trained, split.test, train=split.train, valid=split.valid)
    trained = trained.calibrated(split.valid)
    found = judge_forecasts(trained, split.test, train=split.train, valid=split.valid)
    before, after = plain["intervals"], found["intervals"]
    assert before["is_calibrated"] is False
    assert before["coverage_raw"] == before["coverage_calibrated"] == after["coverage_raw"]
    place = after["shares"].index(0.8)
    assert after["coverage_raw"][place] < 0.4
    # Three deviations of what such data come to with other seeds.
    assert after["coverage_calibrated"][place] == pytest.approx(0.8, abs=0.11)
    assert after["width_calibrated"][place] > 2 * after["width_raw"][place]
    assert found["figures"]["model"]["coverage"]["0.8"] == after["coverage_calibrated"][place]
    # Point forecasts stay, and to say how unsure one is makes the whole distribution better.
    assert found["figures"]["model"]["mae"] == plain["figures"]["model"]["mae"]
    assert found["figures"]["model"]["crps"] < 0.95 * plain["figures"]["model"]["crps"]
    assert any("the run has no calibration" in note for note in plain["notes"])


def test_rules_have_intervals_from_their_own_errors(made: Made) -> None:
    trained, split = made
    found = judged(made)["figures"]["seasonal naive"]
    assert found["coverage"]["0.8"] == pytest.approx(0.8, abs=0.12)
    assert found["crps"] < found["mae"]
    # Where nothing is known of their errors they are no points, whose CRPS would be worse than it is.
    unsure = judge_forecasts(trained, split.test, train=split.train)
    assert unsure["figures"]["seasonal naive"]["crps"] is None
    assert unsure["figures"]["seasonal naive"]["coverage"]["0.8"] is None
    assert unsure["figures"]["seasonal naive"]["mae"] == found["mae"]
    assert unsure["figures"]["model"]["crps"] is not None
    assert any(note.startswith("the rules have neither intervals nor CRPS") for note in unsure["notes"])


def test_targets_that_a_rule_cannot_tell_count_for_no_one(made: Made) -> None:
    trained, split = made
    panel = split.test.panel
    # Nothing of the second series is there before its test part.
    panel.values[300 : 300 + 240] = np.nan
    least = made[0].setup.least_history
    assert least == 24
    backtest = Backtest(trained, split.test)
    backtest.run()
    assert backtest.left_out == 0
    # With windows that may begin without a target, the first ones of that series have nothing before them.
    from dataclasses import replace

    blind = TrainedForecaster(trained.network, replace(trained.setup, least_history=0))
    backtest = Backtest(blind, split.test)
    backtest.run()
    assert backtest.left_out > 0
    weights = {name: float(own.weight("mae")) for name, own in backtest.scores.items()}
    assert len(set(weights.values())) == 1


def test_a_good_model_is_said_to_beat_the_rules(whole: Made) -> None:
    verdict = judged(whole)["verdict"]
    assert verdict["is_better"] is True
    # Several series have several sizes.
    assert verdict["text"].startswith("MASE 0.")
    assert verdict["comparisons"][0]["p"] < 0.05
    assert [one["measure"] for one in verdict["comparisons"]] == ["MASE", "RMSE"]


def test_origins_of_one_time_are_one_observation(
    seasonal_table: Callable[..., pl.DataFrame], linear_forecaster: Callable[..., Made]
) -> None:
    trained, split = linear_forecaster(read_series(seasonal_table(300, series=2)), history=24, horizon=12)
    found = judge_forecasts(trained, split.test, train=split.train)
    backtest = Backtest(trained, split.test, yardstick=Yardstick.of(trained.setup, train=split.train, valid=None))
    backtest.run()
    model, rule = (backtest.sums[name]["mase"] for name in ("model", found["best_rule"]))
    by_time: dict[Any, float] = {}
    for row, difference in zip(backtest.row.tolist(), (model - rule).tolist(), strict=True):
        time = split.test.panel.times[row]
        by_time[time] = by_time.get(time, 0.0) + difference
    # 49 origins are too few for more than four cosines, where twelve steps overlap.
    expected = mean_test(np.array([by_time[time] for time in sorted(by_time)]), 12)
    assert expected is not None
    assert (len(by_time), expected.degrees) == (49, 4)
    assert found["verdict"]["comparisons"][0]["p"] == pytest.approx(expected.p, rel=1e-9)


def test_a_bad_model_is_told_so_first(made: Made) -> None:
    trained, _ = made
    with torch.no_grad():
        trained.network.map.bias += 3.0  # type: ignore[operator, union-attr]
    found = judged(made)
    assert found["verdict"]["is_better"] is False
    assert found["verdict"]["text"].startswith("The model does NOT beat the best naive rule: MASE ")
    best = found["best_rule"]
    rules = ("naive", "seasonal naive", "drift", "mean")
    assert found["figures"][best]["mase"] == min(found["figures"][name]["mase"] for name in rules)


def test_one_series_is_measured_in_its_own_unit(
    seasonal_table: Callable[..., pl.DataFrame], linear_forecaster: Callable[..., Made]
) -> None:
    found = judged(linear_forecaster(read_series(seasonal_table()), history=24, horizon=4))
    assert found["verdict"]["text"].startswith("MAE 0.")
    assert found["step"] == "1h"
    assert found["first"] == "2024-01-14T08:00:00"


def test_a_model_that_says_no_numbers_is_refused(made: Made) -> None:
    trained, _ = made
    with torch.no_grad():
        trained.network.map.bias.fill_(torch.nan)  # type: ignore[operator, union-attr]
    with pytest.raises(TrainingError, match=r"^the model's forecast is not a number, for its weights are too large"):
        judged(made)


class Peeking(nn.Module):
    """Says what it was not to see."""

    def forward(self, batch: Any, state: None = None) -> tuple[models.Distribution, None]:
        return models.Point(value=batch.target), state


def test_a_network_that_looks_at_what_it_is_to_tell_is_found_out(made: Made) -> None:
    trained, split = made
    with pytest.raises(TrainingError, match=r"^the model's forecast is not a number"):
        judge_forecasts(TrainedForecaster(Peeking(), trained.setup), split.test)


def test_many_origins_are_thinned_and_it_is_said(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MOST_WINDOWS", 50)
    found = judged(made)
    # Of the strides from 3 on the first that does not see some hours of the day alone.
    assert found["stride"] == 5
    assert 0 < found["windows"] <= 50
    assert found["notes"][0].startswith("one origin in 5 is judged, ")
    every = judged(made, stride=1)["windows"]
    assert every > 100
    assert f" of {every:,} windows." in found["notes"][0]
    assert f" of {every:,} windows." in judged(made, stride=2)["notes"][0]


def test_examples_are_what_they_are_called(made: Made) -> None:
    trained, split = made
    found = judged(made)
    panel = split.test.panel
    assert [one["kind"] for one in found["examples"]] == ["worst", "worst", "median", "median", "best"]
    for example in found["examples"]:
        number = panel.number_of(example["series"])
        times = np.array([*example["before"]["times"], *example["times"]], "datetime64[us]")
        own = slice(panel.offsets[number], panel.offsets[number + 1])
        rows = np.searchsorted(panel.times[own], times) + panel.offsets[number]
        came = [*example["before"]["values"], *example["actual"]]
        np.testing.assert_allclose([np.nan if c is None else c for c in came], panel.values[rows, 0], rtol=1e-6)
        gap = np.array([np.nan if c is None else c for c in example["actual"]]) - example["median"]
        scale = trained.setup.scaler.scale[number, 0]
        assert example["error"] == pytest.approx(np.nanmean(np.abs(gap)) / scale, rel=1e-4)
        low, high = example["intervals"]["0.95"]
        assert all(a < b < c for a, b, c in zip(low, example["median"], high, strict=True))
    errors = [one["error"] for one in found["examples"]]
    assert errors[0] == max(errors)
    assert errors[-1] == min(errors)


def test_it_is_plain_json(made: Made) -> None:
    found = judged(made)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride": 0}, r"^stride: expected a number from 1 on, got 0\.$"),
        ({"batch_size": None}, r"^batch_size: expected a number from 1 on, got None\.$"),
        ({"coverages": (0.5, 0.7)}, r"^coverages: expected some of 0\.2, .*, got 0\.7\.$"),
        ({"coverages": ()}, r"got none\.$"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        BacktestOptions(**options)


# --- runs ---


@pytest.fixture
def run(
    holed: pl.DataFrame, linear_forecaster: Callable[..., Made], tmp_path: Path
) -> tuple[RunFolder, TrainedForecaster, Split]:
    path = tmp_path / "meters.csv"
    holed.write_csv(path)
    reading = SeriesReading()
    trained, split = linear_forecaster(
        reading.first(path), history=24, horizon=4, reading=reading, path=str(path), partition=Partition(test=0.15)
    )
    return trained.save(tmp_path / "run"), trained, split


def test_what_the_end_of_a_training_says_is_said_again(run: Any, build_linear: Any) -> None:
    folder, trained, split = run
    found = finish_forecaster(folder, trained, split)
    assert folder.read_json("forecast_evaluation.json") == found
    assert evaluate_forecaster(folder.path, build=build_linear) == found
    assert TrainedForecaster.load(folder, build=build_linear).calibration is not None
    valid = evaluate_forecaster(folder.path, part="valid", build=build_linear, options=BacktestOptions(stride=2))
    assert valid["part"] == "valid"
    assert valid["figures"]["model"]["mae"] != found["figures"]["model"]["mae"]


def test_other_data_are_judged_from_every_origin(run: Any, build_linear: Any, holed: pl.DataFrame) -> None:
    folder, *_ = run
    found = evaluate_forecaster(folder.path, holed.head(100), build=build_linear)
    assert found["part"] == "given"
    assert found["windows"] == 100 - 24 - 4 + 1
    assert found["figures"]["model"]["mase"] is None
    assert found["verdict"]["comparisons"][0]["measure"] == "MAE"


def test_other_data_are_measured_as_the_test_part_was(run: Any, build_linear: Any, holed: pl.DataFrame) -> None:
    folder, trained, split = run
    finish_forecaster(folder, trained, split)
    own = holed.filter(pl.col("meter") == "m1")
    found = evaluate_forecaster(folder.path, own, build=build_linear)
    rows = slice(int(split.train.start[1]), int(split.train.stop[1]))
    values = split.train.panel.values[rows, 0].astype(np.float64)
    scale = np.abs(values[24:] - values[:-24]).mean()
    for name in ("model", "naive"):
        assert found["figures"][name]["mase"] == pytest.approx(found["figures"][name]["mae"] / scale, rel=1e-6)
    kept = Yardstick.load(folder)
    fresh = Yardstick.of(trained.setup, train=split.train, valid=split.valid)
    assert list(kept.calibrations) == list(fresh.calibrations) == ["naive", "seasonal naive", "drift", "mean"]
    for name, calibration in fresh.calibrations.items():
        assert torch.equal(kept.calibrations[name].margin, calibration.margin)
    # Sure of themselves as they were found to be, the rules have a CRPS that can be compared.
    assert found["figures"]["naive"]["crps"] < 0.9 * found["figures"]["naive"]["mae"]
    other = evaluate_forecaster(folder.path, own.with_columns(meter=pl.lit("new")), build=build_linear)
    assert other["figures"]["model"]["mase"] is None
    folder.write_json("yardstick.json", {"scales": {}})
    with pytest.raises(RunError, match=r"yardstick\.json: damaged: it lacks 'rules'\.$"):
        evaluate_forecaster(folder.path, own, build=build_linear)


def test_what_is_of_older_weights_is_left_out(run: Any, build_linear: Any, holed: pl.DataFrame) -> None:
    folder, trained, split = run
    finish_forecaster(folder, trained, split)
    assert read_contents(folder).forecast is not None
    weights = {name: value + 0.1 for name, value in trained.network.state_dict().items()}
    folder.save_weights(weights)
    again = TrainedForecaster.load(folder, build=build_linear)
    assert again.calibration is None
    assert again.predict(holed).equals(again.predict(holed, use_calibration=False))
    assert read_contents(folder).forecast is None
    notes = evaluate_forecaster(folder, build=build_linear)["notes"]
    (told,) = [note for note in notes if "calibration" in note]
    assert told.startswith("the intervals are the network's own: the run's calibration is of weights before the train")
    assert finish_forecaster(folder, again, split)["intervals"]["is_calibrated"]
    assert TrainedForecaster.load(folder, build=build_linear).calibration is not None
    again.save_calibration(folder)
    assert not folder.has("calibration.safetensors")


@pytest.mark.parametrize(("late", "stride", "overlap"), [(0, 5, 3), (3, 5, 5), (0, 1, 12)])
def test_origins_of_series_that_begin_apart_overlap_more(
    late: int,
    stride: int,
    overlap: int,
    seasonal_table: Callable[..., pl.DataFrame],
    linear_forecaster: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = seasonal_table(300, series=2)
    table = table.filter((pl.col("meter") == "m0") | (pl.col("hour").rank("dense").over("meter") > late))
    made = linear_forecaster(read_series(table), history=24, horizon=12, partition=Partition(test=60))
    asked = []
    monkeypatch.setattr(evaluation, "compare", lambda *arguments: asked.append(arguments[3]))
    if late:
        # Each series ends with the other, but the first origin of the test part is counted from its own end.
        made[1].test.start[1] += late
    judged(made, stride=stride)
    assert asked == [overlap, overlap]


def test_without_a_test_part_the_validation_part_is_judged(
    holed: pl.DataFrame, linear_forecaster: Callable[..., Made], tmp_path: Path
) -> None:
    trained, split = linear_forecaster(
        read_series(holed), history=24, horizon=4, partition=Partition(valid=0.2, test=0)
    )
    found = finish_forecaster(trained.save(tmp_path / "run"), trained, split)
    assert found["part"] == "valid"
    assert found["notes"][0].startswith("the figures flatter the model: its weights were chosen and its intervals")
    train = judge_forecasts(trained, split.train, train=split.train, valid=split.valid)
    assert "the figures flatter the model: it was trained on this part." in train["notes"]


def test_what_cannot_be_judged(run: Any, build_linear: Any, tmp_path: Path) -> None:
    folder, *_ = run
    with pytest.raises(OptionError, match=r"^part: expected 'train', 'valid' or 'test', got 'all'\.$"):
        evaluate_forecaster(folder.path, part="all", build=build_linear)
    with pytest.raises(DataError, match=r"^no window fits into the part 'given': it needs 24 to read and 4 to tell"):
        evaluate_forecaster(folder.path, pl.read_csv(tmp_path / "meters.csv").head(20), build=build_linear)
    (tmp_path / "meters.csv").unlink()
    with pytest.raises(DataError, match=r"meters\.csv: no such file or folder"):
        evaluate_forecaster(folder.path, build=build_linear)
    folder.write_json("config.json", {"format": 1, "task": "language"})
    with pytest.raises(RunError, match=r"is a run of task 'language', expected 'forecast'\.$"):
        evaluate_forecaster(folder.path, build=build_linear)


def test_a_part_of_a_whole_panel_can_be_judged(made: Made) -> None:
    trained, split = made
    assert judge_forecasts(trained, Part.whole(split.test.panel))["windows"] > 400


HEADS = ("PointHead", "GaussianHead", "StudentTHead", "NegativeBinomialHead", "MixtureHead", "QuantileHead")


class Headed(nn.Module):
    """One of the heads over the last targets."""

    def __init__(self, head: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = getattr(models, head)(24, (4, 2))

    def forward(self, batch: Any, state: None = None) -> tuple[models.Distribution, None]:
        return self.head(batch.x[..., 0]), state


@pytest.mark.parametrize("head", HEADS)
def test_every_head_can_be_judged_and_used(head: str) -> None:
    counts = np.random.default_rng(0).poisson(20 + 10 * np.sin(np.arange(200) / 4), (2, 200)).T
    setup, split = ForecastSetup.fit(
        panel_of_array(counts),
        history=24,
        horizon=4,
        scaling="mean_abs",
        # What the heads themselves say, of which all but one may be below 0.
        non_negative=head == "NegativeBinomialHead",
    )
    trained = TrainedForecaster(Headed(head), setup).calibrated(split.valid)
    found = judge_forecasts(trained, split.test, train=split.train, valid=split.valid)
    for share, held in found["figures"]["model"]["coverage"].items():
        # However little such a network knows, its calibration does.
        assert held > float(share) - 0.25
    plain = judge_forecasts(TrainedForecaster(trained.network, setup), split.test)
    batch = next(iter(setup.windows(split.test, batch_size=500)))
    original = trained.scaled(batch).rescaled(batch.centre[:, None], batch.scale[:, None])  # type: ignore[index]
    target = batch.target * batch.scale[:, None]  # type: ignore[index]
    assert plain["figures"]["model"]["crps"] == pytest.approx(float(original.crps(target.round()).mean()), rel=1e-4)
    assert found["figures"]["model"]["crps"] < plain["figures"]["model"]["crps"] * 1.02
    # Which of skewed distributions are not the same.
    figures = plain["figures"]["model"]
    assert figures["mae"] == pytest.approx(float((target - original.quantile(0.5)).abs().mean()), rel=1e-4)
    assert figures["rmse"] == pytest.approx(float((target - original.mean).square().mean().sqrt()), rel=1e-4)
    said = trained.predict(counts, levels=(0.05, 0.5, 0.95))
    assert (said["q0.05"] <= said["q0.5"]).all()
    assert (said["q0.5"] <= said["q0.95"]).all()
    if head == "NegativeBinomialHead":
        assert said["q0.05"].min() >= 0
