"""Series on a grid of equal steps, where what is missing has a row of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.aggregation import Aggregate, check_aggregate, collapse
from recur.data.series.frequency import Frequency
from recur.data.series.moments import instants
from recur.data.series.panel import Panel
from recur.data.series.rows import NO_PART
from recur.data.series.spacing import lies_on_grid
from recur.errors import DataError, OptionError
from recur.wording import option, quantity

_MOST_GROWTH = 100
"""How many times as many rows a grid may have before it is taken for a mistake."""


def on_grid(panel: Panel, frequency: str | float | Frequency | None = None, *, by: Aggregate = "mean") -> Panel:
    """Return the series with a row for every step from their first to their last, those that were not there missing.

    A series that lies on the grid keeps its times. Others are moved to it: each value goes to the step in which it
    happened, and a step has the time at which it begins (a full hour for "1h", a Monday for "1w", the first of the
    month for "1mo").

    Args:
        panel: The series.
        frequency: The step, such as "1h", or a number where times are numbers; None for each series' own.
        by: What several values of one step become.

    Raises:
        DataError: A series has no frequency and none is given, or the grid would have a hundred times as many rows.
        OptionError: The frequency is none, or none for such times.

    Example:
        >>> panel = Panel.of_rows(["a"], [3], [[1.0], [2.0], [4.0]], times=[0, 1, 3])
        >>> on_grid(panel, 1).values[:, 0]
        array([ 1.,  2., nan,  4.], dtype=float32)
    """
    check_aggregate("by", by)
    if frequency is not None and not isinstance(frequency, Frequency):
        frequency = Frequency.parse(frequency)
    if frequency is not None and not frequency.fits(panel.times):
        kind = "dates" if panel.times.dtype.kind == "M" else "numbers"
        raise OptionError(f"frequency: {frequency} is no step for times that are {kind}.")
    chosen = [own if frequency is None else frequency for own in panel.frequencies]
    lengths = panel.lengths
    for number, own in enumerate(chosen):
        if own is None and lengths[number] > 1:
            raise DataError(
                f"series {panel.ids[number]!r} has no frequency; name the step of the grid, such as "
                f"{option('frequency', '1h')}."
            )
    begins, steps = _steps(panel, chosen)
    filled = lengths > 0
    num_steps = np.zeros(len(panel), np.int64)
    num_steps[filled] = steps[panel.offsets[1:][filled] - 1] + 1
    # Taken in float64, where nothing overflows.
    if num_steps.sum(dtype=np.float64) > _MOST_GROWTH * max(len(panel.rows), 1000):
        number = int(np.argmax(num_steps))
        raise DataError(
            f"series {panel.ids[number]!r} has {quantity(int(lengths[number]), 'row')}, but on a grid of "
            f"{chosen[number]} it would have {num_steps[number]:,}; choose a longer step, or keep the times as they "
            "are."
        )
    offsets = np.concatenate([[0], np.cumsum(num_steps)]).astype(np.int64)
    place = np.repeat(offsets[:-1], lengths) + steps
    starts = np.flatnonzero(np.diff(place, prepend=-1) != 0)
    rows = collapse(panel.rows, starts, by)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], num_steps)
    origins = np.repeat(begins, num_steps)
    times = origins.copy()
    for one, own_rows in _by_frequency(chosen, num_steps):
        own_times = one.times(within[own_rows], origins[own_rows])
        times[own_rows] = instants(own_times, panel.schema.zone) if one.is_by_clock else own_times
    placed = rows.placed(place[starts], times)
    if rows.part is not None:
        # A step that was left out within a part belongs to it, or the part would be torn.
        step = np.arange(len(times))
        before = rows.part[np.searchsorted(place[starts], step, side="right") - 1]
        after = rows.part[np.searchsorted(place[starts], step)]
        placed = replace(placed, part=np.where(before == after, before, NO_PART).astype(np.int8))
    return replace(panel, offsets=offsets, rows=placed, frequencies=tuple(chosen))


def _steps(panel: Panel, chosen: list[Frequency | None]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return where the grid of each series begins, (N,), and on which of its steps each row falls, (R,)."""
    begins = np.zeros(len(panel), panel.times.dtype)
    filled = panel.lengths > 0
    begins[filled] = panel.times[panel.offsets[:-1][filled]]
    steps = np.zeros(len(panel.rows), np.int64)
    for frequency, own_rows in _by_frequency(chosen, panel.lengths):
        times = panel.times_counted(frequency)
        for number, own in enumerate(chosen):
            rows = times[panel.offsets[number] : panel.offsets[number + 1]]
            if own == frequency and len(rows):
                begins[number] = (rows[:1] if lies_on_grid(rows, frequency) else _floor(rows[:1], frequency))[0]
        origins = np.repeat(begins, panel.lengths)
        steps[own_rows] = frequency.steps(times[own_rows], origins[own_rows])
    return begins, steps


def _by_frequency(
    chosen: list[Frequency | None], lengths: NDArray[np.int64]
) -> list[tuple[Frequency, NDArray[np.bool_] | slice]]:
    """Return each frequency with the rows of the series that have it."""
    different = set(chosen)
    if len(different) == 1 and None not in different:
        frequency = next(iter(different))
        assert frequency is not None
        return [(frequency, slice(None))]
    return [
        (one, np.repeat(np.array([own == one for own in chosen], np.bool_), lengths))
        for one in different
        if one is not None
    ]


def _floor(times: NDArray[Any], frequency: Frequency) -> NDArray[Any]:
    """Return when the step began in which each time lies, on a grid that all series share."""
    if times.dtype.kind != "M":
        zero = np.zeros(1, times.dtype)
    else:
        # Weeks and business days begin on a Monday, all other steps with 1970.
        zero = np.array(["1970-01-05" if frequency.unit in ("w", "b") else "1970-01-01"], times.dtype)
    origins = np.broadcast_to(zero, times.shape)
    return frequency.times(frequency.steps(times, origins), origins)
