"""Calibration tables against torchmetrics, by hand, and by bins of equal mass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from recur.score import reliability


def drawn(seed: int, count: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, num_classes, generator=generator)
    return logits.softmax(-1), torch.randint(num_classes, (count,), generator=generator)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), num_bins=st.integers(1, 20), num_classes=st.integers(2, 5))
def test_errors_are_those_of_torchmetrics(seed, num_bins, num_classes) -> None:
    probabilities, target = drawn(seed, 60, num_classes)
    table = reliability(probabilities, target, num_bins=num_bins)
    for norm, found in (("l1", table.expected_error), ("max", table.largest_error)):
        wanted = multiclass_calibration_error(probabilities, target, num_classes, n_bins=num_bins, norm=norm)
        # float32 sums of 60 shares in other orders.
        torch.testing.assert_close(found, wanted, rtol=0, atol=60 * 2**-23)


def test_weights_count_as_repeats_and_missing_ones_not_at_all() -> None:
    probabilities, target = drawn(0, 20, 3)
    weight = torch.randint(0, 3, (20,))
    target[3] = -100
    found = reliability(probabilities, target, weight=weight)
    repeats = torch.arange(20).repeat_interleave(torch.where(target >= 0, weight, 0))
    wanted = reliability(probabilities[repeats], target[repeats])
    for name in ("edges", "weight", "confidence", "accuracy"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), equal_nan=True, rtol=0, atol=1e-6)


def test_bins_of_equal_mass() -> None:
    probabilities, target = drawn(1, 30, 4)
    table = reliability(probabilities, target, num_bins=5, bins="mass")
    assert table.weight.tolist() == [6.0] * 5
    order = probabilities.max(-1).values.argsort()
    right = (probabilities.argmax(-1) == target).float()[order].view(5, 6)
    torch.testing.assert_close(table.accuracy, right.mean(1))
    torch.testing.assert_close(table.confidence, probabilities.max(-1).values[order].view(5, 6).mean(1))


def test_a_table_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.5], [0.8, 0.2], [0.2, 0.8], [1.0, 0.0]], dtype=torch.float64)
    table = reliability(probabilities, torch.tensor([0, 1, 1, 0]), num_bins=2)
    assert table.edges.tolist() == [0.0, 0.5, 1.0]
    assert table.weight.tolist() == [1.0, 3.0]
    torch.testing.assert_close(table.confidence, torch.tensor([0.5, 2.6 / 3], dtype=torch.float64))
    torch.testing.assert_close(table.accuracy, torch.tensor([1.0, 2 / 3], dtype=torch.float64))
    torch.testing.assert_close(table.expected_error, torch.tensor((0.5 + 0.6) / 4, dtype=torch.float64))
    torch.testing.assert_close(table.largest_error, torch.tensor(0.5, dtype=torch.float64))


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_an_empty_table_is_nan(bins) -> None:
    table = reliability(torch.zeros(2, 3), torch.tensor([-1, -1]), bins=bins)
    assert table.weight.sum() == 0
    assert table.expected_error.isnan()
    assert table.largest_error.isnan()


def test_bad_input_is_named() -> None:
    p, y = torch.full((2, 2), 0.5), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"^reliability: target must be a torch.int64 tensor, but is torch.float32\.$"):
        reliability(p, y.float())
    with pytest.raises(ValueError, match=r"^reliability: a target is class 2, but there are 2 classes\.$"):
        reliability(p, y + 2)
    with pytest.raises(
        ValueError, match=r"^reliability: a probability is not between 0 and 1\. Give probabilities, not"
    ):
        reliability(p + 3, y)
    with pytest.raises(
        ValueError, match=r"^reliability: probabilities have shape \(2, 2\), but must have that of the ta"
    ):
        reliability(p, y[:1])
    with pytest.raises(ValueError, match=r"^reliability: num_bins is 0, but must be at least 1\.$"):
        reliability(p, y, num_bins=0)
    with pytest.raises(TypeError, match=r"^reliability: num_bins must be an int, but is float\.$"):
        reliability(p, y, num_bins=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^reliability: bins must be 'width' or 'mass', but is 'even'\.$"):
        reliability(p, y, bins="even")  # type: ignore[arg-type]
