"""Scores of quantiles, samples and intervals against integrals, double sums and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.score import coverage, interval_score, mae, pinball, quantile_crps, sample_crps, width

SMALL = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**16)


@SMALL
@given(seed=SEEDS, num_levels=st.integers(1, 6))
def test_pinball_against_its_definition(seed, num_levels) -> None:
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.uniform(0.01, 0.99, num_levels)).tolist()
    y, f, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, num_levels)), rng.uniform(0.1, 1, (4, 3))
    wanted = np.zeros(num_levels)
    for i, j in np.ndindex(4, 3):
        for k, q in enumerate(levels):
            gap = y[i, j] - f[i, j, k]
            wanted[k] += w[i, j] * (q * gap if gap >= 0 else (q - 1) * gap)
    args = torch.tensor(y), torch.tensor(f), levels
    np.testing.assert_allclose(pinball(*args, weight=torch.tensor(w)), wanted / w.sum(), rtol=1e-12)
    by_step = pinball(*args, weight=torch.tensor(w), keep=1)
    assert by_step.shape == (3, num_levels)
    np.testing.assert_allclose((by_step * torch.tensor(w.sum(0))[:, None]).sum(0) / w.sum(), wanted / w.sum())


@SMALL
@given(seed=SEEDS, num_samples=st.integers(2, 7))
def test_sample_crps_against_the_double_sum(seed, num_samples) -> None:
    rng = np.random.default_rng(seed)
    y, x = rng.normal(size=(3,)), rng.normal(size=(num_samples, 3))
    near = np.abs(x - y).mean(0)
    pairs = np.abs(x[:, None] - x[None]).sum((0, 1))
    args = torch.tensor(y), torch.tensor(x)
    np.testing.assert_allclose(sample_crps(*args, keep=0), near - pairs / (2 * num_samples**2), atol=1e-14)
    fair = near - pairs / (2 * num_samples * (num_samples - 1))
    np.testing.assert_allclose(sample_crps(*args, is_fair=True, keep=0), fair, atol=1e-14)


@SMALL
@given(seed=SEEDS, num_samples=st.integers(1, 7))
def test_quantiles_of_a_sample_score_as_the_sample(seed, num_samples) -> None:
    rng = np.random.default_rng(seed)
    y, x = torch.tensor(rng.normal(size=5)), torch.tensor(rng.normal(size=(num_samples, 5)))
    levels = [(k + 0.5) / num_samples for k in range(num_samples)]
    found = quantile_crps(y, x.sort(0).values.T, levels, keep=0)
    torch.testing.assert_close(found, sample_crps(y, x, keep=0), rtol=0, atol=1e-13)


def test_one_sample_and_the_median_alone_give_the_absolute_error() -> None:
    y, f = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(sample_crps(y, f[None]), mae(y, f))
    torch.testing.assert_close(quantile_crps(y, f[..., None], [0.5]), mae(y, f))


def test_a_fair_score_has_no_bias_for_small_samples() -> None:
    # E of the fair score is that of the true distribution: of a standard normal at 0 it is 2 phi(0) - 1 / sqrt(pi).
    x = torch.randn(2, 200_000, dtype=torch.float64)
    scores = sample_crps(torch.zeros(200_000).double(), x, is_fair=True, keep=0)
    wanted = 2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi)
    # Five standard errors of the mean.
    assert abs(scores.mean() - wanted) < 5 * scores.std() / 200_000**0.5


def test_intervals_by_hand() -> None:
    y = torch.tensor([[1.0, 5.0], [2.0, -1.0], [torch.nan, 0.5]], dtype=torch.float64)
    lower, upper = torch.zeros(3, 2).double(), torch.tensor([2.0, 3.0]).double().expand(3, 2)
    assert coverage(y, lower, upper) == 3 / 5
    assert coverage(y, lower, upper, keep=-1).tolist() == [1.0, 1 / 3]
    assert coverage(y, lower, upper, weight=torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])) == 3 / 4
    np.testing.assert_allclose(width(y, lower, upper), (2 + 2 + 3 * 3) / 5)
    np.testing.assert_allclose(interval_score(y, lower, upper, 0.8), (13 + 10 * (2 + 1)) / 5, rtol=1e-14)


def test_the_interval_score_is_the_pinball_loss_of_both_ends() -> None:
    # 2 / (1 - c) times the sum of the pinball losses at (1 - c) / 2 and (1 + c) / 2.
    y, ends = torch.randn(50).double(), torch.randn(50, 2).double().sort(-1).values
    score = interval_score(y, ends[:, 0], ends[:, 1], 0.8)
    torch.testing.assert_close(score, 10 * pinball(y, ends, [0.1, 0.9]).sum(), rtol=1e-12, atol=0)


def test_what_does_not_count() -> None:
    y = torch.tensor([1.0, torch.nan, 3.0])
    bad = torch.tensor([0.0, torch.nan, torch.inf])
    weight = torch.tensor([1, 1, 0])
    assert sample_crps(y, bad[None], weight=weight) == 1
    assert pinball(y, bad[:, None], [0.25], weight=weight).tolist() == [0.25]
    assert coverage(y, bad, bad + 2, weight=weight) == 1
    assert interval_score(y, bad, bad + 2, 0.5, weight=weight) == 2
    assert sample_crps(y[1:2], bad[None, :1]).isnan()


def test_bad_input_is_named() -> None:
    y = torch.zeros(3)
    with pytest.raises(
        ValueError, match=r"quantiles has shape \(3, 1\), but a target of \(3,\) and 2 levels need \(3, 2\)"
    ):
        pinball(y, torch.zeros(3, 1), [0.1, 0.9])
    for levels in ([], [0.0], [0.5, 0.5], [0.9, 0.1], [1.0]):
        with pytest.raises(ValueError, match=r"^pinball: levels must be at least one number between 0 and 1, growing"):
            pinball(y, torch.zeros(3, len(levels)), levels)
    with pytest.raises(TypeError, match=r"^quantile_crps: each level must be a number, but one is 'a'\.$"):
        quantile_crps(y, torch.zeros(3, 1), ["a"])  # type: ignore[list-item]
    with pytest.raises(
        ValueError, match=r"^sample_crps: samples must have shape \(S, 3\) with S at least 2, but have \(1, 3\)"
    ):
        sample_crps(y, y[None], is_fair=True)
    with pytest.raises(ValueError, match=r"^interval_score: confidence is 90, but must lie between 0 and 1\.$"):
        interval_score(y, y, y, 90)
    with pytest.raises(TypeError, match=r"^interval_score: confidence must be a number, but is str\.$"):
        interval_score(y, y, y, "a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^coverage: upper has shape \(2,\), but must have the target's, \(3,\)\.$"):
        coverage(y, y, y[:2])
