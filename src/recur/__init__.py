"""Recurrent neural networks on PyTorch: from a file to a trained, judged and usable model.

Everything here is imported when first used, so that the command line answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur import nn as nn
    from recur.estimators.detector import Detector as Detector
    from recur.estimators.forecaster import Forecaster as Forecaster
    from recur.estimators.labels import SeriesClassifier as SeriesClassifier
    from recur.estimators.labels import SeriesRegressor as SeriesRegressor
    from recur.estimators.tagger import Tagger as Tagger
    from recur.estimators.texts import TextClassifier as TextClassifier
    from recur.estimators.translator import Translator as Translator
    from recur.models.language import LanguageModel as LanguageModel
    from recur.nn.accelerate import accelerate as accelerate
    from recur.nn.accelerate import decelerate as decelerate
    from recur.plots.plotting import plot as plot
    from recur.streaming.live_stream import Stream as Stream
    from recur.streaming.opening import stream as stream
    from recur.tasks.detect.trained import TrainedDetector as TrainedDetector
    from recur.tasks.forecast.trained import TrainedForecaster as TrainedForecaster
    from recur.tasks.labels.trained import TrainedClassifier as TrainedClassifier
    from recur.tasks.labels.trained import TrainedRegressor as TrainedRegressor
    from recur.tasks.language.trained import TrainedLanguageModel as TrainedLanguageModel
    from recur.tasks.loading import load as load
    from recur.tasks.tags.trained import TrainedTagger as TrainedTagger
    from recur.tasks.texts.trained import TrainedTextClassifier as TrainedTextClassifier
    from recur.tasks.translate.trained import TrainedTranslator as TrainedTranslator
    from recur.tasks.write.trained import TrainedWriter as TrainedWriter
    from recur.train.detect import train_detector as train_detector
    from recur.train.forecast import train_forecaster as train_forecaster
    from recur.train.labels import train_classifier as train_classifier
    from recur.train.labels import train_regressor as train_regressor
    from recur.train.language import train_language_model as train_language_model
    from recur.train.tags import train_tagger as train_tagger
    from recur.train.texts import train_text_classifier as train_text_classifier
    from recur.train.translate import train_translator as train_translator
    from recur.train.write import train_writer as train_writer

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "Forecaster",
    "LanguageModel",
    "SeriesClassifier",
    "SeriesRegressor",
    "Stream",
    "Tagger",
    "TextClassifier",
    "TrainedClassifier",
    "TrainedDetector",
    "TrainedForecaster",
    "TrainedLanguageModel",
    "TrainedRegressor",
    "TrainedTagger",
    "TrainedTextClassifier",
    "TrainedTranslator",
    "TrainedWriter",
    "Translator",
    "accelerate",
    "decelerate",
    "load",
    "nn",
    "plot",
    "stream",
    "train_classifier",
    "train_detector",
    "train_forecaster",
    "train_language_model",
    "train_regressor",
    "train_tagger",
    "train_text_classifier",
    "train_translator",
    "train_writer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "nn": ".nn",
        "accelerate": ".nn.accelerate",
        "decelerate": ".nn.accelerate",
        "LanguageModel": ".models.language",
        "TrainedLanguageModel": ".tasks.language.trained",
        "TrainedDetector": ".tasks.detect.trained",
        "TrainedForecaster": ".tasks.forecast.trained",
        "plot": ".plots.plotting",
        "Stream": ".streaming.live_stream",
        "stream": ".streaming.opening",
        "TrainedClassifier": ".tasks.labels.trained",
        "TrainedRegressor": ".tasks.labels.trained",
        "Detector": ".estimators.detector",
        "Forecaster": ".estimators.forecaster",
        "SeriesClassifier": ".estimators.labels",
        "SeriesRegressor": ".estimators.labels",
        "Tagger": ".estimators.tagger",
        "TextClassifier": ".estimators.texts",
        "Translator": ".estimators.translator",
        "load": ".tasks.loading",
        "train_detector": ".train.detect",
        "train_forecaster": ".train.forecast",
        "train_classifier": ".train.labels",
        "train_regressor": ".train.labels",
        "train_language_model": ".train.language",
        "TrainedTagger": ".tasks.tags.trained",
        "train_tagger": ".train.tags",
        "TrainedTextClassifier": ".tasks.texts.trained",
        "train_text_classifier": ".train.texts",
        "TrainedTranslator": ".tasks.translate.trained",
        "train_translator": ".train.translate",
        "TrainedWriter": ".tasks.write.trained",
        "train_writer": ".train.write",
    },
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
