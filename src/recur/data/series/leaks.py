"""Columns that hold the answer: what is to be forecast, moved in time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recur.data.series.panel import Panel
from recur.errors import DataError, OptionError
from recur.wording import quantity

_LEAST_PAIRS = 20
"""Values that must agree before a column is taken for another one moved."""

_GLANCE = 500
"""Rows in a row that are looked at first, in some places, as few columns agree with a target there."""

_PLACES = 3
"""Where they are, apart from the beginning of the longest series: as far from each other as can be."""

_MORE_PLACES = 8
"""At most so many more are taken where targets change that are constant in the others, and as many for columns that
have values elsewhere."""

_ALIKE = 0.7
"""Correlation of the changes of a column and of a target from which on they are looked at closely."""

_NEARLY_ALIKE = 0.85
"""Correlation of a column itself with how far a target comes, likewise: two that wander go alike by chance."""

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
    future also what is not past yet when it is read; and likewise the change, or the return, from the last value that
    is known. It is one if a line through it tells the target with an error below 3 % of that with which the target's
    own last two values do, leaving the worst twentieth of the values aside, in all rows or in most of some places of
    500 rows. Other functions of a later value, such as its cube, and columns that tell only together are not found.
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
    places = _places(panel, series)
    rows = _Rows(panel, series)
    near = [_Place.of(panel.values[own], series[own]) for own in places]
    # Moved by k, a column holds at a step what the target is k steps later.
    for step in sorted(range(1 - horizon, horizon + 1), key=abs):
        if abs(step) >= panel.lengths.max():
            break
        for column, target in _suspects(near, len(schema.targets), step):
            name, told = schema.channels[column], schema.targets[target]
            is_known = name in schema.known_future
            if column == target or name in trusted or (step < 1 and not is_known):
                continue
            # Known of the future it is read when the step before the target's is the last one.
            if not _tells(rows, places, column, target, step, 1 if is_known else step):
                continue
            when = f"{quantity(abs(step), 'step')} {'later' if step > 0 else 'before'}" if step else "at once"
            role = next(one for one in ("known_future", "past_only", "targets") if name in getattr(schema, one))
            raise DataError(
                f"column {name!r}: is in {role}, but is the target {told!r} {when}, or is made of it, so the model "
                "would be told the answer; leave it out, or name it in trusted if it is known in time."
            )


def _places(panel: Panel, series: NDArray[np.int64]) -> list[slice]:
    """Return rows to look at first: of the longest series, some far apart, where targets change, and columns are."""
    last = max(len(panel.rows) - _GLANCE, 0)
    begins = [int(panel.offsets[int(np.argmax(panel.lengths))]), *np.linspace(0, last, _PLACES).astype(int).tolist()]
    begins = list(dict.fromkeys(min(begin, last) for begin in begins))
    is_one = series[1:] == series[:-1]
    for column in range(len(panel.schema.targets)):
        if len(begins) == _PLACES + 1 + _MORE_PLACES:
            break
        values = panel.values[:, column]
        changes = np.flatnonzero((np.abs(np.diff(values)) > 0) & is_one)
        # Those in none of the places say where another is.
        is_seen = (changes >= np.array(begins)[:, None]) & (changes < np.array(begins)[:, None] + _GLANCE - 1)
        if len(changes) and not is_seen.any():
            begins.append(min(int(changes[0]), last))
    most = len(begins) + _MORE_PLACES
    for column in range(panel.values.shape[1]):
        if len(begins) >= most:
            break
        # Where the others have too few values of a column, the first and the last that have the most stand for it.
        num_before = np.concatenate([[0], np.cumsum(~np.isnan(panel.values[:, column]))])
        counts = num_before[_GLANCE:] - num_before[:-_GLANCE] if last else num_before[-1:]
        if counts[begins].max() < 2 * _LEAST_PAIRS <= counts.max():
            dense = np.flatnonzero(counts == counts.max())
            begins += dict.fromkeys((int(dense[0]), int(dense[-1])))
    return [slice(begin, min(begin + _GLANCE, len(panel.rows))) for begin in begins]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """Some rows, (R, F), and what is held against a target's changes there; NaN where unknown.

    Attributes:
        values: As they are.
        levels: About their median, large ones cut off.
        changes: From row to row, (R - 1, F), large ones cut off.
        bound: By which they were, (F,).
        series: Which each row is of, (R,).
    """

    values: Numbers
    levels: Numbers
    changes: Numbers
    bound: Numbers
    series: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float32], series: NDArray[np.int64]) -> _Place:
        own = values.astype(np.float64)
        levels = own - np.array([np.median(one[there]) if (there := ~np.isnan(one)).any() else 0 for one in own.T])
        changes = _changes(own, series, 1)
        bound, most = _usual(changes), _usual(levels)
        return cls(
            values=own,
            levels=np.clip(levels, -most, most),
            changes=np.clip(changes, -bound, bound),
            bound=bound,
            series=series,
        )


def _changes(values: Numbers, series: NDArray[np.int64], step: int) -> Numbers:
    """Return by how much each channel changes within some steps, (R - step, F); NaN where unknown."""
    change = values[step:] - values[: max(len(values) - step, 0)]
    change[series[step:] != series[: max(len(series) - step, 0)]] = np.nan
    return change


def _usual(values: Numbers) -> Numbers:
    """Return how large values of each channel may be before they are cut off, (F,)."""
    is_there = ~np.isnan(values)
    own = (np.abs(one[there]) for one, there in zip(values.T, is_there.T, strict=True))
    usual = np.array([np.median(sizes) if len(sizes) else 1 for sizes in own])
    mean = np.where(is_there, np.abs(values), 0).sum(axis=0) / np.maximum(is_there.sum(axis=0), 1)
    return np.asarray(4 * np.where(usual > 0, usual, mean))


def _suspects(near: list[_Place], num_targets: int, step: int) -> list[tuple[int, int]]:
    """Return columns and targets that go alike some steps apart in any place, or of which too little is known there.

    Changes of a column are held against those of a target, and the column itself against how far the target has come
    since its last value that is known.
    """
    found: NDArray[np.bool_] | None = None
    for place in near:
        size = max(len(place.changes) - abs(step), 0)
        since = max(step, 1)
        # As far as a random walk comes.
        bound = place.bound[:num_targets] * np.sqrt(since)
        come = np.clip(_changes(place.values[:, :num_targets], place.series, since), -bound, bound)
        before = place.levels[since - step :][: len(come)]
        pairs = (
            (place.changes[max(-step, 0) :][:size], place.changes[max(step, 0) :][:size, :num_targets], _ALIKE),
            (before, come[: len(before)], _NEARLY_ALIKE),
        )
        for by, told, least in pairs:
            own = _alike(by, told, least)
            found = own if found is None else found | own
    assert found is not None
    return [(int(column), int(target)) for column, target in np.argwhere(found)]


def _alike(by: Numbers, told: Numbers, least: float) -> NDArray[np.bool_]:
    """Return which columns go with which targets, or have too few values beside theirs to say so."""
    has_by, has_told = (~np.isnan(each) for each in (by, told))
    by, told = (np.nan_to_num(each) for each in (by, told))
    both = has_by.T.astype(np.float64) @ has_told
    size_by, size_told = (by**2).T @ has_told, has_by.T.astype(np.float64) @ told**2
    return np.asarray((np.abs(by.T @ told) > least * np.sqrt(size_by * size_told)) | (both < _LEAST_PAIRS))


class _Rows:
    """All rows of a panel, looked up where a column has values."""

    def __init__(self, panel: Panel, series: NDArray[np.int64]) -> None:
        self.panel, self.series = panel, series
        self._known: dict[int, NDArray[np.int64]] = {}

    def known(self, column: int, rows: slice) -> NDArray[np.int64]:
        """Return those of some rows in which a column has a value, ascending."""
        if column not in self._known:
            self._known[column] = np.flatnonzero(~np.isnan(self.panel.values[:, column]))
        known = self._known[column]
        return known[slice(*np.searchsorted(known, (rows.start, rows.stop)))]


def _tells(rows: _Rows, places: list[slice], column: int, target: int, step: int, known_since: int) -> bool:
    """Return whether a column is, but for a line, what a target is some steps later, and its past does not tell."""
    shares = [_share(rows, place, column, target, step, known_since) for place in places]
    said = [share for share in shares if share is not None]
    if sum(share <= _LEAK for share in said) > max(len(said) / 2, 1):
        return True
    if said and min(said) > 10 * _LEAK:
        return False
    share = _share(rows, slice(0, len(rows.series)), column, target, step, known_since)
    return share is not None and share <= _LEAK


def _share(rows: _Rows, place: slice, column: int, target: int, step: int, known_since: int) -> float | None:
    """Return the squared error by a column over that by a target's own past, in a place; None where too few tell."""
    values, series = rows.panel.values, rows.series
    # Of each row whose target is told: where the column stood, and the two values of the target that are known last.
    moves = (0, -step, -known_since, -known_since - 1)
    told_at = rows.known(column, place) + step
    told_at = told_at[(told_at + min(moves) >= place.start) & (told_at + max(moves) < place.stop)]
    if len(told_at) < _LEAST_PAIRS:
        return None
    taken = [told_at + move for move in moves]
    cells = [values[own, which] for own, which in zip(taken, (target, column, target, target), strict=True)]
    whose = series[told_at]
    is_there = ~np.any([np.isnan(each) for each in cells], axis=0)
    for own in taken[1:]:
        is_there &= series[own] == whose
    if int(is_there.sum()) < _LEAST_PAIRS:
        return None
    group = np.unique(whose[is_there], return_inverse=True)[1]
    y, x, near, far = (each[is_there].astype(np.float64) for each in cells)
    told, by, change, *past = (_about_mean(each, group) for each in (y, x, y - near, near, far))
    shares = [_share_of(told, [by], told, past), _share_of(change, [by], told, past)]
    if near.any():
        # The return: the change is the last value times a line through the column.
        shares.append(_share_of(y - near, [x * near, near], told, past))
    return min((share for share in shares if share is not None), default=None)


def _share_of(goal: Numbers, by: list[Numbers], told: Numbers, past: list[Numbers]) -> float | None:
    """Return how much what tells a goal leaves open of it, over what its past does of the target."""
    whole = float(goal @ goal)
    error = _left(goal, by)
    # Single values that are off are left aside, unless what there is to tell goes with them.
    kept = np.argsort(np.abs(error), kind="stable")[: len(error) - int(_MOST_OFF * len(error))]
    if goal[kept] @ goal[kept] < 0.5 * whole:
        kept = np.arange(len(error))
    own_error = _left(told[kept], [each[kept] for each in past])
    if not own_error @ own_error > _ROUNDING * float(told @ told):
        return None
    error = _left(goal[kept], [each[kept] for each in by])
    return float(error @ error) / float(own_error @ own_error)


def _about_mean(values: Numbers, group: NDArray[np.int64]) -> Numbers:
    """Return values less the mean of their group."""
    count = np.bincount(group)
    return np.asarray(values - (np.bincount(group, values) / count)[group])


def _left(told: Numbers, known: list[Numbers]) -> Numbers:
    """Return what a linear map of what is known, and a constant, leaves of what is to be told."""
    design = np.stack([*known, np.ones_like(told)], axis=1)
    return np.asarray(told - design @ np.linalg.lstsq(design, told, rcond=None)[0])
