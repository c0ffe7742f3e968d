"""When to compute again: divide and conquer over the segments of a sequence, with room for so many states.

Going back through n segments with m slots for states means: run forward over some segments, keep the state there in a
slot, go back through those behind with the slots that are left, then through those before with all slots again:

    C(n, m) = min_y  y + C(n - y, m - 1) + C(y, m),    C(1, m) = 1,    C(n, 1) = n (n + 1) / 2

(Gruslys et al. 2016, Memory-efficient backpropagation through time, section 3.1, hidden states only). It has a closed
form (Griewank and Walther 2000, Algorithm 799: revolve). With b(m, t) = (m + t choose m), the most segments that m
slots reach when none is computed more than t times before its gradient is taken, and the least t with n <= b(m, t):

    C(n, m) = (t + 1) n - b(m + 1, t - 1)
"""

from __future__ import annotations

from math import comb


def reach(slots: int, repeats: int) -> int:
    """Return how many segments `slots` states reach when none is computed more than `repeats` times beforehand."""
    return comb(slots + repeats, slots) if repeats >= 0 else 0


def num_repeats(segments: int, slots: int) -> int:
    """Return how often a segment is computed at most before its gradient is taken; slots without segments do not count.

    Args:
        segments: n, at least 1.
        slots: m, at least 1 where there are several segments.
    """
    if segments == 1:
        return 0
    repeats = 1
    while reach(slots, repeats) < segments:
        # With one slot it is segments - 1: too many to count up to.
        if slots == 1:
            return segments - 1
        repeats += 1
    return repeats


def num_runs(segments: int, slots: int) -> int:
    """Return C(n, m): how many segments are run forward in all, each one's last run, for its gradient, included.

    Args:
        segments: n, at least 1.
        slots: m, at least 1 where there are several segments; those beyond n - 1 do nothing.

    Example:
        >>> [num_runs(10, slots) for slots in (1, 2, 3, 9)]
        [55, 30, 25, 19]
    """
    repeats = num_repeats(segments, slots)
    return (repeats + 1) * segments - reach(slots + 1, repeats - 1)


def split(segments: int, slots: int) -> int:
    """Return a y that attains the minimum: how many segments come before the next state to keep.

    Args:
        segments: n, at least 2.
        slots: m, at least 1.
    """
    repeats = num_repeats(segments, slots)
    return max(1, reach(slots, repeats - 2), segments - reach(slots - 1, repeats))
