"""The simple recurrent network by torch's own functions."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Result, State, Weights


def sequence_tanh(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence with tanh; shapes as of `recur.ops.rnn.rnn`."""
    y_TBH, h = torch.rnn_tanh(x_TBI, state[0][None], weights, has_biases, 1, 0.0, torch.is_grad_enabled(), False, False)
    return y_TBH, (h[0],)


def sequence_relu(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence with the rectifier; shapes as of `recur.ops.rnn.rnn`."""
    y_TBH, h = torch.rnn_relu(x_TBI, state[0][None], weights, has_biases, 1, 0.0, torch.is_grad_enabled(), False, False)
    return y_TBH, (h[0],)


def step_tanh(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step with tanh."""
    return (torch.rnn_tanh_cell(x_BI, state[0], *weights[:4]),)


def step_relu(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step with the rectifier."""
    return (torch.rnn_relu_cell(x_BI, state[0], *weights[:4]),)
