"""What an op hands to a back end, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

State: TypeAlias = tuple[Tensor, ...]
"""The state of one layer and direction: `(h,)`, or `(h, c)` for an LSTM, each (B, H)."""

Nonlinearity: TypeAlias = Literal["tanh", "relu"] | Callable[[Tensor], Tensor]

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Weights(NamedTuple):
    """The weights of one layer and direction, G blocks of H rows each.

    Attributes:
        weight_ih: (G*H, I).
        weight_hh: (G*H, H), or (G*H, P) when the output is projected; (H,) for an IndRNN.
        bias_ih: (G*H,), or None when there are no biases.
        bias_hh: (G*H,), or None.
        more: What only some forms of a cell have, by name; a projection is weight_hr (P, H). See `Cell.shapes`.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    more: Mapping[str, Tensor] = _NOTHING

    def named(self) -> dict[str, Tensor]:
        """Return those that are there by name, in torch's order."""
        four = zip(TORCH_WEIGHTS, self[:4], strict=True)
        return {name: weight for name, weight in four if weight is not None} | dict(self.more)

    def given(self) -> list[Tensor]:
        """Return those that are there, in torch's order."""
        return [w for w in self[:4] if w is not None] + list(self.more.values())


TORCH_WEIGHTS = Weights._fields[:4]
"""The names of the weights that torch's layers have too."""


class Options(NamedTuple):
    """The form of a cell: what is beside its plain equations. Each op's README says which ones it takes.

    Attributes:
        nonlinearity: "tanh", "relu" or an elementwise function, where the cell has a choice.
        reset_after: Whether a GRU's reset gate acts after the recurrent product.
        coupled: Whether an LSTM's input gate is one minus its forget gate.
        peephole: Whether an LSTM's gates see its cell state.
        layer_norm: Whether the pre-activations of the gates, and an LSTM's cell state on its way out, are normalised.
        projected: Whether the output is multiplied by weight_hr.
        cell_clip: Bound on each element of an LSTM's cell state.
        output_clip: Bound on each element of the output.
        gradient_clip: Bound on each element of the gradient that a step passes back to the state before it.
    """

    nonlinearity: Nonlinearity = "tanh"
    reset_after: bool = True
    coupled: bool = False
    peephole: bool = False
    layer_norm: bool = False
    projected: bool = False
    cell_clip: float | None = None
    output_clip: float | None = None
    gradient_clip: float | None = None


class Noise(NamedTuple):
    """Random masks, drawn outside the op, so that every back end sees the same ones.

    Attributes:
        state: What the state is multiplied by before the recurrent product, the same at all steps (Gal and Ghahramani
            2016), (B, H or P), or None.
        candidate: What the candidate is multiplied by (Semeniuta et al. 2016), (T, B, H) or (1, B, H), or None.
        zoneout: For each part of the state, the share of the old value that each step keeps (Krueger et al. 2017):
            (T, B, H) of zeros and ones, or (1, 1, 1) in evaluation; or None.
    """

    state: Tensor | None = None
    candidate: Tensor | None = None
    zoneout: tuple[Tensor | None, ...] = ()


PLAIN = Options()
"""The cell as its equations say."""

SILENCE = Noise()
"""No noise."""


class Call(NamedTuple):
    """One call of an op: one layer, one direction, time first. Everything in it has been checked.

    Attributes:
        op: Who calls, for messages.
        x_TBI: Inputs.
        state: Initial state, each (B, H).
        weights: The op's weights.
        lengths: True steps of each row, (B,) int64 on x's device, or None when every row is full.
        reset: Where the state is replaced before the step, (T, B) bool, or None.
        reverse: Whether the steps run from each row's last to its first.
        reset_state: What it is replaced by, each (B, H); None means `state`. It differs where `state` is carried on
            from an earlier part of the stream.
        options: The form of the cell.
        noise: Random masks.
        records: Whether states and gates of every step are wanted.
        recompute: Of how many steps a backward pass keeps the first state only, and computes the rest again; None
            keeps everything. Back ends other than the CPU kernels keep what they keep, and so do compiled and
            transformed calls.
        is_forced: Whether a back end was asked for by its name.
        autocast: The dtype in which autocast wants it computed, unless it is in float64. A back end's business.
        bfloat16: Whether products of a float32 call may round their factors to bfloat16.
        kept: Where the weights may be found packed, a `recur.ops._kept.Kept`, or None.
    """

    op: str
    x_TBI: Tensor  # noqa: N815 - the shape letters
    state: State
    weights: Weights
    lengths: Tensor | None = None
    reset: Tensor | None = None
    reverse: bool = False
    reset_state: State | None = None
    options: Options = PLAIN
    noise: Noise = SILENCE
    records: bool = False
    recompute: int | None = None
    is_forced: bool = False
    autocast: torch.dtype | None = None
    bfloat16: bool = False
    kept: Any = None

    def without_tensors(self) -> Call:
        """Return the call without its differentiable tensors, and what is kept of them."""
        nothing: Any = None
        # By place, for `_replace` takes four times as long.
        return Call(
            self.op,
            nothing,
            (),
            nothing,
            self.lengths,
            self.reset,
            self.reverse,
            None,
            self.options,
            self.noise,
            self.records,
            self.recompute,
            self.is_forced,
            self.autocast,
            self.bfloat16,
        )

    @property
    def anew(self) -> State:
        """The state that a reset puts in place."""
        return self.state if self.reset_state is None else self.reset_state

    @property
    def dtype(self) -> torch.dtype:
        """In which it is to be computed."""
        dtype = self.x_TBI.dtype
        return dtype if self.autocast is None or dtype == torch.float64 else self.autocast

    def cast(self) -> Call:
        """Return the call with every float tensor in the dtype that autocast wants."""
        return self if self.autocast is None else self.to(self.autocast)._replace(autocast=None)

    def to(self, dtype: torch.dtype) -> Call:
        """Return the call with every float tensor in another dtype; float64 stays."""

        def to(tensor: Tensor) -> Tensor:
            return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)

        def all_to(tensors: Sequence[Tensor | None]) -> tuple[Any, ...]:
            return tuple([None if tensor is None else to(tensor) for tensor in tensors])

        weights, noise = self.weights, self.noise
        w_ih, w_hh, b_ih, b_hh = all_to(weights[:4])
        if noise is not SILENCE:
            on_state, on_candidate = all_to((noise.state, noise.candidate))
            noise = Noise(on_state, on_candidate, all_to(noise.zoneout))
        return self._replace(
            x_TBI=to(self.x_TBI),
            state=all_to(self.state),
            reset_state=None if self.reset_state is None else all_to(self.reset_state),
            weights=Weights(w_ih, w_hh, b_ih, b_hh, {name: to(weight) for name, weight in weights.more.items()}),
            noise=noise,
        )


class Result(NamedTuple):
    """What a back end returns.

    Attributes:
        output: (T, B, H), zero past the end of a row.
        state: The state after each row's last step.
        record: When asked for, every part of the state after each step and every gate in it, (T, B, H) each, by name,
            zero past the end of a row.
    """

    output: Tensor
    state: State
    record: Mapping[str, Tensor] = _NOTHING

    def to(self, dtype: torch.dtype) -> Result:
        """Return it in another dtype."""
        record = {name: value.to(dtype) for name, value in self.record.items()}
        return Result(self.output.to(dtype), tuple([part.to(dtype) for part in self.state]), record)
