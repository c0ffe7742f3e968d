from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest

from recur.report.inspection import Part
from recur.report.packing import MISSING, packed, packed_numbers, similar


def unpacked(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    raw = zlib.decompress(base64.b64decode(entry["data"]))
    return np.frombuffer(raw, dtype=np.dtype(entry["type"]).newbyteorder("<")).reshape(entry["shape"])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32])
def test_whole_numbers_come_back(kind: type[np.signedinteger[Any]]) -> None:
    ends = np.iinfo(kind)
    array = np.array([[ends.min, 0, 1], [ends.max, 2, 3]], dtype=kind)
    entry = packed(array[:, ::-1])
    np.testing.assert_array_equal(unpacked(entry), array[:, ::-1])
    assert entry["type"] == np.dtype(kind).name


def test_other_numbers_are_not_taken_for_whole_ones() -> None:
    with pytest.raises(ValueError, match=r"packed: the array is of float64, expected whole numbers\."):
        packed(np.zeros(3))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_numbers_come_back_to_within_half_a_step(scale: float) -> None:
    numbers = np.random.default_rng(0).normal(size=500) * scale
    numbers[7] = np.nan
    numbers[8] = np.inf
    entry = packed_numbers(numbers)
    whole = unpacked(entry).astype(np.float64)
    assert (whole[[7, 8]] == MISSING).all()
    back = entry["low"] + (whole + 32_767) * entry["step"]
    is_known = np.isfinite(numbers)
    # Half a step, and the rounding of a float64 as large as the range.
    tolerance = 0.5 * entry["step"] + 4 * np.finfo(np.float64).eps * np.abs(numbers[is_known]).max()
    assert np.abs(back - numbers)[is_known].max() <= tolerance


@pytest.mark.parametrize("numbers", [np.full(3, np.nan), np.zeros(0), np.full(4, 2.5)])
def test_numbers_without_a_range_are_packed_too(numbers: np.ndarray[Any, Any]) -> None:
    entry = packed_numbers(numbers)
    whole = unpacked(entry).astype(np.float64)
    back = np.where(whole == MISSING, np.nan, entry["low"] + (whole + 32_767) * entry["step"])
    np.testing.assert_array_equal(back, numbers)


def test_units_that_move_alike_are_neighbours() -> None:
    draw = np.random.default_rng(0)
    waves = np.stack([np.sin(np.arange(400) / 30), np.cos(np.arange(400) / 11)])
    kinds = draw.permutation([0] * 10 + [1] * 10)
    values = np.round(90 * waves[kinds].T + 3 * draw.normal(size=(400, 20))).astype(np.int8)
    part = Part(name="h", is_gate=False, scale=1.0, values=values)
    order = similar(part)
    assert sorted(order) == list(range(20))
    # One change from the one kind to the other.
    assert (np.diff(kinds[order]) != 0).sum() == 1
    assert similar(part) == order


@pytest.mark.parametrize("width", [1, 2, 3])
def test_few_or_still_units_have_an_order_too(width: int) -> None:
    part = Part(name="h", is_gate=False, scale=1.0, values=np.zeros((9, width), dtype=np.int8))
    assert sorted(similar(part)) == list(range(width))
