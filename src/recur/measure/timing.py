"""Timing two sides in turns, and the statistics that are reported."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

_SAMPLE = 0.005
"""Seconds that one sample lasts at least, so that the clock is read seldom beside what it times."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, quartiles and number of `values`.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        {'median': 2.0, 'lower': 1.0, 'upper': 3.0, 'repeats': 3}
    """
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": statistics.median(values), "lower": low, "upper": high, "repeats": len(values)}


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean, the only mean of ratios that does not depend on which side is divided by which.

    Example:
        >>> geometric_mean([0.5, 2.0])
        1.0
    """
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(
    ours: Callable[[], float], peer: Callable[[], float], *, repeats: int, warmup: int = 1
) -> tuple[list[float], list[float]]:
    """Return the figures of both sides, taken alternately; each call returns its own figure."""
    for _ in range(warmup):
        ours()
        peer()
    pairs = [(ours(), peer()) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def compared(ours: Sequence[float], peer: Sequence[float], unit: str) -> dict[str, Any]:
    """Return both spreads and that of the ratio pair by pair, below 1 where ours is the smaller."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return {"unit": unit, "ours": spread(ours), "peer": spread(peer), "ratio": spread(ratios)}


def raced(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    budget: float,
    least: int = 5,
    most: int = 40,
    settle: float = 0.0,
    unit: str = "ms",
) -> dict[str, Any]:
    """Return the times of one call of two works, measured in turns for about `budget` seconds.

    Works of microseconds are called as often as a clock needs, which is found out while they warm up.

    Args:
        ours: The first work.
        peer: The second one.
        budget: Seconds for all of it; it takes longer where `least` repeats do.
        least: Repeats at least.
        most: Repeats at most.
        settle: Seconds for which a side runs before each sample without being counted, and of each sample at least; for
            sides with threads of their own, which go on waiting busily after their work, in the other side's way.
        unit: "ms" or "us".

    Returns:
        As `compared`.
    """
    scale = {"ms": 1e3, "us": 1e6}[unit]
    calls = [_calls_needed(work, max(settle, _SAMPLE)) for work in (ours, peer)]

    def sample(work: Callable[[], Any], count: int) -> float:
        if settle > 0:
            _repeated(work, count)
        return _repeated(work, count) / count * scale

    def our_sample() -> float:
        return sample(ours, calls[0])

    def peer_sample() -> float:
        return sample(peer, calls[1])

    round_seconds = seconds(our_sample) + seconds(peer_sample)
    repeats = min(most, max(least, int(budget / round_seconds)))
    return compared(*in_turns(our_sample, peer_sample, repeats=repeats, warmup=0), unit)


def _calls_needed(work: Callable[[], Any], least: float) -> int:
    """Return how many calls take `least` seconds; the first ones fetch memory and pack weights, and do not count."""
    work()
    count = 1
    while (taken := _repeated(work, count)) < least:
        count = max(count * 2, math.ceil(count * least / max(taken, 1e-9) * 1.1))
    return count


def _repeated(work: Callable[[], Any], count: int) -> float:
    """Return the seconds of so many calls, each result given up before the next call."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - start
