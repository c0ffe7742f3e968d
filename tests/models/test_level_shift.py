"""How far series have moved, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recur.models.level_shift import find_level_shift


def test_by_hand() -> None:
    # Before: mean 2, deviation sqrt(8 / 3); after: 7 and 9, mean 8.
    history = torch.tensor([[0.0, 2.0, 4.0, 0.0, 2.0, 4.0, 7.0, 9.0]])
    assert find_level_shift(history) == pytest.approx(6 / math.sqrt(8 / 3), rel=1e-12)
    assert find_level_shift(-1000 * history - 5) == pytest.approx(6 / math.sqrt(8 / 3), rel=1e-12)
    missing = history.clone()
    missing[0, 1] = missing[0, 7] = torch.nan
    mask = torch.ones(1, 8, dtype=torch.bool)
    mask[0, [1, 7]] = False
    # Before: 0, 4, 0, 2, 4, mean 2, deviation sqrt(16 / 5); after: 7.
    assert find_level_shift(missing) == pytest.approx(5 / math.sqrt(16 / 5), rel=1e-12)
    assert find_level_shift(history, mask=mask) == find_level_shift(missing)


def test_the_median_is_over_the_series_that_have_values() -> None:
    steady, rising = torch.zeros(100), torch.arange(100.0)
    nothing = torch.full((100,), torch.nan)
    assert find_level_shift(torch.stack([steady, rising, rising + 3, nothing])) == find_level_shift(rising)
    assert find_level_shift(nothing) == 0
    assert find_level_shift(torch.zeros(0)) == 0
    assert find_level_shift(torch.tensor([5.0, 5.0, 5.0, 6.0])) == math.inf


def test_bad_input_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"^find_level_shift: history must have shape \(\.\.\., T\), but has no dimension"
    ):
        find_level_shift(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"^find_level_shift: history must be a floating torch\.Tensor"):
        find_level_shift(torch.tensor([1]))
