"""How long each step is before the end of its series: remaining useful life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recur.data.series.gathering import elapsed
from recur.data.series.panel import Panel
from recur.errors import DataError, OptionError
from recur.kinds import is_number
from recur.wording import option


def remaining_life(
    panel: Panel,
    *,
    cap: float | None = None,
    at_end: float | Mapping[str, float] | ArrayLike = 0.0,
    censored: Sequence[str] | NDArray[np.bool_] | None = None,
    label: str = "remaining_life",
) -> Panel:
    """Return the series with a label for each step: the time from there to the end of what the series follows.

    Of a series that runs to failure the label is 0 at its last row. One that has not failed yet is *censored*: its true
    life is at least what the rows show, so that its labels are lower bounds, and `Rows.censored` says so. Time is
    counted in steps, in seconds where the series have no frequency and times are dates, and else in the times' unit.

    Args:
        panel: The series, without labels.
        cap: Longest life that is told (Heimes 2008): far from the end nothing shows how far. A bound from the cap on
            is no bound any more, since the capped life is then known. None for no cap.
        at_end: The life that was left after the last row of a series: one number, one for each series in their order,
            or by name, 0 for the names that are not there.
        censored: Which series have not failed: their names, or (N,) bools. By default those whose last row a column
            with the role `censored` says it of, and none without such a column.
        label: What the label is called.

    Raises:
        OptionError: The cap is not above 0, or a life is negative or of another count than the series.
        DataError: The panel has labels already, or no rows, or a name is none of its series.

    Source: Heimes (2008), "Recurrent neural networks for remaining useful life estimation", for the cap.

    Example:
        >>> panel = Panel.of_rows(["failed", "runs"], [3, 2], [[0.0]] * 5)
        >>> rows = remaining_life(panel, cap=1, censored=["runs"]).rows
        >>> rows.labels, rows.censored
        (array([1., 1., 0., 1., 0.], dtype=float32), array([False, False, False, False,  True]))
    """
    if panel.labels is not None or panel.rows.labels is not None:
        raise DataError(
            f"the series have the label {panel.schema.label!r} already; read them with {option('label', ())}."
        )
    if not len(panel.rows):
        raise DataError("the series have no rows, so there is no life to tell.")
    if cap is not None and not (is_number(cap) and 0 < cap < np.inf):
        raise OptionError(f"cap: expected a number above 0 or None, got {cap!r}.")
    if label in panel.schema.channels:
        raise OptionError(f"label: {label!r} is the name of a channel; choose another.")
    since = elapsed(panel)
    left = _at_end(panel, at_end)
    # An empty series has no last row, and no row that asks for it.
    last = np.maximum(panel.offsets[1:] - 1, 0)
    is_bound = _censored(panel, censored, last)[panel.series_of_rows]
    life = (since[last] + left)[panel.series_of_rows] - since
    if cap is not None:
        is_bound &= life < cap
        life = np.minimum(life, cap)
    rows = replace(panel.rows, labels=life.astype(np.float32), censored=is_bound if is_bound.any() else None)
    return replace(panel, rows=rows, schema=replace(panel.schema, label=label, classes=None))


def _at_end(panel: Panel, at_end: float | Mapping[str, float] | ArrayLike) -> NDArray[np.float64]:
    """Return the life left after the last row of each series, (N,)."""
    if isinstance(at_end, Mapping):
        _check_names(panel, "at_end", list(at_end))
        given: ArrayLike = [at_end.get(name, 0.0) for name in panel.ids]
    else:
        given = at_end
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"at_end: expected numbers, got {at_end!r}.") from None
    if found.shape not in ((), (len(panel),)):
        raise OptionError(f"at_end: expected one number or {len(panel)}, one for each series, got shape {found.shape}.")
    if not bool((np.isfinite(found) & (found >= 0)).all()):
        raise OptionError("at_end: a life that is left must be a number from 0 on.")
    return np.broadcast_to(found, (len(panel),))


def _censored(
    panel: Panel, censored: Sequence[str] | NDArray[np.bool_] | None, last: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which series have not failed, (N,)."""
    if censored is None:
        if panel.rows.censored is None:
            return np.zeros(len(panel), np.bool_)
        return panel.rows.censored[last]
    if isinstance(censored, np.ndarray):
        if censored.shape != (len(panel),) or censored.dtype != np.bool_:
            raise OptionError(
                f"censored: expected {len(panel)} bools, one for each series, got {censored.dtype} of shape "
                f"{censored.shape}."
            )
        return censored
    if isinstance(censored, str):
        raise OptionError(f"censored: expected several names of series, got the text {censored!r}; put it into a list.")
    _check_names(panel, "censored", censored)
    names = set(censored)
    return np.array([name in names for name in panel.ids], np.bool_)


def _check_names(panel: Panel, option: str, names: Sequence[str]) -> None:
    unknown = sorted(set(map(str, names)) - set(panel.ids))
    if unknown:
        raise DataError(f"{option}: there is no series {unknown[0]!r} among the {len(panel):,} here.")
