"""Errors of point forecasts against numpy, by hand, and with what does not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.score import mae, mase, nasa_score, rmse, seasonal_scale, smape

SMALL = settings(max_examples=30, deadline=None)


def drawn(seed: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target, forecast = (torch.randn(shape, generator=generator, dtype=torch.float64) * 3 for _ in range(2))
    weight = torch.rand(shape, generator=generator, dtype=torch.float64) * torch.randint(
        0, 2, shape, generator=generator
    )
    weight[0] = 0.5
    return target, forecast, weight


REFERENCES = {
    mae: lambda y, f, w: np.average(np.abs(y - f), weights=w),
    rmse: lambda y, f, w: np.sqrt(np.average((y - f) ** 2, weights=w)),
    smape: lambda y, f, w: np.average(200 * np.abs(y - f) / (np.abs(y) + np.abs(f)), weights=w),
}


@SMALL
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 6), steps=st.integers(1, 4))
@pytest.mark.parametrize("measure", REFERENCES, ids=lambda measure: measure.__name__)
def test_weighted_overall_and_by_step(measure, seed, rows, steps) -> None:
    target, forecast, weight = drawn(seed, (rows, steps))
    y, f, w = target.numpy(), forecast.numpy(), weight.numpy()
    reference = REFERENCES[measure]
    np.testing.assert_allclose(measure(target, forecast, weight=weight), reference(y, f, w), rtol=1e-12)
    by_step = [reference(y[:, t], f[:, t], w[:, t]) for t in range(steps)]
    np.testing.assert_allclose(measure(target, forecast, weight=weight, keep=-1), by_step, rtol=1e-12)


@pytest.mark.parametrize("measure", [*REFERENCES, nasa_score], ids=lambda measure: measure.__name__)
def test_what_does_not_count_reaches_neither_result_nor_gradient(measure) -> None:
    target = torch.tensor([1.0, torch.nan, 5.0, 2.0], dtype=torch.float64)
    forecast = torch.tensor([2.5, torch.nan, torch.inf, 1.0], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([True, True, False, True])
    found = measure(target, forecast, weight=weight)
    (gradient,) = torch.autograd.grad(found, forecast)
    kept = torch.tensor([2.5, 1.0], dtype=torch.float64, requires_grad=True)
    wanted = measure(target[[0, 3]], kept)
    (wanted_gradient,) = torch.autograd.grad(wanted, kept)
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=0)
    torch.testing.assert_close(gradient[[0, 3]], wanted_gradient, rtol=1e-14, atol=0)
    assert gradient[[1, 2]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("measure", REFERENCES, ids=lambda measure: measure.__name__)
def test_nothing_that_counts_is_nan_and_a_bad_forecast_is_not_hidden(measure) -> None:
    nothing = torch.full((2,), torch.nan)
    assert measure(nothing, torch.zeros(2)).isnan()
    assert measure(torch.zeros(2), torch.tensor([0.0, torch.nan])).isnan()
    kept = measure(torch.tensor([[1.0, torch.nan]]), torch.zeros(1, 2), keep=(0, 1))
    assert kept[0, 0] > 0
    assert kept[0, 1].isnan()


def test_weights_broadcast() -> None:
    target = torch.tensor([[1.0, 2.0], [5.0, 7.0]])
    assert mae(target, torch.zeros(2, 2), weight=torch.tensor([[3.0], [1.0]])) == (3 * 3 + 12) / 8


def test_smape_of_zeros_is_zero_and_its_bound_200() -> None:
    assert smape(torch.zeros(3), torch.zeros(3)) == 0
    assert smape(torch.tensor([1.0]), torch.tensor([-2.0])) == 200


@SMALL
@given(seed=st.integers(0, 2**16), season=st.integers(1, 5), steps=st.integers(6, 20))
def test_the_scale_is_the_error_of_the_seasonal_naive_rule(seed, season, steps) -> None:
    history, _, weight = drawn(seed, (2, steps))
    history[weight == 0] = torch.nan
    rows = []
    for row in history.tolist():
        errors = [abs(b - a) for a, b in zip(row, row[season:], strict=False) if a == a and b == b]
        rows.append(sum(errors) / len(errors) if errors else float("nan"))
    np.testing.assert_allclose(seasonal_scale(history, season=season), rows, rtol=1e-12)


def test_mase_scales_each_series_and_leaves_out_constant_ones() -> None:
    target = torch.tensor([[2.0, 4.0], [10.0, 30.0], [7.0, 7.0]])
    scale = seasonal_scale(torch.tensor([[1.0, 3.0, 5.0], [0.0, 10.0, 20.0], [1.0, 1.0, 1.0]]))
    assert scale.tolist() == [2.0, 10.0, 0.0]
    forecast = torch.zeros(3, 2)
    assert mase(target, forecast, scale[:, None]) == (1 + 2 + 1 + 3) / 4
    assert mase(target, forecast, scale[:, None], keep=1).tolist() == [1.0, 2.5]
    assert mase(target, forecast, scale[:, None], keep=0)[2].isnan()


def test_mase_of_the_naive_rule_in_training_is_one() -> None:
    series = torch.randn(3, 50, dtype=torch.float64)
    found = mase(series[:, 7:], series[:, :-7], seasonal_scale(series, season=7)[:, None], keep=0)
    torch.testing.assert_close(found, torch.ones(3, dtype=torch.float64), rtol=1e-13, atol=0)


def test_nasa_score_by_hand() -> None:
    target, forecast = torch.tensor([50.0, 50.0, 50.0]).double(), torch.tensor([63.0, 24.0, 50.0]).double()
    wanted = np.exp(1.3) - 1 + np.exp(2.0) - 1
    np.testing.assert_allclose(nasa_score(target, forecast), wanted, rtol=1e-14)
    np.testing.assert_allclose(nasa_score(target, forecast, weight=torch.tensor([2, 0, 1])), 2 * (np.exp(1.3) - 1))


def test_bad_input_is_named() -> None:
    y = torch.zeros(3, 2)
    with pytest.raises(TypeError, match=r"^mae: target must be a floating torch.Tensor, but is torch.int64\.$"):
        mae(y.long(), y)
    with pytest.raises(TypeError, match=r"^mae: forecast must be a floating torch.Tensor, but is list\.$"):
        mae(y, [0.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^rmse: forecast has shape \(2,\), but must have the target's, \(3, 2\)\.$"):
        rmse(y, torch.zeros(2))
    with pytest.raises(
        ValueError, match=r"^mae: a weight is negative or not finite, but each must be a number from 0 on"
    ):
        mae(y, y, weight=torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"^mae: weight has shape \(5,\), which does not fit a target of \(3, 2\)\.$"):
        mae(y, y, weight=torch.ones(5))
    with pytest.raises(TypeError, match=r"^mae: weight must be a torch.Tensor of numbers or bools, but is list\.$"):
        mae(y, y, weight=[1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^mae: keep names dimension 2, but the target has 2 dimensions\.$"):
        mae(y, y, keep=2)
    with pytest.raises(ValueError, match=r"^mase: scale has shape \(3,\), which does not fit a target of \(3, 2\)"):
        mase(y, y, torch.ones(3))
    with pytest.raises(ValueError, match=r"^mase: a scale is negative"):
        mase(y, y, -torch.ones(3, 1))
    with pytest.raises(TypeError, match=r"^seasonal_scale: season must be an int, but is float\.$"):
        seasonal_scale(y, season=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^seasonal_scale: season is 0, but must be at least 1\.$"):
        seasonal_scale(y, season=0)
    with pytest.raises(TypeError, match=r"^seasonal_scale: history must be a floating torch.Tensor"):
        seasonal_scale(y.long())
