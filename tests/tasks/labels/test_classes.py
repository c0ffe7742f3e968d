"""Figures of a classifier of series, by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recur.calibration import Temperature
from recur.errors import DataError
from recur.tasks.labels.classes import calibrate, class_verdict, judge_classes
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.noise import mean_test

CLASSES = ("cat", "dog", "emu")


def outcomes_of(
    told: list[int], target: list[int], *, sure: float = 2.0, weight: list[float] | None = None
) -> SeriesOutcomes:
    """Answers whose logit for the told class is `sure`, and 0 for the others."""
    num = len(told)
    return SeriesOutcomes(
        output=sure * torch.nn.functional.one_hot(torch.tensor(told), 3).float(),
        target=torch.tensor(target),
        weight=torch.ones(num) if weight is None else torch.tensor(weight),
        is_bound=torch.zeros(num, dtype=torch.bool),
        series=torch.arange(num),
        row=torch.arange(num),
    )


def test_figures_by_hand() -> None:
    # A missing label, and one that does not count.
    outcomes = outcomes_of([0, 0, 1, 1, 1, 2, 0], [0, 1, 1, 1, 1, -1, 2], weight=[1.0, 1.0, 0.5, 1.0, 1.0, 0.0, 0.0])
    figures = judge_classes(outcomes, CLASSES, [1, 5, 2])
    assert figures.num_told == 5
    assert figures.accuracy == pytest.approx(4 / 5)
    assert figures.confusion == ((1, 0, 0), (1, 3, 0), (0, 0, 0))
    cat, dog, emu = figures.classes
    assert (cat.support, cat.precision, cat.recall, cat.f1) == (1, 0.5, 1, pytest.approx(2 / 3))
    assert (dog.support, dog.precision, dog.recall, dog.f1) == (4, 1, 0.75, pytest.approx(6 / 7))
    assert (emu.support, emu.precision, emu.recall, emu.f1) == (0, None, None, None)
    assert figures.balanced_accuracy == pytest.approx((1 + 0.75) / 2)
    assert figures.macro_f1 == pytest.approx((2 / 3 + 6 / 7) / 2)
    sure = math.exp(2) / (math.exp(2) + 2)
    unsure = 1 / (math.exp(2) + 2)
    assert figures.log_loss == pytest.approx(-(4 * math.log(sure) + math.log(unsure)) / 5)
    assert figures.calibration_error == pytest.approx(abs(sure - 4 / 5))
    assert figures.most_frequent == "dog"
    assert figures.baseline_accuracy == pytest.approx(4 / 5)
    assert figures.baseline_log_loss == pytest.approx(-(math.log(2 / 11) + 4 * math.log(6 / 11)) / 5)
    assert figures.temperature == 1
    assert json.loads(json.dumps(figures.to_json()))["classes"][2]["recall"] is None


def test_a_temperature_changes_how_sure_it_is_and_nothing_else() -> None:
    outcomes = outcomes_of([0, 0, 1, 2], [0, 1, 1, 2])
    temperature = Temperature()
    temperature.load_state_dict({"value": 2.0})
    plain, cooled = (
        judge_classes(outcomes, CLASSES, [1, 1, 1]),
        judge_classes(outcomes, CLASSES, [1, 1, 1], temperature=temperature),
    )
    assert cooled.accuracy == plain.accuracy
    assert cooled.confusion == plain.confusion
    assert cooled.temperature == 2
    sure = math.e / (math.e + 2)
    assert cooled.log_loss == pytest.approx(-(3 * math.log(sure) + math.log((1 - sure) / 2)) / 4)


def test_calibration_is_that_of_the_next_outcome() -> None:
    """All answers are equally sure, so that the temperature alone says how sure: 1 - 1 / (n + 2) of those right."""
    for num_wrong in (0, 3):
        outcomes = outcomes_of([0] * 10, [0] * (10 - num_wrong) + [1] * num_wrong, sure=5.0)
        temperature = calibrate(outcomes)
        rest = 1 / 12
        expected = ((10 - num_wrong) * (1 - rest) + num_wrong * rest / 2) / 10
        assert temperature(outcomes.output).softmax(-1)[0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_the_verdict_says_first_where_the_model_is_no_better() -> None:
    figures = judge_classes(outcomes_of([0, 0, 1, 1], [0, 1, 1, 1]), CLASSES, [1, 5, 2])
    assert class_verdict("test", figures) == (
        "The model is NOT better than the rule, but as good: accuracy 75.0% on 4 labels of the test part, "
        "against 75.0% by always telling 'dog': no more than noise, p = 1."
    )
    better = judge_classes(outcomes_of([0, 1, 1, 2], [0, 1, 1, 1]), CLASSES, [5, 1, 2])
    assert class_verdict("valid", better) == (
        "It is NOT shown that the model beats the rule: accuracy 75.0% on 4 labels of the valid part, against 25.0% by "
        "always telling 'cat': no more than noise, p = 0.5."
    )
    assert not better.is_better
    good = judge_classes(outcomes_of([1] * 9 + [0], [1] * 8 + [2, 0]), CLASSES, [5, 1, 2])
    assert class_verdict("given", good) == (
        "Accuracy 90.0% on 10 labels of the data given, against 10.0% by always telling 'cat': more than noise, "
        "p = 0.0078; least often right is 'emu', 0.0% of 1."
    )
    assert good.is_better
    perfect = judge_classes(outcomes_of([0, 1] * 9, [0, 1] * 9), CLASSES, [5, 1, 2])
    assert class_verdict("given", perfect).endswith("by always telling 'cat': more than noise, p = 0.0039.")


def test_steps_of_one_series_hang_together() -> None:
    told, target = [1, 1, 1, 1, 0, 1] * 3, [1, 1, 1, 1, 0, 0] * 3
    alone = judge_classes(outcomes_of(told, target), CLASSES, [5, 1, 2])
    outcomes = outcomes_of(told, target)
    together = judge_classes(replace(outcomes, series=outcomes.series // 6), CLASSES, [5, 1, 2])
    single = judge_classes(replace(outcomes, series=0 * outcomes.series), CLASSES, [5, 1, 2])
    assert alone.p == pytest.approx(2 * sum(math.comb(15, k) for k in range(4)) / 2**15)
    # All three series say the very same, so that there are three signs.
    assert together.p == pytest.approx(2 / 2**3)
    known = mean_test(np.array([1.0, 1, 1, 1, 0, -1] * 3), overlap=3)
    assert known is not None
    assert single.p == known.p


def test_nothing_to_judge_by_is_refused() -> None:
    outcomes = outcomes_of([0], [-1], weight=[0.0])
    with pytest.raises(DataError, match=r"^no label counts, so that there is nothing to judge the classifier by\.$"):
        judge_classes(outcomes, CLASSES, [1, 1, 1])
    with pytest.raises(DataError, match=r"^no label counts, so that probabilities cannot be calibrated\.$"):
        calibrate(outcomes)
