"""Whether a difference is more than noise, and what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import scipy.stats

from recur.tasks.forecast.verdict import Comparison, MeanTest, Verdict, compare, mean_test


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
    assert mean_test(np.full(50, -0.1)) == MeanTest(statistic=-math.inf, degrees=5, p=0.0)


SURE, UNSURE = (MeanTest(statistic=3.0, degrees=9, p=p) for p in (0.002, 0.4))


def comparison(model: float, best: float, test: MeanTest | None, measure: str = "MAE") -> Comparison:
    return Comparison(measure=measure, model=model, rule="naive", best=best, test=test)


WORSE = "The model does NOT beat the best naive rule: "
AFTER = "As long as that is so, take naive."
UNSHOWN = "It is NOT shown that the model beats the best naive rule: "
TINY = MeanTest(statistic=9, degrees=9, p=1e-9)


@pytest.mark.parametrize(
    ("comparisons", "text"),
    [
        (
            [comparison(8, 10, SURE)],
            "MAE 8, 20.0% below naive (10), on the test part: more than noise, p = 0.002.",
        ),
        (
            [comparison(8, 10, UNSURE)],
            UNSHOWN + "MAE 8, 20.0% below naive (10), on the test part: no more than noise, p = 0.4.",
        ),
        (
            [comparison(11, 10, SURE)],
            WORSE + "MAE 11, 10.0% above naive (10), on the test part: more than noise, p = 0.002. " + AFTER,
        ),
        (
            [comparison(10, 10, None)],
            WORSE + "MAE 10, like naive (10), on the test part: too few origins to tell this from noise. " + AFTER,
        ),
        (
            [comparison(1, 0, SURE)],
            WORSE + "MAE 1, above naive (0), on the test part: more than noise, p = 0.002. " + AFTER,
        ),
        (
            [comparison(8, 10, TINY), comparison(7, 8, UNSURE, "RMSE")],
            "MAE 8, 20.0% below naive (10), on the test part: more than noise, p < 0.001. "
            "RMSE 7, 12.5% below naive (8); no more than noise, p = 0.4.",
        ),
        (
            [comparison(8, 10, TINY), comparison(9, 8, UNSURE, "RMSE")],
            "MAE 8, 20.0% below naive (10), on the test part: more than noise, p < 0.001. "
            "But by another measure it does NOT: RMSE 9, 12.5% above naive (8); no more than noise, p = 0.4.",
        ),
        (
            [comparison(12, 10, SURE), comparison(7, 8, SURE, "RMSE")],
            WORSE + "MAE 12, 20.0% above naive (10), on the test part: more than noise, p = 0.002. " + AFTER + " "
            "By another measure it does: RMSE 7, 12.5% below naive (8); more than noise, p = 0.002.",
        ),
        ([], "There is nothing to compare with on the test part."),
    ],
)
def test_what_is_said(comparisons: list[Comparison], text: str) -> None:
    verdict = Verdict(comparisons=tuple(comparisons), part="test")
    assert verdict.text == text
    assert verdict.to_json()["text"] == text
    assert verdict.is_better is (
        bool(comparisons) and comparisons[0].model < comparisons[0].best and comparisons[0].is_sure
    )


def test_a_model_that_says_no_numbers_is_not_better() -> None:
    assert not comparison(math.nan, 10, SURE).is_better


def test_the_best_rule_is_taken() -> None:
    figures = {"model": {"mae": 2.0}, "naive": {"mae": 3.0}, "drift": {"mae": 2.5}, "mean": {"mae": None}}
    losses = {name: {"mae": np.full(40, value)} for name, value in (("model", 2.0), ("naive", 3.0), ("drift", 2.5))}
    found = compare("MAE", figures, losses, 1, ("naive", "drift", "mean"))
    assert found is not None
    assert (found.rule, found.model, found.best, found.gain) == ("drift", 2.0, 2.5, pytest.approx(0.2))
    assert found.test == MeanTest(statistic=-math.inf, degrees=4, p=0.0)
    assert compare("MAE", {**figures, "model": {"mae": None}}, losses, 1, ("naive",)) is None
