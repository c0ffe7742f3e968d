"""Events and alarms by hand, and whether two contestants differ in them."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Panel, Schema
from recur.tasks.detect.events_told import events_told, p_of_f1
from recur.tasks.noise import exchange_test


def panel_of(*lengths: int) -> Panel:
    names = [f"s{number}" for number in range(len(lengths))]
    return Panel.of_rows(names, list(lengths), np.zeros((sum(lengths), 1)), schema=Schema(targets=("one",)))


def rows(count: int, *places: int) -> np.ndarray:
    found = np.zeros(count, np.bool_)
    found[list(places)] = True
    return found


def test_events_by_hand() -> None:
    panel = panel_of(8, 4)
    judged = np.ones(12, np.bool_)
    # Nothing is known of a step within an event, and of the first ones.
    judged[[0, 1, 5]] = False
    told = events_told(panel, rows(12, 0, 2, 3, 7, 8), rows(12, 0, 1, 4, 5, 6, 7), judged)
    assert told.there == [(4, 8)]
    assert told.is_found.tolist() == [True]
    # An alarm ends with its series.
    assert told.alarms == [(2, 4), (7, 8), (8, 9)]
    assert told.is_right.tolist() == [False, True, False]
    assert told.f1 == {"precision": 1 / 3, "recall": 1.0, "f1": 0.5}


def test_nothing_there_and_nothing_said() -> None:
    panel, judged = panel_of(4), np.ones(4, np.bool_)
    nothing, one = rows(4), rows(4, 1)
    assert events_told(panel, nothing, nothing, judged).f1 == {"precision": None, "recall": None, "f1": None}
    assert events_told(panel, nothing, one, judged).f1 == {"precision": None, "recall": 0.0, "f1": 0.0}
    assert p_of_f1(panel, np.array([2]), *2 * [events_told(panel, nothing, nothing, judged)]) is None


def test_what_lies_close_counts_once() -> None:
    """Twenty events, ten apart, of which the other contestant finds none, and raises a false alarm after each."""
    panel, places = panel_of(100, 100), np.arange(5, 200, 10)
    truth, judged = rows(200, *places), np.ones(200, np.bool_)
    own = events_told(panel, truth, truth, judged)
    other = events_told(panel, rows(200, *(places + 4)), truth, judged)
    # An alarm in four steps is a new one, so that the event and the false alarm after it are apart from others.
    apart = p_of_f1(panel, np.array([4, 4]), own, other)
    assert apart is not None
    assert apart < 0.001
    # One stretch in each series is too little.
    assert p_of_f1(panel, np.array([9, 9]), own, other) is None
    # Of the first series each for itself, of the second one: eleven that can be exchanged.
    assert p_of_f1(panel, np.array([4, 9]), own, other) == pytest.approx(2 / 2**11)


def test_the_figure_that_is_compared_is_f1() -> None:
    generator = np.random.default_rng(0)
    panel, judged = panel_of(4_000), np.ones(4_000, np.bool_)
    truth, alarms, others = (rows(4_000, *generator.choice(np.arange(0, 4_000, 20), num)) for num in (30, 60, 80))
    alarms |= truth & (generator.random(4_000) < 0.6)
    others |= truth & (generator.random(4_000) < 0.4)
    own, other = (events_told(panel, each, truth, judged) for each in (alarms, others))
    places = np.flatnonzero(truth | alarms | others)

    def counts(is_alarm: np.ndarray) -> np.ndarray:
        return np.stack([(truth & is_alarm)[places], truth[places], is_alarm[places]], 1).astype(np.float64)

    # F1 is the true positives beside the mean of positives and alarms; here a step is an event.
    expected = exchange_test(counts(alarms), counts(others), lambda sums: 2 * sums[:, 0] / (sums[:, 1] + sums[:, 2]))
    found = p_of_f1(panel, np.array([5]), own, other)
    assert expected is not None
    assert 0.0005 < expected < 0.5
    assert found == pytest.approx(expected, abs=1e-12)
