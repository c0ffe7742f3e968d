"""How a panel is cut, as an option."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recur.data.series import Panel, Split, panel_of_array, read_series
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError


def days(count: int = 20) -> Panel:
    return read_series({"day": np.datetime64("2024-01-01") + np.arange(count), "sales": np.arange(count) * 1.0})


def sizes(split: Split) -> tuple[int, int, int]:
    return len(split.train), len(split.valid), len(split.test)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (14, 2, 4)),
        ({"valid": 0.2, "test": 0.25}, (11, 4, 5)),
        ({"valid": 3, "test": 4}, (13, 3, 4)),
        ({"valid": 0, "test": 4}, (16, 0, 4)),
        ({"test": "2024-01-16"}, (13, 2, 5)),
        ({"valid": 4, "test": "from:2024-01-16"}, (11, 4, 5)),
        ({"valid": 4, "test": "2024-01-16"}, (11, 4, 5)),
        ({"valid": "2024-01-11", "test": "2024-01-16"}, (10, 5, 5)),
    ],
)
def test_in_time(options: dict[str, float | str], expected: tuple[int, int, int]) -> None:
    split = Partition(**options).of(days())
    assert sizes(split) == expected
    assert split.valid.start[0] == split.train.stop[0]
    assert split.test.start[0] == split.valid.stop[0]


def test_times_that_are_numbers() -> None:
    panel = Panel.of_rows(["a"], [10], np.zeros((10, 1)))
    assert sizes(Partition(valid="from:4", test="from:6").of(panel)) == (4, 2, 4)
    with pytest.raises(OptionError, match=r"^test, valid: the times are numbers, so expected one, got 'May'\.$"):
        Partition(test="May").of(panel)


def test_whole_series() -> None:
    panel = Panel.of_rows([f"s{n}" for n in range(10)], [3] * 10, np.zeros((30, 1)))
    split = Partition(by="series", valid=0.2, test=3, seed=5).of(panel)
    assert sizes(split) == (15, 6, 9)
    expected = Split.by_series(panel, valid=0.2, test=3, seed=5)
    assert np.array_equal(split.test.series, expected.test.series)
    assert not np.array_equal(split.test.series, Split.by_series(panel, valid=0.2, test=3, seed=0).test.series)


def test_by_class_and_by_column() -> None:
    table = {
        "id": np.repeat([f"s{n}" for n in range(8)], 2),
        "y": np.arange(16.0),
        "label": np.repeat(["a", "b"], 8),
        "part": np.repeat(["train", "train", "valid", "test"] * 2, 2),
    }
    panel = read_series(table)
    assert sizes(Partition(by="label", valid=1, test=1).of(panel)) == (8, 4, 4)
    assert Partition(by="column").of(panel).test.series.tolist() == [3, 7]


def test_a_column_that_names_no_part_to_choose_by() -> None:
    rows = 20
    table = {
        "day": np.datetime64("2024-01-01") + np.arange(rows),
        "sales": np.arange(rows) * 1.0,
        "part": ["train"] * 15 + ["test"] * 5,
    }
    panel = read_series(table)
    assert sizes(Partition(by="column").of(panel)) == (13, 2, 5)
    split = Partition(by="column", valid=4).of(panel)
    assert (split.train.stop[0], split.valid.start[0], split.valid.stop[0], split.test.start[0]) == (11, 11, 15, 15)
    assert sizes(Partition(by="column", valid=0).of(panel)) == (15, 0, 5)
    with pytest.raises(OptionError, match=r"^test: is 0\.3, but a column says which rows are judged on; leave it out"):
        Partition(by="column", test=0.3).of(panel)
    named = read_series(table | {"part": ["train"] * 12 + ["valid"] * 3 + ["test"] * 5})
    with pytest.raises(OptionError, match=r"^valid: is 4, but a column says which rows are chosen by; leave it out"):
        Partition(by="column", valid=4).of(named)
    # Of classes whole series are drawn.
    labelled = panel_of_array(np.zeros((8, 4, 1)), [0, 1] * 4)
    parts = np.repeat([0] * 6 + [2] * 2, 4).astype(np.int8)
    labelled = replace(labelled, rows=replace(labelled.rows, part=parts))
    split = Partition(by="column", valid=1, seed=2).of(labelled)
    assert [len(part.series) for part in (split.train, split.valid, split.test)] == [4, 2, 2]
    assert sorted(labelled.labels[split.valid.series]) == [0, 1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"valid": "2024-01-05"}, OptionError, r"valid: '2024-01-05' is a time, but test is not one, too; give a "),
        ({"by": "series", "test": "2024-01-05"}, OptionError, r"test: '2024-01-05' is a time, but the parts are cut"),
        ({"by": "days"}, OptionError, r"by: expected 'time', 'series', 'label' or 'column', got 'days'\.$"),
        # All is no share, and no number of rows is written with a point.
        ({"test": 1.0}, OptionError, r"^test: expected a number from 0 on, or a share from 0 to below 1, got 1\.0\.$"),
        ({"valid": 1.5, "test": "2024-01-16"}, OptionError, r"valid: expected a number from 0 on, or a share from 0 "),
        (
            {"valid": 15, "test": "2024-01-16"},
            DataError,
            r"series 'series' has 15 rows before its test part, too few for 15 of valid and some to train on; make val",
        ),
    ],
)
def test_what_makes_no_sense(options: dict[str, float | str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Partition(**options).of(days())


def test_it_can_be_saved() -> None:
    partition = Partition(by="series", valid=0.25, test=3, seed=7)
    assert Partition.from_json(partition.to_json()) == partition
