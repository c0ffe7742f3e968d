"""Columns that hold the answer: what is to be forecast, moved in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recur.data.series.panel import Panel
from recur.errors import DataError
from recur.wording import quantity

_LEAST_PAIRS = 20
"""Values that must agree before a column is taken for another one moved."""

_GLANCE = 200
"""Rows of a series that are looked at first, as few columns agree with a target there."""


def check_leaks(panel: Panel, horizon: int) -> None:
    """Raise where a column that is read holds a target's values of steps that are to be told.

    Looked for are exact copies of a target, moved by up to a horizon: of a column known of the past what it says of
    later steps, and of one known of the future also what is not past yet when it is read. A target that repeats itself
    after just as many steps says so itself, and its copy is no leak.

    Args:
        panel: The series.
        horizon: Steps that are told.

    Raises:
        DataError: There is such a column; it is named with the target and by how many steps it is moved.
    """
    schema = panel.schema
    num_targets, series = len(schema.targets), panel.series_of_rows
    for column, name in enumerate(schema.channels[num_targets:], num_targets):
        is_known = name in schema.known_future
        # Moved by k, a column holds at a step what the target is k steps later.
        steps = range(1 - horizon if is_known else 1, horizon + 1)
        for target, told in enumerate(schema.targets):
            for step in sorted(steps, key=abs):
                if not _is_moved(panel, series, column, target, step):
                    continue
                if step == 0 or not _is_moved(panel, series, target, target, step):
                    when = f"{quantity(abs(step), 'step')} {'later' if step > 0 else 'before'}" if step else "at once"
                    kind = "known_future" if is_known else "past_only"
                    raise DataError(
                        f"column {name!r}: is in {kind}, but is the target {told!r} {when}, so the model would be told "
                        "the answer; leave it out."
                    )


def _is_moved(panel: Panel, series: NDArray[np.int64], column: int, target: int, step: int) -> bool:
    """Return whether a column is at each row what a target is some steps later, where both are there."""
    longest = int(np.argmax(panel.lengths))
    begin = int(panel.offsets[longest])
    glance = slice(begin, min(begin + _GLANCE, int(panel.offsets[longest + 1])))
    if not np.array_equal(*_pairs(panel, series, column, target, step, glance)):
        return False
    values, later = _pairs(panel, series, column, target, step, slice(0, len(panel.rows)))
    # Numbers that are all the same agree however they are moved.
    return len(values) >= _LEAST_PAIRS and bool((values != values[0]).any()) and np.array_equal(values, later)


def _pairs(
    panel: Panel, series: NDArray[np.int64], column: int, target: int, step: int, rows: slice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a column is at some rows beside what a target is some steps later, where both are there."""
    size = max(rows.stop - rows.start - abs(step), 0)
    own = slice(rows.start + max(-step, 0), rows.start + max(-step, 0) + size)
    later = slice(rows.start + max(step, 0), rows.start + max(step, 0) + size)
    values, targets = panel.values[own, column], panel.values[later, target]
    both = ~np.isnan(values) & ~np.isnan(targets) & (series[own] == series[later])
    return values[both], targets[both]
