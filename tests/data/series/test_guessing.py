"""What each column is taken to be for, and why."""

from __future__ import annotations

import polars as pl
import pytest

from recur.data.series import Columns, Panel, Roles, Schema, guess_columns, table_of
from recur.errors import DataError, OptionError


def roles(columns: dict, given: Columns | None = None) -> Roles:
    return guess_columns(table_of(columns), given)


def test_a_table_of_sales_is_understood_and_explained(sales: pl.DataFrame) -> None:
    found = guess_columns(table_of(sales))
    assert str(found).splitlines() == [
        "series id     shop      named like the name of a series",
        "time          day       holds dates",
        "targets       sales     named like a target",
        "known future  holiday   named like what is known ahead, text is categorical",
        "past only     visitors  not known to be known ahead",
        "static        size      is the same throughout each series",
    ]
    assert found.categorical == ("holiday",)


@pytest.mark.parametrize(
    ("columns", "role", "names", "reason"),
    [
        (
            {"when": ["2024-01-01 05:00", "2024-01-01 06:00"], "y": [1, 2]},
            "time",
            ("when",),
            "holds text that reads as times",
        ),
        (
            {"Timestamp": [1.7e9, 1.7e9 + 60], "y": [1, 2]},
            "time",
            ("Timestamp",),
            "named like a time, holds s since 1970",
        ),
        ({"cycle": [1, 2], "y": [1, 2]}, "time", ("cycle",), "named like a time, holds numbers"),
        ({"month": [1, 2], "year": [2024, 2024], "y": [1, 2]}, "time", ("year", "month"), "the month of the time"),
        ({"y": [1, 2], "a": [3, 4]}, "time", (), ""),
        # A step in a language that is not known.
        ({"lépés": [*range(40, 46)], "a": [3, 1, 4, 1, 5, 9]}, "time", ("lépés",), "rises by one in each row"),
        ({"lépés": [*range(40, 45)], "a": [3, 1, 4, 1, 5]}, "time", (), ""),
        ({"Jahr": [1999, 2000], "a": [3, 1]}, "time", ("Jahr",), "named like a time, holds numbers"),
        (
            {"t": [0, 0, 1, 1], "who": ["x", "z", "x", "z"], "v": [1.0, 2.0, 3.0, 4.0]},
            "series_id",
            ("who",),
            "with it every time comes once",
        ),
        (
            {"take": [f"r{row // 6}" for row in range(60)], "a": [0.5] * 60},
            "series_id",
            ("take",),
            "its 10 values come in blocks of rows; name another with series_id=",
        ),
        # Too few blocks, too short ones, a block that comes again, a class, and a time that says what follows what.
        ({"take": [f"r{row // 6}" for row in range(54)], "a": [0.5] * 54}, "series_id", (), ""),
        ({"take": [f"r{row // 4}" for row in range(60)], "a": [0.5] * 60}, "series_id", (), ""),
        ({"take": [f"r{row // 6 % 10}" for row in range(66)], "a": [0.5] * 66}, "series_id", (), ""),
        ({"class": [f"r{row // 6}" for row in range(60)], "a": [0.5] * 60}, "series_id", (), ""),
        # Days, and versions, come in blocks too, and are one after the other of the same series.
        ({"date": [f"{row // 6}.1." for row in range(60)], "a": [0.5] * 60}, "series_id", (), ""),
        ({"firmware": [f"v{row // 6}" for row in range(60)], "a": [0.5] * 60}, "series_id", (), ""),
        ({"take": [f"r{row // 6}" for row in range(60)], "t": [*range(60)], "a": [0.5] * 60}, "series_id", (), ""),
        ({"a": [0.5, 1], "b": [3.0, 4.5]}, "targets", ("a",), "the first column of numbers; name others with targets="),
        ({"a": [0.5, 1], "demand": [3.0, 4.5]}, "targets", ("demand",), "named like a target"),
        ({"a": [0.5, 1, 2], "demand": ["3.0", "4", "x"]}, "targets", ("demand",), "named like a target"),
        ({"a": [0.5, 1], "label": ["u", "v"]}, "label", ("label",), "named like a label"),
        ({"a": [0.5, 1], "label": ["u", "v"]}, "targets", (), ""),
        ({"y": [1, 2], "split": ["train", "Test"]}, "part", ("split",), "says train, valid or test"),
        (
            {"y": [1, 2], "split": ["banana", "Test"]},
            "past_only",
            ("split",),
            "not known to be known ahead, text is categorical",
        ),
        ({"y": [1, 2], "weight": [0.5, 1]}, "weight", ("weight",), "named like a weight"),
        ({"No": [1, 2], "y": [1.5, 2]}, "ignored", ("No",), "counts the rows"),
        ({"z": [None, None], "y": [1.5, 2]}, "ignored", ("z",), "is empty"),
        (
            {"id": ["a", "a", "b", "b"], "y": [1.5, 2, 3, 4], "k": [7, 7, 7, 7]},
            "ignored",
            ("k",),
            "is the same everywhere",
        ),
    ],
)
def test_a_column_is_taken_for_what_it_looks_like(columns: dict, role: str, names: tuple, reason: str) -> None:
    found = roles(columns)
    assert found.by_role()[role] == names
    if names:
        assert found.reasons[names[-1]] == reason


def test_what_is_known_ahead_is_no_target() -> None:
    found = roles({"hour": [1, 2], "temp": [3.0, 4.5], "day": ["2024-01-01", "2024-01-02"]})
    assert (found.targets, found.known_future) == (("temp",), ("hour",))


def test_a_value_that_repeats_with_a_time_is_no_name_of_a_series() -> None:
    found = roles({"t": [0, 1, 1, 2, 3], "value": [5, 6, 7, 6, 5]})
    assert (found.series_id, found.targets) == ((), ("value",))


def test_what_is_given_is_not_guessed(sales: pl.DataFrame) -> None:
    given = Columns(targets=["visitors"], past_only=(), static=(), known_future="holiday", categorical="holiday")
    found = guess_columns(table_of(sales), given)
    assert (found.targets, found.known_future, found.past_only, found.static) == (("visitors",), ("holiday",), (), ())
    assert found.ignored == ("sales", "size")
    assert found.reasons["visitors"] == "given"
    assert found.reasons["sales"] == "not among the columns given"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            Columns(targets="salez"),
            DataError,
            r"^the data: has no column 'salez', which targets names; did you mean 'sales'\? It has 'shop', 'day', ",
        ),
        (
            Columns(targets="sales", known_future="sales"),
            OptionError,
            "^known_future: 'sales' is a target too, so the model would",
        ),
        (
            Columns(targets="sales", past_only="sales"),
            OptionError,
            "^past_only: 'sales' is a target too, whose past is always",
        ),
        (
            Columns(static="size", past_only="size"),
            OptionError,
            r"^static: 'size' is also in past_only; a column has one role\.$",
        ),
        (Columns(past_only=["size", "size"]), OptionError, r"^past_only: a column is named twice in 'size', 'size'\.$"),
        (Columns(past_only=[1]), OptionError, r"^past_only: expected the names of columns, got 1\.$"),
        (Columns(label=["size", "day"]), OptionError, r"^label: expected one column, got 'size', 'day'\.$"),
        (
            Columns(categorical="sales"),
            OptionError,
            r"^categorical: 'sales' is neither in known_future, past_only nor static",
        ),
        (Columns(targets=(), label=()), OptionError, r"^targets: there is neither a target nor a label"),
    ],
)
def test_contradictions_are_named(sales: pl.DataFrame, given: Columns, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        guess_columns(table_of(sales), given)


def test_a_table_without_numbers_has_no_target() -> None:
    with pytest.raises(
        DataError, match=r"^the data: no column of numbers is left to be the target or the label; name one"
    ):
        roles({"a": ["x", "y"]})


def test_a_schema_comes_back_from_json(panel: Panel) -> None:
    assert Schema.from_json(panel.schema.to_json()) == panel.schema
    with pytest.raises(DataError, match=r"^the schema of the series has the unknown entry 'flavour'; it is of another"):
        Schema.from_json(panel.schema.to_json() | {"flavour": 1})


def test_what_is_told_from_is_said_without_words_of_forecasts() -> None:
    table = {
        "id": ["a", "a", "b", "b"],
        "t": [0, 1, 0, 1],
        "y": [1.5, 2, 3, 5],
        "holiday": [0.0, 1, 1, 0],
        "label": list("uuvv"),
    }
    columns = Columns(targets=(), label="label", series_id="id", time="t")
    assert str(guess_columns(table_of(table), columns)).splitlines()[2:] == [
        "channel    holiday  read to tell from",
        "channel    y        read to tell from",
        "label      label    given",
    ]
