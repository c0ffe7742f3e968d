"""What the report says of anomalies, from `detect_evaluation.json`. What is missing or damaged is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recur.report.chart import Chart
from recur.report.detection_charts import detection_charts
from recur.report.passage import visible
from recur.report.result import Measure, column
from recur.report.values import (
    NOTHING,
    as_list,
    as_object,
    as_text,
    in_form,
    notes_of,
    number,
    part_of,
    percent,
    shown,
)
from recur.wording import percentage, quantity

_SHARES = (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What the page shows of anomalies."""

    verdict: str
    """Whether the detector beats the rule, or raises as many alarms as was stated."""
    is_worse: bool
    """Whether it is no better than the rule."""
    measured_on: str
    """What was judged, in a sentence."""
    part: str
    """The part that was judged."""
    columns: tuple[str, ...]
    """Names of the table's columns."""
    measures: tuple[Measure, ...]
    """Rows of the table."""
    channels: tuple[tuple[str, str], ...]
    """Of how many alarms each channel is the one that adds most, where there are several."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    examples: tuple[Chart, ...]
    """The highest scores: the series, and the scores below it."""
    tail: tuple[Chart, ...]
    """How often scores were exceeded, beside how often they should be."""

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, in the order of the page."""
        return (*self.examples, *self.tail)


def detection_of(evaluation: Mapping[str, Any]) -> Detection | None:
    """Return what `detect_evaluation.json` says, or None where there is no figure of the model."""
    figures = {str(name): as_object(own) for name, own in as_object(evaluation.get("figures")).items()}
    if number(figures.get("model", {}).get("rate")) is None and not figures.get("model", {}).get("by_event"):
        return None
    verdict = as_object(evaluation.get("verdict"))
    part = part_of(evaluation)
    channels = [as_object(one) for one in as_list(evaluation.get("by_channel"))]
    charts = detection_charts(evaluation)
    return Detection(
        verdict=visible(as_text(verdict.get("text"))),
        is_worse=verdict.get("is_better") is False,
        measured_on=_measured_on(evaluation, part),
        part=part,
        columns=tuple("this model" if name == "model" else column(name) for name in figures),
        measures=_measures(list(figures.values()), has_truth=evaluation.get("has_truth") is True),
        channels=tuple((visible(as_text(one.get("channel"))), in_form(one.get("alarms"), ",.0f")) for one in channels)
        if len(channels) > 1
        else (),
        notes=notes_of(evaluation),
        examples=charts["examples"],
        tail=charts["tail"],
    )


def _measured_on(evaluation: Mapping[str, Any], part: str) -> str:
    steps, series, rate = (number(evaluation.get(key)) for key in ("steps", "series", "false_alarms"))
    if steps is None or series is None or rate is None or rate <= 0:
        return ""
    step = visible(as_text(evaluation.get("step")))
    said = f"Judged on {quantity(int(steps), 'step')}{f' of {step}' if step and not step.isdecimal() else ''} of the "
    said += f"{part} part, in {int(series):,} series. One ordinary step in {1 / rate:,.0f} may raise a false alarm."
    return said


def _measures(contestants: list[Mapping[str, Any]], *, has_truth: bool) -> tuple[Measure, ...]:
    def row(name: str, values: list[str]) -> Measure:
        return Measure(name=name, values=tuple(values))

    rows = [
        row("alarms", [in_form(one.get("alarms"), ",.0f") for one in contestants]),
        row("alarms a day", [shown(one.get("alarms_a_day")) for one in contestants]),
        # Without labels nobody knows which alarms are false.
        row(f"steps with {'a false' if has_truth else 'an'} alarm", [_rate(one.get("rate")) for one in contestants]),
    ]
    for key, what in (("by_event", "by event"), ("by_step", "by step")):
        if as_object(contestants[0].get(key)):
            rows += [
                row(f"{name} {what}", [_share(as_object(one.get(key)).get(share)) for one in contestants])
                for share, name in _SHARES
            ]
    return tuple(rows)


def _rate(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else percentage(known)


def _share(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else percent(known)
