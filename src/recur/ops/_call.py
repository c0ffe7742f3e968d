"""What an op hands to a back end."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor

State: TypeAlias = tuple[Tensor, ...]
"""The state of one layer and direction: `(h,)`, or `(h, c)` for an LSTM, each (B, H)."""

Weights: TypeAlias = tuple[Tensor, Tensor, *tuple[Tensor | None, ...]]
"""The weights of one layer and direction in torch's order; an absent bias or projection is None."""

Result: TypeAlias = tuple[Tensor, State]
"""Outputs (T, B, H) and the final state."""


class Call(NamedTuple):
    """One call of an op: one layer, one direction, time first. Everything in it has been checked.

    Attributes:
        op: The op's name, for messages.
        x_TBI: Inputs.
        state: Initial state, each (B, H).
        weights: The op's weights in torch's order; an absent bias or projection is None.
        lengths: True steps of each row, (B,) int64 on x's device, or None when every row is full.
        reset: Where the state is replaced by the initial one before the step, (T, B) bool, or None.
        reverse: Whether the steps run from each row's last to its first.
    """

    op: str
    x_TBI: Tensor  # noqa: N815 - the shape letters
    state: State
    weights: Weights
    lengths: Tensor | None = None
    reset: Tensor | None = None
    reverse: bool = False
