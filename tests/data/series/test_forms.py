"""Tables each of whose rows is a series, told from those that have a row for each step of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recur.data.series import Columns, read_series
from recur.data.series.columns import Roles, numbered
from recur.data.series.forms import reads_like_rows

DRAW = np.random.default_rng(0)
WAVES = np.sin(np.arange(40) / 4 + DRAW.uniform(0, 6, (30, 1))) + 0.1 * DRAW.standard_normal((30, 40))
LABELS = ["circle", "wave"] * 15


def table(values: np.ndarray, name: str = "t{}", **others: Any) -> dict[str, Any]:
    return {"label": LABELS, **others, **{name.format(step): column for step, column in enumerate(values.T)}}


@pytest.mark.parametrize("name", ["t{}", "{}", "step_{:03}"])
def test_rows_that_look_like_series_are_told(name: str) -> None:
    assert reads_like_rows(read_series(table(WAVES, name)))


def test_a_column_may_count_the_rows() -> None:
    assert reads_like_rows(read_series(table(WAVES, id=np.arange(30))))


def test_ends_of_rows_may_be_missing() -> None:
    ends = np.where(np.arange(40) < DRAW.integers(20, 41, (30, 1)), WAVES, np.nan)
    assert reads_like_rows(read_series(table(ends)))


@pytest.mark.parametrize(
    "values",
    [
        # Sensors of one machine, each of which goes its own way.
        np.sin(np.arange(30)[:, None] / DRAW.uniform(2, 9, 40) + DRAW.uniform(0, 6, 40)) + np.arange(40) % 7,
        # Those that stand beside each other, read more often than they are far apart.
        np.sin(np.arange(30)[:, None] / 20 + np.arange(40) / 3),
        # Noise tells nothing.
        DRAW.standard_normal((30, 40)),
        np.ones((30, 40)),
        WAVES[:, :9],
    ],
)
def test_rows_that_may_be_steps_are_not(values: np.ndarray) -> None:
    assert not reads_like_rows(read_series(table(values)))


@pytest.mark.parametrize(
    "others", [{"time": np.arange(30) * 2.0}, {"case": ["a"] * 15 + ["b"] * 15}, {"load": WAVES[:, 0]}]
)
def test_other_columns_say_that_they_are_not(others: dict[str, Any]) -> None:
    assert not reads_like_rows(read_series(table(WAVES, **others), Columns(label="label")))
    assert not reads_like_rows(read_series(np.asarray(WAVES)))


def test_names_that_are_numbered_are_one() -> None:
    assert numbered(["t08", "t09", "t10", "u", "3", "4", "6"]) == [["t08", "t09", "t10"], ["u"], ["3", "4"], ["6"]]
    names = tuple(f"t{step}" for step in range(60))
    reasons = dict.fromkeys(names, "guessed") | {"t7": "given"}
    roles = Roles(targets=("y",), past_only=(*names, "u1", "u2"), reasons=reasons)
    assert str(roles).splitlines() == [
        "targets    y",
        "past only  t0 to t6   guessed",
        "past only  t7         given",
        "past only  t8 to t59  guessed",
        "past only  u1",
        "past only  u2",
    ]
