from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report.row_coding import ALPHABET, WHOLE, as_text, classes_of, rows_of

Decoded = Callable[[dict[str, Any], "np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


def noise(rows: int, count: int, levels: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, levels, (rows, count)).astype(np.uint8)


@pytest.mark.parametrize(("rows", "count", "levels"), [(1, 1, 1), (1, 1, 255), (3, 2, 2), (5, 300, 7), (2, 900, 255)])
def test_what_was_coded_comes_back(decoded: Decoded, rows: int, count: int, levels: int) -> None:
    numbers, classes = noise(rows, count, levels), noise(1, count, 4, seed=1)[0]
    np.testing.assert_array_equal(decoded(rows_of(numbers, levels, classes).to_json(), classes), numbers)


def test_rows_of_every_shape_come_back(decoded: Decoded) -> None:
    steps = np.arange(2000)
    rare = np.zeros(2000)
    rare[[3, 1999]] = 62
    rows = [np.zeros(2000), np.full(2000, 62), steps % 63, 31 + 31 * np.sin(steps / 40), rare, steps > 1000]
    numbers, classes = np.round(np.stack(rows)).astype(np.uint8), (steps % 3).astype(np.uint8)
    np.testing.assert_array_equal(decoded(rows_of(numbers, 63, classes).to_json(), classes), numbers)


def test_it_needs_what_is_news_and_little_more() -> None:
    count = 4000
    classes = noise(1, count, 2, seed=1)[0]
    # A fair coin, which takes a bit a place; what the symbol decides; what stays as it is.
    coin = noise(1, count, 2)[0]
    rows = rows_of(np.stack([coin, classes, np.zeros(count, dtype=np.uint8)]), 2, classes)
    lengths = rows.sizes() - rows.sizes()[2]
    assert count * 2 / 13 == pytest.approx(lengths[0], rel=0.02)
    assert lengths[1] < 0.02 * lengths[0]
    words = rows.to_json()["words"]
    # Each row begins with a state of its own, of 32 bits, and ends on a whole word.
    assert len(words) == pytest.approx(rows.sizes().sum(), abs=20)


def test_frequencies_add_up_and_leave_nothing_out() -> None:
    numbers = np.minimum(np.random.default_rng(0).geometric(0.3, (40, 700)) - 1, 254).astype(np.uint8)
    rows = rows_of(numbers, 255, np.zeros(700, dtype=np.uint8))
    sums = rows.frequencies.sum(axis=1, dtype=np.int64)
    assert set(sums.tolist()) == {0, WHOLE}
    assert (rows.frequencies.ravel()[rows.places] > 0).all()


def test_symbols_that_occur_often_have_a_number_of_their_own() -> None:
    names = ["a"] * 40 + ["b"] * 20 + ["c"] * 5 + ["d"] * 16
    classes = classes_of(names)
    assert [int(classes[place]) for place in (0, 40, 60, 65)] == [1, 2, 0, 3]
    many = classes_of([f"{one}" for one in range(300) for _ in range(16)])
    assert (many.max(), (many == 0).sum()) == (255, 16 * 45)


def test_two_characters_carry_thirteen_bits() -> None:
    assert len(ALPHABET) == 91
    assert not set(ALPHABET) & set('"\\<&\x7f')
    assert len(as_text(np.zeros(1300, dtype=np.uint16))) == math.ceil(1300 * 16 / 13) * 2
    assert as_text(np.array([0b1111111111111000], dtype=np.uint16)) == ALPHABET[8191 // 91] + ALPHABET[8191 % 91] + "  "
