"""What a trained model of series or texts says where it was looked at, and what contributes to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.kinds import is_whole
from recur.report.findings import Deletion, deletion_of
from recur.report.passage import visible
from recur.report.tensors import Tensors
from recur.report.values import as_list, as_object, as_text, notes_of, number

MOST_ANSWERS = 12
"""Answers that are shown."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One thing that the model says."""

    name: str
    """What is said."""
    said: str
    """What the model says of it."""
    came: str
    """What was true; empty where that is not known."""
    neutral: float | None
    """What is said of a series that stands still."""
    answer: float | None
    """What is explained, a number."""
    gap: float | None
    """By how much of all shares their sum misses the difference of the two."""
    by_channel: tuple[float | None, ...]
    """What each channel contributes, over all steps."""
    ahead: tuple[float | None, ...]
    """What of that is known of the steps to come."""
    shares: NDArray[np.float32]
    """(S, G): what each step and channel contributes; NaN where that is unknown."""
    speak_for: tuple[tuple[str, float], ...]
    """Of a text, the words that speak for it most, with what they contribute."""
    speak_against: tuple[tuple[str, float], ...]
    """Likewise those that speak against it."""


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What is told of the P steps to come, each (P, C); NaN where unknown."""

    targets: tuple[str, ...]
    """C names."""
    median: NDArray[np.float64]
    """What is told."""
    low: NDArray[np.float64]
    """Lower ends of the 80 % intervals."""
    high: NDArray[np.float64]
    """Upper ends."""
    came: NDArray[np.float64]
    """What came."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the model says, and what contributes to it."""

    asked: str
    """What the answers are of."""
    unit: str
    """What contributions are in."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    begin: int
    """The step with which what is explained begins."""
    channels: tuple[str, ...]
    """G names."""
    answers: tuple[Answer, ...]
    """At least one."""
    check: Deletion | None
    """Whether contributions can be believed."""
    unchecked: str
    """Why that is not known."""
    ahead: Ahead | None
    """What is told of the steps to come."""
    attention: NDArray[np.float32] | None
    """(S,): the share of each symbol of a text in the mean that its classes are told by; NaN where unknown."""


def answers_of(content: Mapping[str, Any], tensors: Tensors, count: int) -> Answers | None:
    """Return what a model says and what contributes to it; None where that is not known; `count` is N."""
    stored = as_object(content.get("answers"))
    channels = tuple(visible(as_text(name)) for name in as_list(stored.get("channels")))
    entries = [as_object(one) for one in as_list(stored.get("answers"))]
    begin = stored.get("begin")
    shares = tensors.take("answers.shares", "F32", (len(entries), None, len(channels))) if entries else None
    if shares is None or not channels or not is_whole(begin, 0) or not 0 < shares.shape[1] <= count - begin:
        return None
    known = np.where(np.isfinite(shares), shares, np.nan).astype(np.float32)
    attention = tensors.take("answers.attention", "F32", (shares.shape[1],))
    if attention is not None:
        attention = np.where((attention >= 0) & (attention <= 1), attention, np.nan).astype(np.float32)
    return Answers(
        asked=visible(as_text(stored.get("asked"))) or "what it says",
        unit=visible(as_text(stored.get("unit"))) or "units of the answer",
        notes=notes_of(stored),
        begin=begin,
        channels=channels,
        answers=tuple(
            _answer(entry, own, len(channels)) for entry, own in list(zip(entries, known, strict=True))[:MOST_ANSWERS]
        ),
        check=deletion_of(stored.get("check")),
        unchecked=visible(as_text(stored.get("unchecked"))),
        ahead=_ahead(as_object(stored.get("ahead"))),
        attention=attention,
    )


def _answer(entry: Mapping[str, Any], shares: NDArray[np.float32], num_channels: int) -> Answer:
    return Answer(
        name=visible(as_text(entry.get("name"))) or "what it says",
        said=visible(as_text(entry.get("said"))),
        came=visible(as_text(entry.get("came"))),
        neutral=number(entry.get("neutral")),
        answer=number(entry.get("answer")),
        gap=number(entry.get("gap")),
        by_channel=_numbers(entry.get("by_channel"), num_channels),
        ahead=_numbers(entry.get("ahead"), num_channels),
        shares=shares,
        speak_for=words_of(as_object(entry.get("strongest")).get("for")),
        speak_against=words_of(as_object(entry.get("strongest")).get("against")),
    )


def words_of(value: object) -> tuple[tuple[str, float], ...]:
    """Return words with what they contribute, as they stand in pairs; what is damaged is left out."""
    pairs = [as_list(pair) for pair in as_list(value)]
    return tuple(
        (visible(as_text(pair[0])), share)
        for pair in pairs
        if len(pair) == 2 and (share := number(pair[1])) is not None and as_text(pair[0])
    )


def _numbers(value: object, count: int) -> tuple[float | None, ...]:
    found = [number(one) for one in as_list(value)[:count]]
    return (*found, *[None] * (count - len(found)))


def _ahead(stored: Mapping[str, Any]) -> Ahead | None:
    targets = tuple(visible(as_text(name)) for name in as_list(stored.get("targets")))
    columns = {name: _table(as_list(stored.get(name)), len(targets)) for name in ("median", "low", "high", "came")}
    count = len(columns["median"])
    if not targets or not count or any(len(one) != count for one in columns.values()):
        return None
    return Ahead(targets=targets, **columns)


def _table(rows: Sequence[object], width: int) -> NDArray[np.float64]:
    found = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        for column, value in enumerate(_numbers(row, width)):
            found[place, column] = np.nan if value is None else value
    return found
