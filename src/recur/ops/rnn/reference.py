"""The step of the simple recurrent network in plain torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, activated, masked, normalised, out


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h,) after one step, and no gates; the equations are in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H, or P with a projection),).
        weights: weight_ih (H, I), weight_hh (H, H or P), bias_ih and bias_hh (H,) or None; `more`: weight_hr (P, H),
            norm (H,).
        options: nonlinearity, output_clip.
        masks: Noise of this step.

    Source: Elman (1990); with the rectifier, Le, Jaitly and Hinton (2015).
    """
    (h_BH,) = state
    h_BH = masked(h_BH, masks.state)
    if "norm" in weights.more:
        a_BH = linear(x_BI, weights.weight_ih) + linear(h_BH, weights.weight_hh)
        bias = None if weights.bias_ih is None or weights.bias_hh is None else weights.bias_ih + weights.bias_hh
        a_BH = normalised(a_BH, weights.more["norm"], bias)
    else:
        a_BH = linear(x_BI, weights.weight_ih, weights.bias_ih) + linear(h_BH, weights.weight_hh, weights.bias_hh)
    return (out(activated(options.nonlinearity, a_BH), weights, options),), {}
