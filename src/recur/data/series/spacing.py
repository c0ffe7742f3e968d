"""Which frequency the times of each series have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.frequency import Frequency, in_months, of_duration
from recur.data.series.moments import on_the_clock
from recur.errors import DataError, OptionError
from recur.wording import option

_LEAST_FILLED = 0.5
"""Share of a grid's steps that must be there for it to be taken as the series' own, with gaps."""
_DAY = np.timedelta64(1, "D")


def frequencies_of(
    asked: str | float,
    times: NDArray[Any],
    zone: str | None,
    offsets: NDArray[np.int64],
    *,
    ids: Sequence[str],
    name: str,
    is_learnt: bool,
) -> tuple[list[Frequency | None], list[str]]:
    """Return the frequency of each series, None for those that have none, and what is worth saying of them.

    Args:
        asked: As `Assembly.frequency` has it.
        times: Of the rows, (R,), ascending within each series.
        zone: Of the clock that they are also read by.
        offsets: Where the series begin, (N + 1,).
        ids: Names of the series.
        name: Of the table.
        is_learnt: Whether a model was trained on such series, so that nothing is left to choose.

    Raises:
        DataError: Series have different steps, or times do not lie on the grid that is asked for.
        OptionError: The step is none for such times.
    """
    if asked == "irregular":
        return [None] * len(ids), []
    clock = on_the_clock(times, zone)
    if asked not in ("infer", "mixed"):
        return [_checked(Frequency.parse(asked), times, clock, offsets, ids, name, is_learnt)] * len(ids), []
    found = infer_frequencies(times, offsets)
    if clock is not times:
        by_clock = infer_frequencies(clock, offsets)
        found = [b if b is not None and b.is_by_clock else own for own, b in zip(found, by_clock, strict=True)]
    different = list(dict.fromkeys(one for one in found if one is not None))
    if asked == "infer" and None in found and different:
        irregular = ids[found.index(None)]
        return [None] * len(ids), [f"series {irregular!r} is irregular, so all are taken as irregular"]
    if asked == "infer" and len(different) > 1:
        one, other = (ids[found.index(frequency)] for frequency in different[:2])
        raise DataError(
            f"{name}: series {one!r} has a step of {different[0]}, but {other!r} one of "
            f"{different[1]}; read them apart, say {option('frequency', 'mixed')}, or name one step, such as "
            f"{option('frequency', str(different[0]))}."
        )
    if asked == "infer" and None in found:
        return found, ["the times are on no grid, so the series are irregular"]
    return found, []


def infer_frequencies(clock: NDArray[Any], offsets: NDArray[np.int64]) -> list[Frequency | None]:
    """Return the frequency of each series, or None where its times are on no grid or are too few to say.

    The grid is the finest that the times lie on, provided that at least half of its steps are there: their smallest
    distance if all distances are multiples of it, Monday to Friday, or whole months on the same day or on the last one.
    Series that are too short, or have too many gaps, to say so themselves have the commonest grid of the others if they
    lie on it.

    Args:
        clock: Times by the clock of their zone, (R,), ascending without duplicates within each series.
        offsets: Where the series begin, (N + 1,).
    """
    num_series = len(offsets) - 1
    found: list[Frequency | None] = [None] * num_series
    lengths = np.diff(offsets)
    several = np.flatnonzero(lengths > 1)
    if not len(several):
        return found
    if clock.dtype.kind == "f":
        return [_decimal(clock[offsets[s] : offsets[s + 1]]) if lengths[s] > 1 else None for s in range(num_series)]
    least, multiple = _distances(clock, offsets, several)
    spans = clock[offsets[several + 1] - 1].astype(np.int64) - clock[offsets[several]].astype(np.int64)
    for number, series in enumerate(several.tolist()):
        rows = slice(int(offsets[series]), int(offsets[series + 1]))
        if multiple[number] and spans[number] // least[number] < lengths[series] / _LEAST_FILLED:
            found[series] = of_duration(int(least[number]), clock.dtype)
        if clock.dtype.kind == "M":
            found[series] = _of_calendar(clock[rows], found[series]) or found[series]
    common = Counter(frequency for frequency in found if frequency is not None).most_common(1)
    if common and None in found:
        frequency = common[0][0]
        assert frequency is not None
        for series, own in enumerate(found):
            rows = slice(int(offsets[series]), int(offsets[series + 1]))
            if own is None and lengths[series] and lies_on_grid(clock[rows], frequency):
                found[series] = frequency
    return found


def lies_on_grid(clock: NDArray[Any], frequency: Frequency) -> bool:
    """Return whether all times of one series are steps of the grid that begins with the first."""
    origins = np.broadcast_to(clock[:1], clock.shape)
    times = frequency.times(frequency.steps(clock, origins), origins)
    if clock.dtype.kind == "f":
        return bool(np.allclose(times, clock, rtol=0, atol=1e-6 * float(frequency.count)))
    return bool((times == clock).all())


def _checked(
    frequency: Frequency,
    times: NDArray[Any],
    clock: NDArray[Any],
    offsets: NDArray[np.int64],
    ids: Sequence[str],
    name: str,
    is_learnt: bool,
) -> Frequency:
    """Return a frequency that was asked for, on whose grid all series lie."""
    if not frequency.fits(times):
        kind = "dates" if times.dtype.kind == "M" else "numbers"
        raise OptionError(f"frequency: {frequency} is no step for times that are {kind}.")
    counted = clock if frequency.is_by_clock else times
    for number, own_name in enumerate(ids):
        own = counted[offsets[number] : offsets[number + 1]]
        if len(own) and not lies_on_grid(own, frequency):
            way = (
                f"say {option('frequency', 'irregular')}, and in Python resample with on_grid(panel, '{frequency}')"
                if not is_learnt
                else "give times on that grid, on which those that the model was trained on were"
            )
            raise DataError(f"{name}: the times of series {own_name!r} are not all steps of {frequency}; {way}.")
    return frequency


def _distances(
    clock: NDArray[Any], offsets: NDArray[np.int64], several: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the smallest distance between rows of each series in ticks, and whether it divides all others."""
    distance = np.diff(clock.astype(np.int64))
    # What lies between two series is no distance; their own smallest one stands in.
    first = offsets[several]
    last = offsets[several + 1] - 1
    mark = np.zeros(len(distance) + 1, np.int64)
    np.add.at(mark, first, 1)
    np.add.at(mark, last, -1)
    within = np.cumsum(mark[:-1]) > 0
    kept = distance[within]
    starts = np.concatenate([[0], np.cumsum(last - first)[:-1]])
    least = np.minimum.reduceat(kept, starts)
    sizes = np.repeat(np.maximum(least, 1), last - first)
    return np.maximum(least, 1), (np.add.reduceat(kept % sizes != 0, starts) == 0) & (least > 0)


def _of_calendar(clock: NDArray[Any], fixed: Frequency | None) -> Frequency | None:
    """Return a frequency of the calendar that says more than the fixed one, for one series."""
    if fixed is not None and fixed.seconds is not None and fixed.seconds < 86400:
        return None
    if fixed is not None and (fixed.count, fixed.unit) == (1, "d"):
        weekday = (clock.astype("datetime64[D]").astype(np.int64) + 3) % 7
        business = Frequency(1, "b")
        has_week = clock[-1] - clock[0] >= 7 * _DAY
        return business if has_week and weekday.max() < 5 and lies_on_grid(clock, business) else None
    if fixed is not None and len(clock) > 2 and fixed.unit == "w":
        return None
    months = np.diff(clock.astype("datetime64[M]").astype(np.int64))
    size = int(np.gcd.reduce(months))
    if size == 0 or months.sum() // size >= len(clock) / _LEAST_FILLED:
        return None
    frequency = in_months(size)
    return frequency if lies_on_grid(clock, frequency) else None


def _decimal(clock: NDArray[Any]) -> Frequency | None:
    """Return the frequency of times that are decimal numbers."""
    distance = np.diff(clock)
    size = float(np.median(distance))
    # Times such as 0.1, 0.2, 0.3 are as exact as their digits.
    size = float(f"{size:.9g}")
    if size <= 0 or round(float(clock[-1] - clock[0]) / size) >= len(clock) / _LEAST_FILLED:
        return None
    frequency = Frequency(size, "")
    return frequency if lies_on_grid(clock, frequency) else None
