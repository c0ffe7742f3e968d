"""Columns of times to instants, and the clock on the wall."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from recur.data.series import Assembly, Columns, read_series
from recur.data.series.moments import instants, on_the_clock
from recur.errors import DataError, OptionError


def times(values: object, **options: object) -> list:
    values = values if isinstance(values, pl.Series) else pl.Series(values)
    frame = pl.DataFrame({"when": values, "y": np.arange(len(values)) + 0.5})
    panel = read_series(frame, Columns(time="when"), assembly=Assembly(gaps="keep", **options))
    return panel.times.tolist() if panel.times.dtype.kind != "M" else panel.times.astype("M8[s]").astype(str).tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-31", "2024-02-01"], ["2024-01-31T00:00:00", "2024-02-01T00:00:00"]),
        (["2024-01-31T10:00", "2024-01-31T11:00"], ["2024-01-31T10:00:00", "2024-01-31T11:00:00"]),
        (["2024-01-31 10", "2024-01-31 11"], ["2024-01-31T10:00:00", "2024-01-31T11:00:00"]),
        (["2024-01-31 10:00:00.5", "2024-01-31 11:00:00"], ["2024-01-31T10:00:00", "2024-01-31T11:00:00"]),
        (["31.01.2024 10:00", "01.02.2024 10:00"], ["2024-01-31T10:00:00", "2024-02-01T10:00:00"]),
        (["1/31/2024", "2/1/2024"], ["2024-01-31T00:00:00", "2024-02-01T00:00:00"]),
        (["31/1/2024 5:00", "1/2/2024 5:00"], ["2024-01-31T05:00:00", "2024-02-01T05:00:00"]),
        (["2024-01", "2024-02"], ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]),
        (["2024Q1", "2024-q4"], ["2024-01-01T00:00:00", "2024-10-01T00:00:00"]),
        (["2024-01-01T00:00:00Z", "2024-01-01T02:00:00+01:00"], ["2024-01-01T00:00:00", "2024-01-01T01:00:00"]),
        ([1_700_000_000, 1_700_000_060], ["2023-11-14T22:13:20", "2023-11-14T22:14:20"]),
        ([1_700_000_000_000, 1_700_000_060_000], ["2023-11-14T22:13:20", "2023-11-14T22:14:20"]),
        ([3, 5], [3, 5]),
        ([3.0, 5.0], [3, 5]),
        ([0.25, 0.5], [0.25, 0.5]),
    ],
)
def test_ways_to_write_a_time(values: list, expected: list) -> None:
    assert times(values) == expected


@pytest.mark.parametrize("name", ["year", "Jahr", "anno"])
def test_years_are_dates(name: str) -> None:
    panel = read_series({name: [1999, 2000, 2001], "y": [1, 2, 3]})
    assert str(panel.frequency) == "1y"
    assert panel.times.astype("M8[D]").astype(str).tolist() == ["1999-01-01", "2000-01-01", "2001-01-01"]


def test_a_format_that_is_named_is_used() -> None:
    assert times(["02/01/2024", "03/01/2024"], time_format="%d/%m/%Y") == ["2024-01-02T00:00:00", "2024-01-03T00:00:00"]
    assert times([20240102, 20240103], time_format="%Y%m%d") == ["2024-01-02T00:00:00", "2024-01-03T00:00:00"]
    assert times([60, 120], time_format="s") == ["1970-01-01T00:01:00", "1970-01-01T00:02:00"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2024-01-31", None], "row 2: the time is missing; fill it in, or leave the row out."),
        (["2024-01-31", "soon"], "row 2: 'soon' cannot be read as a time like the others; mend it, or name the format"),
        (
            ["01/02/2024", "03/02/2024"],
            "row 1: '01/02/2024' may begin with the day or the month; say which with time_format",
        ),
        (
            ["2024-01-01T00:00:00Z", "2024-01-01T02:00:00"],
            "row 2: '2024-01-01T02:00:00' says no time zone, but other rows do; write all of them with an offset",
        ),
        ([1.5, float("nan")], "row 2: the time is missing"),
        ([1.5, float("inf")], "row 2: the time is inf, but must be finite and below 2^53."),
        ([1, 2**60], "row 2: the time is 1.15292e+18, but must be finite and below 2^53."),
        ([True, False], "holds boolean, but a time must be a date, a text or a number."),
    ],
)
def test_a_time_that_cannot_be_read_is_named(values: list, message: str) -> None:
    with pytest.raises(DataError, match=rf"^the data, column 'when'(, |: ){re.escape(message)}"):
        times(values)


def test_parts_that_are_no_date_are_named() -> None:
    with pytest.raises(DataError, match=r"^the data: the columns 'year', 'month', 'day' are no times \(Invalid date"):
        read_series({"year": [2024, 2024], "month": [1, 2], "day": [31, 31], "y": [1, 2]})
    with pytest.raises(
        DataError, match=r"^the data: time has the columns 'a', 'b'; give one column, or some of year, month"
    ):
        read_series({"a": [1, 2], "b": [1, 2], "y": [1, 2]}, Columns(time=["a", "b"]))
    with pytest.raises(DataError, match=r"column 'month', row 2: None is no whole number, but is the month\.$"):
        read_series({"year": [1, 2], "month": [1, None], "y": [1, 2]}, Columns(time=["year", "month"]))


def test_zones() -> None:
    local = ["2024-03-31 01:00", "2024-03-31 03:00"]
    assert times(local, zone="Europe/Paris") == ["2024-03-31T00:00:00", "2024-03-31T01:00:00"]
    with pytest.raises(
        DataError, match=r"row 1: 2024-03-31 02:30:00 is a time that clocks in Europe/Paris never showed"
    ):
        times(["2024-03-31 02:30", "2024-03-31 03:00"], zone="Europe/Paris")
    with pytest.raises(
        OptionError, match=r"^zone: there is no time zone 'Mars'; give a name such as 'Europe/Paris'\.$"
    ):
        times(local, zone="Mars")
    with pytest.raises(OptionError, match=r"^zone: column 'when' holds plain numbers, which have no time zone"):
        times([1, 2], zone="UTC")
    with pytest.raises(OptionError, match=r"^zone, time_format: there is no column with times; name it with time="):
        read_series({"y": [1, 2]}, assembly=Assembly(zone="UTC"))


def test_clock_and_instants_are_inverse_but_for_the_hour_that_comes_twice() -> None:
    day = np.arange("2024-10-26T23", "2024-10-27T03", dtype="datetime64[h]").astype("datetime64[us]")
    clock = on_the_clock(day, "Europe/Paris")
    assert [time.hour for time in clock.tolist()] == [1, 2, 2, 3]
    assert instants(clock, "Europe/Paris").tolist() == [day[0].item(), day[1].item(), day[1].item(), day[3].item()]
    missing = np.array(["2024-03-31T02:30"], "datetime64[us]")
    assert instants(missing, "Europe/Paris").astype("M8[m]").astype(str).tolist() == ["2024-03-31T01:30"]
