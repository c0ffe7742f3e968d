"""The step of the simple recurrent network in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import State, Weights


def step_tanh(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Return (h,) after one step with tanh.

    Args:
        x_BI: Input.
        state: (h (B, H),).
        weights: weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,) or None.

    Source: Elman (1990).
    """
    return (torch.tanh(_preactivation(x_BI, state, weights)),)


def step_relu(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Return (h,) after one step with the rectifier; arguments as of `step_tanh`.

    Source: Le, Jaitly and Hinton (2015).
    """
    return (torch.relu(_preactivation(x_BI, state, weights)),)


def _preactivation(x_BI: Tensor, state: State, weights: Weights) -> Tensor:
    (h_BH,) = state
    return linear(x_BI, weights.weight_ih, weights.bias_ih) + linear(h_BH, weights.weight_hh, weights.bias_hh)
