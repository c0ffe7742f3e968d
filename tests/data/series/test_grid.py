"""Series on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Assembly, Columns, Panel, Split, on_grid, read_series
from recur.errors import DataError, OptionError


def irregular() -> Panel:
    times = ["2024-01-01 00:10", "2024-01-01 00:50", "2024-01-01 01:00", "2024-01-01 03:59", "2024-01-01 00:30"]
    columns = {"t": times, "id": [*"aaaab"], "y": [1.0, 3.0, None, 5.0, 7.0]}
    return read_series(columns, assembly=Assembly(frequency="irregular"))


@pytest.mark.parametrize(
    ("by", "expected"), [("mean", 2.0), ("sum", 4.0), ("first", 1.0), ("last", 3.0), ("max", 3.0), ("min", 1.0)]
)
def test_values_go_to_the_hour_in_which_they_happened(by: str, expected: float) -> None:
    panel = on_grid(irregular(), "1h", by=by)
    nan = np.nan
    np.testing.assert_array_equal(panel.values[:, 0], np.float32([expected, nan, nan, 5, 7]))
    assert panel.times.astype("M8[h]").astype(str).tolist() == [
        *(f"2024-01-01T0{hour}" for hour in range(4)),
        "2024-01-01T00",
    ]
    assert str(panel.frequency) == "1h"


def test_months_begin_on_the_first() -> None:
    columns = {"t": ["2024-01-15", "2024-01-31", "2024-03-02"], "y": [1, 3, 5]}
    panel = on_grid(read_series(columns, assembly=Assembly(frequency="irregular")), "1mo")
    np.testing.assert_array_equal(panel.values[:, 0], np.float32([2, np.nan, 5]))
    assert panel.times.astype("M8[D]").astype(str).tolist() == ["2024-01-01", "2024-02-01", "2024-03-01"]


def test_a_series_on_the_grid_keeps_its_times() -> None:
    columns = {"t": ["2024-01-01 00:10", "2024-01-01 01:10", "2024-01-01 03:10"], "y": [1, 3, 5]}
    panel = on_grid(read_series(columns, assembly=Assembly(gaps="keep")))
    assert panel.times.astype("M8[m]").astype(str).tolist() == [f"2024-01-01T0{hour}:10" for hour in range(4)]


def test_labels_and_weights_of_new_steps_are_missing() -> None:
    columns = {"t": [0, 1, 3], "y": [1, 2, 3], "label": [1, 0, 1], "weight": [2, 2, 2]}
    rows = read_series(columns).rows
    assert rows.labels.tolist() == [1, 0, -1, 1]
    assert rows.weight.tolist() == [2, 2, 0, 2]


def test_new_steps_within_a_part_belong_to_it() -> None:
    columns = {
        "id": [*"aaaabb"],
        "t": [0, 2, 4, 5, 0, 2],
        "y": [1, 2, 3, 4, 5, 6],
        "part": ["train", "train", "valid", None, "test", "test"],
    }
    panel = read_series(columns, Columns(part="part"), assembly=Assembly(frequency=1))
    assert panel.rows.part.tolist() == [0, 0, 0, -1, 1, -1, 2, 2, 2]
    split = Split.by_column(panel)
    assert [len(split.train), len(split.valid), len(split.test)] == [3, 1, 3]


def test_a_single_row_needs_no_frequency() -> None:
    columns = {"t": [0, 1, 2, 7], "id": [*"aaab"], "y": [1, 2, 3, 4]}
    panel = read_series(columns, assembly=Assembly(frequency="irregular")).select([1])
    assert on_grid(panel).times.tolist() == [7]


def test_what_cannot_be_put_on_a_grid_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^series 'a' has no frequency; name the step of the grid, such as frequency='1h'\.$"
    ):
        on_grid(irregular())
    with pytest.raises(
        DataError, match=r"^series 'a' has 4 rows, but on a grid of 1ms it would have 13,740,001; choose a l"
    ):
        on_grid(irregular(), "1ms")
    with pytest.raises(OptionError, match=r"^frequency: 2 is no step for times that are dates\.$"):
        on_grid(irregular(), 2)
    with pytest.raises(OptionError, match=r"^by: expected one of mean, sum, last, first, max, min, got 'median'\.$"):
        on_grid(irregular(), "1h", by="median")
