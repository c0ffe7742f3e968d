"""The light GRU step in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, activated, masked, out, products


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h,) after one step, or (h, c) with a projection, and the gates; equations in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H),), or (h (B, P), c (B, H)), the projected state and the state itself.
        weights: weight_ih (2H, I), weight_hh (2H, H or P), bias_ih and bias_hh (2H,) or None; `more`: weight_hr (P, H),
            norm_ih and norm_hh (2H,).
        options: nonlinearity, output_clip.
        masks: Noise of this step.

    Source: Ravanelli et al. (2018).
    """
    h_BH, c_BH = state[0], state[-1]
    a_x, a_h = products(x_BI, h_BH, weights, masks, (1, 1))
    a_z, a_n = (a_x + a_h).chunk(2, dim=-1)
    z, n = torch.sigmoid(a_z), activated(options.nonlinearity, a_n)
    c_BH = z * c_BH + (1 - z) * masked(n, masks.candidate)
    return (out(c_BH, weights, options), c_BH)[: len(state)], {"z": z, "n": n}
