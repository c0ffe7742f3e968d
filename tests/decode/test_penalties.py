"""Penalties by the formulas of the paper, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recur.decode import coverage_loss, length_divisor


def test_length() -> None:
    lengths = torch.tensor([1, 3, 7, 19])
    assert length_divisor(lengths, "none").tolist() == [1, 1, 1, 1]
    assert length_divisor(lengths, "mean").tolist() == [1, 3, 7, 19]
    assert length_divisor(lengths, "gnmt", 0.0).tolist() == [1, 1, 1, 1]
    # (5 + 1) / 6, (5 + 3) / 6, (5 + 7) / 6 and (5 + 19) / 6, to the power of a half.
    assert length_divisor(lengths, "gnmt", 0.5).tolist() == pytest.approx([1, math.sqrt(4 / 3), math.sqrt(2), 2])


def test_coverage() -> None:
    attention = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.75, 0.0], [0.5, 0.0, 0.0]], dtype=torch.float64)
    # By source position 1.5, 1 and 0.25, of which the first counts as 1.
    loss = coverage_loss(attention.sum(dim=0, keepdim=True))
    assert loss.tolist() == pytest.approx([math.log(4)])


def test_what_was_never_looked_at_is_a_finite_loss() -> None:
    loss = coverage_loss(torch.tensor([[0.0, 1.0], [1e-9, 1.0]]))
    assert loss.tolist() == pytest.approx([6 * math.log(10)] * 2)


def test_padding_does_not_count() -> None:
    coverage = torch.tensor([[0.5, 0.1, 0.0], [0.5, 0.1, 0.0], [0.0, 0.0, 0.0]])
    loss = coverage_loss(coverage, torch.tensor([1, 2, 0]))
    assert loss.tolist() == pytest.approx([math.log(2), math.log(20), 0])
