"""The IndRNN step in plain torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from recur.ops._call import Options, State, Weights
from recur.ops._cell import Masks, activated, masked, normalised, out


def step(
    x_BI: Tensor, state: State, weights: Weights, options: Options, masks: Masks
) -> tuple[State, dict[str, Tensor]]:
    """Return (h,) after one step, and no gates; the equation is in the README beside this file.

    Args:
        x_BI: Input.
        state: (h (B, H),).
        weights: weight_ih (H, I), weight_hh (H,), bias_ih and bias_hh (H,) or None; `more`: norm (H,).
        options: nonlinearity, output_clip.
        masks: Noise of this step.

    Source: Li et al. (2018), equation 2.
    """
    (h_BH,) = state
    recurrent_BH = weights.weight_hh * masked(h_BH, masks.state)
    bias = None if weights.bias_ih is None or weights.bias_hh is None else weights.bias_ih + weights.bias_hh
    if "norm" in weights.more:
        a_BH = normalised(linear(x_BI, weights.weight_ih) + recurrent_BH, weights.more["norm"], bias)
    else:
        a_BH = linear(x_BI, weights.weight_ih, bias) + recurrent_BH
    return (out(activated(options.nonlinearity, a_BH), weights, options),), {}
