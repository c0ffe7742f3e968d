"""Series that several tests start from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from recur.data.series import Panel, read_series


@pytest.fixture
def sales() -> pl.DataFrame:
    """Two shops, five days each, in the order of shops and days."""
    return pl.DataFrame(
        {
            "shop": ["b"] * 5 + ["a"] * 5,
            "day": pl.Series(np.tile(np.arange("2024-03-01", "2024-03-06", dtype="datetime64[D]"), 2)),
            "sales": [1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0],
            "visitors": [5, 4, 3, 2, 1, 9, 8, 7, 6, 5],
            "holiday": ["", "easter", "", "", "", "", "easter", "", "", ""],
            "size": [3.0] * 5 + [7.0] * 5,
        }
    )


@pytest.fixture
def panel(sales: pl.DataFrame) -> Panel:
    return read_series(sales)


@pytest.fixture(scope="session")
def invariants() -> Callable[[Panel], None]:
    """Raise unless all holds that a panel promises, worked out anew, series by series."""
    return check_invariants


def check_invariants(panel: Panel) -> None:
    assert len(set(panel.ids)) == len(panel.ids)
    assert panel.offsets[0] == 0
    assert panel.offsets[-1] == len(panel.rows)
    assert panel.values.dtype == np.float32
    assert not np.isinf(panel.values).any()
    for number in range(len(panel)):
        rows = panel.rows.take(slice(int(panel.offsets[number]), int(panel.offsets[number + 1])))
        times = rows.times.tolist()
        assert times == sorted(set(times))
        frequency = panel.frequencies[number]
        if frequency is not None and len(rows):
            own = panel.times_counted(frequency)[panel.offsets[number] : panel.offsets[number + 1]]
            steps = frequency.steps(own, np.repeat(own[:1], len(own)))
            assert steps.tolist() == sorted(set(steps.tolist()))
    for column, name in enumerate(panel.schema.categorical):
        assert set(panel.rows.codes[:, column].tolist()) <= set(range(len(panel.schema.categories[name]) + 1))
