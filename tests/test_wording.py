from __future__ import annotations

from recur.models.language import CELLS
from recur.wording import cell_name, quantity


def test_one_is_singular_and_all_else_plural() -> None:
    assert [quantity(number, "step") for number in (0, 1, 2, 12_345)] == [
        "0 steps",
        "1 step",
        "2 steps",
        "12,345 steps",
    ]
    assert [quantity(number, "minute") for number in (1.0, 0.5, 1.5)] == ["1 minute", "0.5 minutes", "1.5 minutes"]


def test_every_cell_is_spelt_as_its_layer() -> None:
    for cell, layer in CELLS.items():
        assert cell_name(cell) == layer.__name__
    assert cell_name("another") == "another"
