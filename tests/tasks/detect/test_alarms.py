"""Where alarms begin."""

from __future__ import annotations

import numpy as np

from recur.tasks.detect.alarms import alarm_begins, highest_lately


def test_an_alarm_begins_after_quiet() -> None:
    score = np.zeros(40)
    # A ramp is one alarm, and so is what follows within the quiet time, however high; each series has its own.
    score[[3, 4, 5, 10, 16, 19, 20, 39]] = [7, 8, 9, 99, 7, 7, 7, 7]
    score[[0, 12]] = np.nan
    series = np.repeat([0, 1], 20)
    highest = highest_lately(score, series, np.array([5, 5]))
    assert np.flatnonzero(alarm_begins(score, highest, 6.0)).tolist() == [3, 16, 20, 39]
    assert not alarm_begins(score, highest, 99.0).any()
    highest = highest_lately(score, series, np.array([6, 20]))
    assert np.flatnonzero(alarm_begins(score, highest, 6.0)).tolist() == [3, 20]


def test_the_highest_score_lately_by_hand() -> None:
    rng = np.random.default_rng(0)
    score, series = rng.normal(size=60), np.repeat([0, 1, 3], [25, 2, 33])
    score[[4, 26, 40]] = np.nan
    starts = np.array([0, 25, 25, 27])[series]
    for quiet in ([1] * 4, [3] * 4, [40] * 4, [2, 5, 9, 7]):
        own = np.array(quiet)[series]
        wanted = [np.nanmax([-np.inf, *score[max(starts[row], row - own[row]) : row]]) for row in range(60)]
        np.testing.assert_array_equal(highest_lately(score, series, np.array(quiet)), wanted)
    assert len(highest_lately(np.zeros(0), np.zeros(0, np.int64), np.array([5]))) == 0
