"""What is said of a forecaster beside the best rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recur.tasks.forecast.verdict import Comparison, Verdict, compare
from recur.tasks.noise import MeanTest

SURE, UNSURE = (MeanTest(statistic=3.0, degrees=9, p=p) for p in (0.002, 0.4))


def comparison(model: float, best: float, test: MeanTest | None, measure: str = "MAE") -> Comparison:
    return Comparison(measure=measure, model=model, rule="naive", best=best, test=test)


WORSE = "The model does NOT beat the best naive rule: "
TIE = "The model is NOT better than the best naive rule, but as good: "
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
            TIE + "MAE 10, like naive (10), on the test part: too few origins to tell this from noise. " + AFTER,
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
        (
            [comparison(12, 10, SURE), comparison(7, 8, UNSURE, "RMSE")],
            WORSE + "MAE 12, 20.0% above naive (10), on the test part: more than noise, p = 0.002. " + AFTER + " "
            "RMSE 7, 12.5% below naive (8); no more than noise, p = 0.4.",
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
    # Losses that differ by as much everywhere: four signs that are the same.
    assert found.test == MeanTest(statistic=-math.inf, degrees=4, p=2 / 2**4)
    assert compare("MAE", {**figures, "model": {"mae": None}}, losses, 1, ("naive",)) is None
