"""What the report says of the columns of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recur.report.columns import ColumnRole, column_roles, rows_ahead
from recur.report.contents import read_contents
from recur.report.page import write_report
from recur.run import RunFolder

SERIES: dict[str, Any] = {
    "targets": ["sales"],
    "known_future": ["promo"],
    "known_categorical": ["day"],
    "roles": {
        "series_id": ["shop"],
        "time": ["date"],
        "targets": ["sales"],
        "known_future": ["promo", "day"],
        "past_only": ["price", "heat"],
        "categorical": ["day"],
        "reasons": {"sales": "named like a target", "price": "not known ahead", "heat": "not known ahead"},
    },
}


def test_columns_of_series_are_named_with_role_and_reason() -> None:
    assert column_roles({"schema": SERIES}) == (
        ColumnRole(names="shop", role="series id", why=""),
        ColumnRole(names="date", role="time", why=""),
        ColumnRole(names="sales", role="targets", why="named like a target"),
        ColumnRole(names="promo, day", role="known future", why=""),
        ColumnRole(names="price, heat", role="past only", why="not known ahead"),
    )
    labelled = {"roles": {"label": ["kind"], "past_only": ["x"], "known_future": ["y"], "targets": []}}
    assert [one.role for one in column_roles({"schema": labelled})] == ["label", "channel"]


def test_columns_of_texts_are_named_with_role_and_reason() -> None:
    roles = {"columns": {"text": "review", "label": "mood"}, "ignored": ["id"], "reasons": {"id": "has no role"}}
    assert column_roles({"roles": roles}) == (
        ColumnRole(names="review", role="text", why=""),
        ColumnRole(names="mood", role="label", why=""),
        ColumnRole(names="id", role="ignored", why="has no role"),
    )


def test_of_many_columns_some_are_named() -> None:
    roles = {"targets": ["y"], "past_only": [f"x{number}" for number in range(2012)]}
    assert column_roles({"schema": {"roles": roles}})[1].names.endswith("x10, x11 and 2,000 more")


def test_other_data_have_no_columns() -> None:
    for schema in ({}, {"schema": None}, {"schema": {"roles": None, "known_future": 3}}, {"roles": ["x"]}):
        assert column_roles(schema) == ()
        assert rows_ahead(schema) == ""


def test_the_report_says_what_columns_are_and_what_new_data_must_hold(make_run: Callable[..., RunFolder]) -> None:
    run = make_run(config={"format": 1, "task": "forecast"}, schema={"schema": SERIES}, evaluation=None)
    (run.path / "model.safetensors").write_bytes(b"")
    (command,) = [one for one in read_contents(run).commands if "recur predict" in one.line]
    assert command.why == (
        "Forecast what comes after new data, with a row for each step to come, in which 'promo' and 'day' are filled "
        "in and 'sales' left empty"
    )
    page = write_report(run).read_text(encoding="utf-8")
    assert "<dt>sales</dt><dd>targets<small>named like a target</small></dd>" in page
    alone = {"schema": SERIES | {"known_future": []}}
    assert rows_ahead(alone).endswith("in which 'day' is filled in and 'sales' left empty")
