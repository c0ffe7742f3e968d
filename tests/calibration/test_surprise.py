"""How surprising errors are: against known distributions, and in any pieces."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from recur.calibration import SurpriseScale
from recur.calibration.surprise import NUM_BINS


def test_a_surprise_is_how_likely_an_error_is() -> None:
    generator = torch.Generator().manual_seed(1)
    errors = torch.empty(20_000, 1, dtype=torch.float64).exponential_(generator=generator)
    scale = SurpriseScale(memory=1e6)
    _, counts = scale.advance(errors, scale.begin(1))
    wanted = torch.tensor([0.5, 0.1, 0.02, 1e-3, 1e-6, 1e-9], dtype=torch.float64)
    found, _ = scale.advance(-wanted.log()[:, None], counts)
    # Of 20,000 draws the mean excess beyond the last 400 is known to a twentieth, and bins are a third of an octave
    # wide; within the histogram a share of 2 % is known to a twentieth too.
    assert torch.allclose(found[:, 0], -wanted.log10(), rtol=0.12, atol=0.03)


@pytest.mark.parametrize("unit", [2.0**-40, 1e-6, 1e-4, 1e4, 1e6, 2.0**40])
def test_the_unit_of_errors_does_not_matter(unit: float) -> None:
    errors = torch.randn(3000, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64).abs()
    errors = torch.cat([errors, torch.tensor([[0.67, 3.0], [8.0, 30.0]], dtype=torch.float64)])
    scale = SurpriseScale()
    one, _ = scale.advance(errors, scale.begin(2))
    other, _ = scale.advance(unit * errors, scale.begin(2))
    # By powers of two bins only change their place. By others the edges of bins lie elsewhere: within a bin, which is a
    # quarter wide, the places of errors are known to a few hundredths of it, and so is the mean excess of the tail.
    exact = {"rtol": 1e-9, "atol": 1e-9} if math.log2(unit) % 1 == 0 else {"rtol": 0.15, "atol": 0.05}
    torch.testing.assert_close(other[100:], one[100:], **exact)


def test_an_infinite_error_is_the_strangest() -> None:
    scale, generator = SurpriseScale(), torch.Generator().manual_seed(6)
    _, counts = scale.advance(torch.rand(500, 1, generator=generator, dtype=torch.float64), scale.begin(1))
    found, counts = scale.advance(torch.tensor([[math.inf], [0.5]], dtype=torch.float64), counts)
    assert found[0].item() == 300
    assert found[1].item() == pytest.approx(math.log10(2), abs=0.15)


def test_it_is_the_same_in_any_pieces() -> None:
    generator = torch.Generator().manual_seed(2)
    errors = torch.randn(1500, 2, 3, generator=generator, dtype=torch.float64).abs()
    errors[torch.rand(errors.shape, generator=generator) < 0.1] = torch.nan
    scale = SurpriseScale(memory=300)
    whole, after = scale.advance(errors, scale.begin(2, 3))
    counts, found = scale.begin(2, 3), []
    for piece in torch.split(errors, [1, 700, 99, 1, 699]):
        surprise, counts = scale.advance(piece, counts)
        found.append(surprise)
    assert torch.allclose(torch.cat(found), whole, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert torch.allclose(counts, after, rtol=1e-9)
    assert torch.equal(whole.isnan()[200:], errors.isnan()[200:])


def test_nothing_is_said_before_enough_was_seen() -> None:
    scale = SurpriseScale()
    found, counts = scale.advance(torch.ones(60, 1), scale.begin(1))
    assert found[:50].isnan().all()
    # All were the same, so that the next one is as large as every one before it but for its place in their bin.
    assert (found[51:] < 0.31).all()
    assert counts.shape == (1, NUM_BINS)


def test_no_later_error_has_a_part_in_a_surprise() -> None:
    errors = torch.rand(400, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scale = SurpriseScale()
    before, _ = scale.advance(errors, scale.begin(1))
    changed = errors.clone()
    changed[300:] *= 100
    after, _ = scale.advance(changed, scale.begin(1))
    assert torch.equal(before[51:300], after[51:300])
    assert (after[301] > before[301]).all()


def test_old_errors_fade() -> None:
    generator = torch.Generator().manual_seed(4)
    scale = SurpriseScale(memory=100)
    _, counts = scale.advance(torch.rand(1000, 1, generator=generator, dtype=torch.float64), scale.begin(1))
    later, counts = scale.advance(10 * torch.rand(1000, 1, generator=generator, dtype=torch.float64), counts)
    assert later[:5].max() > 3
    # exp(-10) of the old ones is left.
    found, _ = scale.advance(torch.tensor([[5.0]], dtype=torch.float64), counts)
    assert found.item() == pytest.approx(math.log10(2), abs=0.15)


def test_errors_without_spread_and_huge_ones_have_finite_surprises() -> None:
    scale = SurpriseScale()
    errors = torch.cat([torch.zeros(200, 1), torch.tensor([[0.0], [1e-6], [1e30]])]).double()
    found, _ = scale.advance(errors, scale.begin(1))
    assert found[200] < 0.31
    assert torch.isfinite(found[201:]).all()
    assert found[202] > 100


@pytest.mark.parametrize(
    ("memory", "error", "message"),
    [
        ("long", TypeError, "memory must be a number, but is str"),
        (99, ValueError, "memory is 99, but must be at least 100 and finite"),
        (math.inf, ValueError, "memory is inf, but must be at least 100 and finite"),
    ],
)
def test_bad_memory(memory: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SurpriseScale(memory)


def test_bad_errors() -> None:
    scale = SurpriseScale()
    with pytest.raises(ValueError, match=r"errors have shape \(5, 3\), but the state is of streams \(2,\)"):
        scale.advance(torch.ones(5, 3), scale.begin(2))
    with pytest.raises(ValueError, match="an error is negative"):
        scale.advance(-torch.ones(5, 2), scale.begin(2))
    with pytest.raises(TypeError, match="errors"):
        scale.advance(torch.ones(5, 2, dtype=torch.int64), scale.begin(2))
