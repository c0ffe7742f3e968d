"""Timing two sides in turns, and the statistics that are reported."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, quartiles and number of `values`."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": statistics.median(values), "lower": low, "upper": high, "repeats": len(values)}


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
