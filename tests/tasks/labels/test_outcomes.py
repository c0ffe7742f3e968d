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
from recur.tasks.labels.outcomes import collect_outcomes

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
