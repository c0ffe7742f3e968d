"""How long each step is before the end of its series."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import (
    Assembly,
    Columns,
    LabelWindows,
    Panel,
    Part,
    WholeSeries,
    panel_of_array,
    read_series,
    remaining_life,
)
from recur.errors import DataError, OptionError


def runs(*lengths: int) -> Panel:
    return Panel.of_rows([f"run{number}" for number in range(len(lengths))], lengths, [[0.0]] * sum(lengths))


def test_the_last_row_of_a_run_to_failure_has_none_left() -> None:
    rows = remaining_life(runs(4, 1, 2)).rows
    assert rows.labels is not None
    assert rows.labels.dtype == np.float32
    assert rows.labels.tolist() == [3, 2, 1, 0, 0, 1, 0]
    assert rows.censored is None


def test_what_was_left_after_the_last_row_counts() -> None:
    for at_end in ([2, 0.5], np.array([2, 0.5]), {"run0": 2, "run1": 0.5}):
        assert remaining_life(runs(2, 2), at_end=at_end).rows.labels.tolist() == [3, 2, 1.5, 0.5]
    assert remaining_life(runs(2, 1), at_end=7).rows.labels.tolist() == [8, 7, 7]
    assert remaining_life(runs(2, 1), at_end={"run1": 7}).rows.labels.tolist() == [1, 0, 7]


def test_a_cap_turns_bounds_beyond_it_into_what_is_known() -> None:
    for censored in (["run1"], np.array([False, True])):
        rows = remaining_life(runs(4, 4), cap=2, censored=censored).rows
        assert rows.labels.tolist() == [2, 2, 1, 0] * 2
        # Of a run that goes on, a life of at least 3 or 2 is capped to 2, whatever it truly is.
        assert rows.censored.tolist() == [False] * 4 + [False, False, True, True]


def test_time_is_counted_in_steps_of_the_frequency_and_else_in_seconds_or_units() -> None:
    days = {"day": ["2024-01-01", "2024-01-02", "2024-01-04"], "x": [1, 2, 3]}
    columns = Columns(targets=(), past_only="x")
    assert remaining_life(read_series(days, columns)).rows.labels.tolist() == [3, 2, 1, 0]
    irregular = read_series(days, columns, assembly=Assembly(frequency="irregular"))
    assert remaining_life(irregular).rows.labels.tolist() == [3 * 86_400, 2 * 86_400, 0]
    numbers = Panel.of_rows(["a"], [3], [[0.0]] * 3, times=[0.0, 0.5, 4.0])
    assert remaining_life(numbers).rows.labels.tolist() == [4, 3.5, 0]


def test_a_column_says_which_runs_have_not_failed() -> None:
    table = {"t": [0, 1, 0, 1], "id": [*"aabb"], "x": [1, 2, 3, 4], "censored": [0, 0, 0, 1]}
    panel = read_series(table, Columns(targets=()))
    assert panel.schema.roles.censored == ("censored",)
    assert panel.schema.channels == ("x",)
    labelled = remaining_life(panel)
    assert labelled.rows.labels.tolist() == [1, 0, 1, 0]
    assert labelled.rows.censored.tolist() == [False, False, True, True]
    # Read again with the schema, the column may be missing: nothing says that a run to be told of has not failed.
    again = read_series({name: table[name] for name in ("t", "id", "x")}, schema=panel.schema)
    assert remaining_life(again).rows.censored is None


def test_batches_say_which_labels_are_bounds() -> None:
    panel = remaining_life(runs(2, 3), censored=["run1"])
    (windows,) = LabelWindows(Part.whole(panel), history=1, batch_size=9)
    assert windows.censored.tolist() == [False, False, True, True, True]
    (whole,) = WholeSeries(Part.whole(panel), batch_size=9)
    assert whole.target.tolist() == [[1, 0, 0], [2, 1, 0]]
    assert whole.censored.tolist() == [[False] * 3, [True] * 3]
    assert whole.weight.tolist() == [[1, 1, 0], [1, 1, 1]]
    (uncensored,) = WholeSeries(Part.whole(remaining_life(runs(2))), batch_size=9)
    assert uncensored.censored is None


def test_a_table_has_lives_of_whole_series_and_bounds_of_them() -> None:
    table = {
        "t": [0, 1, 0, 1],
        "id": [*"aabb"],
        "x": [1, 2, 3, 4],
        "rul": [9.5, 9.5, 3.5, 3.5],
        "censored": [1, 1, 0, 0],
    }
    panel = read_series(table)
    (whole,) = WholeSeries(Part.whole(panel), batch_size=9)
    assert whole.target.tolist() == [9.5, 3.5]
    assert whole.censored.tolist() == [True, False]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cap": 0}, OptionError, r"^cap: expected a number above 0 or None, got 0\.$"),
        ({"cap": float("inf")}, OptionError, r"^cap: expected a number above 0 or None, got inf\.$"),
        ({"at_end": -1}, OptionError, r"^at_end: a life that is left must be a number from 0 on\.$"),
        (
            {"at_end": [1, 2, 3]},
            OptionError,
            r"^at_end: expected one number or 2, one for each series, got shape \(3,\)",
        ),
        ({"at_end": "long"}, OptionError, r"^at_end: expected numbers, got 'long'\.$"),
        ({"at_end": {"run9": 3}}, DataError, r"^at_end: there is no series 'run9' among the 2 here\.$"),
        ({"censored": ["run9"]}, DataError, r"^censored: there is no series 'run9' among the 2 here\.$"),
        (
            {"censored": "run1"},
            OptionError,
            r"^censored: expected several names of series, got the text 'run1'; put it",
        ),
        ({"censored": np.array([True])}, OptionError, r"^censored: expected 2 bools, one for each series, got bool of"),
        ({"label": "y"}, OptionError, r"^label: 'y' is the name of a channel; choose another\.$"),
    ],
)
def test_what_cannot_be(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        remaining_life(runs(2, 2), **options)


def test_labels_are_not_replaced_and_nothing_has_no_life() -> None:
    with pytest.raises(DataError, match=r"^the series have the label 'label' already; read them with label=\(\)\.$"):
        remaining_life(panel_of_array([[[1.0]], [[2.0]]], [0, 1]))
    with pytest.raises(DataError, match=r"^the series have no rows, so there is no life to tell\.$"):
        remaining_life(Panel.of_rows(["a"], [0], np.zeros((0, 1))))


def test_what_a_column_of_bounds_may_hold() -> None:
    table = {"t": [0, 1, 2], "x": [1.0, 2.0, 3.0], "rul": [2.5, 1.5, 0.5], "censored": [0, 2, 1]}
    with pytest.raises(DataError, match=r"column 'censored', row 2: whether a label is censored must be 0 or 1, got 2"):
        read_series(table)
    with pytest.raises(
        DataError,
        match=r"column 'censored': says which labels are lower bounds, but the labels are classes; leave it out",
    ):
        read_series(table | {"rul": ["a", "b", "a"], "censored": [0, 0, 1]})
