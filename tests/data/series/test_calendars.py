"""Calendar features."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Frequency, Panel, Part, Windows, calendar_features, read_series
from recur.data.series.calendars import calendar_of, encode_calendar
from recur.errors import DataError, OptionError


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("1min", ("minute", "hour", "weekday", "monthday", "month")),
        ("15min", ("minute", "hour", "weekday", "monthday", "month")),
        ("30min", ("minute", "hour", "weekday", "monthday", "month")),
        ("1h", ("hour", "weekday", "monthday", "month")),
        ("45min", ("hour", "weekday", "monthday", "month")),
        ("12h", ("hour", "weekday", "monthday", "month")),
        ("1d", ("weekday", "monthday", "month")),
        ("b", ("weekday", "monthday", "month")),
        ("1w", ("monthday", "month")),
        ("1mo", ("month",)),
        ("1q", ("month",)),
        ("1y", ()),
        (3, ()),
    ],
)
def test_features_make_sense_for_the_frequency(frequency: str | int, expected: tuple[str, ...]) -> None:
    assert calendar_features(Frequency.parse(frequency)) == expected


def test_angles() -> None:
    # A Thursday at six, half past the hour, in the middle of a month of 30 days.
    clock = np.array(["2026-04-16T06:30"], "datetime64[us]")
    found = encode_calendar(clock, ("minute", "hour", "weekday", "monthday", "month"))[0].reshape(5, 2)
    day = 6.5 / 24
    turns = [0.5, day, (3 + day) / 7, (15 + day) / 30, (3 + (15 + day) / 30) / 12]
    expected = [[np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)] for turn in turns]
    np.testing.assert_allclose(found, expected, rtol=0, atol=np.finfo(np.float32).eps)


def test_the_clock_of_the_zone_counts() -> None:
    panel = read_series({"t": ["2024-07-01T22:00Z", "2024-07-01T23:00Z"], "y": [1, 2]})
    local = read_series({"t": ["2024-07-01 22:00", "2024-07-01 23:00"], "y": [1, 2]})
    utc, names = calendar_of(panel, ("hour",))
    np.testing.assert_array_equal(utc, calendar_of(local, ("hour",))[0])
    assert names == ("hour_sin", "hour_cos")


def test_windows_have_those_that_make_sense() -> None:
    columns = {"t": [f"2024-01-0{day}" for day in range(1, 6)], "y": [1, 2, 3, 4, 5]}
    windows = Windows(Part.whole(read_series(columns)), history=2, horizon=1, batch_size=1)
    assert windows.channels[1:] == windows.future_channels
    assert windows.future_channels[:2] == ("weekday_sin", "weekday_cos")
    batch = next(iter(windows))
    # 2024-01-01 was a Monday, so that the window to tell from begins at angle zero.
    np.testing.assert_allclose(batch.x[0, 0, 1:3], [0, 1], rtol=0, atol=1e-7)
    np.testing.assert_allclose(batch.future[0, 0, :2], [np.sin(4 * np.pi / 7), np.cos(4 * np.pi / 7)], rtol=1e-6)


def test_what_has_no_calendar_is_refused(panel: Panel) -> None:
    with pytest.raises(OptionError, match=r"^calendar: expected some of minute, hour, .*, got 'moon'\.$"):
        calendar_of(panel, ("moon",))
    with pytest.raises(
        DataError, match=r"^calendar: the times are numbers, which have no hour; ask for none with calendar="
    ):
        calendar_of(read_series({"y": [1, 2]}), ("hour",))
