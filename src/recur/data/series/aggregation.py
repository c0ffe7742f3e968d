"""Several rows to one."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recur.data.series.rows import Rows
from recur.errors import OptionError

Aggregate = Literal["mean", "sum", "last", "first", "max", "min"]
"""What several values become; missing ones do not count, and nothing but missing ones is missing."""


def check_aggregate(option: str, by: str, allowed: tuple[str, ...] = get_args(Aggregate)) -> None:
    """Raise OptionError unless `by` is one of `allowed`."""
    if by not in allowed:
        raise OptionError(f"{option}: expected one of {', '.join(allowed)}, got {by!r}.")


def collapse(rows: Rows, starts: NDArray[np.int64], by: Aggregate) -> Rows:
    """Return one row for each group of neighbouring rows.

    Args:
        rows: R rows.
        starts: Where each group begins, (G,), ascending from 0; no group is empty.
        by: What its numbers become. Times are those of the first row; categories, labels, whether they are
            censored, parts and weights those of the last one, or of the first where `by` is "first".
    """
    if len(starts) == len(rows):
        return rows
    last = np.append(starts[1:], len(rows)) - 1
    chosen = rows.take(starts if by == "first" else last)
    return Rows(
        times=rows.times[starts],
        values=_numbers(rows.values, starts, last, by),
        codes=chosen.codes,
        labels=chosen.labels,
        weight=chosen.weight,
        censored=chosen.censored,
        part=chosen.part,
    )


def _numbers(
    values: NDArray[np.float32], starts: NDArray[np.int64], last: NDArray[np.int64], by: Aggregate
) -> NDArray[np.float32]:
    is_there = ~np.isnan(values)
    found: NDArray[Any]
    if by in ("mean", "sum"):
        count = np.add.reduceat(is_there, starts, axis=0, dtype=np.int64)
        found = np.add.reduceat(np.where(is_there, values, 0), starts, axis=0, dtype=np.float64)
        if by == "mean":
            found = found / np.maximum(count, 1)
        found[count == 0] = np.nan
        return found.astype(np.float32)
    if by in ("max", "min"):
        return np.asarray((np.fmax if by == "max" else np.fmin).reduceat(values, starts, axis=0))
    place = np.arange(len(values))[:, None]
    if by == "last":
        row = np.maximum.reduceat(np.where(is_there, place, -1), starts, axis=0)
        row = np.where(row < 0, last[:, None], row)
    else:
        row = np.minimum.reduceat(np.where(is_there, place, len(values)), starts, axis=0)
        row = np.where(row == len(values), starts[:, None], row)
    return np.take_along_axis(values, row, axis=0)
