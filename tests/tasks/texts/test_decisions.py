"""Thresholds of classes by held-out texts."""

from __future__ import annotations

import pytest
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


def drawn(count: int, classes: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return true probabilities of classes, half of which can hardly be told, and what was drawn by them."""
    random = torch.Generator().manual_seed(seed)
    rarity = torch.linspace(-5, -1.5, classes, dtype=torch.float64)
    spread = torch.tensor([0.3, 2.5], dtype=torch.float64).repeat(classes // 2)
    chance = (rarity + spread * torch.randn(count, classes, generator=random, dtype=torch.float64)).sigmoid()
    return chance, torch.rand(count, classes, generator=random) < chance


def means(told: torch.Tensor, true: torch.Tensor) -> tuple[float, float]:
    """Return macro-F1 and micro-F1."""
    each = [f1(told[:, k], true[:, k]) for k in range(true.shape[1])]
    return sum(each) / len(each), f1(told, true)


def test_classes_of_few_held_out_texts_are_not_told_everywhere() -> None:
    """The F1 of a class that cannot be told is best where all texts are told to be of it."""
    chance, true = drawn(5000)
    for seed in range(1, 6):
        found = best_thresholds(*drawn(100, seed=seed))
        told = chance >= found
        rare = drawn(100, seed=seed)[1].sum(0) <= 2
        assert rare.any()
        assert (told[:, rare].double().mean(0) < 0.25).all()
        assert told.sum() < 2.5 * true.sum()


def test_many_held_out_texts_of_a_class_decide_alone() -> None:
    chance, true = drawn(20_000)
    found = best_thresholds(*drawn(5000, seed=1))
    alone = torch.cat([best_thresholds(*(one[:, k : k + 1] for one in drawn(5000, seed=1))) for k in range(12)])
    (macro, micro), (alone_macro, alone_micro) = (means(chance >= one, true) for one in (found, alone))
    assert macro > alone_macro - 0.003
    assert micro > alone_micro - 0.003


def test_classes_without_texts_and_no_texts() -> None:
    chance = torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    found = best_thresholds(chance, torch.tensor([[1, 0], [0, 0]]))
    # The best of all decisions together, between 0.9 and 0.3.
    assert found.tolist() == pytest.approx([0.6, 0.6])
    assert best_thresholds(chance, torch.zeros(2, 2)).tolist() == [0.5, 0.5]
    assert best_thresholds(torch.zeros(0, 2), torch.zeros(0, 2)).tolist() == [0.5, 0.5]
