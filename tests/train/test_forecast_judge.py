"""Whether what a forecast network learned is kept, or the rules that it began with."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from recur.data.series import Panel, Part, Windows
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_shape import SeriesShape
from recur.tasks.forecast.season_choice import Season
from recur.train.forecast_judge import ForecastJudge

NONE = Season(steps=1, why="")


def noise(lengths: list[int]) -> Windows:
    values = np.random.default_rng(3).normal(size=(sum(lengths), 1)).astype(np.float32)
    panel = Panel.of_rows([f"s{number}" for number in range(len(lengths))], lengths, values)
    return Windows(Part.whole(panel), history=8, horizon=4, batch_size=16)


def network_of(windows: Windows) -> ForecastNetwork:
    torch.manual_seed(0)
    options = ForecasterOptions(
        kind="encoder-decoder", history=8, hidden_size=4, head="gaussian", normalize="window", level=False
    )
    network = ForecastNetwork(options, SeriesShape(num_features=1, num_targets=1, horizon=4)).eval()
    network.start(
        windows.batch(np.arange(at, min(at + 16, windows.num_windows))) for at in range(0, windows.num_windows, 16)
    )
    return network


def moved(network: ForecastNetwork, by: float) -> ForecastNetwork:
    """Return the network with its mean moved by so many of its deviations."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.body.output.head.projection.bias[0] += by
    return other


@pytest.mark.parametrize("lengths", [[400], [20] * 60], ids=["one long series", "many short ones"])
def test_what_is_worse_or_about_as_good_is_not_kept_and_what_is_better_is(lengths: list[int]) -> None:
    windows = noise(lengths)
    network = network_of(windows)
    judge = ForecastJudge(windows, NONE)
    assert judge(moved(network, 1.0)).is_kept, "nothing is compared"
    assert not judge.has_begun
    # From far off to where it began is better by more than noise.
    judge.begin(moved(network, 1.0))
    assert judge.has_begun
    assert judge(network).is_kept
    judge.begin(network)
    assert not judge(network).is_kept, "as good"
    assert not judge(moved(network, 1.0)).is_kept
    # The mean of some hundred values lies some hundredths away from 0; no more is to be gained.
    gains = [judge(moved(network, by)) for by in (-0.02, 0.02)]
    assert not any(gain.is_kept and gain.loss > judge(network).loss for gain in gains)


def test_the_loss_is_that_of_all_forecasts() -> None:
    windows = noise([90, 70])
    network = network_of(windows)
    judged = ForecastJudge(windows, NONE)(network)
    whole = network.forecast_loss(windows.batch(np.arange(windows.num_windows))).item()
    assert judged.loss == pytest.approx(whole, rel=1e-6)


def test_a_few_windows_show_nothing() -> None:
    windows = noise([15])
    network = network_of(windows)
    judge = ForecastJudge(windows, NONE)
    judge.begin(moved(network, 2.0))
    assert windows.num_windows == 4
    assert not judge(network).is_kept
