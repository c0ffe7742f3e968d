"""Columns that look like the target, as those of a table do that has a column for each series."""

from __future__ import annotations

import numpy as np

from recur.data.series.panel import Panel
from recur.wording import enumerated, option

_LARGEST_RATIO = 100.0
"""Of the usual sizes of two columns that are alike."""
_MOST_NAMED = 5


def alike_note(panel: Panel) -> list[str]:
    """Return a note where the target is the first of several columns of numbers, and others look like it.

    They do where they are whole numbers as it is, or have decimals as it has, are not 0 and 1 alone, and are usually of
    a like size. Nobody can know whether they are to be forecast too, or help to forecast the first.

    Args:
        panel: As it was read, of whose roles nothing was given.
    """
    schema = panel.schema
    if len(schema.targets) != 1 or schema.roles is None:
        return []
    target = schema.targets[0]
    if not schema.roles.reasons.get(target, "").startswith("the first column of numbers"):
        return []
    own = _kind(panel, 0)
    others = [
        name
        for number, name in enumerate(schema.past_only, 1)
        if own is not None and _are_alike(own, _kind(panel, number))
    ]
    if not others:
        return []
    named = enumerated([*map(repr, others)], most=_MOST_NAMED)
    look, only_help = ("looks", "only helps") if len(others) == 1 else ("look", "only help")
    return [
        f"{named} {look} like {target!r}, but {only_help} to forecast it; "
        f"{option('targets', ','.join((target, *others)))} has all of them forecast"
    ]


def _kind(panel: Panel, column: int) -> tuple[bool, float] | None:
    """Return whether a channel holds whole numbers, and their usual size; None where it tells little."""
    values = panel.values[:, column]
    known = values[~np.isnan(values)].astype(np.float64)
    size = float(np.abs(known).mean()) if len(known) else 0.0
    if not size or bool(np.isin(known, (0, 1)).all()) or bool((known == known[0]).all()):
        return None
    return bool((known % 1 == 0).all()), size


def _are_alike(own: tuple[bool, float], other: tuple[bool, float] | None) -> bool:
    if other is None or own[0] != other[0]:
        return False
    return max(own[1], other[1]) < _LARGEST_RATIO * min(own[1], other[1])
