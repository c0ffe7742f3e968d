"""Columns that hold the answer: what is to be forecast, moved in time."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from recur.data.series.panel import Panel
from recur.errors import DataError, OptionError
from recur.wording import quantity

_LEAST_PAIRS = 20
"""Values that must agree before a column is taken for another one moved."""

_GLANCE = 500
"""Rows that are looked at first, from the longest series on, as few columns agree with a target there."""

_ALIKE = 0.7
"""Correlation of the changes of a column and of a target from which on they are looked at closely."""

_MOST_OFF = 0.05
"""Share of the values that may be anything, such as single ones that were mended."""

_LEAK = 1e-3
"""What a column leaves open of a later value, as a share of what the target's own past does: 3 % of the deviation."""

_ROUNDING = 1e-9
"""Share of the variance that float32 and arithmetic may leave of what is told exactly."""

Numbers = NDArray[np.float64]


def check_leaks(panel: Panel, horizon: int, trusted: Collection[str] = ()) -> None:
    """Raise where a column that is read holds a target's values of steps that are to be told.

    Looked for are copies of a target, moved by up to a horizon, also scaled, shifted, rounded or with some other values
    in them: of a column known of the past, another target too, what it says of later steps, and of one known of the
    future also what is not past yet when it is read. It is one if a line through it tells the target with an error
    below 3 % of that with which the target's own last two values do, leaving the worst twentieth of the values aside.
    What a target's own past tells as well is no leak.

    Args:
        panel: The series.
        horizon: Steps that are told.
        trusted: Columns that are known in time, although they tell what comes.

    Raises:
        DataError: There is such a column; it is named with the target and by how many steps it is moved.
        OptionError: A column that is trusted is not among those that are read.
    """
    schema = panel.schema
    for name in trusted:
        if name not in schema.channels:
            raise OptionError(f"trusted: {name!r} is no column of numbers that is read; leave it out.")
    series = panel.series_of_rows
    glance = _glance(panel)
    changes = _changes(panel.values[glance], series[glance])
    # Moved by k, a column holds at a step what the target is k steps later.
    for step in sorted(range(1 - horizon, horizon + 1), key=abs):
        if abs(step) >= panel.lengths.max():
            break
        for column, target in _suspects(changes, len(schema.targets), step):
            name, told = schema.channels[column], schema.targets[target]
            is_known = name in schema.known_future
            if column == target or name in trusted or (step < 1 and not is_known):
                continue
            # Known of the future it is read when the step before the target's is the last one.
            if not _tells(panel, series, glance, column, target, step, 1 if is_known else step):
                continue
            when = f"{quantity(abs(step), 'step')} {'later' if step > 0 else 'before'}" if step else "at once"
            role = next(one for one in ("known_future", "past_only", "targets") if name in getattr(schema, one))
            raise DataError(
                f"column {name!r}: is in {role}, but is the target {told!r} {when}, or is made of it, so the model "
                "would be told the answer; leave it out, or name it in trusted if it is known in time."
            )


def _glance(panel: Panel) -> slice:
    """Return some rows from the beginning of the longest series on."""
    begin = min(int(panel.offsets[int(np.argmax(panel.lengths))]), max(len(panel.rows) - _GLANCE, 0))
    return slice(begin, min(begin + _GLANCE, len(panel.rows)))


def _changes(values: NDArray[np.float32], series: NDArray[np.int64]) -> Numbers:
    """Return by how much each channel changes from row to row, (R - 1, F), large changes cut off; NaN where unknown."""
    change = np.diff(values.astype(np.float64), axis=0)
    change[np.diff(series) != 0] = np.nan
    is_there = ~np.isnan(change)
    count = is_there.sum(axis=0)
    own = (np.abs(one[there]) for one, there in zip(change.T, is_there.T, strict=True))
    usual = np.array([np.median(sizes) if len(sizes) else 1 for sizes in own])
    mean = np.where(is_there, np.abs(change), 0).sum(axis=0) / np.maximum(count, 1)
    bound = 4 * np.where(usual > 0, usual, mean)
    return np.clip(change, -bound, bound)


def _suspects(changes: Numbers, num_targets: int, step: int) -> list[tuple[int, int]]:
    """Return columns and targets that change alike some steps apart, or of which too little is known to say so."""
    size = len(changes) - abs(step)
    by = changes[max(-step, 0) :][: max(size, 0)]
    told = changes[max(step, 0) :][: max(size, 0), :num_targets]
    has_by, has_told = (~np.isnan(each) for each in (by, told))
    by, told = (np.nan_to_num(each) for each in (by, told))
    both = has_by.T.astype(np.float64) @ has_told
    size_by, size_told = (by**2).T @ has_told, has_by.T.astype(np.float64) @ told**2
    alike = np.abs(by.T @ told) > _ALIKE * np.sqrt(size_by * size_told)
    return [(int(column), int(target)) for column, target in np.argwhere(alike | (both < _LEAST_PAIRS))]


def _tells(
    panel: Panel,
    series: NDArray[np.int64],
    glance: slice,
    column: int,
    target: int,
    step: int,
    known_since: int,
) -> bool:
    """Return whether a column is, but for a line, what a target is some steps later, and its past does not tell."""
    found = None
    for rows, bound in ((glance, 10 * _LEAK), (slice(0, len(panel.rows)), _LEAK)):
        found = _errors(panel, series, rows, column, target, step, known_since)
        if found is not None and not found[0] <= bound * found[1]:
            return False
    return found is not None


def _errors(
    panel: Panel,
    series: NDArray[np.int64],
    rows: slice,
    column: int,
    target: int,
    step: int,
    known_since: int,
) -> tuple[float, float] | None:
    """Return the squared errors by a column and by a target's own past, of some rows; None where too few tell."""
    # Of each row whose target is told: where the column stood, and the two values of the target that are known last.
    moves = (0, -step, -known_since, -known_since - 1)
    first, last = rows.start - min(moves), rows.stop - max(0, *moves)
    if last - first < _LEAST_PAIRS:
        return None
    taken = [slice(first + move, last + move) for move in moves]
    columns = (target, column, target, target)
    y, x, near, far = (panel.values[own, which] for own, which in zip(taken, columns, strict=True))
    whose = series[taken[0]]
    is_there = ~(np.isnan(y) | np.isnan(x) | np.isnan(near) | np.isnan(far))
    for own in taken[1:]:
        is_there &= series[own] == whose
    if int(is_there.sum()) < _LEAST_PAIRS:
        return None
    group = np.unique(whose[is_there], return_inverse=True)[1]
    told, by, *past = (_about_mean(each[is_there].astype(np.float64), group) for each in (y, x, near, far))
    whole = float(told @ told)
    error = _left(told, [by])
    # Single values that are off are left aside, unless what there is to tell goes with them.
    kept = np.argsort(np.abs(error), kind="stable")[: len(error) - int(_MOST_OFF * len(error))]
    if told[kept] @ told[kept] < 0.5 * whole:
        kept = np.arange(len(error))
    told, by, *past = (each[kept] for each in (told, by, *past))
    own_error = _left(told, past)
    if not own_error @ own_error > _ROUNDING * whole:
        return None
    error = _left(told, [by])
    return float(error @ error), float(own_error @ own_error)


def _about_mean(values: Numbers, group: NDArray[np.int64]) -> Numbers:
    """Return values less the mean of their group."""
    count = np.bincount(group)
    return np.asarray(values - (np.bincount(group, values) / count)[group])


def _left(told: Numbers, known: list[Numbers]) -> Numbers:
    """Return what a linear map of what is known, and a constant, leaves of what is to be told."""
    design = np.stack([*known, np.ones_like(told)], axis=1)
    return np.asarray(told - design @ np.linalg.lstsq(design, told, rcond=None)[0])
