"""What a network told, beside what was true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recur.data.series import LabelWindows, Panel, Part, WholeSeries, panel_of_array, remaining_life
from recur.errors import DataError
from recur.models import (
    SeriesClassifierNetwork,
    SeriesClassifierOptions,
    SeriesRegressorNetwork,
    SeriesRegressorOptions,
    SeriesShape,
)
from recur.tasks.labels.outcomes import SeriesOutcomes, collect_outcomes, p_of_gain

SHAPE = SeriesShape(num_features=1)
VALUES = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0)).numpy()


def classifier(**options: object) -> SeriesClassifierNetwork:
    torch.manual_seed(0)
    return SeriesClassifierNetwork(SeriesClassifierOptions(hidden_size=4, **options), SHAPE, 2)


def test_classes_of_series() -> None:
    panel = panel_of_array(VALUES, ["b", "a", "b"])
    network = classifier().train()
    found = collect_outcomes(network, WholeSeries(Part.whole(panel), batch_size=2))
    assert network.training
    (batch,) = WholeSeries(Part.whole(panel), batch_size=3)
    torch.testing.assert_close(found.output, network.eval()(batch)[0].detach())
    assert found.target.tolist() == [1, 0, 1]
    assert found.weight.tolist() == [1, 1, 1]
    assert found.series.tolist() == [0, 1, 2]
    assert found.row.tolist() == [0, 4, 8]
    assert len(found) == 3


def test_classes_of_steps_are_those_of_true_steps() -> None:
    values = VALUES.copy()
    values[1, 2:] = np.nan
    panel = panel_of_array(values, [[0, 1, 1, 0]] * 3)
    rows = replace(panel.rows, labels=np.array([0, 1, 1, -1, 0, 1, 0, 1, 1, 0]))
    panel = replace(panel, rows=rows)
    found = collect_outcomes(classifier(per_step=True), WholeSeries(Part.whole(panel), batch_size=9))
    assert found.target.tolist() == [0, 1, 1, -1, 0, 1, 0, 1, 1, 0]
    assert found.weight.tolist() == [1, 1, 1, 0] + [1] * 6
    assert found.row.tolist() == list(range(10))
    assert found.series.tolist() == [0] * 4 + [1] * 2 + [2] * 4
    assert found.output.shape == (10, 2)


@pytest.mark.parametrize("per_step", [False, True])
def test_series_without_labels_are_told_of_too(per_step) -> None:
    panel = Panel.of_rows(["a", "b"], [2, 1], VALUES.reshape(-1, 1)[:3])
    found = collect_outcomes(classifier(per_step=per_step), WholeSeries(Part.whole(panel), batch_size=9))
    num_answers = 3 if per_step else 2
    assert found.target.tolist() == [-1] * num_answers
    assert found.output.shape == (num_answers, 2)
    assert found.row.tolist() == ([0, 1, 2] if per_step else [0, 2])


def test_numbers_and_bounds() -> None:
    panel = remaining_life(Panel.of_rows(["a", "b"], [2, 3], VALUES.reshape(-1, 1)[:5]), censored=["b"])
    network = SeriesRegressorNetwork(SeriesRegressorOptions(hidden_size=4), SHAPE)
    found = collect_outcomes(network, LabelWindows(Part.whole(panel), history=2, batch_size=2))
    assert found.target.tolist() == [1, 0, 2, 1, 0]
    assert found.is_bound.tolist() == [False, False, True, True, True]
    assert found.row.tolist() == [0, 1, 2, 3, 4]
    assert found.output.shape == (5,)
    every = collect_outcomes(
        network, LabelWindows(Part.whole(without_second_label(panel)), history=2, batch_size=9, which="all")
    )
    assert every.target.isnan().tolist() == [False, True, False, False, False]


def without_second_label(panel: Panel) -> Panel:
    labels = panel.rows.labels.copy()
    labels[1] = np.nan
    return replace(panel, rows=replace(panel.rows, labels=labels))


def test_labels_of_the_other_kind_and_nothing_are_refused() -> None:
    panel = panel_of_array(VALUES, ["b", "a", "b"])
    with pytest.raises(ValueError, match=r"^SeriesClassifierNetwork: the labels are of series, \(3,\), but per_step"):
        collect_outcomes(classifier(per_step=True), WholeSeries(Part.whole(panel), batch_size=9))
    with pytest.raises(DataError, match=r"^there are no series to tell anything of\.$"):
        collect_outcomes(classifier(), [])


def of_one_series(target: np.ndarray) -> SeriesOutcomes:
    label = torch.from_numpy(target)
    num = len(label)
    return SeriesOutcomes(
        output=torch.zeros(num),
        target=label,
        weight=torch.ones(num),
        is_bound=torch.zeros(num, dtype=torch.bool),
        series=torch.zeros(num, dtype=torch.int64),
        row=torch.arange(num),
    )


def test_one_regime_is_one_observation() -> None:
    """Training was mostly idle, the end of the one series is busy throughout, and the model says busy."""
    for num in (4, 60):
        assert p_of_gain(torch.ones(num), of_one_series(np.ones(num, np.int64))) == 1.0


def test_windows_of_one_series_that_share_steps_hang_together() -> None:
    p = []
    for seed in range(300):
        noise = np.random.default_rng(seed).standard_normal(447)
        gain = torch.from_numpy(np.convolve(noise, np.full(48, 1 / 48), "valid"))
        labels = of_one_series(np.arange(400, dtype=np.int64) % 2)
        p.append(p_of_gain(gain, labels, window=48))
    # The test takes a little more than its 0.05, and three deviations of 300 draws are 0.05; without windows 0.23.
    assert (np.array(p, np.float64) < 0.05).mean() < 0.14


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_labels_that_stay_the_same_hang_together(kind) -> None:
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        gain = torch.from_numpy(np.repeat(rng.integers(-1, 2, 10), 100))
        p.append(p_of_gain(gain, of_one_series(np.repeat(np.arange(10) % 2, 100).astype(kind))))
    # As above; where steps were taken for independent it would be 0.36.
    assert (np.array(p, np.float64) < 0.05).mean() < 0.14


def test_sparse_labels_share_steps_with_few() -> None:
    gain = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    labels = of_one_series(np.arange(40) % 2)
    sparse = replace(labels, row=10 * labels.row)
    assert p_of_gain(gain, sparse, window=10) == p_of_gain(gain, labels)
    assert p_of_gain(gain, sparse, window=200) == p_of_gain(gain, labels, window=20) != p_of_gain(gain, labels)
