"""What is inside trained models of series, against the networks run by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from recur.data.series import Columns, Panel, Part, SeriesBatch, panel_of_array
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.models.series_timeline import Timeline
from recur.tasks.forecast.calibration import original_scale
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.inspection import trained_series
from recur.tasks.inspection.content import Inspection
from recur.tasks.inspection.trained_series import inspect_trained
from recur.tasks.labels.setup import LabelSetup, Life
from recur.tasks.labels.trained import TrainedClassifier, TrainedRegressor, build_network
from recur.tasks.series_reading import SeriesReading

HISTORY, HORIZON, FIRST = 24, 6, 149
"""Of the forecasters; and the row of the first step that is told in the tests."""

TIME = "2024-01-07 05:00"
FORECASTER = ForecasterOptions(
    kind="encoder-decoder",
    history=HISTORY,
    hidden_size=8,
    head="gaussian",
    normalize="last",
    level=True,
    num_layers=2,
)


def drawn_anew(network: nn.Module) -> None:
    """Draw weights that are large enough for all that is read to matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)


@pytest.fixture(scope="module")
def meters() -> pl.DataFrame:
    """Two hourly series with a day's season, and a heat that is known of the future."""
    draw, time = np.random.default_rng(0), np.arange(200)
    return pl.concat(
        pl.DataFrame(
            {
                "meter": [f"m{number}"] * len(time),
                "hour": np.datetime64("2024-01-01", "us") + time * np.timedelta64(1, "h"),
                "load": 10 + 3 * np.sin(2 * np.pi * time / 24) + 0.3 * draw.standard_normal(len(time)),
                "heat": np.cos(time / 7) + 0.1 * draw.standard_normal(len(time)),
            }
        )
        for number in range(2)
    )


def forecaster(meters: pl.DataFrame, **options: Any) -> TrainedForecaster:
    reading = SeriesReading(columns=Columns(targets=("load",), known_future=("heat",)))
    setup, _ = ForecastSetup.fit(reading.first(meters), history=HISTORY, horizon=HORIZON, reading=reading)
    torch.manual_seed(0)
    network = ForecastNetwork(replace(FORECASTER, **options), setup.shape)
    drawn_anew(network)
    return TrainedForecaster(network, setup)


@pytest.fixture(scope="module")
def forecast(meters: pl.DataFrame) -> tuple[TrainedForecaster, Inspection]:
    """A forecaster, and what is inside it before a time in the second series."""
    trained = forecaster(meters)
    return trained, inspect_trained(trained, meters, series="m1", at=TIME)


def window_of(trained: TrainedForecaster, meters: pl.DataFrame) -> SeriesBatch:
    """Return the window before `TIME` in the second series."""
    panel = trained.setup.read(meters)
    start = panel.offsets[:-1].copy()
    stop = start.copy()
    start[1] += FIRST
    stop[1] = start[1] + HORIZON
    return next(iter(trained.setup.windows(Part(panel=panel, start=start, stop=stop), batch_size=1)))


def check_states(found: Inspection, layer: nn.Module, run: Any) -> None:
    """Raise unless all states and gates that are shown are those of a layer of the network, run by hand."""
    given: list[Any] = []
    hook = layer.register_forward_pre_hook(lambda _, args, kwargs: given.append((args, kwargs)), with_kwargs=True)
    with torch.no_grad():
        run()
        hook.remove()
        (args, kwargs), *_ = given
        _, _, steps = layer.forward(*args, **(kwargs | {"return_all": True}))
    assert len(steps) == len(found.content["layers"])
    for number, step in enumerate(steps):
        scales = found.content["layers"][number]["scales"]
        assert set(scales) == set(step.values)
        for part, scale in scales.items():
            shown = found.tensors[f"layers.{number}.{part}"].double() * (scale / 127)
            expected = step.values[part][:, 0].double()
            assert shown.shape == expected.shape
            assert float((shown - expected).abs().max()) <= scale / 250


def check_sums(found: Inspection) -> None:
    """Raise unless the shares of each answer add up to the answer less that of the neutral input."""
    content = json.loads(json.dumps(found.content, allow_nan=False))
    shares = found.tensors["answers.shares"].double()
    assert len(shares) == len(content["answers"]["answers"])
    for own, one in zip(shares, content["answers"]["answers"], strict=True):
        ahead = torch.tensor(one["ahead"], dtype=torch.float64)
        size = float(own.abs().sum() + ahead.abs().sum())
        # Else a network that says the same of everything would pass.
        assert size > 1e-2
        assert abs(float(own.sum() + ahead.sum()) - (one["answer"] - one["neutral"])) <= 0.01 * size
        assert one["by_channel"] == pytest.approx((own.sum(0) + ahead).tolist(), abs=1e-5 * size)


def neutral(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True).expand_as(x)


def test_the_states_before_a_forecast(forecast: tuple[TrainedForecaster, Inspection], meters: pl.DataFrame) -> None:
    trained, found = forecast
    batch, network = window_of(trained, meters), trained.network
    assert isinstance(network, ForecastNetwork)
    check_states(found, network.body.reader.layers, lambda: network(batch))
    own = meters.filter(pl.col("meter") == "m1")[FIRST - HISTORY : FIRST]
    assert found.content["series"]["channels"][:2] == ["load", "heat"]
    np.testing.assert_allclose(found.tensors["values"][:, :2], own["load", "heat"].to_numpy(), rtol=1e-6)
    assert found.content["series"]["times"][0] == "2024-01-06 05:00"
    assert found.content["title"] == "m1"
    assert found.content["cut"] == f"the 24 steps before {TIME}, from which it forecasts 6 steps"


def test_a_forecast_and_what_it_rests_on(forecast: tuple[TrainedForecaster, Inspection], meters: pl.DataFrame) -> None:
    trained, found = forecast
    check_sums(found)
    batch, network = window_of(trained, meters), trained.network
    loc, size = original_scale(batch)

    def told(one: SeriesBatch) -> list[float]:
        with torch.no_grad():
            return (network(one)[0].mean.double() * size + loc)[0, [0, 2, 5], 0].tolist()  # type: ignore[no-any-return]

    answers = found.content["answers"]
    assert [one["name"] for one in answers["answers"]] == [
        f"load, {step} ahead" for step in ("1 step", "3 steps", "6 steps")
    ]
    assert [one["answer"] for one in answers["answers"]] == pytest.approx(told(batch), rel=1e-5)
    # Of a series that stands still at its mean, and goes on so as far as it is known.
    assert batch.future is not None
    still = neutral(batch.x)
    known = batch.future.shape[2]
    flat = replace(batch, x=still, future=still[:, :HORIZON, -known:])
    assert [one["neutral"] for one in answers["answers"]] == pytest.approx(told(flat), rel=1e-5)
    came = meters.filter(pl.col("meter") == "m1")["load"][FIRST : FIRST + HORIZON].to_list()
    assert [row[0] for row in answers["ahead"]["came"]] == pytest.approx(came, rel=1e-5)
    # What is known of the future counts, and what comes of the target does not: it is not looked at.
    assert abs(answers["answers"][0]["ahead"][answers["channels"].index("heat")]) > 0
    assert answers["answers"][0]["ahead"][0] == 0


def test_what_was_predicted_of_each_step(forecast: tuple[TrainedForecaster, Inspection], meters: pl.DataFrame) -> None:
    trained, found = forecast
    batch, network = window_of(trained, meters), trained.network
    loc, size = original_scale(batch)
    with torch.no_grad():
        said, _ = network(batch.piece(0, HISTORY - 1))
    expected = float((said.mean.double() * size + loc)[0, 0, 0])
    predictions = found.tensors["predictions"]
    assert float(predictions[-1, 0]) == pytest.approx(expected, rel=1e-5)
    assert bool(predictions[0].isnan().all())
    assert bool(predictions[:, 1:].isnan().all())


def test_how_far_back_states_reach(forecast: tuple[TrainedForecaster, Inspection], meters: pl.DataFrame) -> None:
    """Estimates over eight directions and all steps of a lag, against Jacobians of all units."""
    trained, found = forecast
    batch, network = window_of(trained, meters), trained.network
    assert isinstance(network, ForecastNetwork)
    reader = network.body.reader
    inputs: list[Tensor] = []
    hook = reader.layers.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    reader(Timeline.of(batch, network.shape, torch.float32))
    hook.remove()
    state, states, outputs = None, [], []
    for step in inputs[0].unbind(0):
        output, state = reader.layers(step[None], state)
        state = state.detach().requires_grad_() if not states else state
        if state.requires_grad and not state.is_leaf:
            state.retain_grad()
        states.append(state)
        outputs.append(output)
    lag, norms = 3, []
    for last in range(lag + 1, HISTORY):
        gradients = [
            torch.autograd.grad(unit, states[last - lag], retain_graph=True)[0].square().sum()
            for unit in outputs[last].flatten()
        ]
        norms.append(float(torch.stack(gradients).mean().sqrt()))
    probe = found.content["probe"]
    estimate = probe["by_lag"][probe["lags"].index(lag)]
    # Eight directions at each of twenty steps.
    assert estimate == pytest.approx(float(np.mean(norms)), rel=0.25)


def test_the_end_of_the_data_and_the_first_series(meters: pl.DataFrame) -> None:
    trained = forecaster(meters, kind="autoregressive", num_layers=1)
    future = meters.with_columns(load=pl.when(pl.col("hour") < np.datetime64("2024-01-09T02:00")).then(pl.col("load")))
    found = inspect_trained(trained, future)
    check_sums(found)
    assert found.content["title"] == "m0"
    answers = found.content["answers"]
    assert [one["name"] for one in answers["answers"]] == ["load, 1 step ahead"]
    assert answers["answers"][0]["came"] == ""
    assert answers["ahead"]["came"] == [[None]] * HORIZON
    assert "paths that are drawn" in answers["notes"][0]
    ours = trained.predict(future)["mean"][0]
    # The median of paths of a normal distribution is its mean, but for the draw.
    assert answers["answers"][0]["answer"] == pytest.approx(ours, abs=1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "segments", "segment": 3, "cell": "lstm"},
        {"normalize": "window", "level": False, "cell": "mgu", "num_layers": 1, "head": "quantile"},
    ],
)
def test_forecasters_of_other_kinds(meters: pl.DataFrame, options: dict[str, Any]) -> None:
    trained = forecaster(meters, **options)
    found = inspect_trained(trained, meters, series="m1", at=TIME)
    check_sums(found)
    network = trained.network
    assert isinstance(network, ForecastNetwork)
    check_states(found, network.body.reader.layers, lambda: network(window_of(trained, meters)))


def test_a_forecast_near_the_beginning(meters: pl.DataFrame) -> None:
    trained = forecaster(meters, num_layers=1)
    assert trained.setup.least_history > 5
    found = inspect_trained(trained, meters, at="2024-01-01 05:00")
    check_sums(found)
    assert found.content["series"]["times"] == [f"2024-01-01 0{hour}:00" for hour in range(5)]


def test_series_and_times_that_are_not_there(meters: pl.DataFrame) -> None:
    trained = forecaster(meters)
    for wanted, message in (
        ({"series": "m9"}, r"series: there is no 'm9' in the data; there are 'm0', 'm1'\."),
        ({"at": "2025-01-01"}, r"at: series 'm0' has no row at 2025-01-01; it goes from 2024-01-01 00:00 to "),
        ({"at": "soon"}, r"at: 'soon' is no time of these data; give one such as '2024-01-01 00:00'\."),
        ({"at": "2024-01-01"}, r"at: there is nothing before 2024-01-01 00:00 to read\."),
        ({"at": "2024-01-09 07:00"}, r"at: from 2024-01-09 07:00 on series 'm0' has 1 row, fewer than the 6 "),
    ):
        with pytest.raises(DataError, match=message):
            inspect_trained(trained, meters, **wanted)
    with pytest.raises(TypeError, match=r"must be a model of series as recur\.load returns it, but is str"):
        inspect_trained("run", meters)  # type: ignore[arg-type]
    other = TrainedForecaster(nn.Linear(1, 1), trained.setup)
    with pytest.raises(OptionError, match="the network is a Linear, which is none of recur's forecasters"):
        inspect_trained(other, meters)


# --- labels ---


def waves() -> Panel:
    draw = np.random.default_rng(0)
    values = np.stack([np.outer((-1) ** number * np.linspace(-1, 1, 20), [1.0, 0.5]) for number in range(30)])
    values += 0.1 * draw.standard_normal(values.shape)
    return panel_of_array(values, [["up", "down", "odd"][number % 3] for number in range(30)])


@pytest.mark.parametrize("options", [{}, {"bidirectional": False, "convolutions": ()}])
def test_a_class_of_a_series(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    setup, _ = LabelSetup.fit(waves(), partition=Partition(by="label", valid=2, test=2))
    chosen = SeriesClassifierOptions(hidden_size=6, members=1, **options)
    trained = TrainedClassifier(build_network(chosen, setup), setup, chosen)
    drawn_anew(trained.network)
    found = inspect_trained(trained, waves(), series=waves().ids[4])
    check_sums(found)
    network: Any = trained.network
    batch = setup.batches(Part.whole(waves()), batch_size=30).batch(np.array([4]))
    check_states(found, network.encoder.recurrent, lambda: network(batch))
    with torch.no_grad():
        probability = network(batch)[0].double().softmax(-1)[0]
        begun = {name: getattr(batch, name)[:, :8] for name in ("x", "observed", "times")}
        early = network(replace(batch, **begun, lengths=torch.tensor([8])))[0].double().softmax(-1)[0]
    answers = found.content["answers"]["answers"]
    order = probability.argsort(descending=True).tolist()
    assert answers[0]["name"] == f"class {setup.classes[order[0]]}"
    odds = [float(probability[code].log() - (1 - probability[code]).log()) for code in order]
    told = {one["name"]: one["answer"] for one in answers}
    assert [told[f"class {setup.classes[code]}"] for code in order] == pytest.approx(odds, rel=1e-3)
    assert [one["came"] for one in answers].count("the true class") == 1
    name = f"says so far: probability of {setup.classes[order[0]]}"
    place = found.content["series"]["channels"].index(name)
    said = found.tensors["predictions"][:, place]
    assert float(said[-1]) == pytest.approx(float(probability[order[0]]), abs=1e-5)
    assert float(said[7]) == pytest.approx(float(early[order[0]]), abs=1e-5)
    assert found.content["answers"]["check"] is not None
    assert found.content["probe"]["memory_length"] != 0
    monkeypatch.setattr(trained_series, "MAX_SYMBOLS", 15)
    short = inspect_trained(trained, waves(), series=waves().ids[4])
    assert short.content["cut"] == "the last 15 of 20 steps"
    assert short.content["series"]["times"] == list(range(5, 20))
    assert short.content["answers"]["answers"] == found.content["answers"]["answers"]
    assert torch.equal(short.tensors["answers.shares"], found.tensors["answers.shares"][:, 5:])
    with pytest.raises(DataError, match="at: one label is told of a whole series; leave it out"):
        inspect_trained(trained, waves(), at=3)


def test_what_is_missing_contributes_nothing() -> None:
    panel = waves()
    values = panel.values.copy()
    values[::7, 0] = np.nan
    panel = replace(panel, rows=replace(panel.rows, values=values))
    setup, _ = LabelSetup.fit(panel, partition=Partition(by="label", valid=2, test=2))
    chosen = SeriesClassifierOptions(hidden_size=6, members=1, cell="grud", convolutions=(), bidirectional=False)
    trained = TrainedClassifier(build_network(chosen, setup), setup, chosen)
    drawn_anew(trained.network)
    found = inspect_trained(trained, panel, series=panel.ids[2])
    check_sums(found)
    is_missing = found.tensors["values"][:, -2].isnan()
    assert int(is_missing.sum()) == 3
    shares = found.tensors["answers.shares"][:, :, 0]
    assert float(shares[:, is_missing].abs().max()) == 0
    assert float(shares[:, ~is_missing].abs().min()) > 0
    # What reads missing values as such has no Jacobian here; units are searched only for what is always known.
    assert found.content["probe"] is None
    assert "value of y_1" not in [known["name"] for known in found.content["properties"]]


@pytest.mark.parametrize("window", [None, 8])
def test_a_number_of_a_step(window: int | None) -> None:
    draw = np.random.default_rng(0)
    frame = pl.concat(
        pl.DataFrame(
            {"engine": [f"e{number}"] * 25, "cycle": np.arange(25), "wear": np.arange(25) + draw.standard_normal(25)}
        )
        for number in range(8)
    )
    reading = SeriesReading(columns=Columns(series_id="engine", time="cycle", targets=()))
    setup, _ = LabelSetup.fit(
        reading.first(frame),
        partition=Partition(by="series", valid=2, test=2),
        life=Life(),
        reading=reading,
        window=window,
    )
    chosen = SeriesRegressorOptions(hidden_size=6, members=1, per_step=window is None)
    trained = TrainedRegressor(build_network(chosen, setup), setup, chosen)
    drawn_anew(trained.network)
    found = inspect_trained(trained, frame, series="e3", at="17")
    check_sums(found)

    def lives(told: float, time: int) -> tuple[float, float]:
        """Return a number that the network told, bounded, and what is predicted of a step."""
        rows = trained.predict(frame).filter((pl.col("series_id") == "e3") & (pl.col("time") == time))
        return float(trained.bounded(torch.tensor(told))), rows["remaining_life"].item()

    why = found.content["answers"]["unchecked"]
    assert why == ("labels of steps rest on all of their series" if window is None else "")
    own, expected = lives(found.content["answers"]["answers"][0]["answer"], 17)
    assert own == pytest.approx(expected, rel=1e-4)
    times = found.content["series"]["times"]
    assert times == (list(range(25)) if window is None else list(range(10, 18)))
    shares = found.tensors["answers.shares"][0]
    # What comes after the step has no part in it.
    assert window is not None or float(shares[18:].abs().max()) == 0
    assert float(shares[times.index(17)].abs().max()) > 0
    own, expected = lives(float(found.tensors["predictions"][-2, 0]), times[-2])
    assert own == pytest.approx(expected, rel=1e-4)
