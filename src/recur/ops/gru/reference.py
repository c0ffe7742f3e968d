"""The GRU step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, masked, normalised, out, products


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h,) after one step, or (h, c) with a projection, and the gates; equations in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H),), or (h (B, P), c (B, H)), the projected state and the state itself.
        weights: weight_ih (3H, I), weight_hh (3H, H or P), bias_ih and bias_hh (3H,) or None; `more`: weight_hr (P, H),
            norm_ih and norm_hh (3H,).
        options: reset_after, output_clip.
        masks: Noise of this step.

    Source: Cho et al. (2014); with `reset_after` in the form of cuDNN and torch, where the reset gate acts after the
    recurrent product.
    """
    h_BH, c_BH = state[0], state[-1]
    blocks = (2, 1)
    if options.reset_after:
        a_x, a_h = products(x_BI, h_BH, weights, masks, blocks)
        x_r, x_z, x_n = a_x.chunk(3, dim=-1)
        h_r, h_z, h_n = a_h.chunk(3, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
    else:
        n, r, z = _reset_before(x_BI, h_BH, weights, masks)
    c_BH = (1 - z) * masked(n, masks.candidate) + z * c_BH
    h_BH = out(c_BH, weights, options)
    return (h_BH, c_BH)[: len(state)], {"r": r, "z": z, "n": n}


def _reset_before(x_BI: Tensor, h_BH: Tensor, weights: Weights, masks: Masks) -> tuple[Tensor, Tensor, Tensor]:
    """Return n, r and z of the cell whose reset gate acts on the state, before the recurrent product."""
    hidden_size = weights.weight_ih.shape[0] // 3
    sizes = [2 * hidden_size, hidden_size]
    h_BH = masked(h_BH, masks.state)
    weight_rz, weight_n = weights.weight_hh.split_with_sizes(sizes)
    bias_rz, bias_n = (None, None) if weights.bias_hh is None else weights.bias_hh.split_with_sizes(sizes)
    if "norm_ih" in weights.more:
        gain_rz, gain_n = weights.more["norm_hh"].split_with_sizes(sizes)
        a_x = normalised(linear(x_BI, weights.weight_ih), weights.more["norm_ih"], weights.bias_ih, (2, 1))
        a_rz = normalised(linear(h_BH, weight_rz), gain_rz, bias_rz)
    else:
        a_x, a_rz = linear(x_BI, weights.weight_ih, weights.bias_ih), linear(h_BH, weight_rz, bias_rz)
    x_r, x_z, x_n = a_x.chunk(3, dim=-1)
    h_r, h_z = a_rz.chunk(2, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    if "norm_ih" in weights.more:
        a_n = normalised(linear(r * h_BH, weight_n), gain_n, bias_n)
    else:
        a_n = linear(r * h_BH, weight_n, bias_n)
    return torch.tanh(x_n + a_n), r, z
