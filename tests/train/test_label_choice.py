"""Defaults of trainings on labels."""

from __future__ import annotations

from typing import Any

import pytest

from recur.errors import OptionError
from recur.train.label_choice import choose
from recur.train.options import LabelTrainingOptions


@pytest.mark.parametrize(
    ("items", "way", "expected"),
    [
        (40, "series", (32, 500, 5e-3)),
        (1000, "series", (32, 1280, 5e-3)),
        (90, "steps", (16, 500, 3e-3)),
        (20_000, "windows", (64, 5000, 3e-3)),
        (70_000, "windows", (128, 5000, 3e-3)),
    ],
)
def test_by_number_and_kind(items: int, way: Any, expected: tuple[int, int, float]) -> None:
    chosen = choose(LabelTrainingOptions(), num_items=items, way=way)
    assert (chosen.batch_size, chosen.max_steps, chosen.learning_rate) == expected
    assert (chosen.max_minutes, chosen.clip_norm) == (8.0, 1.0)
    assert chosen.validate_every == -(-expected[1] // 25)


def test_what_is_given_stays() -> None:
    given = LabelTrainingOptions(batch_size=6, max_epochs=3, learning_rate=0.1, validate_every=2, clip_value=2.0)
    chosen = choose(given, num_items=60, way="series")
    assert chosen == given
    assert choose(LabelTrainingOptions(devices=3), num_items=40, way="series").batch_size == 30


def test_weights_that_are_averaged_are_the_best() -> None:
    message = r"averaged_checkpoints is of the best weights, and keep is newest\."
    with pytest.raises(OptionError, match=message):
        LabelTrainingOptions(keep="newest", averaged_checkpoints=2)
