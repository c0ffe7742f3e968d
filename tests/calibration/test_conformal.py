"""Conformal intervals: ranks by hand, coverage by simulation within bounds that follow from theory."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.calibration import ConformalQuantiles, SplitConformal

F64 = {"dtype": torch.float64}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 30), coverage=st.sampled_from([0.1, 0.5, 0.8, 0.9, 0.95]))
def test_the_margin_is_an_order_statistic_of_each_step(seed, rows, coverage) -> None:
    generator = torch.Generator().manual_seed(seed)
    target, forecast = (torch.randn(rows, 4, generator=generator, **F64) for _ in range(2))
    target[torch.rand(rows, 4, generator=generator) < 0.2] = torch.nan
    weight = torch.rand(rows, 4, generator=generator) < 0.9
    margin = SplitConformal(coverage).fit(target, forecast, weight=weight).margin
    half = torch.rand(rows, 4, generator=generator, **F64)
    moved = ConformalQuantiles(coverage).fit(target, forecast - half, forecast + half, weight=weight).margin
    for step in range(4):
        there = [n for n in range(rows) if weight[n, step] and target[n, step] == target[n, step]]
        errors = sorted(abs(float(target[n, step] - forecast[n, step])) for n in there)
        scores = sorted(abs(float(target[n, step] - forecast[n, step])) - float(half[n, step]) for n in there)
        rank = next(k for k in range(1, len(there) + 2) if k >= (len(there) + 1) * coverage - 1e-9)
        for found, wanted in ((margin, errors), (moved, scores)):
            expected = wanted[rank - 1] if rank <= len(wanted) else math.inf
            assert found[step].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def sd_of_coverage(num_held_out, num_new, num_repeats, coverage):
    """The deviation of the mean coverage: given the margin it is a beta variable, and the new targets are binomial."""
    rank = math.ceil((num_held_out + 1) * coverage)
    mean = rank / (num_held_out + 1)
    beta = mean * (1 - mean) / (num_held_out + 2)
    binomial = mean * (1 - mean) / num_new
    return mean, ((beta + binomial) / num_repeats) ** 0.5


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.97])
def test_split_conformal_covers(coverage) -> None:
    # 300 sets of 40 held-out errors with heavy tails, as columns; each is tried on 200 new ones.
    held_out = torch.distributions.StudentT(2.0).sample((40, 300)).double()
    new = torch.distributions.StudentT(2.0).sample((200, 300)).double()
    conformal = SplitConformal(coverage).fit(held_out, torch.zeros(40, 300, **F64))
    lower, upper = conformal.interval(torch.zeros(200, 300, **F64))
    found = ((lower <= new) & (new <= upper)).double().mean().item()
    mean, deviation = sd_of_coverage(40, 200, 300, coverage)
    assert mean >= coverage - 1e-12
    assert abs(found - mean) < 5 * deviation


@pytest.mark.parametrize("offset", [-1.0, 0.0, 3.0])
def test_conformal_quantiles_cover_whatever_the_model_says(offset) -> None:
    # The spread differs from target to target, and the model knows it up to a factor and a shift.
    spread = torch.rand(240, 300, **F64) * 3 + 0.2
    target = spread * torch.randn(240, 300, **F64)
    lower, upper = -0.7 * spread + offset, 0.7 * spread + offset
    conformal = ConformalQuantiles(0.8).fit(target[:40], lower[:40], upper[:40])
    low, high = conformal.interval(lower[40:], upper[40:])
    found = ((low <= target[40:]) & (target[40:] <= high)).double().mean().item()
    mean, deviation = sd_of_coverage(40, 200, 300, 0.8)
    assert abs(found - mean) < 5 * deviation


def test_quantiles_that_are_too_far_apart_move_inwards_and_never_cross() -> None:
    target = torch.linspace(-1, 1, 99, **F64)[:, None]
    conformal = ConformalQuantiles(0.5).fit(target, torch.full((99, 1), -10.0, **F64), torch.full((99, 1), 10.0, **F64))
    low, high = conformal.interval(
        torch.tensor([-10.0, -0.5], **F64)[:, None], torch.tensor([10.0, 0.7], **F64)[:, None]
    )
    torch.testing.assert_close(high[0] - low[0], torch.tensor([1.0], **F64), rtol=0, atol=0.05)
    torch.testing.assert_close(low[1], torch.tensor([0.1], **F64))
    assert torch.equal(low[1], high[1])


def test_state_and_batches() -> None:
    target = torch.randn(50, 3)
    fitted = SplitConformal(0.9).fit(target, torch.zeros(50, 3))
    other = SplitConformal(0.9)
    other.load_state_dict(fitted.state_dict())
    forecast = torch.randn(2, 5, 3)
    for found, wanted in zip(other.interval(forecast), fitted.interval(forecast), strict=True):
        assert torch.equal(found, wanted)
    torch.testing.assert_close(fitted.interval(forecast)[1], forecast + fitted.margin)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^SplitConformal: coverage is 90, but must lie between 0 and 1\.$"):
        SplitConformal(90)
    with pytest.raises(TypeError, match=r"^ConformalQuantiles: coverage must be a number, but is str\.$"):
        ConformalQuantiles("a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^SplitConformal: there are no margins yet\. Call fit with held-out targets"):
        SplitConformal(0.9).interval(torch.zeros(3))
    fitted = SplitConformal(0.9).fit(torch.zeros(5, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"has shape \(2,\), whose last dimensions must be those of the targets"):
        fitted.interval(torch.zeros(2))
    with pytest.raises(ValueError, match=r"^SplitConformal: forecast has shape \(5,\), but must have the target's"):
        fitted.fit(torch.zeros(5, 3), torch.zeros(5))
    with pytest.raises(ValueError, match=r"^ConformalQuantiles: upper has shape \(5,\), but must have the target's"):
        ConformalQuantiles(0.9).fit(torch.zeros(5, 3), torch.zeros(5, 3), torch.zeros(5))
