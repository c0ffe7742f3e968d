"""The charts of a judgement of alarms, from `detect_evaluation.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recur.report.chart import Band, Chart, Level, Role, Series
from recur.report.forecast_charts import Axis, axis_of, span
from recur.report.passage import visible
from recur.report.values import as_list, as_object, as_text, number
from recur.wording import measured


def detection_charts(evaluation: Mapping[str, Any]) -> dict[str, tuple[Chart, ...]]:
    """Return the charts by what they are for: examples, tail; those without a point left out.

    Args:
        evaluation: What `detect_evaluation.json` holds.
    """
    threshold = number(evaluation.get("threshold"))
    entries = [as_object(one) for one in as_list(evaluation.get("examples"))]
    examples = [chart for place, entry in enumerate(entries) for chart in _example(place, entry, threshold)]
    return {"examples": tuple(examples), "tail": tuple(_tail(evaluation, threshold))}


def _numbers(value: object) -> tuple[float | None, ...]:
    return tuple(number(one) for one in as_list(value))


def _example(place: int, entry: Mapping[str, Any], threshold: float | None) -> Iterator[Chart]:
    x, is_dated = axis_of(as_list(entry.get("times")))
    values, scores = _numbers(entry.get("values")), _numbers(entry.get("scores"))
    if len(values) != len(x) or len(scores) != len(x) or all(value is None for value in values):
        return
    channel, score = visible(as_text(entry.get("channel"))), number(entry.get("score"))
    because = {visible(str(name)): number(own) for name, own in as_object(entry.get("because")).items()}
    parts = sorted(((own, name) for name, own in because.items() if own is not None), reverse=True)[:3]
    summary = "" if score is None else f"The highest score is {measured(score)}"
    if summary and len(because) > 1:
        summary += f", of which {', '.join(f'{name} adds {measured(own)}' for own, name in parts)}"
    yield alarm_chart(
        key=f"detect_example_{place + 1}",
        title=f"{visible(as_text(entry.get('series')))}, {channel}",
        channel=channel,
        summary=f"{summary}." if summary else "",
        times=(x, is_dated),
        values=values,
        alarms=as_list(entry.get("alarms")),
        anomalies=as_list(entry.get("anomalies")),
    )
    yield Chart(
        key=f"detect_score_{place + 1}",
        title="Its scores",
        y_label="score",
        summary="What lies above the line is an alarm.",
        series=(Series(name="score", role="valid", x=x, y=scores),),
        levels=() if threshold is None else (Level(name="threshold", y=threshold),),
        x_label="time",
        is_dated=is_dated,
        x_range=span(x),
    )


def alarm_chart(
    *,
    key: str,
    title: str,
    channel: str,
    summary: str,
    times: Axis,
    values: tuple[float | None, ...],
    alarms: Sequence[object],
    anomalies: Sequence[object],
) -> Chart:
    """Return a series on which alarms are marked, and anomalies that are known.

    Args:
        key: As of `Chart`.
        title: As of `Chart`.
        channel: What the values are.
        summary: As of `Chart`.
        times: Of the steps, as `axis_of` returns them, (T,).
        values: Of the steps, (T,); None where missing.
        alarms: Places of the steps that raise one.
        anomalies: Places of the steps that are one, as the data say.
    """
    x, is_dated = times
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    room = 0.05 * (high - low) or 0.5
    marks: tuple[tuple[Sequence[object], str, Role], ...] = (
        (anomalies, "an anomaly, as the data say", "third"),
        (alarms, "alarm", "second"),
    )
    found = (_marked(name, role, x, places, low - room, high + room) for places, name, role in marks)
    return Chart(
        key=key,
        title=title,
        y_label=channel,
        summary=summary,
        series=(Series(name=channel, role="train", x=x, y=values),),
        bands=tuple(band for band in found if band is not None),
        x_label="time",
        is_dated=is_dated,
        x_range=span(x),
    )


def _marked(
    name: str, role: Role, x: Sequence[float], marked: Sequence[object], low: float, high: float
) -> Band | None:
    """Return a band as high as the chart at some of its places, half a step wide to both sides; None where at none."""
    places = sorted({int(one) for one in map(number, marked) if one is not None and 0 <= one < len(x)})
    if not places or len(x) < 2:
        return None
    half = (x[-1] - x[0]) / (len(x) - 1) / 2
    corners: list[tuple[float, float]] = []
    for place in places:
        begin, end = x[place] - half, x[place] + half
        corners += [(begin, low), (begin, high), (end, high), (end, low)]
    along, top = zip(*corners, strict=True)
    return Band(name=name, role=role, x=along, low=tuple(low for _ in along), high=top)


def _tail(evaluation: Mapping[str, Any], threshold: float | None) -> Iterator[Chart]:
    tail = as_object(evaluation.get("tail"))
    x, found, expected = (_numbers(tail.get(key)) for key in ("scores", "found", "expected"))
    scores = tuple(score for score in x if score is not None)
    if not len(scores) == len(x) == len(found) == len(expected) or len(scores) < 2:
        return
    excesses, rate = number(tail.get("excesses")), number(evaluation.get("false_alarms"))
    summary = "" if excesses is None else f"The tail was fitted to the {excesses:,.0f} highest scores in training"
    if summary and threshold is not None and rate is not None:
        summary += f"; with a rate of {rate:g} the threshold is {measured(threshold)}"
    yield Chart(
        key="detect_tail",
        title="How often scores are exceeded",
        y_label="share of steps with a higher score",
        summary=f"{summary}. Where the curves part, there is more that is strange, or less, than in training.",
        series=(
            Series(name="expected by the tail", role="speed", x=scores[::-1], y=expected[::-1]),
            Series(name="found", role="train", x=scores[::-1], y=found[::-1]),
        ),
        levels=() if rate is None else (Level(name="stated rate", y=rate),),
        x_label="score",
        x_format=".3~g",
        x_range=span(scores),
        is_log=True,
    )
