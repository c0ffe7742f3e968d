"""How surprising the last steps were: by hand, with steps that are missing, and in pieces."""

from __future__ import annotations

import torch

from recur.tasks.detect.lasting import begin_lately, means_of_late


def test_means_by_hand() -> None:
    kept = 15 / 16
    surprise = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0], [40.0, 4.0]], dtype=torch.float64)
    means, state = means_of_late(surprise, begin_lately(2))
    # A step adds ten at most.
    last = [(kept * 1 + 10) / (kept + 1), (kept * 2 + 4) / (kept + 1)]
    wanted = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0], last], dtype=torch.float64)
    torch.testing.assert_close(means, wanted, equal_nan=True, rtol=1e-14, atol=0)
    torch.testing.assert_close(state.weight, torch.full((2,), 1 + kept, dtype=torch.float64), rtol=1e-14, atol=0)


def test_pieces_give_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    surprise = torch.empty(300, 2, 3, dtype=torch.float64).exponential_(generator=generator)
    surprise[torch.rand(surprise.shape, generator=generator) < 0.1] = torch.nan
    whole, after = means_of_late(surprise, begin_lately(2, 3))
    state, found = begin_lately(2, 3), []
    for piece in torch.split(surprise, [1, 120, 0, 179]):
        means, state = means_of_late(piece, state)
        found.append(means)
    # A sum of 256 positive numbers in another order, each rounded three times.
    tolerance = 3 * 256 * torch.finfo(torch.float64).eps
    torch.testing.assert_close(torch.cat(found), whole, equal_nan=True, rtol=tolerance, atol=0)
    for one, other in zip(state, after, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=0)


def test_many_steps_are_those_of_one_after_the_other() -> None:
    generator = torch.Generator().manual_seed(1)
    surprise = torch.empty(1_000, 3, dtype=torch.float64).exponential_(generator=generator)
    surprise[torch.rand(surprise.shape, generator=generator) < 0.2] = torch.nan
    surprise[:600, 2] = torch.nan
    means, state = means_of_late(surprise, begin_lately(3))
    total, weight = torch.zeros(2, 3, dtype=torch.float64)
    for step, here in enumerate(surprise):
        there = ~here.isnan()
        keep = torch.where(there, 15 / 16, 1.0)
        total = keep * total + here.nan_to_num(0).clamp(max=10)
        weight = keep * weight + there
        wanted = torch.where(there, total / weight, torch.nan)
        torch.testing.assert_close(means[step], wanted, equal_nan=True, rtol=1e-12, atol=0)
    torch.testing.assert_close(state.total, total, rtol=1e-12, atol=0)
    torch.testing.assert_close(state.weight, weight, rtol=1e-12, atol=0)
