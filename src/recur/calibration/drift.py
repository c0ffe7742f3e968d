"""Telling when forecasts stop holding what their intervals say."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recur.kinds import is_number

COVERAGES = (0.2, 0.5, 0.8, 0.95)
"""Central intervals, one in the other, whose ends say how far out a value lies."""

LEVELS = tuple(sorted(level for share in COVERAGES for level in ((1 - share) / 2, (1 + share) / 2)))
"""The quantiles that are these ends."""

_MIDDLE = np.array([(low + high) / 2 for low, high in zip((0.0, *COVERAGES), (*COVERAGES, 1.0), strict=True)])
"""The score of each ring between two intervals; weighted by what the rings should hold they add up to 1/2."""
_DEVIATION = 12**-0.5
"""Of scores that are uniform between 0 and 1."""
_MEMORY = 200
"""Steps that the mean of recent scores goes back over."""


class IntervalDrift:
    """Watches many streams of values beside the intervals that were told before they came.

    A value scores how far out it lies: from 0 in the middle to 1, by the smallest of some central intervals that holds
    it. As long as the intervals hold the shares that they were calibrated for, scores are 1/2 in the mean, on whatever
    data; when forecasts get worse, or surer than they are right, they rise. Page's test (1954), a cumulative sum
    S = max(0, S + score - 1/2 - slack), says when they have: where S is above a threshold. It is chosen so that a false
    alarm comes once in `between` steps of a stream, for scores without memory (Siegmund 1985, section 2.6, with his
    correction for the overshoot). Errors that hang together give more.

    The sum stops at twice the threshold, so that an alarm ends some time after its reason.

    Args:
        between: Steps between two false alarms of a stream, in the mean.
        slack: What scores may be above 1/2 without an alarm.

    Attributes:
        threshold: Of the sum.

    Raises:
        TypeError: An argument is no number.
        ValueError: One is out of range.

    Example:
        >>> drift = IntervalDrift()
        >>> state = drift.begin(1)
        >>> ends = np.array([[-2.0, -1.3, -0.7, -0.25, 0.25, 0.7, 1.3, 2.0]])
        >>> alarms = [bool(drift.step(state, np.array([0]), np.array([5.0]), ends)[0]) for _ in range(20)]
        >>> alarms.index(True)
        16
    """

    def __init__(self, *, between: float = 100_000, slack: float = 0.05) -> None:
        for name, value, most in (("between", between, math.inf), ("slack", slack, 0.5)):
            if not is_number(value):
                raise TypeError(f"IntervalDrift: {name} must be a number, but is {type(value).__name__}.")
            if not 0 < value < most:
                raise ValueError(f"IntervalDrift: {name} is {value}, but must be above 0 and below {most:g}.")
        self.between, self.slack = between, slack
        self.threshold = _threshold(between, slack)

    def begin(self, num_streams: int) -> dict[str, NDArray[np.float64]]:
        """Return what is remembered of streams of which nothing has come: `sum`, `mean` and `count`, (S,) each."""
        return {"sum": np.zeros(num_streams), "mean": np.full(num_streams, 0.5), "count": np.zeros(num_streams)}

    def step(
        self,
        state: Mapping[str, NDArray[np.float64]],
        which: NDArray[np.int64],
        values: NDArray[np.float64],
        ends: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Take in one value of some streams, and return which of them drift, (M,).

        Args:
            state: As `begin` made it, changed in place.
            which: Streams, (M,), each at most once.
            values: What came, (M,); NaN is missing, and leaves a stream as it is.
            ends: Quantiles of the values at `LEVELS`, (M, 2 len(COVERAGES)); where one is NaN nothing was told.
        """
        told = ~np.isnan(values) & ~np.isnan(ends).any(axis=1)
        at = which[told]
        inner = len(COVERAGES)
        lower, upper = ends[told, :inner][:, ::-1], ends[told, inner:]
        value = values[told, None]
        score = _MIDDLE[((value < lower) | (value > upper)).sum(axis=1)]
        state["sum"][at] = np.clip(state["sum"][at] + score - 0.5 - self.slack, 0, 2 * self.threshold)
        state["count"][at] += 1
        # A plain mean of the first steps, a fading one from then on.
        share = 1 / np.minimum(state["count"][at] + 1, _MEMORY)
        state["mean"][at] += share * (score - state["mean"][at])
        return np.asarray(state["sum"][which] > self.threshold)


def _threshold(between: float, slack: float) -> float:
    """Return the threshold whose mean time between false alarms is `between`."""
    drift = slack / _DEVIATION
    wanted = 2 * drift**2 * between
    low, high = 0.0, 60.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.expm1(middle) - middle < wanted else (low, middle)
    # 1.166 is twice the mean overshoot of a random walk of normal steps.
    return max(0.0, low / (2 * drift) - 1.166) * _DEVIATION
