"""Integrated gradients whose shares add up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recur.gradients.attributions import completion
from recur.gradients.attributions.completion import complete_shares

STEEP = 60.0


def steep(x: Tensor, rows: Tensor) -> Tensor:
    """Steps of a logistic function, steep enough that 32 points miss it, in every other row."""
    slope = torch.where(rows % 2 == 0, STEEP, 1.0).to(x)
    return ((x[:, 0, 0] + 2 * x[:, 1, 0] - 1.234) * slope).sigmoid()


def test_rows_get_as_many_points_as_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    own = completion.attribute

    def counted(score: object, inputs: Tensor, *args: object, num_steps: int, **options: object) -> Tensor:
        asked.append((num_steps, len(inputs)))
        return own(score, inputs, *args, num_steps=num_steps, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(completion, "attribute", counted)
    inputs = torch.tensor([[[1.0], [1.0]]] * 4, dtype=torch.float64) * torch.tensor([1.0, 1, 2, 2])[:, None, None]
    found = complete_shares(steep, inputs, most_gap=1e-4, batch_size=3)
    assert asked[0] == (32, 4)
    assert all(count < 4 for _, count in asked[1:])
    assert {count for _, count in asked[1:]} <= {1, 2}
    assert len(asked) > 1
    assert (found.gap <= 1e-4).all()
    rows = torch.arange(4)
    torch.testing.assert_close(found.answer, steep(inputs, rows))
    torch.testing.assert_close(found.neutral, steep(torch.zeros_like(inputs), rows))
    # A score of one weighted sum: each step has its share of what the sum changes.
    whole = found.answer - found.neutral
    torch.testing.assert_close(found.shares, whole[:, None] * torch.tensor([1 / 3, 2 / 3]).double(), rtol=1e-3, atol=0)


def test_shares_of_features_and_of_nothing() -> None:
    inputs = torch.randn(2, 3, 4, dtype=torch.float64)
    weights = torch.randn(3, 4, dtype=torch.float64)
    base = torch.randn(4, dtype=torch.float64)
    found = complete_shares(lambda x, rows: (x * weights).sum((1, 2)), inputs, base, most_gap=0.01, per_feature=True)
    torch.testing.assert_close(found.shares, (inputs - base) * weights)
    same = complete_shares(lambda x, rows: (x * weights).sum((1, 2)), inputs, inputs, most_gap=0.01)
    assert same.gap.tolist() == [0, 0]
