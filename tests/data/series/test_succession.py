"""Rows that follow others of the same series."""

from __future__ import annotations

import numpy as np
import polars as pl

from recur.data.series import Columns, Frequency, Panel, read_series
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


def test_all_of_what_follows_is_told_where_it_has_holes() -> None:
    step = [Frequency(1, "")] * 2
    past = Panel.of_rows(
        ["a", "b"], [4, 2], np.array([1, 2, 3, 4, 8, 9.0])[:, None], times=[0, 1, 2, 3, 0, 1], frequencies=step
    )
    given = Panel.of_rows(
        ["a", "b"], [3, 2], np.array([5, 6, 7, 3, 4.0])[:, None], times=[5, 8, 11, 2, 4], frequencies=step
    )
    part = following(given, past, longest_gap=5)
    told = [part.panel.values[begin:stop, 0] for begin, stop in zip(part.start, part.stop, strict=True)]
    np.testing.assert_array_equal(told[0], [5, np.nan, np.nan, 6, np.nan, np.nan, 7])
    np.testing.assert_array_equal(told[1], [3, np.nan, 4])
    assert part.panel.lengths.tolist() == [12, 5]
    # Where holes are kept, nothing gets rows.
    part = following(given, past, longest_gap=5, has_all_steps=False)
    assert part.panel.values[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 4]
    assert part.start.tolist() == [4, 9]


def test_times_without_a_step_follow_however_long_it_took() -> None:
    early, later = (
        Panel.of_rows(["a"], [3], np.arange(3.0)[:, None] + begin, times=np.array([0.0, 1.5, 2.0]) + begin)
        for begin in (0, 100)
    )
    part = following(later, early, longest_gap=1)
    assert part.panel.values[:, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert part.start.tolist() == [3]
