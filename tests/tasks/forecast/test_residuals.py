"""What errors still hold, and which forecasts are worth a look."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Panel
from recur.tasks.forecast.examples import choose_examples
from recur.tasks.forecast.residuals import residual_structure

PANEL = Panel.of_rows(["a", "b"], [600, 600], np.zeros((1200, 2)))


def structure(values: np.ndarray, stride: int = 1, season: int = 1, panel: Panel = PANEL) -> dict:
    row = np.concatenate([np.arange(0, 600, stride), np.arange(600, 1200, stride)])
    found = residual_structure(panel, row, values[row], stride, season)
    assert found is not None
    return found


def test_noise_stays_within_its_bound() -> None:
    found = structure(np.random.default_rng(0).standard_normal((1200, 2)) + 0.5)
    outside = np.mean(np.abs(found["autocorrelation"]) > found["bound"])
    assert outside < 0.15
    assert found["number"] == 2400
    assert found["mean"] == pytest.approx(0.5, abs=0.1)
    assert found["deviation"] == pytest.approx(1, abs=0.1)
    assert sum(found["counts"]) >= 0.99 * 2400
    assert len(found["edges"]) == len(found["counts"]) + 1


@pytest.mark.parametrize("stride", [1, 2])
def test_autocorrelation_by_hand(stride: int) -> None:
    values = np.random.default_rng(0).standard_normal((1200, 2)).cumsum(0)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    found = structure(values, stride)
    kept = [values[begin : begin + 600 : stride, column] for begin in (0, 600) for column in (0, 1)]
    mean = np.nanmean(np.concatenate(kept))
    for lag in (1, 5):
        pairs = np.concatenate([(one[lag:] - mean) * (one[:-lag] - mean) for one in kept])
        expected = np.nanmean(pairs) / np.nanvar(np.concatenate(kept))
        assert found["autocorrelation"][lag - 1] == pytest.approx(expected, rel=1e-10)


def test_a_season_that_was_missed_shows() -> None:
    wave = np.tile(np.sin(2 * np.pi * np.arange(600) / 48), 2)[:, None] * np.ones((1, 2))
    found = structure(wave, season=48)
    assert len(found["autocorrelation"]) == 96
    assert found["autocorrelation"][47] > 0.95
    assert found["autocorrelation"][23] < -0.95


def test_too_few_or_all_alike() -> None:
    assert residual_structure(PANEL, np.array([0, 1]), np.array([[1.0, np.nan], [2.0, np.nan]]), 1, 1) is None
    found = structure(np.full((1200, 2), 3.0))
    assert found["deviation"] == 0
    assert set(found["autocorrelation"]) == {None}
    assert found["counts"] == [2400]


def test_examples_do_not_overlap() -> None:
    errors = np.random.default_rng(0).random((300, 2))
    errors[17] = np.nan
    row = np.arange(300) + 50
    chosen = choose_examples(errors, row, 10)
    assert [one.kind for one in chosen] == ["worst", "worst", "median", "median", "best"]
    assert chosen[0].error == np.nanmax(errors)
    assert chosen[-1].error <= np.sort(errors[np.isfinite(errors)])[10]
    assert abs(chosen[2].error - np.nanmedian(errors)) < 0.02
    for place, one in enumerate(chosen):
        assert one.error == errors[one.window, one.target]
        for other in chosen[:place]:
            assert one.target != other.target or abs(row[one.window] - row[other.window]) >= 10


def test_few_windows_give_few_examples() -> None:
    assert [one.kind for one in choose_examples(np.array([[3.0]]), np.array([5]), 4)] == ["worst"]
    assert choose_examples(np.full((3, 1), np.nan), np.arange(3), 4) == []
