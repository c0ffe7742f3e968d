"""Dataframes of any kind to tables, and where a cell stood."""

from __future__ import annotations

import re
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recur.data.series import Table, read_series, table_of
from recur.data.series.table import Source
from recur.errors import DataError

TIMES = ["2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:00"]


def frames() -> dict[str, object]:
    columns = {
        "name": ["a", "a", "b"],
        "when": np.array(TIMES, "datetime64[us]"),
        "y": [1.5, None, 3.5],
        "k": [1, 2, 3],
        "is_on": [True, False, True],
    }
    polars = pl.DataFrame(columns)
    return {
        "polars": polars,
        "lazy": polars.lazy(),
        "pandas": pd.DataFrame(columns),
        "pandas nullable": pd.DataFrame(columns).convert_dtypes(),
        "pyarrow": pa.table({name: pa.array(values) for name, values in columns.items()}),
        "mapping": columns,
    }


@pytest.mark.parametrize("kind", frames())
def test_every_dataframe_becomes_the_same_table(kind: str) -> None:
    frame = table_of(frames()[kind]).frame
    assert frame["name"].cast(pl.String).to_list() == ["a", "a", "b"]
    assert frame["when"].dt.to_string("%Y-%m-%dT%H:%M").to_list() == TIMES
    assert frame["y"].to_list() == [1.5, None, 3.5] or frame["y"].fill_nan(None).to_list() == [1.5, None, 3.5]
    assert frame["k"].to_list() == [1, 2, 3]
    assert frame["is_on"].to_list() == [True, False, True]


MISSING = {"Decimal": Decimal("NaN"), "none": None, "nan": float("nan"), "NaT": pd.NaT, "NA": pd.NA}


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize(
    "cells",
    [["wet", "dry"], [1.5, 2.5], [1, 2], [1, 2.5], [True, False], [date(2024, 1, 1), date(2024, 1, 2)]],
    ids=lambda cells: " and ".join(dict.fromkeys(type(cell).__name__ for cell in cells)),
)
def test_a_missing_cell_is_missing_whatever_writes_it(cells: list[Any], missing: str) -> None:
    given = [cells[0], MISSING[missing], cells[1]]
    for data in ({"x": given}, {"x": np.array(given, object)}, pd.DataFrame({"x": pd.Series(given, dtype=object)})):
        found = table_of(data).frame["x"].to_list()
        assert [None if value != value else value for value in found] == [cells[0], None, cells[1]]


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_text_of_pandas_may_have_missing_cells(dtype: str) -> None:
    assert table_of(pd.DataFrame({"x": pd.Series(["wet", np.nan, "dry"], dtype=dtype)})).frame["x"].to_list() == [
        "wet",
        None,
        "dry",
    ]


def test_a_missing_cell_is_no_kind_of_its_own() -> None:
    with pytest.raises(DataError, match=r"^the data: column 'y' holds values of the kinds int, str; give values of"):
        table_of(pd.DataFrame({"y": [1, "x", np.nan]}, dtype=object))


def test_pandas_needs_no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"s": pd.Series(["a", None], dtype=object), "t": pd.to_datetime(["2024-01-01", None])})
    expected = table_of(frame).frame
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = table_of(frame).frame
    assert found.equals(expected)
    assert found["s"].to_list() == ["a", None]
    assert found["t"].null_count() == 1


def test_a_time_zone_of_pandas_is_kept() -> None:
    frame = pd.DataFrame(
        {"t": pd.date_range("2024-03-31T00:00", periods=4, freq="h", tz="Europe/Paris"), "y": range(4)}
    )
    panel = read_series(frame)
    assert panel.schema.zone == "Europe/Paris"
    assert (
        panel.times.tolist()
        == np.arange("2024-03-30T23", "2024-03-31T03", dtype="datetime64[h]").astype("M8[us]").tolist()
    )
    # The clocks go from 1:59 to 3:00.
    assert [time.hour for time in panel.clock.tolist()] == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": [1, "x"]}, "the data: column 'y' holds values of the kinds int, str; give values of one kind."),
        ({"y": [[1], [2]]}, "the data: column 'y' holds nested values, but a cell must be a number, a text or a time."),
        ({"y": [1], "z": [1, 2]}, "the data: column 'y' has 1 rows, but 'z' has 2; give columns of one length."),
        ({"y": [b"x"]}, "the data: column 'y' holds objects, but a cell must be a number, a text or a time."),
    ],
)
def test_what_is_no_table_is_named(data: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        table_of(data)


def test_nested_columns_of_polars_are_named() -> None:
    with pytest.raises(DataError, match=r"^the data: column 'y' holds nested values, but a cell must be"):
        table_of(pl.DataFrame({"y": [[1], [2]]}))


def test_what_is_no_dataframe_is_a_type_error() -> None:
    with pytest.raises(
        TypeError, match=r"^the data must be a dataframe that narwhals knows, .* but is object; give a path"
    ):
        table_of(object())


def test_a_cell_says_file_column_and_row() -> None:
    table = Table(frame=pl.DataFrame({"y": [1, 2, 3]}), sources=(Source(name="a.csv"), Source(name="b.csv", first=2)))
    assert [table.place(row) for row in range(3)] == ["a.csv, row 1", "a.csv, row 2", "b.csv, row 1"]
    assert table.cell("y", 2) == "b.csv, column 'y', row 1"


def test_an_index_that_says_something_is_a_column() -> None:
    hours = pd.DatetimeIndex(TIMES, tz="Europe/Paris")
    frame = pd.DataFrame({"y": [1.5, 2.5, 3.5]}, index=hours)
    found = table_of(frame).frame
    assert found.columns == ["time", "y"]
    assert found["time"].dtype.time_zone == "Europe/Paris"  # type: ignore[attr-defined]
    assert read_series(frame).schema.zone == "Europe/Paris"
    assert table_of(frame["y"]).frame.equals(found)
    assert table_of(frame["y"].rename(None)).frame.columns == ["time", "value"]
    named = frame.rename_axis("hour")
    assert table_of(named).frame.columns == ["hour", "y"]
    assert table_of(named.assign(hour=TIMES)).frame.columns == ["y", "hour"]
    days = frame.set_axis(pd.period_range("2024-01", periods=3, freq="M", name="month"))
    assert table_of(days).frame["month"].dt.month().to_list() == [1, 2, 3]
    several = frame.assign(shop=["a", "a", "b"]).set_index("shop", append=True)
    assert table_of(several).frame.columns == ["time", "shop", "y"]
    # Numbers and names of rows without a name say nothing.
    assert table_of(frame.set_axis([7, 5, 3])).frame.columns == ["y"]
    assert table_of(pl.Series("y", [1, 2])).frame.to_dict(as_series=False) == {"y": [1, 2]}
