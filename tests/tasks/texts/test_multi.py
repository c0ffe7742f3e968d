"""Figures of classifiers of several classes, beside torchmetrics' and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from recur.errors import DataError
from recur.tasks.texts.multi import average_precision, judge_multi, multi_verdict

NAMES = ("joy", "anger", "fear")


def made(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    true = torch.rand(count, 3, generator=random) < torch.tensor([0.5, 0.2, 0.05])
    noise = torch.rand(count, 3, generator=random)
    return (0.5 * true + 0.6 * noise).clamp(max=1).round(decimals=2).double(), true


def test_figures_are_those_of_others() -> None:
    chance, true = made()
    thresholds = torch.tensor([0.5, 0.4, 0.6], dtype=torch.float64)
    found = judge_multi(chance, true.float(), NAMES, thresholds)
    told = (chance >= thresholds).numpy()
    assert found.macro_f1 == pytest.approx(f1_score(true.numpy(), told, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(true.numpy(), told, average="micro"))
    assert found.exact == pytest.approx(float((told == true.numpy()).all(1).mean()))
    each = [average_precision_score(true[:, k].numpy(), chance[:, k].numpy()) for k in range(3)]
    np.testing.assert_allclose(average_precision(chance, true).numpy(), each, rtol=1e-12)
    assert found.average_precision == pytest.approx(float(np.mean(each)))
    assert [one.support for one in found.classes] == true.sum(0).tolist()
    assert found.p is None
    assert found.baseline_exact is found.baseline_average_precision is found.baseline_log_loss is None
    assert not found.is_better


def test_a_rule_that_is_as_good_or_worse() -> None:
    chance, true = made()
    thresholds = torch.full((3,), 0.5, dtype=torch.float64)
    told = chance >= thresholds
    same = judge_multi(chance, true.float(), NAMES, thresholds, rule=told)
    assert (same.baseline_macro_f1, same.p) == (same.macro_f1, 1.0)
    assert multi_verdict("test", same).startswith("The model is NOT better than the rule, but as good: macro-F1")
    bad = judge_multi(chance, true.float(), NAMES, thresholds, rule=torch.rand(200, 3) < 0.5)
    assert bad.p is not None
    assert bad.p < 0.01
    assert bad.is_better
    assert "more than noise" in multi_verdict("test", bad)
    one = told.clone()
    one[0, 2] = ~one[0, 2]
    near = judge_multi(chance, true.float(), NAMES, thresholds, rule=one)
    assert near.p is not None
    assert near.p > 0.2
    if near.macro_f1 > (near.baseline_macro_f1 or 0):
        assert multi_verdict("test", near).startswith("It is NOT shown that the model beats the rule")


def test_all_figures_stand_beside_those_of_the_rule() -> None:
    chance, true = made()
    thresholds = torch.full((3,), 0.5, dtype=torch.float64)
    same = judge_multi(chance, true.float(), NAMES, thresholds, rule=chance >= thresholds, evidence=chance.logit())
    assert same.baseline_exact == same.exact
    assert same.baseline_average_precision == pytest.approx(same.average_precision)
    assert same.baseline_log_loss == pytest.approx(same.log_loss)
    other = judge_multi(chance, true.float(), NAMES, thresholds, rule=torch.zeros(200, 3) > 0)
    assert multi_verdict("test", other).endswith(f"p < 0.001. Micro-F1 {other.micro_f1:.3f} against 0.000.")


def test_thresholds_that_were_fitted_to_what_is_judged_show_nothing() -> None:
    chance, true = made()
    thresholds = torch.full((3,), 0.5, dtype=torch.float64)
    bad = judge_multi(chance, true.float(), NAMES, thresholds, rule=torch.zeros(200, 3) > 0)
    assert "more than noise" in multi_verdict("valid", bad)
    said = multi_verdict("valid", bad, is_fitted=True)
    assert said.startswith("It is NOT shown that the model beats the rule: macro-F1")
    assert "thresholds that were fitted to this part show nothing" in said
    assert "noise" not in said


def test_classes_that_are_not_there() -> None:
    true = torch.tensor([[1.0, 0, 0], [1, 0, 0]])
    chance = torch.tensor([[0.9, 0.1, 0.8], [0.8, 0.1, 0.1]], dtype=torch.float64)
    found = judge_multi(chance, true, NAMES, torch.full((3,), 0.5, dtype=torch.float64))
    joy, anger, fear = found.classes
    assert (joy.f1, joy.recall, joy.precision) == (1, 1, 1)
    assert (anger.f1, anger.recall, anger.precision, anger.average_precision) == (None, None, None, None)
    assert (fear.f1, fear.recall, fear.precision) == (0, None, 0)
    # A class that neither is there nor was told counts as 0, as scikit-learn has it.
    assert found.macro_f1 == pytest.approx(1 / 3)


def test_no_text() -> None:
    with pytest.raises(DataError, match="no text has labels"):
        judge_multi(torch.zeros(0, 3), torch.zeros(0, 3), NAMES, torch.zeros(3))
