"""The GRU by torch's own functions."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Result, State, Weights
from recur.ops._checks import is_backward_wanted


def sequence(x_TBI: Tensor, state: State, weights: list[Tensor], has_biases: bool) -> Result:
    """Run a whole sequence; shapes as of `recur.ops.recurrence`."""
    # cuDNN takes states only as they lie in memory, and a learned one is spread over the rows.
    initial = state[0][None].contiguous()
    y_TBH, h = torch.gru(x_TBI, initial, weights, has_biases, 1, 0.0, is_backward_wanted(), False, False)
    return Result(y_TBH, (h[0],))


def step(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Run one step."""
    return (torch.gru_cell(x_BI, state[0], *weights[:4]),)
