"""Rows that follow others of the same series, joined so that the others can be read before them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.frequency import Frequency
from recur.data.series.grid import on_grid
from recur.data.series.panel import Panel
from recur.data.series.rows import Rows
from recur.data.series.spacing import lies_on_grid
from recur.data.series.split import Part


def following(panel: Panel, past: Panel, *, longest_gap: int, has_all_steps: bool = True, name: str = "given") -> Part:
    """Return the rows of a panel as a part, with those that other rows of the same series say of the time before.

    A series is joined where it has the same name in both, its past ends before it begins, and both lie on one grid with
    at most `longest_gap` steps left out between them. Others stay as they are.

    Args:
        panel: The rows of the part.
        past: Of the same schema.
        longest_gap: In steps; of series without a step in common, however long the gap is.
        has_all_steps: Whether steps that are left out get rows without values, of series with a step in common.
        name: Of the part.

    Example:
        >>> step = [Frequency(1, "")]
        >>> early = Panel.of_rows(["a"], [3], [[1.0], [2.0], [3.0]], times=[0, 1, 2], frequencies=step)
        >>> later = Panel.of_rows(["a"], [1], [[5.0]], times=[4], frequencies=step)
        >>> part = following(later, early, longest_gap=5)
        >>> part.panel.values[:, 0], part.start
        (array([ 1.,  2.,  3., nan,  5.], dtype=float32), array([4]))
    """
    places = {one: number for number, one in enumerate(past.ids)}
    clocks, instants = (past.clock, panel.clock), (past.times, panel.times)
    taken: list[NDArray[np.int64]] = []
    before = np.zeros(len(panel), np.int64)
    for number, one in enumerate(panel.ids):
        rows = np.arange(panel.offsets[number], panel.offsets[number + 1]) + len(past.rows)
        if one in places and len(rows):
            early = np.arange(*past.offsets[places[one] : places[one] + 2])
            frequency = panel.frequencies[number]
            times, later = clocks if frequency is not None and frequency.is_by_clock else instants
            if len(early) and _follows(times[early], later[rows - len(past.rows)], frequency, longest_gap):
                before[number] = len(early)
                taken.append(early)
        taken.append(rows)
    joined = replace(
        panel,
        rows=_stacked(past.rows, panel.rows).take(np.concatenate(taken) if taken else np.zeros(0, np.int64)),
        offsets=np.concatenate([[0], np.cumsum(panel.lengths + before)]).astype(np.int64),
    )
    start = joined.offsets[:-1] + before
    if has_all_steps and before.any() and None not in panel.frequencies:
        filled = on_grid(joined)
        # Rows of series that had holes are more than they were.
        start = np.array(
            [
                stop - np.count_nonzero(filled.times[begin:stop] >= joined.times[first]) if first < end else stop
                for begin, stop, first, end in zip(
                    filled.offsets[:-1], filled.offsets[1:], start, joined.offsets[1:], strict=True
                )
            ],
            np.int64,
        )
        joined = filled
    return Part(panel=joined, start=start, stop=joined.offsets[1:].copy(), name=name)


def _follows(early: NDArray[Any], later: NDArray[Any], frequency: Frequency | None, longest_gap: int) -> bool:
    """Return whether times go on where others ended."""
    if not early[-1] < later[0]:
        return False
    if frequency is None:
        return True
    if not lies_on_grid(np.concatenate([early, later]), frequency):
        return False
    gap = int(frequency.steps(later[:1], early[-1:])[0])
    return gap <= longest_gap + 1


def _stacked(first: Rows, second: Rows) -> Rows:
    """Return the rows of both; what one of them has not, none has."""
    pairs = {one.name: (getattr(first, one.name), getattr(second, one.name)) for one in fields(Rows)}
    found: dict[str, Any] = {
        name: None if any(array is None for array in pair) else np.concatenate(pair) for name, pair in pairs.items()
    }
    return Rows(**found)
