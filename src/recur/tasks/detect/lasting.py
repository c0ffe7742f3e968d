"""How surprising the last steps were as a whole, on streams: what lasts, though no step of it is strange by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_STEPS = 16
"""Steps after which one counts 1/e of the newest; half as many and twice as many find about the same."""

_KEEP = 1 - 1 / _STEPS

_AT_ONCE = 256
"""Steps of a chunk, in which the oldest one counts 7e-8 of the newest: far from where numbers end."""

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
    if not len(surprise):
        return surprise, state
    is_there = ~surprise.isnan()
    known = torch.where(is_there, surprise.clamp(max=_MOST), 0.0)
    total, weight = state
    found = []
    for here, there in zip(torch.split(known, _AT_ONCE), torch.split(is_there.double(), _AT_ONCE), strict=True):
        # A stream forgets with what it sees, not with time.
        kept = _KEEP ** there.cumsum(0)
        totals = kept * (total + (here / kept).cumsum(0))
        weights = kept * (weight + (there / kept).cumsum(0))
        found.append(totals / weights)
        total, weight = totals[-1], weights[-1]
    return torch.where(is_there, torch.cat(found), torch.nan), LatelyState(total, weight)
