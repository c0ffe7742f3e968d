"""Trained models on streams that never end: a value in, an answer out, the state carried; and learning on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.streaming.answers import Answers as Answers
    from recur.streaming.detections import Detections as Detections
    from recur.streaming.forecast_stream import ForecastStream as ForecastStream
    from recur.streaming.forecasts import Forecasts as Forecasts
    from recur.streaming.live_stream import Stream as Stream
    from recur.streaming.opening import stream as stream
    from recur.streaming.told_labels import ToldClasses as ToldClasses
    from recur.streaming.told_labels import ToldNumbers as ToldNumbers

__all__ = [
    "Answers",
    "Detections",
    "ForecastStream",
    "Forecasts",
    "Stream",
    "ToldClasses",
    "ToldNumbers",
    "stream",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Answers": ".answers",
        "Detections": ".detections",
        "ForecastStream": ".forecast_stream",
        "Forecasts": ".forecasts",
        "Stream": ".live_stream",
        "ToldClasses": ".told_labels",
        "ToldNumbers": ".told_labels",
        "stream": ".opening",
    },
)
