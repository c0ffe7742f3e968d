from __future__ import annotations

import json
import math
from typing import Any

import pytest

from recur.report.values import DEEPEST, NOTHING, as_list, as_object, as_text, count, duration, number, written


@pytest.mark.parametrize("value", [None, True, "3", [3], {}, math.nan, math.inf, -math.inf, 10**400, 2e40, -2e40])
def test_only_what_can_have_been_measured_is_a_number(value: object) -> None:
    assert number(value) is None
    assert count(value) == ""


@pytest.mark.parametrize("value", [0, -3, 2.5, 3.4e38, -1e40])
def test_a_number_comes_back_as_a_float(value: float) -> None:
    assert number(value) == value
    assert isinstance(number(value), float)


def test_what_is_of_another_kind_is_taken_as_empty() -> None:
    kinds: list[Any] = [None, 3, "text", [1], {"a": 1}]
    assert [as_text(value) for value in kinds] == ["", "", "text", "", ""]
    assert [as_list(value) for value in kinds] == [[], [], [], [1], []]
    assert [as_object(value) for value in kinds] == [{}, {}, {}, {}, {"a": 1}]


def test_counts_are_in_groups_of_three_digits() -> None:
    assert (count(1_086_017), count(12.0)) == ("1,086,017", "12")


def test_values_in_words() -> None:
    values = [None, True, [], {}, "", 3e-4, ["a", [1, 2]], {"a": None, "b\u202e": "c\x00"}]
    assert [written(value) for value in values] == [
        NOTHING,
        "yes",
        NOTHING,
        NOTHING,
        NOTHING,
        "0.0003",
        "a, 1, 2",
        f"a: {NOTHING}; b[U+202E]: c␀",
    ]


def test_what_lies_too_deep_is_left_out() -> None:
    def nested(levels: int) -> Any:
        return json.loads("[" * levels + "7" + "]" * levels)

    assert written(nested(DEEPEST)) == "7"
    assert written(nested(DEEPEST + 1)) == "…"
    assert written(nested(900)) == "…"


def test_lengths_of_time() -> None:
    assert [duration(seconds) for seconds in (0, 59.4, 60, 3599, 3600)] == [
        "0 s",
        "59 s",
        "1 min",
        "59 min 59 s",
        "1 h",
    ]
