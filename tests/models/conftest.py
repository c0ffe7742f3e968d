"""Series that several tests of networks start from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recur.data.series import Assembly, Columns, Panel, read_series

LENGTHS = (9, 1, 4, 6)


@pytest.fixture
def classes() -> Panel:
    """Four series of a class each, with everything that a batch can have, at irregular times."""
    return read_mixed("label")


@pytest.fixture
def step_classes() -> Panel:
    """The same series, with a class at each step; some are missing."""
    return read_mixed("step_label")


@pytest.fixture
def numbers() -> Panel:
    """The same series, with a number each."""
    return read_mixed("number")


@pytest.fixture
def step_numbers() -> Panel:
    """The same series, with a number at each step; some are missing."""
    return read_mixed("step_number")


def read_mixed(label: str) -> Panel:
    rng = np.random.default_rng(7)
    names = np.repeat(["a", "b", "c", "d"], LENGTHS)
    rows = len(names)
    values = rng.normal(size=(rows, 3))
    values[rng.random((rows, 3)) < 0.2] = np.nan
    number = np.array([1.5, -2.0, 4.25, 0.5])
    step_number = rng.normal(size=rows) * 10
    step_number[[2, 7]] = np.nan
    step_label = rng.choice(["x", "y", "z"], rows).astype(object)
    step_label[[3, 12]] = None
    table = pl.DataFrame(
        {
            "t": np.concatenate([np.cumsum(rng.exponential(size=length)) for length in LENGTHS]),
            "id": names,
            **{f"v{k}": values[:, k] for k in range(3)},
            "kind": rng.choice(["p", "q"], rows),
            "size": np.repeat([1.0, np.nan, 3.0, 2.0], LENGTHS),
            "maker": np.repeat(["m", "n", "m", "o"], LENGTHS),
            "label": np.repeat(["x", "y", "y", "z"], LENGTHS),
            "step_label": pl.Series(step_label.tolist(), dtype=pl.String),
            "number": np.repeat(number, LENGTHS),
            "step_number": step_number,
        },
        strict=False,
    )
    others = {"label", "step_label", "number", "step_number"} - {label}
    columns = Columns(series_id="id", time="t", targets=(), static=("size", "maker"), label=label)
    return read_series(table.drop(*others), columns, assembly=Assembly(frequency="irregular"))
