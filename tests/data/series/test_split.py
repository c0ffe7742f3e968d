"""Which rows are learned from and which are judged on."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest

from recur.data.series import Assembly, Columns, Panel, Part, Split, panel_of_array, read_series, seen_categories
from recur.errors import DataError, OptionError


def rows(part: Part) -> list[list[int]]:
    return [list(range(one, other)) for one, other in zip(part.start.tolist(), part.stop.tolist(), strict=True)]


def numbered(*lengths: int) -> Panel:
    values = np.arange(sum(lengths), dtype=np.float32)[:, None]
    return Panel.of_rows([str(number) for number in range(len(lengths))], lengths, values)


def test_by_time_the_last_rows_of_each_series_are_test() -> None:
    split = Split.by_time(numbered(5, 10), valid=1, test=0.2)
    assert rows(split.train) == [[0, 1, 2], list(range(5, 12))]
    assert rows(split.valid) == [[3], [12]]
    assert rows(split.test) == [[4], [13, 14]]


def test_rows_after_the_last_target_belong_to_no_part() -> None:
    panel = read_series({"t": [0, 1, 2, 3, 4], "y": [1, None, 3, None, None], "holiday": [0, 1, 0, 1, 0]})
    split = Split.by_time(panel, valid=0, test=1)
    assert (rows(split.train), rows(split.valid), rows(split.test)) == ([[0, 1]], [[]], [[2]])


@pytest.mark.parametrize("test", ["2024-03-05", datetime.date(2024, 3, 5), np.datetime64("2024-03-05T00:00")])
def test_at_an_instant_all_series_are_cut(panel: Panel, test: object) -> None:
    split = Split.at(panel, valid="2024-03-04", test=test)
    assert rows(split.train) == [[0, 1, 2], [5, 6, 7]]
    assert rows(split.valid) == [[3], [8]]
    assert rows(split.test) == [[4], [9]]


def test_at_an_instant_a_series_may_be_all_test_or_empty() -> None:
    panel = read_series({"t": [0, 1, 2, 2, 3], "id": [*"aaabb"], "y": [1, 2, 3, 4, 5]})
    split = Split.at(panel, test=2)
    assert (rows(split.train), rows(split.test)) == ([[0, 1], []], [[2], [3, 4]])
    empty = panel_of_array(np.array([[[1.0], [2], [3]], [[np.nan]] * 3, [[4], [5], [6]]]))
    assert rows(Split.at(empty, test=1).train) == [[0], [], [3]]


def test_by_series_whole_ones_are_drawn_by_the_seed() -> None:
    panel = numbered(*[2] * 20)
    split = Split.by_series(panel, valid=0.1, test=5, seed=3)
    found = [set(part.series.tolist()) for part in (split.train, split.valid, split.test)]
    assert [len(part) for part in found] == [13, 2, 5]
    assert set.union(*found) == set(range(20))
    again = Split.by_series(panel, valid=0.1, test=5, seed=3)
    assert again.test.series.tolist() == split.test.series.tolist()
    assert Split.by_series(panel, valid=0.1, test=5, seed=4).test.series.tolist() != split.test.series.tolist()


def test_by_label_every_class_gives_its_share() -> None:
    labels = np.array([0] * 10 + [1] * 30)
    panel = panel_of_array(np.zeros((40, 2, 1)), labels)
    split = Split.by_label(panel, valid=0.1, test=0.2, seed=0)
    counts = [np.bincount(labels[part.series]).tolist() for part in (split.train, split.valid, split.test)]
    assert counts == [[7, 21], [1, 3], [2, 6]]
    with pytest.raises(DataError, match=r"^the series have no classes to draw from alike; split by series"):
        Split.by_label(numbered(2, 2))
    with pytest.raises(DataError, match=r"^a class of 1 series cannot give 1 to valid, 1 to test and some to train on"):
        Split.by_label(panel_of_array(np.zeros((3, 2, 1)), [0, 1, 1]))


def test_series_without_a_label_are_trained_on() -> None:
    panel = panel_of_array(np.zeros((9, 2, 1)), [0] * 4 + [1] * 4 + [0])
    labels = panel.labels.copy()  # type: ignore[union-attr]
    labels[8] = -1
    split = Split.by_label(replace(panel, labels=labels), valid=1, test=1)
    assert [len(part.series) for part in (split.train, split.valid, split.test)] == [5, 2, 2]
    assert 8 in split.train.series
    held = Split.by_label(replace(panel, labels=labels), valid=0, test=1).with_valid(1)
    assert [len(part.series) for part in (held.train, held.valid, held.test)] == [5, 2, 2]
    assert 8 in held.train.series


def test_a_part_to_choose_by_is_drawn_from_train_and_from_each_class_alike() -> None:
    labels = np.array([0] * 10 + [1] * 30)
    given = Split.by_label(panel_of_array(np.zeros((40, 2, 1)), labels), valid=0, test=0.2)
    split = given.with_valid(0.25, seed=1)
    counts = [np.bincount(labels[part.series]).tolist() for part in (split.train, split.valid, split.test)]
    assert counts == [[6, 18], [2, 6], [2, 6]]
    assert split.test is given.test
    assert set(split.train.series) | set(split.valid.series) == set(given.train.series)
    assert split.valid.series.tolist() == given.with_valid(0.25, seed=1).valid.series.tolist()
    assert split.valid.series.tolist() != given.with_valid(0.25, seed=2).valid.series.tolist()
    with pytest.raises(DataError, match=r"^the split has a part 'valid' already\.$"):
        split.with_valid()
    with pytest.raises(DataError, match=r"^a class of 8 series cannot give 8 to valid and some to train on; make the"):
        given.with_valid(8)
    # Series without classes are drawn from all together; what is to be told later stays later.
    by_time = Split.by_time(numbered(5, 5, 5, 5), valid=0, test=1).with_valid(1)
    assert [len(part.series) for part in (by_time.train, by_time.valid, by_time.test)] == [3, 1, 4]
    assert len(by_time.valid) == 4


def test_by_column_parts_are_spans_in_the_order_of_time() -> None:
    columns = {"t": [0, 1, 2, 3], "y": [1, 2, 3, 4], "split": ["train", "train", "val", "Test"]}
    split = Split.by_column(read_series(columns))
    assert [rows(part) for part in (split.train, split.valid, split.test)] == [[[0, 1]], [[2]], [[3]]]
    with pytest.raises(
        DataError, match=r"^series 'series': rows of 'train' come after or among those of 'test'; within a"
    ):
        Split.by_column(read_series(columns | {"split": ["test", "test", "train", "train"]}))
    with pytest.raises(
        DataError, match=r"^series 'series': the rows of 'train' are not in one piece in the order of time"
    ):
        Split.by_column(read_series(columns | {"split": ["train", "test", "train", "test"]}))
    with pytest.raises(DataError, match=r"^no column says which part a row is of; name one with part="):
        Split.by_column(read_series(columns, Columns(part=())))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda p: Split.by_time(p, test=1.5),
            OptionError,
            "^test: expected a number from 0 on, or a share from 0 to below",
        ),
        (lambda p: Split.by_time(p, valid=-1), OptionError, "^valid: expected a number from 0 on, or a share"),
        (
            lambda p: Split.by_time(p, test=5),
            DataError,
            "^series 'b' has 5 rows, too few for 1 of valid, 5 of test and some",
        ),
        (
            lambda p: Split.by_series(p, valid=1, test=1),
            DataError,
            "^2 series cannot give 1 to valid, 1 to test and some",
        ),
        (
            lambda p: Split.at(p, test=3),
            OptionError,
            "^test: the times are dates, so expected one such as '2024-01-01', got 3",
        ),
        (lambda p: Split.at(p, test="later"), OptionError, "^test: 'later' is no date; write one such as"),
        (
            lambda p: Split.at(p, test="2024-03-02", valid="2024-03-03"),
            OptionError,
            "^valid: begins at 2024-03-03, but must",
        ),
        (
            lambda p: Split.at(p, test="2020-01-01"),
            DataError,
            "^no row is left to train on; make the other parts smaller",
        ),
        (
            lambda p: Split.at(p, test=datetime.datetime(2024, 3, 3, tzinfo=datetime.UTC)),
            OptionError,
            "has a time zone; give the time by the clock of the series, without one",
        ),
        (
            lambda p: Split(train=Part.whole(p), valid=Part.whole(p), test=Part.whole(p)),
            DataError,
            "^series 'b': rows of",
        ),
        (
            lambda p: Part(panel=p, start=np.array([0, 4]), stop=np.array([5, 9])),
            DataError,
            "^the part 'all' has rows outs",
        ),
    ],
)
def test_splits_that_make_no_sense_are_refused(panel: Panel, make: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make(panel)


def test_parts_of_different_panels_are_refused(panel: Panel) -> None:
    other = Part.whole(panel.select([0]))
    with pytest.raises(DataError, match=r"^the parts are of different panels\.$"):
        Split(train=Part.whole(panel), valid=Part.whole(panel), test=other)


def test_a_zone_decides_when_a_day_begins() -> None:
    times = ["2024-06-30T21:30Z", "2024-06-30T22:30Z"]
    panel = read_series({"t": times, "y": [1, 2]}, assembly=Assembly(zone="Europe/Paris"))
    assert rows(Split.at(panel, test="2024-07-01").test) == [[1]]


def test_categories_that_training_did_not_see_become_unknown() -> None:
    columns = {"t": [0, 1, 2, 0], "id": [*"aaab"], "y": [1, 2, 3, 4], "c": [*"uvwv"], "s": [*"xxxz"]}
    panel = read_series(columns, Columns(series_id="id", static="s", past_only="c"))
    split = Split.at(panel, test=2)
    train_only = Split(
        train=Part(panel=panel, start=panel.offsets[:-1], stop=np.array([2, 3]), name="train"),
        valid=Part(panel=panel, start=np.array([2, 3]), stop=np.array([2, 3]), name="valid"),
        test=split.test,
    )
    seen = seen_categories(train_only.train)
    assert seen == {"c": ("u", "v"), "s": ("x",)}
    other = panel.recoded(seen)
    assert other.rows.codes[:, 0].tolist() == [1, 2, 0, 2]
    assert other.static_codes[:, 0].tolist() == [1, 0]
    assert other.schema.categories == seen
