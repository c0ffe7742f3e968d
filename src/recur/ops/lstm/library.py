"""The LSTM by torch's own functions."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Result, State, Weights
from recur.ops._checks import is_backward_wanted


def sequence(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence; shapes as of `recur.ops.recurrence`."""
    # cuDNN takes states only as they lie in memory, and a learned one is spread over the rows.
    initial = [s[None].contiguous() for s in state]
    y_TBH, h, c = torch.lstm(x_TBI, initial, weights, has_biases, 1, 0.0, is_backward_wanted(), False, False)
    return Result(y_TBH, (h[0], c[0]))


def step(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step without a projection."""
    return torch.lstm_cell(x_BI, state, *weights[:4])


def freeze(x_TBI: Tensor, over_TB1: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return inputs and weights under which the cell state stays as it is wherever `over_TB1` is true.

    Torch returns the cell state of the last step only, never those in between. One more input, 1 past the end and 0
    before it, with a weight far below zero on the input gate and far above on the forget gate, saturates both there,
    whatever the other weights: c' = 1 c + 0 g exactly, and the gradients of the saturated gates are exactly zero.
    """
    weight_ih, *rest = weights
    hidden_size = len(weight_ih) // 4
    far = min(1e30, torch.finfo(weight_ih.dtype).max / 2)
    column = weight_ih.new_zeros(len(weight_ih), 1)
    column[:hidden_size] = -far
    column[hidden_size : 2 * hidden_size] = far
    x_TBI = torch.cat([x_TBI, over_TB1.to(x_TBI.dtype)], dim=2)
    return x_TBI, [torch.cat([weight_ih, column], dim=1), *rest]
