"""What held-out outcomes make of a model's word: intervals, alarm thresholds and probabilities to rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.calibration.adaptive import AdaptiveConformal as AdaptiveConformal
    from recur.calibration.conformal import ConformalQuantiles as ConformalQuantiles
    from recur.calibration.conformal import SplitConformal as SplitConformal
    from recur.calibration.peaks import DriftSpot as DriftSpot
    from recur.calibration.peaks import Spot as Spot
    from recur.calibration.surprise import SurpriseScale as SurpriseScale
    from recur.calibration.tail import Tail as Tail
    from recur.calibration.tail import fit_tail as fit_tail
    from recur.calibration.temperature import Temperature as Temperature

_ORIGINS = {
    "AdaptiveConformal": ".adaptive",
    "ConformalQuantiles": ".conformal",
    "DriftSpot": ".peaks",
    "Spot": ".peaks",
    "SplitConformal": ".conformal",
    "SurpriseScale": ".surprise",
    "Tail": ".tail",
    "Temperature": ".temperature",
    "fit_tail": ".tail",
}
__all__ = [
    "AdaptiveConformal",
    "ConformalQuantiles",
    "DriftSpot",
    "SplitConformal",
    "Spot",
    "SurpriseScale",
    "Tail",
    "Temperature",
    "fit_tail",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
