"""What one layer of a stack is asked for."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from recur.ops._call import State


class Asked(NamedTuple):
    """What one layer in one direction is to do with an input, (T, B, ...).

    Attributes:
        k: Number of the layer and direction, in torch's order.
        state: What it begins with, each part (B, ...); in a dilated layer (d, B, ...).
        lengths: True steps of each row, (B,), or None.
        reset: Where the state begins anew, (T, B), or None.
        anew: What a reset puts in place, like `state`; None means `state`.
        reverse: Whether the steps run from each row's last to its first.
        records: Whether every state and gate of every step is wanted.
    """

    k: int
    state: State
    lengths: Tensor | None
    reset: Tensor | None
    anew: State | None
    reverse: bool
    records: bool
