"""What is taken out of series before a network reads them: against loops over the steps, and in pieces."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.models.series_normalization import Normalized, SeriesNormalization

KINDS = ("series", "window", "last")
MEMORY = 5


def drawn(lengths: list[int], steps: int = 7, targets: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Values, zero where missing, where they are there, and lengths; a third is missing."""
    generator = torch.Generator().manual_seed(3)
    shape = (steps, len(lengths), targets)
    ends = torch.tensor(lengths)
    there = (torch.rand(shape, generator=generator) < 0.67) & (torch.arange(steps)[:, None] < ends)[..., None]
    values = 10 + 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.where(there, values, 0), there, ends


def by_steps(kind: str, values: list[float], there: list[bool]) -> tuple[list[list[float]], list[float], list[float]]:
    """One series, a step at a time: what is read at each, and loc and scale after 0, 1, ... steps."""
    first = last = None
    count = total = squares = 0.0
    read, locs, scales = [], [0.0], [1.0]
    for value, is_there in zip(values, there, strict=True):
        before = last
        count, total, squares = ((1 - 1 / MEMORY) * each for each in (count, total, squares))
        if is_there:
            first = value if first is None else first
            last = value
            count, total, squares = count + 1, total + value - first, squares + (value - first) ** 2
        mean = (first or 0.0) + total / (count + 1)
        deviation = math.sqrt((squares + 1) / (count + 1) - (total / (count + 1)) ** 2)
        position = (value - mean) / deviation if is_there else 0.0
        change = value - before if is_there and before is not None else 0.0
        read.append(
            {"series": [value], "window": [position], "last": [change, value - mean if is_there else 0.0]}[kind]
        )
        locs.append({"series": 0.0, "window": mean, "last": last or 0.0}[kind])
        scales.append(deviation if kind == "window" else 1.0)
    return read, locs, scales


def run(kind: Any, *args: Any) -> Normalized:
    return SeriesNormalization(kind, args[0].shape[2], MEMORY)(*args)


def assert_same(a: Tensor, b: Tensor) -> None:
    # A handful of sums of ten terms of order 100, divided by a spread of order 1.
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_a_loop(kind: str) -> None:
    values, there, lengths = drawn([7, 4, 0, 1])
    found = run(kind, values, there, lengths)
    for row, length in enumerate(lengths.tolist()):
        for target in range(2):
            column = values[:length, row, target].tolist(), there[:length, row, target].tolist()
            read, locs, scales = by_steps(kind, *column)
            if length:
                assert_same(found.features[:length, row, target::2], torch.tensor(read, dtype=torch.float64))
            assert_same(found.place.loc[: length + 1, row, target], torch.tensor(locs, dtype=torch.float64))
            assert_same(found.place.scale[: length + 1, row, target], torch.tensor(scales, dtype=torch.float64))


def test_the_level_can_be_read_too() -> None:
    values, there, lengths = drawn([7, 4])
    for kind in KINDS:
        own = SeriesNormalization(kind, 2, MEMORY)  # type: ignore[arg-type]
        more = SeriesNormalization(kind, 2, MEMORY, has_level=True)  # type: ignore[arg-type]
        read = more(values, there, lengths).features
        assert read.shape[2] == more.num_features == own.num_features + (0 if kind == "series" else 2)
        assert torch.equal(read[..., : own.num_features], own(values, there, lengths).features)
        assert torch.equal(read[..., -2:], values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_pieces_equal_the_whole(kind: str, cut: int) -> None:
    values, there, lengths = drawn([7, 4, 0, 1])
    whole = run(kind, values, there, lengths)
    first = run(kind, values[:cut], there[:cut], lengths.clamp(max=cut))
    second = run(kind, values[cut:], there[cut:], (lengths - cut).clamp(min=0), first.state)
    assert_same(torch.cat([first.features, second.features]), whole.features)
    for row, length in enumerate(lengths.tolist()):
        loc = torch.cat(
            [first.place.loc[: min(length, cut) + 1, row], second.place.loc[1 : max(length - cut, 0) + 1, row]]
        )
        assert_same(loc, whole.place.loc[: length + 1, row])
    for a, b in zip(second.state, whole.state, strict=True):
        assert_same(a, b)


def test_a_constant_that_is_added_is_taken_out() -> None:
    values, there, lengths = drawn([7, 5])
    for kind in ("window", "last"):
        one, other = (run(kind, each, there, lengths) for each in (values, torch.where(there, values + 100, 0)))
        # Of numbers of order 100 the twelfth decimal is rounding.
        torch.testing.assert_close(one.features, other.features, rtol=0, atol=1e-11)
        has_begun = torch.cat([torch.zeros_like(there[:1]), there]).cumsum(0) > 0
        torch.testing.assert_close(other.place.loc - one.place.loc, 100.0 * has_begun.double(), rtol=0, atol=1e-11)


def test_a_constant_series_far_away_has_a_spread_above_zero() -> None:
    values = torch.full((500, 1, 1), 1e6)
    found = run("window", values, torch.ones_like(values, dtype=torch.bool), torch.tensor([500]))
    assert_same(found.features, torch.zeros(500, 1, 1))
    # The one step that counts with a spread of 1, among five at most.
    torch.testing.assert_close(found.place.scale[-1], torch.tensor([[(1 / 6) ** 0.5]]), rtol=1e-5, atol=0)
