"""Whether ordinary steps that raise an alarm are more than was stated, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from recur.data.series import Panel
from recur.tasks.detect.false_alarms import doubt_of_so_many, false_alarms_note, p_of_so_many


@pytest.mark.parametrize(("count", "expected"), [(1, 0.5), (7, 2.5), (3, 9.0)])
def test_p_is_that_of_a_poisson_count(count: int, expected: float) -> None:
    assert p_of_so_many(count, expected) == pytest.approx(scipy.stats.poisson.sf(count - 1, expected), rel=1e-12)
    assert p_of_so_many(0, expected) == 1.0


def test_few_alarms_are_more_than_noise_or_too_few() -> None:
    assert doubt_of_so_many(2, 0.3) == "too few alarms to tell this from noise"
    assert doubt_of_so_many(2, 0.0001) == "more than noise, p < 0.001"
    assert doubt_of_so_many(9, 0.3) == "no more than noise, p = 0.3"


def test_ordinary_steps_that_alarm_too_often_are_noted() -> None:
    panel = Panel.of_rows(["a", "b"], [500, 500], np.zeros((1000, 1)))
    is_anomaly, is_alarm, begins = (np.zeros(1000, np.bool_) for _ in range(3))
    is_anomaly[100:110] = True
    # Of an event's alarm seven steps come after it; two others are alone, one of them in the next series.
    is_alarm[105:117] = is_alarm[300] = is_alarm[505] = True
    begins[[105, 300, 505]] = True
    judged = np.ones(1000, np.bool_)

    def noted(stated: float) -> list[str]:
        quiet = np.array([20, 20])
        return false_alarms_note(panel, is_alarm, begins, is_anomaly, judged, quiet=quiet, stated=stated)

    assert noted(0.001) == [
        "0.9091% of the ordinary steps raise an alarm, 9 of 990; stated were 0.1%, 0.99 of them. 7 of the 9 come soon "
        "after an anomaly, which scores remember for a while; 2 alarms begin at ordinary steps: too few alarms to tell "
        "this from noise."
    ]
    begins[[300, 505]] = False
    assert noted(0.001)[0].endswith(" for a while; no alarm begins at an ordinary step.")
    # P(9 or more | 0.99 and 5.94) is 1e-6 and 0.15.
    assert noted(0.006) == []
