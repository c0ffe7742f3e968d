"""Whether alarms come more often than the stated rate of false ones explains."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.tasks.detect.alarms import highest_lately
from recur.tasks.noise import SURE, doubt
from recur.wording import measured, percentage, quantity

_FEW_ALARMS = 6
"""Fewer say little of how many there are where there are as many as could be by chance: alarms last."""


def p_of_so_many(count: int, expected: float) -> float:
    """Return how likely it is that there are `count` alarms or more where `expected` come on the mean (Poisson)."""
    if not count:
        return 1.0
    return float(torch.special.gammainc(*torch.tensor([count, expected], dtype=torch.float64)))


def doubt_of_so_many(count: int, p: float) -> str:
    """Return in words whether so many alarms are more than noise; of few only that they are, where they are."""
    return doubt(None if count < _FEW_ALARMS and p >= SURE else p, "alarms")


def false_alarms_note(
    panel: Panel,
    is_alarm: NDArray[np.bool_],
    begins: NDArray[np.bool_],
    is_anomaly: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    *,
    quiet: NDArray[np.int64],
    stated: float,
) -> list[str]:
    """Return a note where more ordinary steps raise an alarm than the stated rate explains; nothing elsewhere.

    Args:
        panel: The series, R rows.
        is_alarm: Which rows raise an alarm, (R,).
        begins: At which a new alarm begins, (R,).
        is_anomaly: Which rows are anomalies, (R,).
        judged: Which rows count, (R,).
        quiet: Steps of each series without an alarm before one is a new one, (N,).
        stated: The rate of false alarms.
    """
    ordinary = judged & ~is_anomaly
    false = ordinary & is_alarm
    count, expected = int(false.sum()), float(ordinary.sum()) * stated
    if p_of_so_many(count, expected) >= SURE:
        return []
    # An event of a few steps is still in the mean of the last ones when it is over.
    late = int((false & (highest_lately(is_anomaly.astype(np.float64), panel.series_of_rows, quiet) > 0)).sum())
    begun = int((ordinary & begins).sum())
    told = "no alarm begins at an ordinary step"
    if begun:
        told = f"{quantity(begun, 'alarm')} {'begins' if begun == 1 else 'begin'} at ordinary steps: "
        told += doubt_of_so_many(begun, p_of_so_many(begun, expected))
    return [
        f"{percentage(count / ordinary.sum())} of the ordinary steps raise an alarm, {count:,} of "
        f"{int(ordinary.sum()):,}; stated were {percentage(stated)}, {measured(expected)} of them. {late:,} of the "
        f"{count:,} come soon after an anomaly, which scores remember for a while; {told}."
    ]
