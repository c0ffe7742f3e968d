"""Steps of series: written, inferred, counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.data.series import Frequency
from recur.data.series.frequency import of_duration
from recur.data.series.spacing import infer_frequencies, lies_on_grid
from recur.errors import OptionError


def dates(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[us]")


def inferred(*series: np.ndarray) -> list[str]:
    offsets = np.cumsum([0, *map(len, series)])
    return [str(frequency) for frequency in infer_frequencies(np.concatenate(series), offsets)]


def spread(begin: str, unit: str, count: int, step: int = 1) -> np.ndarray:
    return np.arange(np.datetime64(begin, unit), np.datetime64(begin, unit) + count * step, step).astype("M8[us]")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (spread("2024-01-01T00", "h", 5), "1h"),
        (spread("2024-01-01T00:00", "m", 5, 15), "15min"),
        (spread("2024-01-01T00:00:00.000", "ms", 5, 20), "20ms"),
        (spread("2024-01-01", "D", 5), "1d"),
        (spread("2024-01-01", "D", 5, 7), "1w"),
        (spread("2024-01", "M", 14), "1mo"),
        (spread("2024-01", "M", 8, 3), "1q"),
        (spread("1990", "Y", 8), "1y"),
        (dates("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "1mo"),
        (dates("2023-02-28", "2023-03-31", "2023-04-30"), "1mo"),
        (dates("2024-01-15T06:00", "2024-02-15T06:00", "2024-04-15T06:00"), "1mo"),
        (dates("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-11"), "1b"),
        (np.delete(spread("2024-01-01T00", "h", 9), [2, 3, 6]), "1h"),
        (dates("2024-01-01", "2024-01-02", "2024-03-07"), "None"),
        (dates("2024-01-01T00:00:00", "2024-01-01T00:00:07", "2024-01-01T00:00:09"), "None"),
        (dates("2024-01-01"), "None"),
        (np.array([3, 5, 7, 11]), "2"),
        (np.array([3, 4, 90]), "None"),
        (np.array([0.1, 0.2, 0.3, 0.5]), "0.1"),
        (np.array([0.1, 0.25, 0.3]), "None"),
    ],
)
def test_a_frequency_is_inferred(times: np.ndarray, expected: str) -> None:
    assert inferred(times) == [expected]


def test_short_series_have_the_frequency_of_the_others_if_they_lie_on_it() -> None:
    hours = spread("2024-01-01T00", "h", 5)
    short, sparse = dates("2024-01-01T05:30"), dates("2024-01-01T00:00", "2024-01-01T01:00", "2024-01-09T00:00")
    assert inferred(hours, short, sparse) == ["1h", "1h", "1h"]
    assert inferred(hours, dates("2024-01-01T00:00", "2024-01-01T00:20", "2024-01-07T00:00")) == ["1h", "None"]


def test_each_series_has_its_own() -> None:
    empty = dates()
    assert inferred(spread("2024-01-01T00", "h", 5), empty, spread("2024-01-01", "D", 9)) == ["1h", "None", "1d"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("15min", 900), ("d", 86400), ("2w", 1209600), ("b", 120960), (3, None)]
)
def test_a_frequency_is_parsed(text: str | int, seconds: float | None) -> None:
    assert Frequency.parse(text).seconds == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fortnight",
            r"^frequency: 'fortnight' is none; write a number and one of the units ns, us, .*, such as '15min'\.$",
        ),
        ("0h", r"^frequency: expected a step above zero, got '0h'\.$"),
        (-1, r"^frequency: expected a step above zero, got -1\.$"),
        ("2b", r"^frequency: business days come one at a time, got '2b'\.$"),
    ],
)
def test_what_is_no_frequency_is_refused(text: str | int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Frequency.parse(text)


@pytest.mark.parametrize("text", ["1h", "15min", "1d", "2w", "1mo", "1q", "2y", "b"])
@given(begin=st.integers(-(10**9), 4 * 10**9), steps=st.lists(st.integers(0, 500), min_size=1, max_size=9))
def test_steps_are_the_inverse_of_times(text: str, begin: int, steps: list[int]) -> None:
    frequency = Frequency.parse(text)
    if text == "b":
        # Grids of business days begin on one.
        begin = begin // 604800 * 604800 + 4 * 86400 + begin % 86400
    origins = np.full(len(steps), begin).astype("datetime64[s]").astype("datetime64[us]")
    numbers = np.array(steps)
    times = frequency.times(numbers, origins)
    assert frequency.steps(times, origins).tolist() == steps
    # A little later is still the same step, a little earlier the one before.
    assert frequency.steps(times + np.timedelta64(1, "us"), origins).tolist() == steps
    if text != "b":
        assert frequency.steps(times - np.timedelta64(1, "us"), origins).tolist() == [step - 1 for step in steps]
    assert lies_on_grid(np.sort(np.append(times, origins[0])), frequency)


def test_a_duration_has_the_largest_unit_that_divides_it() -> None:
    dtype = np.dtype("datetime64[us]")
    found = [str(of_duration(seconds * 10**6, dtype)) for seconds in (90, 7200, 86400, 604800, 1209600)]
    assert found == ["90s", "2h", "1d", "1w", "2w"]
