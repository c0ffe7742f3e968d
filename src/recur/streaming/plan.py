"""Which steps of which series are read together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """Steps of different series that are read in one call of the network.

    Attributes:
        series: Whose, (B,), all different.
        before: The last step of each that was read already, (B,).
        length: How many steps each reads, (B,).
        is_fresh: Whether it begins anew, (B,).
        row: The rows that fall on these steps, (M,).
        at: Which of the series each is of, (M,), counted within the pass.
        steps: How many steps of the pass were read with it, (M,), from 1 on.
    """

    series: Numbers
    before: Numbers
    length: Numbers
    is_fresh: NDArray[np.bool_]
    row: Numbers
    at: Numbers
    steps: Numbers


def passes(series: Numbers, step: Numbers, last: Numbers, *, longest_gap: int, most_steps: int) -> Iterator[Pass]:
    """Yield what is to be read, in order.

    Steps between two rows are read too, as missing ones; where there are more than `longest_gap`, the series begins
    anew with the row after them.

    Args:
        series: Of each row, (R,), ascending.
        step: Of each row, (R,), ascending within a series.
        last: The last step of each row's series that was read, (R,); -1 where it has not begun.
        longest_gap: Steps that may be missing.
        most_steps: Of a pass.
    """
    if not len(series):
        return
    is_first = np.concatenate([[True], series[1:] != series[:-1]])
    previous = np.where(is_first, last, np.concatenate([[-1], step[:-1]]))
    need = step - previous
    is_fresh = (need > longest_gap + 1) & (previous >= 0)
    need = np.where(is_fresh | (need > longest_gap + 1), 1, need)
    # A group is what one series reads without beginning anew; its layer, how often the series began anew before.
    begins = np.flatnonzero(is_first | is_fresh)
    group = np.cumsum(is_first | is_fresh) - 1
    through = np.cumsum(need)
    place = through - (through[begins] - need[begins])[group]
    total = place[np.concatenate([begins[1:] - 1, [len(series) - 1]])]
    renewals = np.cumsum(is_fresh & ~is_first)
    firsts = np.flatnonzero(is_first)
    layer = (renewals - np.repeat(renewals[firsts], np.diff(np.append(firsts, len(series)))))[begins]
    before = step[begins] - need[begins]
    for level in range(int(layer.max()) + 1):
        own = np.flatnonzero(layer == level)
        for first in range(0, int(total[own].max()), most_steps):
            chosen = own[total[own] > first]
            number = np.full(len(begins), -1)
            number[chosen] = np.arange(len(chosen))
            row = np.flatnonzero((number[group] >= 0) & (place > first) & (place <= first + most_steps))
            yield Pass(
                series=series[begins[chosen]],
                before=before[chosen] + first,
                length=np.minimum(total[chosen] - first, most_steps),
                is_fresh=is_fresh[begins[chosen]] & (first == 0),
                row=row,
                at=number[group[row]],
                steps=place[row] - first,
            )
