"""What the user may choose about series with labels."""

from __future__ import annotations

import pytest

from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.data.series.partition import Partition
from recur.errors import OptionError


def test_columns() -> None:
    columns = NumberOptions(label="rul", series_id="unit", censored="running", weight="").columns
    assert (columns.label, columns.series_id, columns.censored, columns.weight) == ("rul", ("unit",), "running", ())
    assert columns.targets == ()
    assert LabelOptions(label="").columns.label == ()


@pytest.mark.parametrize(
    ("options", "has_parts", "has_classes", "by"),
    [
        ({}, True, True, "column"),
        ({}, False, True, "label"),
        ({}, False, False, "series"),
        ({"split": "time"}, True, True, "time"),
    ],
)
def test_parts(options: dict[str, str], has_parts: bool, has_classes: bool, by: str) -> None:
    found = LabelOptions(**options).partition(has_parts=has_parts, has_classes=has_classes, seed=3)  # type: ignore[arg-type]
    assert found == Partition(by=by, valid=0.1, test=0.2, seed=3)  # type: ignore[arg-type]


def test_nothing_of_the_data_is_judged_on_where_other_data_are() -> None:
    found = LabelOptions(test_data="other.csv").partition(has_parts=False, has_classes=True, seed=0)
    assert (found.test, found.valid) == (0, 0.1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"window": 0}, r"^window must be a whole number from 1 on, not 0\.$"),
        ({"form": "wide"}, r"^form must be long or rows, not 'wide': in other tables series have no label\.$"),
        ({"test_data": "a.csv", "test": 0.3}, "^test: says which part of DATA is judged on, but test_data names other"),
        ({"split": "label", "part": "fold"}, "^part: says which part a row is of, but split is label; leave one of"),
        ({"split": "column", "test": 0.3}, "^test: a column says which rows are judged on; leave"),
        ({"life_cap": 0.0, "remaining_life": True}, r"^life_cap must be a number above 0, not 0\.0\.$"),
        ({"life_cap": 125.0}, "^life_cap: is of remaining lives; give remaining_life=True too, or leave it out"),
        ({"life_left": "a.txt"}, "^life_left: is of remaining lives"),
        ({"life_left": "a.txt", "remaining_life": True}, "^life_left: is of the series of test_data=; name these too"),
        (
            {"remaining_life": True, "label": "rul"},
            "^label: with remaining_life=True the rows that follow are the label",
        ),
    ],
)
def test_what_makes_no_sense(given: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        NumberOptions(**given)  # type: ignore[arg-type]
