"""How far apart the steps of a series are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.errors import OptionError

_NAMES = {
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "b": "business day",
    "mo": "month",
    "q": "quarter",
    "y": "year",
    "": "step",
}
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_EPOCH_MONDAY = 4
"""1970-01-05 was a Monday."""


@dataclass(frozen=True)
class Frequency:
    """A step from one row of a series to the next.

    Attributes:
        count: How many units; whole for units of the calendar.
        unit: ns, us, ms, s, min, h, d, w, b (Monday to Friday), mo, q, y, or "" where times are plain numbers.

    Example:
        >>> str(Frequency.parse("15min")), str(Frequency(1, "mo"))
        ('15min', '1mo')
    """

    count: int | float
    unit: str

    @classmethod
    def parse(cls, text: str | int | float) -> Frequency:
        """Return the frequency that `text` writes, such as "1h", "15min", "1mo", "b", or a number.

        Raises:
            OptionError: It writes none.
        """
        if isinstance(text, int | float) and not isinstance(text, bool):
            count, unit = text, ""
        else:
            match = re.fullmatch(r"(\d*)\s*([a-z]+)", str(text).strip().lower())
            if match is None or match[2] not in _NAMES:
                units = ", ".join(unit for unit in _NAMES if unit)
                raise OptionError(
                    f"frequency: {text!r} is none; write a number and one of the units {units}, such as '15min'."
                )
            count, unit = int(match[1] or 1), match[2]
        if not 0 < count < float("inf"):
            raise OptionError(f"frequency: expected a step above zero, got {text!r}.")
        if unit == "b" and count != 1:
            raise OptionError(f"frequency: business days come one at a time, got {text!r}.")
        return cls(count, unit)

    def __str__(self) -> str:
        return f"{self.count:g}{self.unit}" if isinstance(self.count, float) else f"{self.count}{self.unit}"

    @property
    def is_calendar(self) -> bool:
        """Whether its steps are not all of one duration."""
        return self.unit in _MONTHS or self.unit == "b"

    @property
    def is_by_clock(self) -> bool:
        """Whether a step is a day or more, which the clock of a zone measures and not every day has 24 hours."""
        return self.seconds is not None and self.seconds >= 86400

    @property
    def seconds(self) -> float | None:
        """Mean duration of a step; None where times are plain numbers."""
        if self.unit == "":
            return None
        if self.unit == "b":
            return 86400 * 7 / 5
        if self.unit in _MONTHS:
            return self.count * _MONTHS[self.unit] * 86400 * 365.2425 / 12
        return self.count * _NANOSECONDS[self.unit] / 1e9

    def steps(self, times: NDArray[Any], origins: NDArray[Any]) -> NDArray[np.int64]:
        """Return on which step of a grid each time falls, counted from the grid's origin and rounded down.

        Args:
            times: (R,) datetime64 or numbers.
            origins: The first time of each row's grid, (R,) of the same dtype.
        """
        if self.unit in _MONTHS:
            size = int(self.count) * _MONTHS[self.unit]
            months = times.astype("datetime64[M]").astype(np.int64) - origins.astype("datetime64[M]").astype(np.int64)
            # Within its month a time may lie before the grid's day and hour.
            return np.asarray((months - (_within_month(times) < _due(times, origins))) // size)
        if self.unit == "b":
            return np.asarray(_business_day(times) - _business_day(origins))
        size_any = self._size(times)
        if isinstance(size_any, float):
            # Decimal steps such as 0.1 are not exact in binary.
            steps = np.floor((times - origins) / size_any + 1e-6)
            return np.asarray(np.clip(steps, -(2.0**62), 2.0**62).astype(np.int64))
        return np.asarray((times.astype(np.int64) - origins.astype(np.int64)) // size_any)

    def times(self, steps: NDArray[np.int64], origins: NDArray[Any]) -> NDArray[Any]:
        """Return the times of the steps of a grid, (R,) in the dtype of `origins`: the inverse of `steps`."""
        if self.unit in _MONTHS:
            size = int(self.count) * _MONTHS[self.unit]
            months = (origins.astype("datetime64[M]") + steps * size).astype(origins.dtype)
            return np.asarray(months + _due(months, origins))
        if self.unit == "b":
            number = _business_day(origins) + steps
            days = (number // 5 * 7 + number % 5 + _EPOCH_MONDAY).astype("datetime64[D]")
            return np.asarray(days.astype(origins.dtype) + _within_day(origins))
        size_any = self._size(origins)
        if isinstance(size_any, float):
            return np.asarray(origins + steps * size_any, dtype=origins.dtype)
        return np.asarray((origins.astype(np.int64) + steps * size_any).astype(origins.dtype))

    def fits(self, times: NDArray[Any]) -> bool:
        """Return whether the frequency can be one of times of this dtype."""
        if times.dtype.kind != "M":
            return self.unit == "" and (times.dtype.kind == "f" or float(self.count).is_integer())
        if self.unit == "":
            return False
        return self.is_calendar or self.count * _NANOSECONDS[self.unit] >= _nanoseconds_of(times.dtype)

    def _size(self, times: NDArray[Any]) -> int | float:
        if times.dtype.kind == "M":
            return int(self.count) * _NANOSECONDS[self.unit] // _nanoseconds_of(times.dtype)
        return float(self.count) if times.dtype.kind == "f" else int(self.count)


def of_duration(ticks: int, dtype: np.dtype[Any]) -> Frequency:
    """Return the frequency of a fixed step, in the largest unit that divides it.

    Args:
        ticks: The step in ticks of `dtype`.
        dtype: Of the times: datetime64, or a whole number.
    """
    if dtype.kind != "M":
        return Frequency(ticks, "")
    nanoseconds = ticks * _nanoseconds_of(dtype)
    # Seven days are called 1w, fourteen 2w, but 24 hours 1d.
    for unit, size in reversed(_NANOSECONDS.items()):
        if nanoseconds % size == 0:
            return Frequency(nanoseconds // size, unit)
    raise AssertionError("every duration is a multiple of a nanosecond")


def in_months(months: int) -> Frequency:
    """Return the frequency of so many months, in the largest unit that divides them.

    Example:
        >>> str(in_months(3)), str(in_months(24))
        ('1q', '2y')
    """
    for unit, size in reversed(_MONTHS.items()):
        if months % size == 0:
            return Frequency(months // size, unit)
    raise AssertionError("every number is a multiple of one")


def _nanoseconds_of(dtype: np.dtype[Any]) -> int:
    unit, count = np.datetime_data(dtype)
    return _NANOSECONDS[unit] * count


def _within_day(times: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(times - times.astype("datetime64[D]").astype(times.dtype))


def _within_month(times: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(times - times.astype("datetime64[M]").astype(times.dtype))


def _due(times: NDArray[Any], origins: NDArray[Any]) -> NDArray[Any]:
    """Return how far into the month of `times` the step of a grid lies.

    A grid that begins on the last day of a month stays on last days.
    """
    last, within = _last_of_month(times, origins), _within_month(origins)
    is_last = within == _last_of_month(origins, origins)
    return np.where(is_last, last, np.minimum(within, last))


def _last_of_month(times: NDArray[Any], origins: NDArray[Any]) -> NDArray[Any]:
    """Return how far into the month of `times` its last day is, at the clock time of `origins`."""
    month = times.astype("datetime64[M]")
    days = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64) - 1
    return np.asarray(days * np.timedelta64(1, "D").astype(_within_day(origins).dtype) + _within_day(origins))


def _business_day(times: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of the last business day up to each time, counted from 1970-01-05."""
    days = times.astype("datetime64[D]").astype(np.int64) - _EPOCH_MONDAY
    return np.asarray(days // 7 * 5 + np.minimum(days % 7, 4))
