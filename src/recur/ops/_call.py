"""What an op hands to a back end."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor

State: TypeAlias = tuple[Tensor, ...]
"""The state of one layer and direction: `(h,)`, or `(h, c)` for an LSTM, each (B, H)."""

Result: TypeAlias = tuple[Tensor, State]
"""Outputs (T, B, H) and the final state."""


class Weights(NamedTuple):
    """The weights of one layer and direction, G blocks of H rows each.

    Attributes:
        weight_ih: (G*H, I).
        weight_hh: (G*H, H), or (G*H, P) when the output is projected.
        bias_ih: (G*H,), or None when there are no biases.
        bias_hh: (G*H,), or None.
        more: What only this kind of op has; an LSTM's projection weight_hr (P, H).
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    more: tuple[Tensor, ...] = ()

    def named(self, names_of_more: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """Return those that are there by name, in torch's order."""
        four = zip(self._fields, self[:4], strict=False)
        present = {name: weight for name, weight in four if weight is not None}
        return present | dict(zip(names_of_more, self.more, strict=False))

    def given(self) -> list[Tensor]:
        """Return those that are there, in torch's order."""
        return [w for w in self[:4] if w is not None] + list(self.more)


class Call(NamedTuple):
    """One call of an op: one layer, one direction, time first. Everything in it has been checked.

    Attributes:
        op: The op's name, for messages.
        x_TBI: Inputs.
        state: Initial state, each (B, H).
        weights: The op's weights.
        lengths: True steps of each row, (B,) int64 on x's device, or None when every row is full.
        reset: Where the state is replaced before the step, (T, B) bool, or None.
        reverse: Whether the steps run from each row's last to its first.
        reset_state: What it is replaced by, each (B, H); None means `state`. It differs where `state` is carried on
            from an earlier part of the stream.
    """

    op: str
    x_TBI: Tensor  # noqa: N815 - the shape letters
    state: State
    weights: Weights
    lengths: Tensor | None = None
    reset: Tensor | None = None
    reverse: bool = False
    reset_state: State | None = None

    @property
    def anew(self) -> State:
        """The state that a reset puts in place."""
        return self.state if self.reset_state is None else self.reset_state
