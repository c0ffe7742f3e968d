"""How surprising the last steps were as a whole, on streams: what lasts, though no step of it is strange by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_STEPS = 16
"""Steps after which one counts 1/e of the newest; half as many and twice as many find about the same."""

_MOST = 10.0
"""What one step may add, so that a single spike does not seem to last."""


class LatelyState(NamedTuple):
    """What was seen of each stream.

    Attributes:
        total: Sum of what was seen, older ones counting less, (...) float64.
        weight: Of the same, (...) float64.
    """

    total: Tensor
    weight: Tensor


def begin_lately(*shape: int) -> LatelyState:
    """Return the state of streams that have seen nothing."""
    return LatelyState(torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64))


def means_of_late(surprise: Tensor, state: LatelyState) -> tuple[Tensor, LatelyState]:
    """Return the mean surprise of the last steps up to each, older ones counting less, and the state after them.

    Args:
        surprise: (T, ...) float64, from 0 on; NaN is missing and changes nothing.
        state: After the steps before.

    Returns:
        (T, ...), NaN where the step itself is missing; and the state.
    """
    is_there = ~surprise.isnan()
    known = torch.where(is_there, surprise.clamp(max=_MOST), 0.0)
    keep = 1 - is_there.double() / _STEPS
    total, weight = state
    found = []
    for here, kept, there in zip(known.unbind(), keep.unbind(), is_there.double().unbind(), strict=True):
        total, weight = kept * total + here, kept * weight + there
        found.append(total / weight)
    means = torch.stack(found) if found else surprise
    return torch.where(is_there, means, torch.nan), LatelyState(total, weight)
