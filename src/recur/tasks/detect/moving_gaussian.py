"""The rule that a detector has to beat: how many standard deviations a value is from the mean of the last ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel

NAME = "moving Gaussian"
_STEPS = 1_000
"""So many steps before a value."""
_LEAST = 50


def moving_gaussian(panel: Panel) -> NDArray[np.float64]:
    """Return the largest z-score of each row's targets, by mean and deviation of the 1,000 steps before it, (R,).

    NaN where fewer than 50 values came before, or the row has none.
    """
    values = panel.values[:, : len(panel.schema.targets)].astype(np.float64)
    begins = panel.offsets[:-1][panel.series_of_rows]
    rows = np.arange(len(values))
    first = np.maximum(begins, rows - _STEPS)
    # Sums of values far from zero would lose their digits.
    known = ~np.isnan(values)
    count = known.sum(0).clip(min=1)
    centred = np.where(known, values - np.where(known, values, 0).sum(0) / count, 0)
    sums = [
        np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(each, axis=0)])
        for each in (known.astype(np.float64), centred, centred**2)
    ]
    number, total, squares = (each[rows] - each[first] for each in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / number
        deviation = np.sqrt(np.maximum(squares / number - mean**2, 0))
        # A value that differs from a constant is infinitely strange, and one that does not is not.
        away = np.where(known, np.abs(centred - mean), np.nan)
        score = np.where(away > 1e-9 * (1 + np.abs(mean)), away / np.maximum(deviation, 1e-9 * (1 + np.abs(mean))), 0.0)
    score[(number < _LEAST) | ~known] = np.nan
    highest = np.where(np.isnan(score), -np.inf, score).max(axis=1)
    return np.where(np.isinf(highest), np.nan, highest)
