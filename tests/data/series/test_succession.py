"""Rows that follow others of the same series."""

from __future__ import annotations

import numpy as np
import polars as pl

from recur.data.series import Columns, Panel, read_series
from recur.data.series.succession import following

COLUMNS = Columns(series_id="id", time="t", targets="y")


def panel_of(*series: tuple[str, str, int], first: float = 0.0) -> Panel:
    """Series with so many rows from a time on, whose values count on from `first`."""
    frames = [
        pl.DataFrame(
            {
                "id": name,
                "t": np.datetime64(begin, "us") + np.arange(count) * np.timedelta64(1, "h"),
                "y": first + np.arange(count, dtype=float),
            }
        )
        for name, begin, count in series
    ]
    return read_series(pl.concat(frames), COLUMNS)


PAST = panel_of(("a", "2024-01-01", 5), ("b", "2024-01-01", 4))


def test_the_past_is_read_before_and_not_judged() -> None:
    # One follows at once, one after two steps that nobody has, and one was never there.
    later = panel_of(("b", "2024-01-01T06:00", 3), ("a", "2024-01-01T05:00", 2), ("c", "2024-01-01", 2), first=50)
    part = following(later, PAST, longest_gap=2)
    assert part.panel.ids == later.ids
    by_name = {name: part.panel.values[slice(*part.panel.offsets[n : n + 2]), 0] for n, name in enumerate(later.ids)}
    np.testing.assert_array_equal(by_name["a"], [0, 1, 2, 3, 4, 50, 51])
    np.testing.assert_array_equal(by_name["b"], [0, 1, 2, 3, np.nan, np.nan, 50, 51, 52])
    np.testing.assert_array_equal(by_name["c"], [50, 51])
    np.testing.assert_array_equal(part.panel.values[part.has_row], later.values)
    np.testing.assert_array_equal(part.panel.times[part.has_row], later.times)
    assert (part.name, len(part)) == ("given", 7)


def test_what_does_not_follow_stands_alone() -> None:
    for begin, reason in (
        ("2024-01-01T04:00", "has begun before the past ends"),
        ("2024-01-01T05:30", "is on another grid"),
        ("2024-01-01T08:00", "comes too late"),
    ):
        later = panel_of(("a", begin, 3))
        part = following(later, PAST, longest_gap=2)
        assert len(part.panel.rows) == len(part) == 3, reason
    assert len(following(panel_of(("a", "2024-01-01T07:00", 3)), PAST, longest_gap=2).panel.rows) == 5 + 2 + 3


def test_times_without_a_step_follow_however_long_it_took() -> None:
    early, later = (
        Panel.of_rows(["a"], [3], np.arange(3.0)[:, None] + begin, times=np.array([0.0, 1.5, 2.0]) + begin)
        for begin in (0, 100)
    )
    part = following(later, early, longest_gap=1)
    assert part.panel.values[:, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert part.start.tolist() == [3]
