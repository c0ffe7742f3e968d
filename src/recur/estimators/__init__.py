"""Estimators in scikit-learn's manner: `fit`, `predict`, `score`, `save`, `load`, in pipelines and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.estimators.detector import Detector as Detector
    from recur.estimators.forecaster import Forecaster as Forecaster
    from recur.estimators.labels import SeriesClassifier as SeriesClassifier
    from recur.estimators.labels import SeriesRegressor as SeriesRegressor
    from recur.estimators.tagger import Tagger as Tagger
    from recur.estimators.texts import TextClassifier as TextClassifier
    from recur.estimators.translator import Translator as Translator

__all__ = ["Detector", "Forecaster", "SeriesClassifier", "SeriesRegressor", "Tagger", "TextClassifier", "Translator"]

__getattr__ = lazy_names(
    __name__,
    {
        "Detector": ".detector",
        "Forecaster": ".forecaster",
        "SeriesClassifier": ".labels",
        "SeriesRegressor": ".labels",
        "Tagger": ".tagger",
        "TextClassifier": ".texts",
        "Translator": ".translator",
    },
)


def __dir__() -> list[str]:
    return list(__all__)
