"""Whether a difference is more than noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import scipy.stats

from recur.tasks.noise import (
    MeanTest,
    bootstrap_gain,
    doubt,
    exchange_test,
    grouped_test,
    mean_test,
    short_intervals,
    sign_test,
    verdict,
)


def correlated(size: int, overlap: int, seed: int) -> np.ndarray:
    """Noise that hangs together as losses of forecasts of so many steps do."""
    noise = np.random.default_rng(seed).standard_normal(size + overlap)
    return np.convolve(noise, np.ones(overlap) / math.sqrt(overlap), "valid")[:size]


def test_it_is_the_cosine_test() -> None:
    differences = correlated(300, 5, seed=0) + 0.1
    degrees = math.floor(0.4 * 300 ** (2 / 3))
    # Orthonormal, so each is sqrt(2 / n) times the sum of cosines.
    weights = scipy.fft.dct(differences, norm="ortho")[1 : degrees + 1]
    expected = math.sqrt(300) * differences.mean() / math.sqrt((weights**2).mean())
    found = mean_test(differences, overlap=5)
    assert found is not None
    assert found.degrees == degrees
    assert found.statistic == pytest.approx(expected, rel=1e-10)
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(expected), degrees), rel=1e-8)


@pytest.mark.parametrize("overlap", [1, 12])
def test_noise_is_taken_for_more_as_often_as_it_says(overlap: int) -> None:
    p = [mean_test(correlated(400, overlap, seed), overlap).p for seed in range(500)]  # type: ignore[union-attr]
    share = float((np.array(p) < 0.05).mean())
    # Three deviations around 0.05 of 500 draws; overlapping forecasts take a little more than they should.
    assert 0.02 < share < (0.08 if overlap == 1 else 0.1)


def test_a_test_that_takes_neighbours_for_independent_would_be_wrong() -> None:
    p = [mean_test(correlated(400, 12, seed)).p for seed in range(200)]  # type: ignore[union-attr]
    plain = [scipy.stats.ttest_1samp(correlated(400, 12, seed), 0).pvalue for seed in range(200)]
    assert (np.array(plain) < 0.05).mean() > 0.4
    assert (np.array(p) < 0.05).mean() < 0.2


def test_a_difference_is_found() -> None:
    found = mean_test(correlated(2000, 12, seed=1) - 0.5, 12)
    assert found is not None
    assert found.statistic < 0
    assert found.p < 0.01


def test_too_few_to_tell() -> None:
    assert mean_test(np.ones(3)) is None
    assert mean_test(np.ones(20), overlap=24) is None
    assert mean_test(np.zeros(0)) is None


def test_differences_that_are_all_alike() -> None:
    assert mean_test(np.zeros(50)) == MeanTest(statistic=0.0, degrees=5, p=1.0)
    # Five signs that are the same, as likely as five throws of a coin that are.
    assert mean_test(np.full(50, -0.1)) == MeanTest(statistic=-math.inf, degrees=5, p=2 / 2**5)
    assert mean_test(np.full(50, -0.1), overlap=50) == MeanTest(statistic=-math.inf, degrees=1, p=1.0)


def test_of_groups_of_one_it_is_the_paired_t_test() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1.0, 25)
    found, expected = grouped_test(differences, np.arange(25)), scipy.stats.ttest_1samp(differences, 0)
    assert found is not None
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert found.degrees == 24


def test_groups_that_hang_together_count_as_one_each() -> None:
    """Each difference ten times over says no more than once."""
    rng = np.random.default_rng(1)
    once = rng.normal(0.3, 1.0, 25)
    order = rng.permutation(250)
    found = grouped_test(np.repeat(once, 10)[order], np.repeat(np.arange(25), 10)[order])
    expected = grouped_test(once, np.arange(25))
    assert found is not None
    assert expected is not None
    assert found.p == pytest.approx(expected.p, rel=1e-9)
    assert grouped_test(once, np.zeros(25, np.int64)) is None


def test_signs_as_a_fair_coin_has_them() -> None:
    for better, worse in ((9, 0), (70, 80), (3, 3), (0, 0), (1000, 900)):
        expected = scipy.stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
        assert sign_test(better, worse) == sign_test(worse, better) == pytest.approx(expected, rel=1e-9)


def test_a_few_groups_that_are_nearly_alike_prove_nothing() -> None:
    for num in range(2, 6):
        group = np.repeat(np.arange(num), 50)
        alike, near = np.full(50 * num, 0.5), 0.5 + 0.001 * group
        for differences in (alike, near):
            found = grouped_test(differences, group)
            assert found is not None
            assert found.p == pytest.approx(2 / 2**num)
    sums = np.array([0.5, 0.51, -0.02])
    found, expected = grouped_test(sums, np.arange(3)), scipy.stats.ttest_1samp(sums, 0).pvalue
    # Where the t test is the more doubtful one, or there are six groups, it is what counts.
    assert found is not None
    assert found.p == pytest.approx(max(expected, 1.0))
    six = np.array([0.5, 0.52, 0.51, 0.49, 0.5, 0.48])
    found = grouped_test(six, np.arange(6))
    assert found is not None
    assert found.p == pytest.approx(scipy.stats.ttest_1samp(six, 0).pvalue, rel=1e-6)


def total(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0])


def test_exchanges_of_one_count_are_the_permutation_test_of_pairs() -> None:
    rng = np.random.default_rng(3)
    own, other = rng.normal(0.5, 1.0, 8), rng.normal(0.0, 1.0, 8)
    expected = scipy.stats.permutation_test(
        (own, other),
        lambda first, second: first.sum() - second.sum(),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=False,
    ).pvalue
    # Units in which both are alike say nothing.
    same = rng.normal(size=5)
    found = exchange_test(np.append(own, same)[:, None], np.append(other, same)[:, None], total)
    assert found == pytest.approx(expected, rel=1e-12)


def test_exchanges_are_drawn_where_there_are_many() -> None:
    rng = np.random.default_rng(4)
    own, other = rng.normal(0.12, 1.0, (400, 1)), rng.normal(0.0, 1.0, (400, 1))
    away = own - other
    expected = 2 * scipy.stats.norm.sf(abs(away.sum()) / math.sqrt((away**2).sum()))
    assert 0.001 < expected < 0.2
    # Four deviations of a share of 8,192 draws.
    assert exchange_test(own, other, total) == pytest.approx(expected, abs=4 * math.sqrt(expected / 2**13))


def test_exchanges_of_a_few_units_tell_nothing() -> None:
    assert exchange_test(np.ones((5, 1)), np.zeros((5, 1)), total) is None
    assert exchange_test(np.ones((6, 1)), np.zeros((6, 1)), total) == 2 / 2**6
    assert exchange_test(np.ones((9, 1)), np.ones((9, 1)), total) is None


def ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def test_drawing_anew_finds_how_a_mean_varies() -> None:
    drawn = np.random.default_rng(0)
    own, other = (np.stack([drawn.normal(mean, 1, 400), np.ones(400)], 1) for mean in (0.3, 0.0))
    gain = bootstrap_gain(own, other, ratio)
    difference = own[:, 0] - other[:, 0]
    error = difference.std() / 20
    assert gain.value == pytest.approx(difference.mean(), abs=1e-12)
    # A thousand draws know a percentile that lies so far out to about a tenth of the standard error.
    assert gain.lower == pytest.approx(difference.mean() - 1.96 * error, abs=0.3 * error)
    assert gain.upper == pytest.approx(difference.mean() + 1.96 * error, abs=0.3 * error)
    assert gain.p == 1 / 1001
    back = bootstrap_gain(other, own, ratio)
    assert (back.value, back.lower, back.upper, back.p) == (-gain.value, -gain.upper, -gain.lower, gain.p)


def test_drawing_anew_where_there_is_no_difference() -> None:
    drawn = np.random.default_rng(2)
    found = []
    for _ in range(60):
        own, other = (np.stack([drawn.normal(0, 1, 30), np.ones(30)], 1) for _ in range(2))
        found.append(bootstrap_gain(own, other, ratio).p)
    # Evenly spread, as p-values are; the standard error of the mean is 0.037.
    assert 0.38 < np.mean(found) < 0.62
    assert sum(p < 0.05 for p in found) <= 8
    same = bootstrap_gain(own, own, ratio)
    assert (same.value, same.lower, same.upper, same.p) == (0, 0, 0, 1)


def test_drawing_a_few_units_anew_proves_nothing() -> None:
    own, other = np.ones((5, 2)), np.stack([np.zeros(5), np.ones(5)], 1)
    gain = bootstrap_gain(own, other, ratio)
    assert gain.p == sign_test(5, 0) > 0.05
    # What is no more than noise may be nothing.
    assert (gain.lower, gain.upper) == (0, 1)
    back = bootstrap_gain(other, own, ratio)
    assert (back.lower, back.upper) == (-1, 0)
    other[:2] = 1
    assert bootstrap_gain(own, other, ratio).p == sign_test(3, 0)


@pytest.mark.parametrize(("num", "last"), [(15, [-4]), (40, [-7, -7]), (60, [-8, -8, -8])])
def test_a_gain_is_more_than_noise_where_its_interval_is_beyond_zero(num: int, last: list[int]) -> None:
    """Also of skewed differences, whose draws about their mean seldom reach what came, and zero more often."""
    own, other = np.ones((num, 2)), np.stack([np.zeros(num), np.ones(num)], 1)
    own[-len(last) :, 0] = last
    gain = bootstrap_gain(own, other, ratio)
    assert gain.lower <= 0 < gain.upper
    assert gain.p >= 0.05
    back = bootstrap_gain(other, own, ratio)
    assert (back.value, back.lower, back.upper, back.p) == (-gain.value, -gain.upper, -gain.lower, gain.p)
    # Without them it is.
    own[-len(last) :, 0] = 0
    gain = bootstrap_gain(own, other, ratio)
    assert gain.lower > 0
    assert gain.p < 0.05


def test_doubt_in_words() -> None:
    assert doubt(0.3, "series") == "no more than noise, p = 0.3"
    assert doubt(0.012, "series") == "more than noise, p = 0.012"
    assert doubt(1e-9, "series") == "more than noise, p < 0.001"
    assert doubt(None, "series") == "too few series to tell this from noise"


def test_intervals_that_hold_too_little_are_told() -> None:
    assert short_intervals({0.5: 0.46, 0.8: 0.76, 0.95: None}, "rows") is None
    found = short_intervals({0.5: 0.36, 0.8: 0.685, 0.95: 0.94}, "series")
    assert found is not None
    assert found.startswith("the intervals hold clearly less than they say: those of 50% 36.0% and those of 80% 68.5%.")
    assert found.endswith(" The series that they were calibrated by were few, or the series have changed since.")


def test_a_verdict_begins_with_it_where_the_model_is_no_better() -> None:
    assert verdict("accuracy 3%", 0.1, is_sure=True) == "Accuracy 3%."
    assert verdict("accuracy 3%", 0.1, is_sure=False) == "It is NOT shown that the model beats the rule: accuracy 3%."
    for gain in (-0.1, math.nan):
        told = verdict("accuracy 3%", gain, is_sure=True, rule="best rule")
        assert told == "The model does NOT beat the best rule: accuracy 3%."
    told = verdict("accuracy 100%", 0.0, is_sure=False)
    assert told == "The model is NOT better than the rule, but as good: accuracy 100%."
