"""Where alarms begin: the one rule by which they are told, streamed and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def alarm_begins(score: NDArray[Any], highest: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Return where alarms begin: at steps that raise one after `quiet` or more steps of their series that did not.

    Args:
        score: Of each step, NaN where nothing can be said.
        highest: Of the scores of the last `quiet` steps before each, -infinity where there was none; as `score` in
            shape.
        threshold: The score above which a step is an alarm.

    Example:
        >>> score = np.array([1.0, 9.0, 9.5, 1.0, 8.0, 1.0, 1.0, 8.0])
        >>> highest = highest_lately(score, np.zeros(8, np.int64), quiet=np.array([2]))
        >>> alarm_begins(score, highest, 5.0).nonzero()[0]
        array([1, 7])
    """
    return np.asarray((score > threshold) & ~(highest > threshold))


def highest_lately(
    score: NDArray[np.float64], series: NDArray[np.int64], quiet: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the highest score of the `quiet` steps before each in its series, (R,), -infinity where there was none.

    Args:
        score: Of each step, (R,) float64, NaN where there is none.
        series: Of each step, (R,), ascending.
        quiet: How many steps, of each series, (N,).
    """
    found = np.full(len(score), -np.inf)
    known = np.nan_to_num(score, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    for steps in np.unique(quiet).tolist():
        rows = np.flatnonzero((quiet == steps)[series])
        starts = np.flatnonzero(np.diff(series[rows], prepend=-1))
        # Before each series as many steps without a score as any step looks back on.
        apart = np.insert(known[rows], np.repeat(starts, steps), -np.inf)
        number = np.arange(len(rows))
        place = number + steps * (np.searchsorted(starts, number, side="right") - 1)
        found[rows] = highest_of_each(torch.from_numpy(apart)[None], steps)[0].numpy()[place]
    return found


def highest_of_each(scores: torch.Tensor, quiet: int) -> torch.Tensor:
    """Return the highest of each `quiet` successive scores but the last ones, (B, T - quiet), of (B, T)."""
    if scores.shape[1] <= quiet:
        return scores[:, :0]
    return nn.functional.max_pool1d(scores[:, None, :-1], quiet, 1)[:, 0]
