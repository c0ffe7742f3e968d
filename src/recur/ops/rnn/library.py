"""The simple recurrent network by torch's own functions."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Result, State, Weights
from recur.ops._checks import is_backward_wanted


def sequence_tanh(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence with tanh; shapes as of `recur.ops.recurrence`."""
    h = _initial(state)
    y_TBH, h = torch.rnn_tanh(x_TBI, h, weights, has_biases, 1, 0.0, is_backward_wanted(), False, False)
    return Result(y_TBH, (h[0],))


def sequence_relu(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence with the rectifier; shapes as of `recur.ops.recurrence`."""
    h = _initial(state)
    y_TBH, h = torch.rnn_relu(x_TBI, h, weights, has_biases, 1, 0.0, is_backward_wanted(), False, False)
    return Result(y_TBH, (h[0],))


def _initial(state: State) -> Tensor:
    # cuDNN takes states only as they lie in memory, and a learned one is spread over the rows.
    return state[0][None].contiguous()


def freeze_relu(x_TBI: Tensor, over_TB1: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return inputs and weights under which the state is zero wherever `over_TB1` is true.

    Without a bound, a state that runs on past the end of its row may grow to infinity, and 0 * inf is NaN in the
    gradient of the weights. One more input, 1 past the end and 0 before it, with weights far below zero, cuts it off.
    """
    weight_ih, *rest = weights
    column = weight_ih.new_full((len(weight_ih), 1), -torch.finfo(weight_ih.dtype).max / 2)
    x_TBI = torch.cat([x_TBI, over_TB1.to(x_TBI.dtype)], dim=2)
    return x_TBI, [torch.cat([weight_ih, column], dim=1), *rest]


def step_tanh(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step with tanh."""
    return (torch.rnn_tanh_cell(x_BI, state[0], *weights[:4]),)


def step_relu(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step with the rectifier."""
    return (torch.rnn_relu_cell(x_BI, state[0], *weights[:4]),)
