"""The LSTM step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, clipped, masked, normalised, out, products


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h, c) after one step, and the gates; the equations are in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H, or P with a projection), c (B, H)).
        weights: weight_ih (4H, I), weight_hh (4H, H or P), bias_ih and bias_hh (4H,) or None, with 3H rows where the
            gates are coupled; `more`: weight_hr (P, H), weight_ch (3H,) or (2H,), norm_ih and norm_hh as the biases,
            norm_c and norm_c_bias (H,).
        options: coupled, cell_clip, output_clip.
        masks: Noise of this step.

    Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000); peepholes of Gers and
    Schmidhuber (2000); coupled gates as in Greff et al. (2017); the projection is that of Sak et al. (2014).
    """
    h_BH, c_BH = state
    a_x, a_h = products(x_BI, h_BH, weights, masks)
    gates = (a_x + a_h).chunk(3 if options.coupled else 4, dim=-1)
    a_i, (a_f, a_g, a_o) = (None if options.coupled else gates[0]), gates[-3:]
    peephole = weights.more.get("weight_ch")
    eyes = () if peephole is None else peephole.chunk(2 if options.coupled else 3)
    if eyes:
        a_i = None if a_i is None else a_i + eyes[0] * c_BH
        a_f = a_f + eyes[-2] * c_BH
    f = torch.sigmoid(a_f)
    i = 1 - f if a_i is None else torch.sigmoid(a_i)
    g = torch.tanh(a_g)
    c_BH = clipped(f * c_BH + i * masked(g, masks.candidate), options.cell_clip)
    o = torch.sigmoid(a_o + eyes[-1] * c_BH if eyes else a_o)
    seen_BH = c_BH
    if "norm_c" in weights.more:
        seen_BH = normalised(c_BH, weights.more["norm_c"], weights.more.get("norm_c_bias"))
    h_BH = out(o * torch.tanh(seen_BH), weights, options)
    return (h_BH, c_BH), {"i": i, "f": f, "g": g, "o": o}
