"""How good a forecast or a classification was: errors, scores of quantiles, samples and intervals, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.score.calibration import Reliability as Reliability
    from recur.score.calibration import reliability as reliability
    from recur.score.intervals import coverage as coverage
    from recur.score.intervals import interval_score as interval_score
    from recur.score.intervals import width as width
    from recur.score.life import nasa_score as nasa_score
    from recur.score.points import mae as mae
    from recur.score.points import mase as mase
    from recur.score.points import rmse as rmse
    from recur.score.points import seasonal_scale as seasonal_scale
    from recur.score.points import smape as smape
    from recur.score.quantiles import pinball as pinball
    from recur.score.quantiles import quantile_crps as quantile_crps
    from recur.score.samples import sample_crps as sample_crps

_ORIGINS = {
    "Reliability": ".calibration",
    "coverage": ".intervals",
    "interval_score": ".intervals",
    "mae": ".points",
    "mase": ".points",
    "nasa_score": ".life",
    "pinball": ".quantiles",
    "quantile_crps": ".quantiles",
    "reliability": ".calibration",
    "rmse": ".points",
    "sample_crps": ".samples",
    "seasonal_scale": ".points",
    "smape": ".points",
    "width": ".intervals",
}
__all__ = [
    "Reliability",
    "coverage",
    "interval_score",
    "mae",
    "mase",
    "nasa_score",
    "pinball",
    "quantile_crps",
    "reliability",
    "rmse",
    "sample_crps",
    "seasonal_scale",
    "smape",
    "width",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
