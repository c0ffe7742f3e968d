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


def by_steps(kind: str, values: list[float], there: list[bool]) -> tuple[list[list[float]], list[list[float]]]:
    """One series, a step at a time: what is read at each, and loc, mean and scale after 0, 1, ... steps."""
    first = last = None
    count = total = squares = 0.0
    read, places = [], [[0.0, 0.0, 1.0]]
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
        from_mean = value - mean if is_there else 0.0
        read.append({"series": [value], "window": [position], "last": [change, from_mean]}[kind])
        places.append(
            {"series": [0.0, 0.0, 1.0], "window": [last or 0.0, mean, deviation], "last": [last or 0.0, mean, 1.0]}[
                kind
            ]
        )
    return read, places


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
            read, places = by_steps(kind, *column)
            if length:
                assert_same(found.features[:length, row, target::2], torch.tensor(read, dtype=torch.float64))
            own = torch.stack([each[: length + 1, row, target] for each in found.place], 1)
            assert_same(own, torch.tensor(places, dtype=torch.float64))


def test_the_level_can_be_read_too() -> None:
    values, there, lengths = drawn([7, 4])
    for kind in KINDS:
        own = SeriesNormalization(kind, 2, MEMORY)  # type: ignore[arg-type]
        more = SeriesNormalization(kind, 2, MEMORY, has_level=True)  # type: ignore[arg-type]
        found, without = more(values, there, lengths), own(values, there, lengths)
        assert found.features.shape[2] == more.num_features == own.num_features + (0 if kind == "series" else 2)
        assert torch.equal(found.features[..., : own.num_features], without.features)
        assert torch.equal(found.features[..., -2:], values)
        assert torch.equal(found.place.loc, without.place.loc)
        # The centre of the scaling is where such series come back to.
        assert torch.equal(found.place.mean, without.place.mean * (kind == "window"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_pieces_equal_the_whole(kind: str, cut: int) -> None:
    values, there, lengths = drawn([7, 4, 0, 1])
    whole = run(kind, values, there, lengths)
    first = run(kind, values[:cut], there[:cut], lengths.clamp(max=cut))
    second = run(kind, values[cut:], there[cut:], (lengths - cut).clamp(min=0), first.state)
    assert_same(torch.cat([first.features, second.features]), whole.features)
    for row, length in enumerate(lengths.tolist()):
        for a, b, both in zip(first.place, second.place, whole.place, strict=True):
            pieces = a[: min(length, cut) + 1, row], b[1 : max(length - cut, 0) + 1, row]
            assert_same(torch.cat(pieces), both[: length + 1, row])
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
