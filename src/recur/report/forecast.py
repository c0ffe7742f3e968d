"""What the report says of forecasts, from `forecast_evaluation.json`. What is missing or damaged is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recur.report.chart import Chart
from recur.report.forecast_charts import MODEL, forecast_charts
from recur.report.passage import visible
from recur.report.result import Bar, Measure, bars, column
from recur.report.values import (
    NOTHING,
    as_list,
    as_object,
    as_text,
    count,
    in_form,
    label,
    notes_of,
    number,
    part_of,
    percent,
    share_of,
    shown,
)
from recur.wording import measured, quantity

_MEASURES = (
    ("mae", "MAE"),
    ("rmse", "RMSE"),
    ("smape", "sMAPE"),
    ("mase", "MASE"),
    ("crps", "CRPS"),
)

_MOST_ROWS = 12
"""Rows of the table of series: half of them where the model is worst, half where it is best."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One row of a table of errors beside the best rule's."""

    name: str
    """Of a series or a target."""
    model: str
    """The model's mean absolute error."""
    rule: str
    """The best rule's."""
    gain: str
    """By how much the model's is lower."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the page shows of forecasts."""

    verdict: str
    """Whether the model beats the naive rules."""
    is_better: bool
    """Whether it does, by more than noise."""
    measured_on: str
    """What was judged, in a sentence."""
    part: str
    """The part that was judged."""
    best_rule: str
    """The rule that the model is compared with."""
    bars: tuple[Bar, ...]
    """Mean absolute errors of model and rules, the lowest first."""
    columns: tuple[str, ...]
    """Names of the table's columns."""
    measures: tuple[Measure, ...]
    """Rows of the table."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    targets: tuple[Compared, ...]
    """Errors by target, where there are several."""
    series: tuple[Compared, ...]
    """Errors by series, where there are several: the worst first."""
    num_series: int
    """How many there are in all."""
    examples: tuple[Chart, ...]
    """Forecasts to look at."""
    errors: tuple[Chart, ...]
    """Errors by step and over time."""
    intervals: tuple[Chart, ...]
    """Whether intervals hold what they say."""
    residuals: tuple[Chart, ...]
    """What errors have left in them."""

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, in the order of the page."""
        return (*self.examples, *self.errors, *self.intervals, *self.residuals)


def forecast_of(evaluation: Mapping[str, Any]) -> Forecast | None:
    """Return what `forecast_evaluation.json` says, or None where there is no figure of the model."""
    figures = {str(name): as_object(own) for name, own in as_object(evaluation.get("figures")).items()}
    model = figures.pop(MODEL, {})
    if number(model.get("mae")) is None:
        return None
    known = [(value, name) for name, own in figures.items() if (value := number(own.get("mae"))) is not None]
    figures = {name: figures[name] for _, name in sorted(known)}
    verdict = as_object(evaluation.get("verdict"))
    rule = as_text(evaluation.get("best_rule"))
    part = part_of(evaluation)
    by_target = as_object(evaluation.get("by_target"))
    targets = [
        _compared(name, as_object(as_object(own).get(MODEL)).get("mae"), as_object(as_object(own).get(rule)).get("mae"))
        for name, own in by_target.items()
    ]
    entries = [as_object(one) for one in as_list(evaluation.get("by_series"))]
    series = [_compared(as_text(one.get("series")), one.get("mae"), one.get("rule")) for one in entries]
    rows = series if len(series) <= _MOST_ROWS else series[: _MOST_ROWS // 2] + series[-_MOST_ROWS // 2 :]
    num_series = number(evaluation.get("series"))
    charts = forecast_charts(evaluation)
    mean_errors = [("this model", model.get("mae")), *((visible(name), figures[name].get("mae")) for name in figures)]
    return Forecast(
        verdict=visible(as_text(verdict.get("text"))),
        is_better=verdict.get("is_better") is True,
        measured_on=_measured_on(evaluation, part),
        part=part,
        best_rule=visible(rule),
        bars=bars(mean_errors, measured),
        columns=("this model", *(column(name) for name in figures)),
        measures=_measures([model, *figures.values()]),
        notes=notes_of(evaluation),
        targets=tuple(targets) if len(targets) > 1 else (),
        series=tuple(rows) if len(series) > 1 else (),
        num_series=len(series) if num_series is None else int(num_series),
        examples=charts["examples"],
        errors=charts["errors"],
        intervals=charts["intervals"],
        residuals=charts["residuals"],
    )


def _measured_on(evaluation: Mapping[str, Any], part: str) -> str:
    windows, steps = number(evaluation.get("windows")), number(evaluation.get("horizon"))
    if windows is None or steps is None:
        return ""
    series = number(evaluation.get("series"))
    step = visible(as_text(evaluation.get("step")))
    said = f"Judged from {quantity(int(windows), 'origin')} in the {part} part, {quantity(int(steps), 'step')}"
    said += f" of {step} ahead" if step and not step.isdecimal() else " ahead"
    if series is not None and series > 1:
        said += f", in {count(series)} series"
    first, last = (evaluation.get(key) for key in ("first", "last"))
    if first is not None and last is not None:
        said += f", from {_when(first)} to {_when(last)}"
    said += ". Each figure counts the same targets for all, on their original scale"
    season = as_object(evaluation.get("season"))
    steps_of_season, why = number(season.get("steps")), visible(as_text(season.get("why")))
    if steps_of_season is not None and steps_of_season > 1:
        said += f". The season is {steps_of_season:,.0f} steps, {why}" if why else ""
    return said + "."


def _when(time: object) -> str:
    return label(time).replace("T", " ") if isinstance(time, str) else label(time)


def _measures(contestants: Sequence[Mapping[str, Any]]) -> tuple[Measure, ...]:
    rows = [Measure(name=name, values=tuple(shown(one.get(key)) for one in contestants)) for key, name in _MEASURES]
    for share in as_object(contestants[0].get("coverage")):
        known = share_of(share)
        if known is None:
            continue
        held = [as_object(one.get("coverage")).get(share) for one in contestants]
        wide = [as_object(one.get("width")).get(share) for one in contestants]
        name = f"{known:.0%} interval"
        rows.append(Measure(name=f"{name} holds", values=tuple(in_form(one, ".1%") for one in held)))
        rows.append(Measure(name=f"{name}, width", values=tuple(shown(one) for one in wide)))
    return tuple(rows)


def _compared(name: str, model: object, rule: object) -> Compared:
    own, other = number(model), number(rule)
    gain = NOTHING
    if own is not None and other is not None and other > 0:
        share = 1 - own / other
        gain = f"{percent(abs(share))} {'lower' if share >= 0 else 'higher'}"
    return Compared(name=visible(name), model=shown(model), rule=shown(rule), gain=gain)
