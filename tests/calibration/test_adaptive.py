"""Adaptive conformal intervals: step by step by hand, and the guarantee on streams that change."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.calibration import AdaptiveConformal


class ByHand:
    """One stream in plain Python."""

    def __init__(self, coverage, rate, window):
        self.alpha, self.coverage, self.rate, self.window = 1 - coverage, coverage, rate, window
        self.errors = []

    def margin(self):
        errors = sorted(self.errors[-self.window :])
        if self.alpha >= 1:
            return 0.0
        rank = max(math.ceil((len(errors) + 1) * (1 - self.alpha) - 1e-9), 1)
        return math.inf if self.alpha <= 0 or rank > len(errors) else errors[rank - 1]

    def update(self, error):
        miss = error > self.margin() or self.alpha >= 1
        self.alpha += self.rate * (1 - self.coverage - miss)
        self.errors.append(error)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    coverage=st.sampled_from([0.2, 0.5, 0.9]),
    rate=st.sampled_from([0.01, 0.3]),
    window=st.integers(1, 12),
)
def test_streams_side_by_side_go_as_each_alone(seed, coverage, rate, window) -> None:
    generator = torch.Generator().manual_seed(seed)
    streams = AdaptiveConformal((2, 2), coverage=coverage, rate=rate, window=window)
    alone = [[ByHand(coverage, rate, window) for _ in range(2)] for _ in range(2)]
    for _ in range(40):
        forecast = torch.randn(2, 2, generator=generator, dtype=torch.float64)
        lower, upper = streams.interval(forecast)
        # Few different errors, so that some tie.
        target = forecast + torch.randint(-3, 4, (2, 2), generator=generator)
        mask = torch.rand(2, 2, generator=generator) < 0.8
        for i in range(2):
            for j in range(2):
                margin = alone[i][j].margin()
                assert (upper - forecast)[i, j].item() == pytest.approx(margin, abs=1e-12)
                assert (forecast - lower)[i, j].item() == pytest.approx(margin, abs=1e-12)
                if mask[i, j]:
                    alone[i][j].update(abs(float(target[i, j] - forecast[i, j])))
        if torch.rand((), generator=generator) < 0.5:
            streams.update(target, forecast, mask=mask)
        else:
            streams.update(torch.where(mask, target, torch.nan), forecast)
    for i in range(2):
        for j in range(2):
            assert streams.alpha[i, j].item() == pytest.approx(alone[i][j].alpha, abs=1e-12)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_share_of_misses_is_held_on_streams_that_change(rate) -> None:
    num_steps, coverage = 3000, 0.9
    steps = torch.arange(num_steps, dtype=torch.float64)
    # Spreads that grow, jump and swing; and one whose errors grow without end, which no window can foresee.
    spreads = torch.stack(
        [1 + steps / 300, torch.where(steps < 1500, 1, 20), 2 + (steps / 100).sin(), 1.01 ** (steps / 2)]
    )
    streams = AdaptiveConformal(4, coverage=coverage, rate=rate, window=200)
    misses = torch.zeros(4)
    zero = torch.zeros(4, dtype=torch.float64)
    for step in range(num_steps):
        error = spreads[:, step] * torch.randn(4, dtype=torch.float64)
        lower, upper = streams.interval(zero)
        misses += (error < lower) | (error > upper)
        streams.update(error, zero)
    # Proposition 4.1, which no luck can break.
    bound = (coverage + rate) / (rate * num_steps)
    assert bool(((misses / num_steps - 0.1).abs() <= bound + 1e-9).all())


def test_a_stream_goes_on_from_its_state() -> None:
    errors = torch.randn(60, 3)
    one, other = AdaptiveConformal(3, window=20), AdaptiveConformal(3, window=20)
    for error in errors[:35]:
        one.update(error, torch.zeros(3))
    other.load_state_dict(one.state_dict())
    for error in errors[35:]:
        one.update(error, torch.zeros(3))
        other.update(error, torch.zeros(3))
    assert torch.equal(one.interval(torch.zeros(3))[1], other.interval(torch.zeros(3))[1])
    assert torch.equal(one.alpha, other.alpha)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: rate is 0, but must be above 0\.$"):
        AdaptiveConformal(3, rate=0)
    with pytest.raises(TypeError, match=r"^AdaptiveConformal: rate must be a number, but is str\.$"):
        AdaptiveConformal(3, rate="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: window is 0, but must be at least 1\.$"):
        AdaptiveConformal(3, window=0)
    with pytest.raises(TypeError, match=r"^AdaptiveConformal: window must be an int, but is float\.$"):
        AdaptiveConformal(3, window=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: shape must be whole numbers from 0 on, but is \(-1,"):
        AdaptiveConformal((-1,))
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: coverage is 1, but must lie between 0 and 1\.$"):
        AdaptiveConformal(3, coverage=1)
    streams = AdaptiveConformal(3)
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: forecast has shape \(2,\), but the streams \(3,\)\.$"):
        streams.interval(torch.zeros(2))
    with pytest.raises(
        TypeError, match=r"^AdaptiveConformal: mask must be a torch.bool tensor, but is torch.float32\.$"
    ):
        streams.update(torch.zeros(3), torch.zeros(3), mask=torch.ones(3))
    with pytest.raises(ValueError, match=r"^AdaptiveConformal: mask has shape \(2,\), but the values have \(3,\)\.$"):
        streams.update(torch.zeros(3), torch.zeros(3), mask=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"the state holds errors of shape \(3, 9\), but this one \(3, 500\)"):
        streams.load_state_dict(AdaptiveConformal(3, window=9).state_dict())
