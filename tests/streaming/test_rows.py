"""Rows that are pushed are read as the data of the run were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recur.data.series import Columns
from recur.errors import DataError
from recur.streaming.rows import RowReader
from recur.tasks.series_reading import SeriesReading


@pytest.mark.parametrize(
    ("cells", "row", "numbers"),
    [
        ({"a": ["26,5", "3,5"], "b": ["4,25", "1,5"]}, {"a": "3,500", "b": "4,25"}, [3.5, 4.25]),
        ({"a": ["1.201,5 €", "3,5 €"], "b": ["4,25", "1,5"]}, {"a": "1.288,5 €", "b": "1.288"}, [1288.5, 1288]),
        ({"a": ["26.5", "3.5"], "b": ["4,25", "1,5"]}, {"a": "3,500", "b": "3,500"}, [3500, 3.5]),
    ],
)
def test_each_column_of_a_wide_table_is_written_in_its_own_way(
    cells: dict[str, list[str]], row: dict[str, str], numbers: list[float]
) -> None:
    reading = SeriesReading(form="wide")
    table = {"t": list(range(8))} | {name: own * 4 for name, own in cells.items()}
    panel = reading.first(table)
    frequency = panel.frequency
    assert frequency is not None
    reader = RowReader(reading, panel.schema, frequency)
    assert reader.read([{"t": 8, **row}]).rows.values[:, 0].tolist() == numbers
    # What the run was trained on is read back, as a table too.
    again = reader.read(pl.DataFrame(table)).rows.values[:, 0]
    assert again.tolist() == panel.values[:, 0].tolist()


def test_steps_of_rows_are_read_as_those_of_the_run() -> None:
    reading = SeriesReading(form="rows")
    panel = reading.first({"id": ["a", "b"], "s1": ["1,5", "2,25"], "s2": ["3,5", "1.288,5"]})
    assert panel.schema.writing.decimal == ","
    again = reading.again({"id": ["c"], "s1": ["1,288"], "s2": ["1.288"]}, panel.schema, None)
    assert again.values[:, 0].tolist() == pytest.approx([1.288, 1288], rel=1e-6)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_missing_cell_of_a_row_is_missing_whatever_writes_it(missing: Any) -> None:
    reading = SeriesReading(columns=Columns(targets="y", past_only=("sky", "heat"), categorical="sky"))
    panel = reading.first({"t": list(range(6)), "y": [1.5] * 6, "sky": ["wet", "dry"] * 3, "heat": ["1,5", "2,5"] * 3})
    assert panel.frequency is not None
    reader = RowReader(reading, panel.schema, panel.frequency)
    rows = [
        {"t": 6, "y": missing, "sky": "dry", "heat": "3,5"},
        {"t": 7, "y": 2.5, "sky": missing, "heat": missing},
    ]
    for given in (rows, pd.DataFrame(rows), pd.DataFrame(rows).astype({"sky": "category"})):
        found = reader.read(given).rows
        np.testing.assert_array_equal(found.values, [[np.nan, 3.5], [2.5, np.nan]])
        np.testing.assert_array_equal(found.codes, [[1], [0]])
    alone = reader.read(pd.DataFrame(rows[1:])).rows
    np.testing.assert_array_equal(alone.values, [[2.5, np.nan]])
    np.testing.assert_array_equal(alone.codes, [[0]])


def test_a_column_by_another_name_is_taken_for_one_that_is_not_there() -> None:
    reading = SeriesReading()
    panel = reading.first({"timestamp": [0, 1, 2], "temperature": [1.5, 2.5, 3.5]})
    assert panel.frequency is not None
    reader = RowReader(reading, panel.schema, panel.frequency)
    for name in ("temp", "temperatur_", "temperature_1"):
        for row in ({"timestamp": 3}, {"timestamp": 3, "temperature": 2.5}):
            with pytest.raises(DataError, match=rf"a column '{name}', .* had not; is it 'temperature'\?"):
                reader.read([{**row, name: 1.5}])
