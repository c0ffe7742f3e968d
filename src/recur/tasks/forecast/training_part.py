"""What the training part says of the series, beside their season."""

from __future__ import annotations

import numpy as np

from recur.data.series import Part
from recur.data.series.gathering import elapsed, time_since_last

_OFTEN = 0.01
"""Share of the targets that are 0, from which on 0 is taken for where they end."""


def least_history_of(train: Part, history: int, horizon: int) -> int:
    """Return how many steps must be there to read, so that of half of the series there are windows to learn from.

    Args:
        train: The training part.
        history: Steps that are read at most.
        horizon: Steps that are told.
    """
    lengths = (train.stop - train.panel.offsets[:-1])[train.series]
    usual = int(np.median(lengths)) - horizon
    # Where half of the series are too short for the horizon itself, those that are not decide.
    longest = int(lengths.max(initial=0)) - horizon
    return max(1, min(history, usual if usual > 0 else longest))


def find_non_negative(train: Part, asked: bool | None) -> tuple[bool, ...]:
    """Return which targets are taken never to be below 0, (C,).

    Args:
        train: The training part, and nothing else is looked at.
        asked: What the user says of all of them; None for those of which nothing in the part is, and that are whole
            numbers there or 0 at least once in a hundred.
    """
    num_targets = len(train.panel.schema.targets)
    if asked is not None:
        return (asked,) * num_targets
    found = []
    for column in range(num_targets):
        values = train.panel.values[train.has_row, column]
        values = values[~np.isnan(values)]
        is_whole_or_often_zero = (values == np.round(values)).all() or np.mean(values == 0) >= _OFTEN
        found.append(bool(len(values) and (values >= 0).all() and is_whole_or_often_zero))
    return tuple(found)


def find_time_unit(train: Part, *, keeps_gaps: bool) -> float | None:
    """Return the median of the distances of two steps; None where the training part says that all are one step.

    Args:
        train: The training part, and nothing else is looked at.
        keeps_gaps: Whether steps may be left out, be it that none is in the training part.
    """
    panel = train.panel
    has_both = train.has_row & np.concatenate([[False], train.has_row[:-1]])
    has_both[panel.offsets[:-1][panel.lengths > 0]] = False
    distances = time_since_last(panel, elapsed(panel))[has_both]
    if not keeps_gaps and None not in panel.frequencies and bool((distances == 1).all()):
        return None
    return float(np.median(distances)) if len(distances) else 1.0
