"""The MGU step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, masked, normalised, out


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h,) after one step, and the gates; the equations are in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H),).
        weights: weight_ih (2H, I), weight_hh (2H, H), bias_ih and bias_hh (2H,) or None; `more`: norm_ih and norm_hh
            (2H,).
        options: output_clip.
        masks: Noise of this step.

    Source: Zhou et al. (2016).
    """
    (old_BH,) = state
    h_BH = masked(old_BH, masks.state)
    weight_f, weight_n = weights.weight_hh.chunk(2)
    bias_f, bias_n = (None, None) if weights.bias_hh is None else weights.bias_hh.chunk(2)
    if "norm_ih" in weights.more:
        gain_f, gain_n = weights.more["norm_hh"].chunk(2)
        x_f, x_n = normalised(linear(x_BI, weights.weight_ih), weights.more["norm_ih"], weights.bias_ih, (1, 1)).chunk(
            2, dim=-1
        )
        f = torch.sigmoid(x_f + normalised(linear(h_BH, weight_f), gain_f, bias_f))
        n = torch.tanh(x_n + normalised(linear(f * h_BH, weight_n), gain_n, bias_n))
    else:
        x_f, x_n = linear(x_BI, weights.weight_ih, weights.bias_ih).chunk(2, dim=-1)
        f = torch.sigmoid(x_f + linear(h_BH, weight_f, bias_f))
        n = torch.tanh(x_n + linear(f * h_BH, weight_n, bias_n))
    return (out((1 - f) * old_BH + f * masked(n, masks.candidate), weights, options),), {"f": f, "n": n}
