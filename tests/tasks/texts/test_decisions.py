"""Thresholds of classes by held-out texts."""

from __future__ import annotations

import torch

from recur.tasks.texts.decisions import best_thresholds


def f1(told: torch.Tensor, true: torch.Tensor) -> float:
    return float(2 * (told & true).sum() / (told.sum() + true.sum()))


def test_it_is_near_the_best_there_is() -> None:
    random = torch.Generator().manual_seed(0)
    chance = torch.rand(2000, 1, generator=random, dtype=torch.float64) ** 3
    true = torch.rand(2000, 1, generator=random, dtype=torch.float64) < chance
    found = best_thresholds(chance, true)
    best = max(f1(chance >= place / 200, true) for place in range(1, 200))
    assert f1(chance >= found, true) > best - 0.005
    # With true probabilities the best threshold is half the best F1 (Lipton et al. 2014).
    assert abs(float(found) - best / 2) < 0.06


def test_a_single_lucky_text_does_not_decide() -> None:
    chance = torch.linspace(1, 0.01, 100, dtype=torch.float64)[:, None]
    true = torch.zeros(100, 1, dtype=torch.bool)
    true[0], true[30:60] = True, True
    assert 0.35 < float(best_thresholds(chance, true)) < 0.5


def test_classes_without_texts_and_no_texts() -> None:
    chance = torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    found = best_thresholds(chance, torch.tensor([[1, 0], [0, 0]]))
    assert found[1] == 0.5
    assert best_thresholds(torch.zeros(0, 2), torch.zeros(0, 2)).tolist() == [0.5, 0.5]
