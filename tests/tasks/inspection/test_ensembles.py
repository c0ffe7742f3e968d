"""What contributes to what an ensemble says is to what all of its members say together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recur.data.series import Panel, panel_of_array
from recur.data.series.partition import Partition
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_options import SeriesClassifierOptions
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.inspection.forecast_subject import forecast_subject
from recur.tasks.inspection.trained_series import inspect_trained
from recur.tasks.labels.setup import LabelSetup
from recur.tasks.labels.trained import TrainedClassifier, build_network

HISTORY, HORIZON = 16, 3


def drawn_anew(network: nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)


def forecasters(kind: Any, members: int) -> tuple[list[ForecastNetwork], ForecastSetup, Panel]:
    draw, time = np.random.default_rng(0), np.arange(90)
    panel = Panel.of_rows(["a"], [90], (10 + np.sin(time / 4) + 0.1 * draw.standard_normal(90))[:, None])
    setup, _ = ForecastSetup.fit(panel, history=HISTORY, horizon=HORIZON)
    options = ForecasterOptions(kind=kind, history=HISTORY, hidden_size=6, head="point", normalize="last", level=False)
    torch.manual_seed(0)
    networks = [ForecastNetwork(options, setup.shape) for _ in range(members)]
    for network in networks:
        drawn_anew(network)
    return networks, setup, panel


@pytest.mark.parametrize("kind", ["encoder-decoder", "autoregressive"])
def test_contributions_to_a_forecast_are_the_mean_of_those_of_the_members(kind: Any) -> None:
    networks, setup, panel = forecasters(kind, 2)
    both = inspect_trained(TrainedForecaster(ForecastEnsemble(networks), setup), panel, at=60)
    alone = [inspect_trained(TrainedForecaster(one, setup), panel, at=60) for one in networks]
    shares = [one.tensors["answers.shares"] for one in alone]
    assert float((shares[0] - shares[1]).abs().max()) > 0.01
    torch.testing.assert_close(both.tensors["answers.shares"], (shares[0] + shares[1]) / 2, atol=1e-4, rtol=0.01)
    # Beside each answer stands what is told of the steps to come.
    answers = both.content["answers"]
    steps = [0, 1, 2] if kind == "encoder-decoder" else [0]
    told = [answers["ahead"]["median"][step][0] for step in steps]
    assert [one["answer"] for one in answers["answers"]] == pytest.approx(told, rel=1e-5)
    expected = [np.mean([one.content["answers"]["ahead"]["median"][step][0] for one in alone]) for step in steps]
    assert told == pytest.approx(expected, rel=1e-5)
    assert answers["notes"][0].startswith(
        "the run is an ensemble of 2: what is said, and what contributes to it, is of "
    )
    for name in both.tensors:
        if name.startswith("layers."):
            assert torch.equal(both.tensors[name], alone[0].tensors[name])


def test_contributions_to_a_class_make_its_probability() -> None:
    draw = np.random.default_rng(0)
    panel = panel_of_array(draw.standard_normal((30, 12, 2)), [["up", "down", "odd"][place % 3] for place in range(30)])
    setup, _ = LabelSetup.fit(panel, partition=Partition(by="label", valid=2, test=2))
    options = SeriesClassifierOptions(hidden_size=5, members=3, convolutions=(), bidirectional=False)
    torch.manual_seed(0)
    trained = TrainedClassifier(build_network(options, setup), setup, options)
    drawn_anew(trained.network)
    found = inspect_trained(trained, panel, series=panel.ids[4])
    own = trained.predict(panel).row(4, named=True)
    answers = found.content["answers"]["answers"]
    shares = found.tensors["answers.shares"].double().sum((1, 2))
    for one, share in zip(answers, shares.tolist(), strict=True):
        name = one["name"].removeprefix("class ")
        probability = own[f"p({name})"]
        assert one["said"] == f"probability {probability:.1%}"
        odds = np.log(probability / (1 - probability))
        assert one["answer"] == pytest.approx(odds, abs=1e-4)
        assert one["neutral"] + share == pytest.approx(odds, abs=0.05)
        said = f"says so far: probability of {name}"
        if said in found.content["series"]["channels"]:
            last = found.tensors["predictions"][-1, found.content["series"]["channels"].index(said)]
            assert float(last) == pytest.approx(probability, abs=1e-5)


def test_a_place_is_not_among_those_that_its_explanation_is_checked_at() -> None:
    networks, setup, panel = forecasters("encoder-decoder", 1)
    trained = TrainedForecaster(networks[0], setup)

    def elsewhere(row: int) -> list[int]:
        subject = forecast_subject(trained, panel, at=row)
        assert int(subject.window.row) == row
        assert subject.elsewhere is not None
        return [int(other) for other in subject.elsewhere.row]

    others = elsewhere(90 - HORIZON)
    assert len(others) >= 5
    for row in others:
        assert row not in elsewhere(row)
