"""Windows that end at a step with a label."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from recur.data.series import (
    Assembly,
    LabelWindows,
    Panel,
    Part,
    Scaler,
    SeriesBatch,
    Split,
    panel_of_array,
    read_series,
)
from recur.errors import DataError, OptionError

NAN = float("nan")


def labelled(labels: list[float], *lengths: int) -> Panel:
    """Series whose values are their rows, with a number at each step."""
    rows = np.arange(sum(lengths))
    names = np.repeat([f"s{number}" for number in range(len(lengths))], lengths)
    columns = {"t": rows, "id": names, "x": rows.astype(float), "label": labels}
    return read_series(columns, assembly=Assembly(labels="number"))


def only(batches: LabelWindows) -> SeriesBatch:
    (batch,) = batches
    return batch


def test_each_labelled_step_is_told_from_what_was_up_to_it() -> None:
    panel = labelled([0.5, NAN, 1.5, 2.5, 3.5], 3, 2)
    windows = LabelWindows(Part.whole(panel), history=2, batch_size=9)
    batch = only(windows)
    assert windows.num_windows == 4
    assert batch.x[..., 0].tolist() == [[0, 0], [1, 2], [3, 0], [3, 4]]
    assert batch.lengths.tolist() == [1, 2, 1, 2]
    assert batch.observed[..., 0].tolist() == [[True, False], [True, True], [True, False], [True, True]]
    assert batch.target.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert batch.weight.tolist() == [1] * 4
    assert batch.row.tolist() == [0, 2, 3, 4]
    assert batch.index.tolist() == [0, 0, 1, 1]
    assert batch.times.tolist() == [[0, 0], [0, 1], [0, 0], [0, 1]]


def test_all_steps_and_the_last_one_of_each_series() -> None:
    panel = labelled([0.5, NAN, NAN, 2.5, 3.5], 3, 2)
    every = only(LabelWindows(Part.whole(panel), history=1, batch_size=9, which="all"))
    assert every.row.tolist() == [0, 1, 2, 3, 4]
    assert every.weight.tolist() == [1, 0, 0, 1, 1]
    assert every.target.tolist() == [0.5, 0, 0, 2.5, 3.5]
    last = only(LabelWindows(Part.whole(panel), history=2, batch_size=9, which="last"))
    assert last.x[..., 0].tolist() == [[1, 2], [3, 4]]
    assert last.weight.tolist() == [0, 1]


def test_a_part_has_the_windows_that_end_in_it_and_they_read_what_was_before() -> None:
    panel = labelled([float(row) for row in range(10)], 10)
    split = Split.by_time(panel, valid=2, test=3)
    batches = [only(LabelWindows(part, history=4, batch_size=99)) for part in (split.train, split.valid, split.test)]
    assert [batch.target.tolist() for batch in batches] == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
    assert batches[2].x[0, :, 0].tolist() == [4, 5, 6, 7]


def test_strides_and_least_histories() -> None:
    panel = labelled([float(row) for row in range(9)], 7, 2)
    windows = LabelWindows(Part.whole(panel), history=3, batch_size=99, stride=2, least_history=3)
    assert only(windows).target.tolist() == [2, 4, 6]
    assert only(windows).lengths.tolist() == [3] * 3


def test_windows_of_series_with_one_label_have_that() -> None:
    panel = panel_of_array([[[1.0], [2.0]], [[3.0], [NAN]]], ["b", "a"])
    batch = only(LabelWindows(Part.whole(panel), history=5, batch_size=9))
    assert batch.target.tolist() == [1, 1, 0]
    assert batch.x[..., 0].tolist() == [[1, 0, 0, 0, 0], [1, 2, 0, 0, 0], [3, 0, 0, 0, 0]]


def test_numbers_are_scaled_and_an_unseen_series_by_what_its_window_shows() -> None:
    seen, new = Panel.of_rows(["a"], [3], [[1.0], [2.0], [3.0]]), Panel.of_rows(["n"], [3], [[10.0], [30.0], [99.0]])
    scaler = Scaler.fit(Part.whole(seen))
    batch = only(LabelWindows(Part.whole(new), history=2, batch_size=9, which="all", scaler=scaler))
    # Two rows tell half of how much it varies; what is usual, in proportion to the size, tells the rest.
    scale = (10**2 + (20 * (2 / 3) ** 0.5 / 2) ** 2 / 2) ** 0.5
    assert batch.x[1, :, 0].tolist() == pytest.approx([-10 / scale, 10 / scale], rel=1e-6)


def test_the_order_is_shuffled_and_goes_on_where_it_was_saved() -> None:
    panel = labelled([float(row) for row in range(9)], 9)
    windows = LabelWindows(Part.whole(panel), history=2, batch_size=4, seed=5)
    first = [batch.target.tolist() for batch in windows]
    assert sorted(chain.from_iterable(first)) == list(range(9))
    assert [*chain.from_iterable(first)] != list(range(9))
    again = LabelWindows(Part.whole(panel), history=2, batch_size=4, seed=5)
    next(iter(again))
    resumed = LabelWindows(Part.whole(panel), history=2, batch_size=4, seed=5)
    resumed.load_state_dict(again.state_dict())
    assert [batch.target.tolist() for batch in resumed] == first[1:]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"history": 0}, OptionError, r"^history: expected a number of steps from 1 on, got 0\.$"),
        ({"stride": 0.5}, OptionError, r"^stride: expected a number of steps from 1 on, got 0\.5\.$"),
        ({"least_history": 0}, OptionError, r"^least_history: expected a number from 1 to history, 2, got 0\.$"),
        ({"least_history": 3}, OptionError, r"^least_history: expected a number from 1 to history, 2, got 3\.$"),
        ({"which": "some"}, OptionError, r"^which: expected one of labelled, all, last, got 'some'\.$"),
        ({"which": "last", "stride": 2}, OptionError, r"^which: 'last' takes one window of each series, so leave"),
        ({"history": 9, "least_history": 9}, DataError, r"^no step of the part 'all' has 9 steps to read; choose a"),
        ({}, DataError, r"^no step of the part 'all' has a label that counts; name the label, or say which='all'\.$"),
    ],
)
def test_what_cannot_be(options: dict[str, object], error: type[Exception], message: str) -> None:
    panel = Panel.of_rows(["a"], [4], [[0.0]] * 4)
    with pytest.raises(error, match=message):
        LabelWindows(Part.whole(panel), **({"history": 2, "batch_size": 4} | options))


def test_an_empty_part_is_refused() -> None:
    panel = Panel.of_rows(["a"], [4], [[0.0]] * 4)
    with pytest.raises(DataError, match=r"^the part 'valid' has no rows\.$"):
        LabelWindows(Part(panel=panel, start=np.array([4]), stop=np.array([4]), name="valid"), history=1, batch_size=1)
