"""Trained models on streams that never end: a value in, an answer out, the state carried; and learning on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.streaming.answers import Answers as Answers
    from recur.streaming.live_stream import Stream as Stream
    from recur.streaming.live_stream import stream as stream

__all__ = ["Answers", "Stream", "stream"]

__getattr__ = lazy_names(__name__, {"Answers": ".answers", "Stream": ".live_stream", "stream": ".live_stream"})
