"""The loss of a window from those of its steps."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT

DOUBLE = torch.float64


X = torch.zeros(3, 2, 4)


@pytest.mark.parametrize("batch_first", [False, True])
def test_loss_of_a_window(batch_first: bool) -> None:
    losses, weight = torch.rand(5, 3, dtype=DOUBLE), torch.rand(5, 3, dtype=DOUBLE)
    counts = torch.tensor([5, 0, 2])
    alive = torch.arange(5)[:, None] < counts

    def of(reduction: str, weight: Tensor | None = None, lengths: Any = None) -> float:
        bptt = TruncatedBPTT(nn.Identity(), batch_first=batch_first, reduction=reduction)  # type: ignore[arg-type]
        turned = [None if v is None else v.T if batch_first else v for v in (losses, weight)]
        return float(bptt.loss(*turned, lengths=lengths))  # type: ignore[arg-type]

    assert of("sum") == pytest.approx(float(losses.sum() / 3), rel=1e-14)
    assert of("mean") == pytest.approx(float(losses.mean()), rel=1e-14)
    assert of("sum", weight) == pytest.approx(float((losses * weight).sum() / 3), rel=1e-14)
    assert of("mean", weight) == pytest.approx(float((losses * weight).sum() / weight.sum()), rel=1e-14)
    assert of("sum", None, counts) == pytest.approx(float(losses[alive].sum() / 3), rel=1e-14)
    assert of("mean", None, [5, 0, 2]) == pytest.approx(float(losses[alive].mean()), rel=1e-14)
    both = float((losses * weight)[alive].sum() / weight[alive].sum())
    assert of("mean", weight, counts) == pytest.approx(both, rel=1e-14)
    assert of("mean", torch.zeros_like(losses)) == of("sum", torch.zeros_like(losses)) == 0


def test_what_does_not_count_may_be_anything() -> None:
    losses = torch.tensor([[1.0, torch.nan], [3.0, torch.inf]], requires_grad=True)
    loss = TruncatedBPTT(nn.Identity(), batch_first=False, reduction="mean").loss(losses, lengths=[2, 0])
    loss.backward()
    assert float(loss.detach()) == 2
    assert losses.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_sums_of_windows_are_the_sum_of_the_whole_however_cut(kinds: Any, compare: Any, problem: Any) -> None:
    drawn = problem(kinds["GRU"], 10)
    target = torch.randn(10, 3, 4, dtype=DOUBLE)
    full = TruncatedBPTT(drawn.model)
    expected = drawn.gradients(iter([full.loss((full(drawn.x) - target).square().sum(2))]))
    for k1 in (1, 3, 4):
        bptt = TruncatedBPTT(drawn.model, k1=k1, k2=10)
        windows = bptt.windows(drawn.x, target)
        found = drawn.gradients(bptt.loss((bptt(w.x) - w.others[0]).square().sum(2)) for w in windows)
        compare(found, expected)
        assert bptt.learning_rate_scale(7) == 1.0
    assert TruncatedBPTT(drawn.model, k1=4, reduction="mean").learning_rate_scale(7) == 1.75


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0],), TypeError, "losses must be a torch.Tensor, but is list."),
        ((X[..., 0], 1.0), TypeError, "weight must be a torch.Tensor, but is float."),
        (
            (X,),
            ValueError,
            "losses must have shape (T, B), one for each step of each row, but has shape (3, 2, 4). Reduce over "
            "features, not over steps or rows.",
        ),
        ((X[..., 0], X[:1, :, 0]), ValueError, "weight must have the shape of losses, (3, 2), but has (1, 2)."),
    ],
)
def test_bad_losses(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape('TruncatedBPTT: ' + message)}$"):
        TruncatedBPTT(recur_nn.GRU(4, 4)).loss(*arguments)


def test_a_scale_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"^TruncatedBPTT: num_steps must be a whole number from 1 on, not 0\.$"):
        TruncatedBPTT(recur_nn.GRU(4, 4), k1=3).learning_rate_scale(0)
    message = r"^TruncatedBPTT: learning_rate_scale needs k1, the steps of a window\. Pass k1\.$"
    with pytest.raises(ValueError, match=message):
        TruncatedBPTT(recur_nn.GRU(4, 4), reduction="mean").learning_rate_scale(3)
