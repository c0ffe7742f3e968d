"""Figures of a regressor of series, by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from recur.errors import DataError
from recur.tasks.labels.numbers import judge_numbers, number_verdict
from recur.tasks.labels.outcomes import SeriesOutcomes


def outcomes_of(told: list[float], target: list[float], weight: list[float], is_bound: list[bool]) -> SeriesOutcomes:
    return SeriesOutcomes(
        output=torch.tensor(told),
        target=torch.tensor(target),
        weight=torch.tensor(weight),
        is_bound=torch.tensor(is_bound),
        series=torch.arange(len(told)),
        row=torch.arange(len(told)),
    )


NAN = float("nan")
MIXED = outcomes_of(
    [10.0, 40.0, 7.0, 5.0, 9.0],
    [20.0, 30.0, NAN, 8.0, 8.0],
    [1.0, 2.0, 0.0, 1.0, 1.0],
    [False, False, False, True, True],
)


def test_figures_by_hand() -> None:
    figures = judge_numbers(MIXED, 20.0, is_life=True)
    assert (figures.num_told, figures.num_bounds) == (2, 2)
    # 5 lies below its bound of 8, 9 does not.
    assert figures.bounds_broken == 0.5
    assert figures.rmse == pytest.approx(10)
    assert figures.mae == pytest.approx(10)
    assert figures.bias == pytest.approx((-10 + 2 * 10) / 3)
    # The weighted mean is 80 / 3; errors of it -20/3 and 10/3.
    assert figures.explained == pytest.approx(1 - 100 / ((400 / 9 + 2 * 100 / 9) / 3))
    assert figures.nasa == pytest.approx(math.expm1(10 / 13) + 2 * math.expm1(1))
    assert figures.baseline_rmse == pytest.approx((2 * 100 / 3) ** 0.5)
    assert json.loads(json.dumps(figures.to_json()))["num_told"] == 2


def test_what_is_not_there_is_none() -> None:
    figures = judge_numbers(outcomes_of([1.0, 2.0], [3.0, 3.0], [1.0, 1.0], [False, False]), 0.0)
    assert (figures.nasa, figures.bounds_broken, figures.explained) == (None, None, None)


def test_the_verdict_says_first_where_the_model_is_no_better() -> None:
    assert number_verdict("test", judge_numbers(MIXED, 20.0, is_life=True)) == (
        "The model does NOT beat the rule: RMSE 10 (NASA's score 4.595) on 2 labels of the test part, against 8.165 by "
        "always telling the training part's mean: no more than noise, p = 1."
    )
    assert number_verdict("valid", judge_numbers(MIXED, 0.0)) == (
        "It is NOT shown that the model beats the rule: RMSE 10 on 2 labels of the valid part, against 27.08 by always "
        "telling the training part's mean: no more than noise, p = 0.5."
    )
    # Of four series nothing can be shown, and six are enough.
    told, true = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.1, 2.0, 3.1, 4.0, 5.1, 6.0]
    few, close = (outcomes_of(told[:count], true[:count], [1.0] * count, [False] * count) for count in (4, 6))
    assert number_verdict("test", judge_numbers(few, 20.0)).startswith("It is NOT shown that the model beats the rule:")
    good = judge_numbers(close, 20.0)
    assert good.is_better
    assert number_verdict("test", good).startswith(
        "RMSE 0.07071 on 6 labels of the test part, against 16.54 by always "
    )


def test_a_few_steps_of_one_series_are_too_few() -> None:
    steps = outcomes_of([1.0, 2.0, 3.0], [1.1, 2.1, 3.1], [1.0] * 3, [False] * 3)
    one = replace(steps, series=torch.zeros(3, dtype=torch.int64))
    said = number_verdict("test", judge_numbers(one, 20.0))
    assert said.endswith("too few independent labels to tell this from noise.")


def test_nothing_to_judge_by_is_refused() -> None:
    with pytest.raises(DataError, match=r"^no label counts, so that there is nothing to judge the regressor by\.$"):
        judge_numbers(outcomes_of([1.0], [3.0], [1.0], [True]), 0.0)
