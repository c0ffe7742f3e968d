"""The closed form against the plain dynamic programme, and the schedule played through."""

from __future__ import annotations

from functools import cache

import pytest

from recur.gradients.recomputation.schedule import num_repeats, num_runs, reach, split

MOST = 60
SLOTS = range(1, 20)


@cache
def by_programme(segments: int, slots: int) -> float:
    """C(n, m) as it is defined; the segment behind the last slot has to be alone."""
    if segments == 1:
        return 1
    if slots == 0:
        return float("inf")
    return min(y + by_programme(segments - y, slots - 1) + by_programme(y, slots) for y in range(1, segments))


@pytest.mark.parametrize("slots", SLOTS)
def test_the_closed_form_is_the_minimum(slots: int) -> None:
    for segments in range(1, MOST):
        assert num_runs(segments, slots) == by_programme(segments, slots), segments


def test_one_slot_and_slots_for_all() -> None:
    for segments in range(1, MOST):
        assert num_runs(segments, 1) == segments * (segments + 1) // 2
        for slots in range(max(segments - 1, 1), segments + 3):
            assert num_runs(segments, slots) == 2 * segments - 1


@pytest.mark.parametrize("slots", SLOTS)
def test_the_split_attains_it(slots: int) -> None:
    for segments in range(2, MOST):
        y = split(segments, slots)
        assert 1 <= y < segments
        cost = y + by_programme(segments - y, slots - 1) + by_programme(y, slots)
        assert cost == num_runs(segments, slots), (segments, y)


@pytest.mark.parametrize("slots", [1, 2, 3, 7])
def test_no_segment_is_repeated_more_often_than_said(slots: int) -> None:
    for segments in (1, 2, 5, 23, 59):
        runs, most_kept = [0] * segments, 0
        pending = [(0, segments, slots)]
        while pending:
            first, size, free = pending.pop()
            while size > 1:
                y = split(size, free)
                for k in range(first, first + y):
                    runs[k] += 1
                pending.append((first, y, free))
                first, size, free = first + y, size - y, free - 1
            # The state in hand, and what is pending but for the initial state.
            most_kept = max(most_kept, len(pending))
            runs[first] += 1
        assert sum(runs) == num_runs(segments, slots)
        assert max(runs) == num_repeats(segments, slots) + 1
        assert most_kept <= slots


def test_how_far_slots_reach() -> None:
    assert [reach(3, repeats) for repeats in range(-1, 4)] == [0, 1, 4, 10, 20]
    assert [num_repeats(20, slots) for slots in (1, 2, 3, 19)] == [19, 5, 3, 1]
    assert [num_repeats(21, 3), num_repeats(1, 0)] == [4, 0]


def test_thousands_of_segments_with_one_slot_are_counted_at_once() -> None:
    assert num_runs(10**6, 1) == 10**6 * (10**6 + 1) // 2
    assert split(10**6, 1) == 10**6 - 1
