"""What is told of the columns before a training on series."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from recur.data.series import Columns, read_series
from recur.train.display import Display
from recur.train.series_preparation import say_what_was_read


def test_rows_that_are_taken_for_one_series_are_noted_with_both_ways_out() -> None:
    shown = io.StringIO()
    columns = {"force": np.random.default_rng(0).normal(size=20), "class": ["a", "b"] * 10}
    panel = read_series(columns, Columns(targets=(), label="class"))
    say_what_was_read(panel, Display(Console(file=shown, width=300)), tells_labels=True)
    assert (
        "note     rows are taken for the steps of one series, for no column names their time or their series; "
        "form='rows' takes each for a series, and series_id= names a column that says which series a row is of"
    ) in shown.getvalue()
