"""What `TruncatedBPTT` refuses, and what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT, WindowLengths


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k1": 0}, ValueError, "k1 must be a whole number from 1 on, not 0."),
        ({"k1": 2.0}, ValueError, "k1 must be a whole number from 1 on, not 2.0."),
        ({"k1": 2, "k2": "3"}, ValueError, "k2 must be a whole number from 1 on, not '3'."),
        ({"k1": 3, "k2": 2}, ValueError, "k2 is 2, but must be at least k1 = 3."),
        ({"k2": 2}, ValueError, "k2 is 2, but k1 is not given. Pass k1, the steps of a window, too."),
        ({"batch_first": 1}, TypeError, "batch_first must be a bool or None, but is int."),
        (
            {"batch_first": True},
            ValueError,
            "batch_first is True, but GRU has batch_first=False. Leave it out.",
        ),
        (
            {"model": nn.Sequential(nn.LSTM(2, 2, bidirectional=True))},
            ValueError,
            "0, LSTM, reads in both directions, and the backward one begins at the end, so it cannot be run piece by "
            "piece. Take a layer of one direction.",
        ),
        (
            {"model": recur_nn.GRU(2, 2, bidirectional=True).forward},
            ValueError,
            "GRU reads in both directions, and the backward one begins at the end, so it cannot be run piece by piece. "
            "Take a layer of one direction.",
        ),
        ({"reduction": "none"}, ValueError, "reduction must be 'sum' or 'mean', not 'none'."),
        ({"drop_state": 1.1}, ValueError, "drop_state must be a number from 0 to 1, not 1.1."),
        ({"drop_state": True}, ValueError, "drop_state must be a number from 0 to 1, not True."),
        ({"model": 3}, TypeError, "model must be callable, but is int."),
        (
            {"model": nn.LSTM(2, 2), "drop_state": 0.1},
            TypeError,
            "drop_state is 0.1, but LSTM does not take reset, by which the state is dropped. Leave drop_state out, or "
            "pass a model that takes it, such as a layer of recur.nn.",
        ),
        (
            {"k1": WindowLengths(70), "k2": 80},
            ValueError,
            "windows may have up to 90 steps, but k2 is 80. Pass WindowLengths(..., most=80), or a larger k2.",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape('TruncatedBPTT: ' + message)}$"):
        TruncatedBPTT(**{"model": recur_nn.GRU(2, 2), **options})


@pytest.mark.parametrize("model", [lambda x, state, reset=None: (x, x), lambda x, state, **given: (x, x)])
def test_any_callable_that_takes_reset_may_have_its_state_dropped(model: Any) -> None:
    TruncatedBPTT(model, drop_state=0.1)


X = torch.zeros(3, 2, 4)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"x": [1]}, TypeError, "x must be a torch.Tensor, but is list."),
        ({"x": torch.zeros(3)}, ValueError, "x has shape (3,). Give (T, B, ...)."),
        ({"x": X[:0]}, ValueError, "x has no steps, (T, B, ...) = (0, 2, 4). Give at least one."),
        ({"x": torch.zeros(6, 2, 4)}, ValueError, "the window has 6 steps, but k2 is 5. Cut it, as windows() does."),
        (
            {"x": torch.zeros(3, 3, 4)},
            ValueError,
            "x has 3 rows, but the window before had 2. Call forget() where other sequences begin.",
        ),
        (
            {"x": X.double()},
            ValueError,
            "a step of x is (1, 2, 4) torch.float64 on cpu, but in the window before it was (1, 2, 4) torch.float32 on "
            "cpu.",
        ),
        (
            {"x": X[:, :, :3]},
            ValueError,
            "a step of x is (1, 2, 3) torch.float32 on cpu, but in the window before it was (1, 2, 4) torch.float32 on "
            "cpu.",
        ),
        ({"times": X[..., 0]}, ValueError, "given are ['times', 'x'], but for the window before ['x']."),
        ({"times": X[:2]}, ValueError, "times must begin with (T, B) = (3, 2) as x, but has shape (2, 2, 4)."),
        ({"times": 1.0}, TypeError, "times must be a torch.Tensor, but is float."),
        ({"reset": X[..., 0]}, TypeError, "reset must be a torch.bool tensor, but is torch.float32."),
        ({"reset": X.bool()}, ValueError, "reset must have shape (T, B) = (3, 2), but has (3, 2, 4)."),
        ({"reset": X.bool()[:2]}, ValueError, "reset must have shape (T, B) = (3, 2), but has (2, 2, 4)."),
    ],
)
def test_bad_windows(given: dict[str, Any], error: type[Exception], message: str) -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(4, 4), k1=3, k2=5)
    bptt(X)
    with pytest.raises(error, match=f"^{re.escape('TruncatedBPTT: ' + message)}$"):
        bptt(**{"x": X, **given})


@pytest.mark.parametrize(
    ("k1", "message"),
    [
        (2, "TruncatedBPTT: the window has 3 steps, but k1 is 2. Cut it, as windows() does."),
        (
            WindowLengths(2, most=2),
            "TruncatedBPTT: the window has 3 steps, but the longest that k1 draws is 2. Cut it, as windows() does.",
        ),
    ],
)
def test_a_window_that_was_not_cut(k1: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TruncatedBPTT(recur_nn.GRU(4, 4), k1=k1)(X)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            lambda x, s: x,
            TypeError,
            "the model must return (output, state), but returned Tensor. Return the state after the last step too.",
        ),
        (
            lambda x, s: (x, [x, 1], x),
            TypeError,
            "the model must return (output, state), but returned (Tensor, [Tensor, int], Tensor). Return the state "
            "after the last step too.",
        ),
        (lambda x, s: ("y", x), TypeError, "the model must return tensors, but its output is str."),
        (
            lambda x, s: ({"y": x[-1]}, x),
            ValueError,
            "the model was given 3 steps in dimension 0, but its output.y has shape (2, 4). Say by batch_first where "
            "the steps are, or give the recurrent part alone.",
        ),
        (
            lambda x, s: (x.sum((0, 1, 2)), x),
            ValueError,
            "the model was given 3 steps in dimension 0, but its output has shape (). Say by batch_first where the "
            "steps are, or give the recurrent part alone.",
        ),
        (
            lambda x, s: (x.clone().requires_grad_(), x),
            ValueError,
            "k2 is 6, but the state that the model returns carries no gradient, so none goes back further than the "
            "window. Do not detach it in the model, or leave k2 out.",
        ),
    ],
)
def test_bad_models(model: Any, error: type[Exception], message: str) -> None:
    bptt = TruncatedBPTT(model, k1=3, k2=6, batch_first=False)
    with pytest.raises(error, match=f"^{re.escape('TruncatedBPTT: ' + message)}$"):
        bptt(X)


def test_a_state_without_gradient_is_no_fault_where_none_is_asked_for() -> None:
    detaching = recur_nn.GRU(4, 4)

    def model(x: Tensor, state: Any) -> Any:
        output, state = detaching(x, state)
        return output, state.detach()

    with torch.no_grad():
        TruncatedBPTT(model, k1=3, k2=5, batch_first=False)(X)
    TruncatedBPTT(model, k1=3, batch_first=False)(X)
    detaching.requires_grad_(False)
    TruncatedBPTT(model, k1=3, k2=5, batch_first=False)(X)
