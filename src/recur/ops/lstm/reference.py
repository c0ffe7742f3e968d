"""The LSTM step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import State, Weights


def step(x_BI: Tensor, state: State, weights: Weights) -> State:
    """Return (h, c) after one step; the equations are in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H, or P with a projection), c (B, H)).
        weights: weight_ih (4H, I), weight_hh (4H, H or P), bias_ih and bias_hh (4H,) or None,
            more: nothing, or the projection weight_hr (P, H).

    Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000); the projection is that of
    Sak et al. (2014).
    """
    h_BH, c_BH = state
    gates_BG = linear(x_BI, weights.weight_ih, weights.bias_ih) + linear(h_BH, weights.weight_hh, weights.bias_hh)
    i, f, g, o = gates_BG.chunk(4, dim=-1)
    c_BH = torch.sigmoid(f) * c_BH + torch.sigmoid(i) * torch.tanh(g)
    h_BH = torch.sigmoid(o) * torch.tanh(c_BH)
    if weights.more:
        (weight_hr,) = weights.more
        h_BH = linear(h_BH, weight_hr)
    return h_BH, c_BH
