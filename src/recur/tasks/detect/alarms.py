"""Where alarms begin: the one rule by which they are told, streamed and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def alarm_begins(score: NDArray[Any], lately: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Return where alarms begin: at steps that raise one after `quiet` or more steps of their series that did not.

    Args:
        score: Of each step, NaN where nothing can be said.
        lately: The highest of the last `quiet` steps before each, -infinity where there was none; as `score` in shape.
        threshold: The score above which a step is an alarm.

    Example:
        >>> score = np.array([1.0, 9.0, 9.5, 1.0, 8.0, 1.0, 1.0, 8.0])
        >>> alarm_begins(score, highest_lately(score, np.zeros(8, np.int64), quiet=2), 5.0).nonzero()[0]
        array([1, 7])
    """
    return np.asarray((score > threshold) & ~(lately > threshold))


def highest_lately(score: NDArray[np.float64], series: NDArray[np.int64], quiet: int) -> NDArray[np.float64]:
    """Return the highest score of the `quiet` steps before each in its series, (R,), -infinity where there was none.

    Args:
        score: Of each step, (R,) float64, NaN where there is none.
        series: Of each step, (R,), ascending.
        quiet: How many steps.
    """
    starts = np.flatnonzero(np.diff(series, prepend=-1))
    # Before each series as many steps without a score as any step looks back on.
    apart = np.insert(
        np.nan_to_num(score, nan=-np.inf, posinf=np.inf, neginf=-np.inf), np.repeat(starts, quiet), -np.inf
    )
    place = np.arange(len(score)) + quiet * (np.searchsorted(starts, np.arange(len(score)), side="right") - 1)
    return np.asarray(highest_of_each(torch.from_numpy(apart)[None], quiet)[0].numpy()[place])


def highest_of_each(scores: torch.Tensor, quiet: int) -> torch.Tensor:
    """Return the highest of each `quiet` successive scores but the last ones, (B, T - quiet), of (B, T)."""
    if scores.shape[1] <= quiet:
        return scores[:, :0]
    return nn.functional.max_pool1d(scores[:, None, :-1], quiet, 1)[:, 0]
