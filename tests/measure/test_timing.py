from __future__ import annotations

import math

import pytest

from recur.measure import timing
from recur.measure.timing import compared, geometric_mean, in_turns, raced, seconds, spread


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still but for what is added to its one number."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def test_spread() -> None:
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == {"median": 3.0, "lower": 1.5, "upper": 4.5, "repeats": 5}
    assert spread([2.0]) == {"median": 2.0, "lower": 2.0, "upper": 2.0, "repeats": 1}


def test_geometric_mean_does_not_depend_on_the_side() -> None:
    ratios = [0.3, 2.0, 1.7]
    assert math.isclose(geometric_mean(ratios), 1 / geometric_mean([1 / ratio for ratio in ratios]))
    assert math.isclose(geometric_mean([2.0, 8.0]), 4.0)


def test_ratios_are_taken_pair_by_pair() -> None:
    found = compared([1.0, 4.0, 9.0], [2.0, 4.0, 6.0], "s")
    assert found["ratio"] == {"median": 1.0, "lower": 0.5, "upper": 1.5, "repeats": 3}
    assert found["ours"]["median"] == 4.0
    assert found["peer"]["median"] == 4.0


def test_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, peer = in_turns(lambda: side("a"), lambda: side("b"), repeats=2, warmup=1)
    assert "".join(order) == "ababab"
    assert (ours, peer) == ([3.0, 5.0], [4.0, 6.0])


def test_seconds(clock: list[float]) -> None:
    assert seconds(lambda: clock.__setitem__(0, clock[0] + 1.5)) == 1.5


class Job:
    """Work that lasts so long on the fake clock."""

    def __init__(self, clock: list[float], duration: float) -> None:
        self.clock, self.duration, self.calls = clock, duration, 0

    def __call__(self) -> None:
        self.calls += 1
        self.clock[0] += self.duration


def test_a_race_of_long_works(clock: list[float]) -> None:
    ours, peer = Job(clock, 0.1), Job(clock, 0.4)
    found = raced(ours, peer, budget=5.0, least=3)
    assert found["unit"] == "ms"
    assert found["ours"]["median"] == pytest.approx(100)
    assert found["peer"]["median"] == pytest.approx(400)
    assert found["ratio"]["median"] == pytest.approx(0.25)
    # Warm, timed once to find the number of calls, one round to find that of repeats, and the repeats.
    assert ours.calls == peer.calls == 3 + 10
    assert found["ours"]["repeats"] == 10


def test_a_race_of_short_works_calls_them_often(clock: list[float]) -> None:
    ours, peer = Job(clock, 2e-6), Job(clock, 0.02)
    found = raced(ours, peer, budget=0.2, most=7, unit="us")
    assert found["ours"]["median"] == pytest.approx(2)
    assert found["peer"]["median"] == pytest.approx(20_000)
    assert found["ours"]["repeats"] == 7
    assert ours.calls > 7 * 0.005 / 2e-6


def test_the_bounds_of_repeats(clock: list[float]) -> None:
    assert raced(Job(clock, 1.0), Job(clock, 1.0), budget=0.1, least=4)["ours"]["repeats"] == 4
    assert raced(Job(clock, 0.01), Job(clock, 0.01), budget=9.0, most=6)["ours"]["repeats"] == 6


def test_a_side_settles_before_each_sample(clock: list[float]) -> None:
    ours, peer = Job(clock, 0.01), Job(clock, 0.3)
    found = raced(ours, peer, budget=0.0, least=4, settle=0.1)
    assert found["ours"]["median"] == pytest.approx(10)
    assert found["peer"]["median"] == pytest.approx(300)
    # Warm and timed once, then a round and four repeats, each of two calls in place of one.
    assert peer.calls == 2 + 5 * 2
    assert ours.calls >= 5 * 2 * 10
