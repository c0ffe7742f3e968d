"""Where in the day, the week and the year a time is, as numbers that a network can use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.frequency import Frequency
from recur.data.series.panel import Panel
from recur.errors import DataError, OptionError
from recur.wording import option

_PERIODS = {
    "minute": 3600.0,
    "hour": 86400.0,
    "weekday": 7 * 86400.0,
    "monthday": 365.2425 / 12 * 86400,
    "month": 365.2425 * 86400,
}
"""Seconds after which each comes again."""


def calendar_features(frequency: Frequency | None) -> tuple[str, ...]:
    """Return which features make sense for a frequency.

    A feature does where at least two steps fall into its period, so that it changes from step to step: minutes up to
    half an hour, hours up to half a day, weekdays up to three days, and so on; of whole weeks the weekday never
    changes. Series without a frequency get hour, weekday and month.

    Example:
        >>> calendar_features(Frequency.parse("1h")), calendar_features(Frequency.parse("1mo"))
        (('hour', 'weekday', 'monthday', 'month'), ('month',))
    """
    if frequency is None:
        return ("hour", "weekday", "month")
    seconds = frequency.seconds
    if seconds is None:
        return ()
    if frequency.unit == "b":
        seconds = 86400.0
    found = [name for name, period in _PERIODS.items() if 2 * seconds < period * 1.001]
    return tuple(found)


def encode_calendar(clock: NDArray[Any], features: tuple[str, ...]) -> NDArray[np.float32]:
    """Return sine and cosine of each feature, (R, 2K) float32: hour_sin, hour_cos, weekday_sin and so on.

    The angle goes round once an hour for minute, a day for hour, a week from Monday for weekday, a month for monthday
    (by its own number of days), a year from January for month (by whole months and the day within).

    Args:
        clock: (R,) datetime64, what the clock showed.
        features: Some of minute, hour, weekday, monthday and month.

    Raises:
        OptionError: A feature is unknown.
    """
    unknown = [name for name in features if name not in _PERIODS]
    if unknown:
        raise OptionError(f"calendar: expected some of {', '.join(_PERIODS)}, got {unknown[0]!r}.")
    found = np.empty((len(clock), 2 * len(features)), np.float32)
    for number, name in enumerate(features):
        angle = 2 * np.pi * _turn(clock, name)
        found[:, 2 * number], found[:, 2 * number + 1] = np.sin(angle), np.cos(angle)
    return found


def calendar_of(panel: Panel, features: tuple[str, ...] | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the calendar features of all rows of a panel, (R, 2K), and their names.

    Args:
        panel: The series.
        features: Which ones; None for those that make sense for the frequency of every series.

    Raises:
        OptionError: A feature is unknown.
        DataError: Features are asked for, but the times are numbers.
    """
    if panel.times.dtype.kind != "M":
        if features:
            raise DataError(
                f"calendar: the times are numbers, which have no {features[0]}; ask for none with "
                f"{option('calendar', ())}."
            )
        return np.zeros((len(panel.rows), 0), np.float32), ()
    if features is None:
        sensible = [calendar_features(frequency) for frequency in set(panel.frequencies)]
        features = tuple(name for name in _PERIODS if sensible and all(name in own for own in sensible))
    names = tuple(f"{name}_{part}" for name in features for part in ("sin", "cos"))
    return encode_calendar(panel.clock, features), names


def _turn(clock: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return which share of its period has gone by at each time."""
    day, month, year = (clock.astype(f"datetime64[{unit}]") for unit in "DMY")
    if name == "minute":
        return np.asarray((clock - clock.astype("datetime64[h]")) / np.timedelta64(1, "h"), np.float64)
    of_day = np.asarray((clock - day) / np.timedelta64(1, "D"), np.float64)
    if name == "hour":
        return of_day
    if name == "weekday":
        # 1970-01-01 was a Thursday.
        return ((day.astype(np.int64) + 3) % 7 + of_day) / 7
    in_month = (day - month.astype("datetime64[D]")).astype(np.int64) + of_day
    of_month = np.asarray(
        in_month / ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    )
    if name == "monthday":
        return of_month
    return np.asarray(((month - year.astype("datetime64[M]")).astype(np.int64) + of_month) / 12)
