"""Whether the errors of forecasts still hold something that could have been told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel

_LEAST_LAGS, _MOST_LAGS = 40, 200
_BARS = 41


def residual_structure(
    panel: Panel, row: NDArray[np.int64], residuals: NDArray[np.float64], stride: int, season: int
) -> dict[str, Any] | None:
    """Return how the errors of the first step are spread, and how they hang together from origin to origin.

    Those of good forecasts are like noise: their autocorrelation stays within 1.96 / sqrt(n), where 95 of 100 lags of
    noise lie. Pairs are formed within a series and a target, and all are pooled.

    Args:
        panel: The series.
        row: Of the panel, of each window's first step, (W,).
        residuals: Target less median, in units of the scaling, (W, C); NaN where a target is missing.
        stride: Rows from one window of a series to the next.
        season: Steps after which the series repeat; the lags reach over two.

    Returns:
        For `forecast_evaluation.json`; None where there are fewer than three.
    """
    known = residuals[np.isfinite(residuals)]
    if len(known) < 3:
        return None
    mean, spread = float(known.mean()), float(known.std())
    spaced = np.full((len(panel.rows), residuals.shape[1]), np.nan)
    spaced[row] = residuals - mean
    most = int(np.clip(2 * season // stride, _LEAST_LAGS, _MOST_LAGS))
    most = min(most, int(panel.lengths.max()) // (4 * stride))
    series = panel.series_of_rows
    correlation = []
    for lag in range(1, most + 1):
        gap = lag * stride
        products = (spaced[gap:] * spaced[:-gap])[series[gap:] == series[:-gap]]
        products = products[np.isfinite(products)]
        correlation.append(float(products.mean()) / spread**2 if len(products) and spread > 0 else None)
    low, high = np.quantile(known, [0.002, 0.998])
    edges = np.linspace(low, high, _BARS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(known, edges)
    return {
        "number": len(known),
        "mean": mean,
        "deviation": spread,
        "stride": stride,
        "autocorrelation": correlation,
        "bound": 1.96 / float(np.sqrt(len(known))),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
