"""The watch over intervals: what it counts, how seldom it errs, and that it sees what changes."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from recur.calibration.drift import COVERAGES, LEVELS, IntervalDrift

ENDS = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def test_levels_are_the_ends_of_the_intervals() -> None:
    np.testing.assert_allclose(LEVELS, [0.025, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 0.975])
    assert len(LEVELS) == 2 * len(COVERAGES)


def test_scores_by_hand() -> None:
    drift = IntervalDrift(slack=0.1)
    state = drift.begin(3)
    # In the innermost interval, between the second and the third, and beyond all.
    drift.step(state, np.arange(3), np.array([0.1, -1.0, 3.0]), np.broadcast_to(ENDS, (3, 8)))
    np.testing.assert_allclose(state["mean"], (0.5 + np.array([0.1, 0.65, 0.975])) / 2)
    np.testing.assert_allclose(state["sum"], [0.0, 0.65 - 0.6, 0.975 - 0.6])
    drift.step(state, np.array([2]), np.array([np.nan]), ENDS[None])
    drift.step(state, np.array([2]), np.array([3.0]), np.full((1, 8), np.nan))
    assert state["count"].tolist() == [1, 1, 1]
    drift.step(state, np.array([2, 0]), np.array([3.0, 0.0]), np.broadcast_to(ENDS, (2, 8)))
    np.testing.assert_allclose(state["sum"], [0.0, 0.05, 0.75])


def test_false_alarms_are_as_rare_as_they_are_said_to_be() -> None:
    between, streams = 500, 1000
    drift = IntervalDrift(between=between)
    state = drift.begin(streams)
    draw = np.random.default_rng(0)
    first = np.full(streams, np.nan)
    for step in range(1, 6 * between):
        alarm = drift.step(
            state, np.arange(streams), draw.standard_normal(streams), np.broadcast_to(ENDS, (streams, 8))
        )
        first[np.isnan(first) & alarm] = step
    # Siegmund's formula is for normal steps; of bounded ones sums go up less.
    assert 0.9 * between < np.nanmean(first) < 1.6 * between
    np.testing.assert_allclose(state["mean"].mean(), 0.5, atol=0.01)


def test_it_sees_wider_errors_soon_and_that_they_have_gone() -> None:
    drift = IntervalDrift()
    state = drift.begin(50)
    draw = np.random.default_rng(0)
    seen = []
    for step in range(1200):
        size = 2.0 if 400 <= step < 800 else 1.0
        alarm = drift.step(state, np.arange(50), size * draw.standard_normal(50), np.broadcast_to(ENDS, (50, 8)))
        seen.append(alarm.mean())
    assert max(seen[:400]) == 0
    assert min(seen[500:800]) == 1
    assert seen[-1] == 0


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"slack is 0\.5, but must be above 0 and below 0\.5"):
        IntervalDrift(slack=0.5)
    with pytest.raises(TypeError, match="between must be a number, but is str"):
        IntervalDrift(between="often")  # type: ignore[arg-type]
