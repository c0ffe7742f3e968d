"""One kind of recurrent cell in one form: its gates, its state, its weights, its step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from recur.ops._call import Nonlinearity, Options, State, Weights

if TYPE_CHECKING:
    from recur.ops._dispatch import Backend

_EPSILON = 1e-5


class Masks(NamedTuple):
    """The noise of one step.

    Attributes:
        state: Factor of the state before the recurrent product, (B, H or P), or None.
        candidate: Factor of the candidate, (B, H), or None.
    """

    state: Tensor | None = None
    candidate: Tensor | None = None


Step: TypeAlias = Callable[[Tensor, State, Weights, Options, Masks], tuple[State, dict[str, Tensor]]]
"""Input (B, I), state, weights, form and noise to the next state, whose first part is the output, and the gates."""


@dataclass(frozen=True)
class Cell:
    """One kind of cell in one form.

    Attributes:
        name: Of the op.
        gates: Names of the blocks of H rows that the weights have, in order.
        states: Names of the parts of the state; the first is the output.
        norms: With layer normalisation, the name of each gain and its number of blocks of H.
        peepholes: Blocks of H that weight_ch has, 0 for none.
        is_independent: Whether weight_hh is one number a unit.
        backends: Fastest first.
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    backends: tuple[Backend, ...]
    norms: tuple[tuple[str, int], ...] = ()
    peepholes: int = 0
    is_independent: bool = False

    def shapes(
        self, input_size: int, hidden_size: int, proj_size: int = 0, bias: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight by name, torch's own first and in torch's order.

        Args:
            input_size: I.
            hidden_size: H.
            proj_size: P, 0 without a projection.
            bias: Whether there are biases.
        """
        rows = len(self.gates) * hidden_size
        out_size = proj_size or hidden_size
        recurrent = (hidden_size,) if self.is_independent else (rows, out_size)
        found: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": recurrent}
        if bias:
            found |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if proj_size:
            found["weight_hr"] = (proj_size, hidden_size)
        if self.peepholes:
            found["weight_ch"] = (self.peepholes * hidden_size,)
        for name, blocks in self.norms:
            found[name] = (blocks * hidden_size,)
            if name == "norm_c" and bias:
                found["norm_c_bias"] = (hidden_size,)
        return found

    def state_sizes(self, hidden_size: int, proj_size: int = 0) -> tuple[int, ...]:
        """Return the width of each part of the state."""
        return (proj_size or hidden_size, *[hidden_size] * (len(self.states) - 1))


def products(
    x_BI: Tensor, h_BH: Tensor, weights: Weights, masks: Masks, blocks: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    """Return W_ih x + b_ih and W_hh h + b_hh, each (B, G*H), normalised before the bias where there are gains.

    Args:
        x_BI: Input.
        h_BH: State before the step.
        weights: The cell's; norm_ih and norm_hh normalise, LN(W x) * norm + b, as Ba et al. (2016) in their supplement.
        masks: Of this step.
        blocks: How many blocks of H are normalised together, for each stretch of the rows; all of them by default.
    """
    if masks.state is not None:
        h_BH = h_BH * masks.state
    if "norm_ih" not in weights.more:
        return linear(x_BI, weights.weight_ih, weights.bias_ih), linear(h_BH, weights.weight_hh, weights.bias_hh)
    a_BG = normalised(linear(x_BI, weights.weight_ih), weights.more["norm_ih"], weights.bias_ih, blocks)
    b_BG = normalised(linear(h_BH, weights.weight_hh), weights.more["norm_hh"], weights.bias_hh, blocks)
    return a_BG, b_BG


def normalised(a_BG: Tensor, gain_G: Tensor, bias_G: Tensor | None, blocks: Sequence[int] = ()) -> Tensor:
    """Return the layer normalisation of `a_BG`, over stretches of `blocks` equal parts each, times gain plus bias."""
    if len(blocks) < 2:
        return layer_norm(a_BG, a_BG.shape[-1:], gain_G, bias_G, _EPSILON)
    unit = a_BG.shape[-1] // sum(blocks)
    sizes = [unit * count for count in blocks]
    biases: Sequence[Tensor | None] = [None] * len(sizes) if bias_G is None else bias_G.split_with_sizes(sizes)
    parts = zip(a_BG.split_with_sizes(sizes, -1), gain_G.split_with_sizes(sizes), biases, strict=True)
    return torch.cat([layer_norm(a, a.shape[-1:], gain, bias, _EPSILON) for a, gain, bias in parts], -1)


def out(h_BH: Tensor, weights: Weights, options: Options) -> Tensor:
    """Return the output that a cell gives for its state: projected and clipped where the form says so."""
    projection = weights.more.get("weight_hr")
    if projection is not None:
        h_BH = linear(h_BH, projection)
    return clipped(h_BH, options.output_clip)


def clipped(value: Tensor, bound: float | None) -> Tensor:
    """Return `value` held within -bound and bound."""
    return value if bound is None else value.clamp(-bound, bound)


def masked(value: Tensor, mask: Tensor | None) -> Tensor:
    """Return `value` times its mask, if there is one."""
    return value if mask is None else value * mask


_NONLINEARITIES: Mapping[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


def activated(nonlinearity: Nonlinearity, value: Tensor) -> Tensor:
    """Return the nonlinearity's value at `value`."""
    return (_NONLINEARITIES[nonlinearity] if isinstance(nonlinearity, str) else nonlinearity)(value)
