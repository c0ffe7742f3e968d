"""A column of times to instants, and instants to what the clock on the wall showed."""

from __future__ import annotations

import zoneinfo
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.table import Table
from recur.errors import DataError, OptionError
from recur.wording import option

_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y%m%d",
    "%Y%m%d%H%M%S",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
)
_MONTH_FIRST = ("%m/%d/%Y %H:%M:%S%.f", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%m/%d/%y %H:%M", "%m/%d/%y")
_DAY_FIRST = tuple(text.replace("%m/%d", "%d/%m") for text in _MONTH_FIRST)
_OFFSET = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"
_CLOCK = r"\d:\d{2}"
_SAMPLE = 1000
_EPOCHS = {"s": (1e8, 1e10), "ms": (1e11, 1e13), "us": (1e14, 1e16), "ns": (1e17, 1e19)}
YEAR_NAMES = ("year", "jahr", "annee", "anno", "ano", "jaar", "rok")
PARTS = ("year", "month", "day", "hour", "minute", "second")
"""Names of columns that together are a time."""


def read_times(
    table: Table, columns: tuple[str, ...], *, zone: str | None, time_format: str | None
) -> tuple[NDArray[Any], str | None]:
    """Return the times of all rows and the zone whose clocks they are to be read by.

    Args:
        table: The table.
        columns: One column; or several called year, month and so on, that together are a time.
        zone: Zone of the clock, or None for that of the column. Times with an offset are instants, so they are shown in
            it; times without are what the clock showed.
        time_format: How a text is written, in the letters of strftime; None to find out.

    Returns:
        (R,): datetime64 of instants in UTC where the zone is known, else of what the clock showed; int64 or float64
        where the column holds numbers. And the zone, or None.

    Raises:
        DataError: A time is missing, cannot be read, or could be read in two ways.
        OptionError: The zone or the format is none.
    """
    if zone is not None:
        check_zone(zone)
    several = len(columns) > 1
    found = _from_parts(table, columns) if several else _from_column(table, columns[0], time_format)
    _refuse_missing(table, columns[0], found)
    if found.dtype.is_numeric():
        if zone is not None:
            raise OptionError(f"zone: column {columns[0]!r} holds plain numbers, which have no time zone.")
        return _numbers(table, columns[0], found), None
    assert isinstance(found.dtype, pl.Datetime)
    own = found.dtype.time_zone
    if own is None and zone is not None:
        found = _placed(table, columns[0], found, zone)
    times = found.dt.replace_time_zone(None) if own is None and zone is None else _utc(found)
    _refuse_years(table, columns[0], times)
    return times.to_numpy(), zone or own


def _numbers(table: Table, column: str, times: pl.Series) -> NDArray[Any]:
    """Return times that are numbers, as int64 where all are whole."""
    numbers = times.cast(pl.Float64).to_numpy()
    # Beyond 2^53 float64 cannot count, and differences of int64 overflow.
    wrong = np.flatnonzero(~(np.abs(numbers) < 2**53))
    if len(wrong):
        raise DataError(
            f"{table.cell(column, int(wrong[0]))}: the time is {numbers[wrong[0]]:g}, but must be finite and below "
            "2^53."
        )
    return numbers.astype(np.int64) if bool((numbers % 1 == 0).all()) else numbers


def _refuse_years(table: Table, column: str, times: pl.Series) -> None:
    """Raise where a date is so far away that the time between two cannot be counted."""
    low, high = (1833, 2106) if times.dtype == pl.Datetime("ns") else (1, 9999)
    year = times.dt.year()
    wrong = (year < low) | (year > high)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(f"{table.cell(column, row)}: the year is {year[row]}, but must be from {low} to {high}.")


def check_zone(zone: str) -> None:
    """Raise OptionError unless there is a time zone of that name."""
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise OptionError(f"zone: there is no time zone {zone!r}; give a name such as 'Europe/Paris'.") from None


def on_the_clock(times: NDArray[Any], zone: str | None) -> NDArray[Any]:
    """Return what the clock of a zone showed at each instant, (R,) datetime64; the times as they are without a zone."""
    if zone in (None, "UTC") or times.dtype.kind != "M":
        return times
    shown = pl.Series(times).dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
    return shown.to_numpy()


def instants(clock: NDArray[Any], zone: str | None) -> NDArray[Any]:
    """Return when the clock of a zone showed each time, (R,): the inverse of `on_the_clock`.

    Of an hour that comes twice in a year the first is meant; one that is left out counts as the hour after it.
    """
    if zone in (None, "UTC") or clock.dtype.kind != "M":
        return clock
    shown = pl.Series(clock)
    at = shown.dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null")
    if at.null_count():
        hour = pl.Series(clock + np.timedelta64(1, "h"))
        at = at.fill_null(hour.dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null"))
    return _utc(at).to_numpy()


def _utc(times: pl.Series) -> pl.Series:
    return times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _placed(table: Table, column: str, times: pl.Series, zone: str) -> pl.Series:
    placed = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    if placed.null_count():
        row = int(placed.is_null().arg_true()[0])
        raise DataError(
            f"{table.cell(column, row)}: {times[row]} is a time that clocks in {zone} never showed; give times in "
            "UTC, or the right zone."
        )
    return placed


def _refuse_missing(table: Table, column: str, times: pl.Series) -> None:
    missing = times.is_null()
    if times.dtype.is_float():
        missing = missing | times.is_nan()
    if missing.any():
        row = int(missing.arg_true()[0])
        raise DataError(f"{table.cell(column, row)}: the time is missing; fill it in, or leave the row out.")


def _from_column(table: Table, column: str, time_format: str | None) -> pl.Series:
    values = table.frame[column]
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        # Nanoseconds are kept only where they say more: they reach no further than from 1677 to 2262.
        coarse = values.cast(pl.Datetime("us", dtype.time_zone))
        is_same = dtype.time_unit != "ns" or bool((coarse.cast(dtype) == values).all())
        return coarse if is_same else values
    if dtype == pl.Date:
        return values.cast(pl.Datetime("us"))
    if dtype.is_integer() or dtype.is_float() or dtype.is_decimal():
        values = values.cast(pl.Float64) if dtype.is_decimal() else values
        return _from_numbers(column, values, time_format)
    if dtype == pl.Null:
        return values.cast(pl.Datetime("us"))
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _from_text(table, column, values.cast(pl.String).str.strip_chars(), time_format)
    raise DataError(
        f"{table.name}, column {column!r}: holds {str(dtype).lower()}, but a time must be a date, a text or a number."
    )


def _from_numbers(column: str, values: pl.Series, time_format: str | None) -> pl.Series:
    """Return numbers as the times that they write, or as they are."""
    if time_format is not None and time_format not in _EPOCHS:
        return _parsed(values.cast(pl.Int64, strict=False).cast(pl.String), time_format)
    unit = epoch_unit(values) if time_format is None else time_format
    if unit is not None:
        return since_epoch(values, unit)
    may_be_years = bool(((values >= 1000) & (values < 3000) & (values % 1 == 0)).all())
    is_year = may_be_years and column.strip().lower() in YEAR_NAMES
    return _parsed(values.cast(pl.Int64).cast(pl.String) + "-01-01", "%Y-%m-%d") if is_year else values


def epoch_unit(values: pl.Series) -> str | None:
    """Return the unit in which numbers count from 1970 to a date between 1973 and 2286; None where they don't."""
    if not len(values) or values.null_count() == len(values):
        return None
    low, high = values.min(), values.max()
    if isinstance(low, int | float) and isinstance(high, int | float):
        for unit, (least, most) in _EPOCHS.items():
            if least <= low and high < most:
                return unit
    return None


def since_epoch(values: pl.Series, unit: str) -> pl.Series:
    """Return the datetimes that numbers write as seconds or parts of them since 1970."""
    if unit == "ns":
        return values.cast(pl.Int64, strict=False).cast(pl.Datetime("ns"))
    size = {"s": 10**6, "ms": 10**3, "us": 1}[unit]
    return (values * size).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))


def time_format_of(values: pl.Series) -> str | None:
    """Return how texts write times, judged by the first ones: a format, "offset", or None where they write none."""
    sample = values.drop_nulls().head(_SAMPLE).str.strip_chars()
    if not len(sample):
        return None
    if _with_offset(sample).null_count() == 0:
        return "offset"
    sample = _plain(sample)
    for text in (*_FORMATS, *_MONTH_FIRST, *_DAY_FIRST):
        if _parsed(sample, text).null_count() == 0:
            return text
    return None


def mostly_writes_times(values: pl.Series) -> bool:
    """Return whether at least half of the first texts write times, in one way, with an offset or without."""
    sample = values.drop_nulls().head(_SAMPLE).str.strip_chars()
    without = _plain(sample.str.replace(_OFFSET, ""))
    counts = [_parsed(without, text).count() for text in (*_FORMATS, *_MONTH_FIRST, *_DAY_FIRST)]
    return bool(len(sample)) and 2 * max(counts) >= len(sample)


def _from_text(table: Table, column: str, values: pl.Series, time_format: str | None) -> pl.Series:
    has_offset = values.str.contains(_OFFSET) & values.str.contains(_CLOCK)
    if time_format is None and has_offset.any():
        if not has_offset.fill_null(True).all():
            row = int((~has_offset).arg_true()[0])
            raise DataError(
                f"{table.cell(column, row)}: {values[row]!r} says no time zone, but other rows do; write all of them "
                "with an offset, or none."
            )
        found = _with_offset(values)
    elif time_format is not None:
        try:
            found = _parsed(values, time_format)
        except pl.exceptions.PolarsError as error:
            raise OptionError(
                f"time_format: {time_format!r} cannot be used ({str(error).strip().splitlines()[0]})."
            ) from None
    else:
        exact = _exact_format(values.drop_nulls().head(_SAMPLE))
        found = _guessed(table, column, _plain(values)) if exact is None else _parsed(values, exact)
    wrong = found.is_null() & values.is_not_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        how = f"as {time_format!r}" if time_format else "as a time like the others"
        raise DataError(
            f"{table.cell(column, row)}: {values[row]!r} cannot be read {how}; mend it, or name the format with "
            f"{option('time_format', '%d.%m.%Y %H:%M')}."
        )
    return found


def _exact_format(sample: pl.Series) -> str | None:
    """Return a format that reads all of a sample as it is and could not mean anything else, or None."""
    with_t = (text.replace("%d %H", "%dT%H") for text in _FORMATS[:2])
    return next((text for text in (*with_t, *_FORMATS) if len(sample) and not _parsed(sample, text).null_count()), None)


def _guessed(table: Table, column: str, values: pl.Series) -> pl.Series:
    best = pl.Series([None], dtype=pl.Datetime("us")).new_from_index(0, len(values))
    sample = values.drop_nulls().head(_SAMPLE)
    counted = [(_parsed(sample, text).count(), text) for text in _FORMATS]
    most, text = max(counted, key=lambda pair: pair[0])
    if most:
        return _parsed(values, text)
    for month_first, day_first in zip(_MONTH_FIRST, _DAY_FIRST, strict=True):
        one, other = _parsed(values, month_first), _parsed(values, day_first)
        if one.count() == other.count() == 0:
            continue
        known = table.writing.is_day_first
        if known is not None and (table.is_bound or one.count() == other.count()):
            return other if known else one
        if one.count() == other.count() and not one.equals(other):
            row = int((one != other).arg_true()[0])
            raise DataError(
                f"{table.cell(column, row)}: {values[row]!r} may begin with the day or the month; say which with "
                f"{option('time_format', day_first)} or {month_first!r}."
            )
        return one if one.count() >= other.count() else other
    return best


def begins_with_day(values: pl.Series) -> bool | None:
    """Return whether dates such as 02/01/2024 in a column begin with the day; None where it has none, or none tells."""
    if values.dtype != pl.String or not values.str.contains("/").any():
        return None
    text = values.str.strip_chars()
    month_first, day_first = (max(_parsed(text, own).count() for own in way) for way in (_MONTH_FIRST, _DAY_FIRST))
    return None if month_first == day_first else day_first > month_first


def _plain(values: pl.Series) -> pl.Series:
    """Return texts in fewer spellings: T between date and time as a blank, months and quarters with their first day."""
    return (
        values.str.replace(r"^(\d{4}-\d{2}-\d{2})T", "${1} ")
        .str.replace(r"^(\d{4}-\d{2}-\d{2} \d{2})$", "${1}:00")
        .str.replace(r"^(\d{4}-\d{2})$", "${1}-01")
        .str.replace(r"^(\d{4})-?[Qq]1$", "${1}-01-01")
        .str.replace(r"^(\d{4})-?[Qq]2$", "${1}-04-01")
        .str.replace(r"^(\d{4})-?[Qq]3$", "${1}-07-01")
        .str.replace(r"^(\d{4})-?[Qq]4$", "${1}-10-01")
    )


def _with_offset(values: pl.Series) -> pl.Series:
    values = values.str.replace("[Zz]$", "+00:00").str.replace(r"^(\d{4}-\d{2}-\d{2})T", "${1} ")
    found = values.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", strict=False)
    short = values.str.to_datetime("%Y-%m-%d %H:%M%z", time_unit="us", strict=False)
    return found.fill_null(short)


def _parsed(values: pl.Series, time_format: str) -> pl.Series:
    # Without a clock time polars wants a date.
    if any(letter in time_format for letter in ("%H", "%I", "%T", "%R", "%c", "%s", "%+")):
        return values.str.to_datetime(time_format, time_unit="us", strict=False)
    return values.str.to_date(time_format, strict=False).cast(pl.Datetime("us"))


def _from_parts(table: Table, columns: tuple[str, ...]) -> pl.Series:
    by_part = {name.strip().lower(): name for name in columns}
    unknown = [name for part, name in by_part.items() if part not in PARTS]
    if unknown or "year" not in by_part or len(by_part) < len(columns):
        raise DataError(
            f"{table.name}: time has the columns {', '.join(map(repr, columns))}; give one column, or some of "
            f"{', '.join(PARTS)} with the year among them."
        )
    parts: dict[str, pl.Expr] = {}
    for part, name in by_part.items():
        whole = table.frame[name].cast(pl.Int32, strict=False)
        if whole.null_count():
            row = int(whole.is_null().arg_true()[0])
            raise DataError(
                f"{table.cell(name, row)}: {table.frame[name][row]!r} is no whole number, but is the {part}."
            )
        parts[part] = pl.lit(whole)
    parts = {"month": pl.lit(1), "day": pl.lit(1)} | parts
    try:
        found = table.frame.select(
            pl.datetime(**parts, time_unit="us").alias("time")  # type: ignore[arg-type]
        ).to_series()
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{table.name}: the columns {', '.join(map(repr, columns))} are no times "
            f"({str(error).strip().splitlines()[0]})."
        ) from None
    if found.null_count():
        row = int(found.is_null().arg_true()[0])
        values = ", ".join(f"{name} {table.frame[name][row]}" for name in columns)
        raise DataError(f"{table.place(row)}: there is no such time: {values}.")
    return found
