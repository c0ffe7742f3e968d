"""Which step is meant by a time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recur.data.series import Panel, Schema
from recur.errors import DataError
from recur.tasks.inspection.subject import row_at


def hours(zone: str | None) -> Panel:
    """Return 24 hours of a series, about the end of summer time in Paris: 02:00 comes twice."""
    times = np.datetime64("2024-10-26T12:00", "us") + np.arange(24) * np.timedelta64(1, "h")
    return Panel.of_rows(["a"], [24], np.zeros((24, 1)), times=times, schema=Schema(targets=("y",), zone=zone))


@pytest.mark.parametrize(
    ("at", "row"),
    [
        ("2024-10-26 20:00", 6),
        (datetime(2024, 10, 26, 20), 6),
        ("2024-10-26 20:00+02:00", 6),
        ("2024-10-26T18:00:00Z", 6),
        ("2024-10-26T13:00:00-0500", 6),
        (datetime(2024, 10, 26, 20, tzinfo=ZoneInfo("Europe/Paris")), 6),
        (datetime(2024, 10, 26, 18, tzinfo=UTC), 6),
        (np.datetime64("2024-10-26T20:00"), 6),
        # By the clock alone the first of the two is meant.
        ("2024-10-27 02:00", 12),
        ("2024-10-27 02:00+02:00", 12),
        ("2024-10-27 02:00+01:00", 13),
    ],
)
def test_a_time_by_the_clock_or_with_an_offset(at: object, row: int) -> None:
    assert row_at(hours("Europe/Paris"), 0, at) == row


def test_an_offset_of_data_without_a_zone() -> None:
    message = (
        r"^at: 2024-10-26 20:00\+01:00 has an offset to UTC, but the times of these data have no zone; give it as they "
        r"are written, such as '2024-10-26 12:00'\.$"
    )
    with pytest.raises(DataError, match=message):
        row_at(hours(None), 0, "2024-10-26 20:00+01:00")
    with pytest.raises(DataError, match="has an offset to UTC"):
        row_at(hours(None), 0, datetime(2024, 10, 26, 20, tzinfo=UTC))
    assert row_at(hours(None), 0, "2024-10-26 20:00") == 8
    with pytest.raises(DataError, match=r"at: '2024-10-26 20:00\+99:00' is no time of these data; give one such as "):
        row_at(hours("Europe/Paris"), 0, "2024-10-26 20:00+99:00")
