"""The GRU step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import State, Weights


def step(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Return (h,) after one step; the equations are in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H),).
        weights: weight_ih (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,) or None.

    Source: Cho et al. (2014), in the form of cuDNN and torch: the reset gate acts after the recurrent product.
    """
    (h_BH,) = state
    x_r, x_z, x_n = linear(x_BI, weights.weight_ih, weights.bias_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = linear(h_BH, weights.weight_hh, weights.bias_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h_BH,)
