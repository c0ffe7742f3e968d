"""Which columns look like the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recur.data.series import Columns, read_series
from recur.data.series.alike import alike_note

DAYS = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]").astype("datetime64[ms]")
COUNT = len(DAYS)
SHOPS = {name: np.arange(COUNT) % 7 * size for name, size in (("Aachen", 20), ("Bonn", 8), ("Cologne", 40))}


def noted(columns: dict[str, Any], given: Columns | None = None) -> list[str]:
    return alike_note(read_series({"date": DAYS, **columns}, given))


def test_a_column_for_each_series_is_noted() -> None:
    assert noted(SHOPS) == [
        "'Bonn' and 'Cologne' look like 'Aachen', but only help to forecast it; targets='Aachen,Bonn,Cologne' has all "
        "of them forecast"
    ]
    (one,) = noted({name: SHOPS[name] for name in ("Aachen", "Bonn")})
    assert one.startswith("'Bonn' looks like 'Aachen', but only helps to forecast it; targets='Aachen,Bonn'")
    many = {f"shop {number}": SHOPS["Bonn"] + number for number in range(9)}
    assert noted(many)[0].startswith("'shop 1', 'shop 2', 'shop 3', 'shop 4', 'shop 5' and others look like 'shop 0'")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(np.arange(COUNT) % 2, id="0 and 1"),
        pytest.param(np.arange(COUNT) / 7, id="decimals"),
        pytest.param(np.full(COUNT, 30), id="constant"),
        pytest.param(100_000 + np.arange(COUNT) ** 2, id="of another size"),
        pytest.param(["sun", "rain"] * (COUNT // 2), id="text"),
    ],
)
def test_what_is_of_another_kind_is_not(other: Any) -> None:
    assert noted({"Aachen": SHOPS["Aachen"], "other": other}) == []


def test_where_the_target_is_named_nothing_is() -> None:
    assert noted({"sales": SHOPS["Aachen"], "visitors": SHOPS["Bonn"]}) == []
    assert noted(SHOPS, Columns(targets="Bonn")) == []
    assert noted(SHOPS, Columns(targets=("Aachen", "Bonn"))) == []
