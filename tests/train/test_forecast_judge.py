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


def noise(lengths: list[int], *, horizon: int = 4, seed: int = 3) -> Windows:
    values = np.random.default_rng(seed).normal(size=(sum(lengths), 1)).astype(np.float32)
    panel = Panel.of_rows([f"s{number}" for number in range(len(lengths))], lengths, values)
    return Windows(Part.whole(panel), history=8, horizon=horizon, batch_size=16)


def network_of(windows: Windows) -> ForecastNetwork:
    torch.manual_seed(0)
    options = ForecasterOptions(
        kind="encoder-decoder", history=8, hidden_size=4, head="gaussian", normalize="window", level=False, rules=True
    )
    network = ForecastNetwork(options, SeriesShape(num_features=1, num_targets=1, horizon=windows.horizon)).eval()
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


@pytest.mark.parametrize(("lengths", "seed"), [([400], 1), ([20] * 60, 0)], ids=["one long series", "many short ones"])
def test_a_lower_loss_that_is_no_more_than_noise_is_not_kept(lengths: list[int], seed: int) -> None:
    """The mean of some hundred values lies by chance some hundredths to one side, where the loss is lower."""
    windows = noise(lengths, seed=seed)
    network = network_of(windows)
    judge = ForecastJudge(windows, NONE)
    before = judge(network).loss
    judge.begin(network)
    better = min((judge(moved(network, by)) for by in (-0.01, 0.01)), key=lambda judged: judged.loss)
    assert better.loss < before
    assert not better.is_kept


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


def test_forecasts_that_have_steps_in_common_show_as_little_as_one() -> None:
    windows = noise([30], horizon=12)
    network = network_of(windows)
    judge = ForecastJudge(windows, NONE)
    judge.begin(moved(network, 20.0))
    assert windows.num_windows == 11
    assert not judge(network).is_kept


@pytest.mark.parametrize(
    ("lengths", "horizon", "groups", "overlap"),
    [([40], 12, 21, 12), ([119], 12, 50, 6), ([2019], 12, 50, 1), ([400], 1, 50, 1), ([20] * 60, 4, 50, 1)],
)
def test_neighbours_that_have_steps_in_common_are_counted(
    lengths: list[int], horizon: int, groups: int, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 groups of windows the next so many have targets in common, of series none."""
    asked = []
    monkeypatch.setattr(
        "recur.train.forecast_judge.mean_test", lambda gained, overlap: asked.append((len(gained), overlap))
    )
    windows = noise(lengths, horizon=horizon)
    network = network_of(windows)
    judge = ForecastJudge(windows, NONE)
    judge.begin(network)
    judge(moved(network, 1.0))
    assert asked == [(groups, overlap)]
