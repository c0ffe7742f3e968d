"""The charts of a judgement of forecasts, from `forecast_evaluation.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from recur.report.chart import Band, Chart, Level, Role, Series, thin
from recur.report.passage import visible
from recur.report.values import as_list, as_object, as_text, number, share_of
from recur.wording import measured

MODEL = "model"
"""What the model is called among the contestants."""

_RULES: tuple[Role, ...] = ("valid", "speed", "rate")
"""Of the rules that are drawn: the best one, and the two after it."""

Axis = tuple[tuple[float, ...], bool]
"""Places on an axis, and whether they are milliseconds since 1970."""


def forecast_charts(evaluation: Mapping[str, Any]) -> dict[str, tuple[Chart, ...]]:
    """Return the charts by what they are for: examples, errors, intervals, residuals; those without a point left out.

    Args:
        evaluation: What `forecast_evaluation.json` holds.
    """
    found = {
        "examples": _examples(evaluation),
        "errors": [*_by_step(evaluation), *_over_time(evaluation)],
        "intervals": [*_coverage(evaluation), *_coverage_by_step(evaluation)],
        "residuals": [*_autocorrelation(evaluation), *_histogram(evaluation)],
    }
    return {name: tuple(chart for chart in charts if _is_drawn(chart)) for name, charts in found.items()}


def _is_drawn(chart: Chart) -> bool:
    return any(value is not None for series in chart.series for value in series.y)


def _numbers(value: object) -> list[float | None]:
    return [number(one) for one in as_list(value)]


def axis_of(times: Sequence[object]) -> Axis:
    """Return times on an axis; numbers of the points where they are neither dates nor numbers."""
    known = [number(time) for time in times]
    if times and all(time is not None for time in known):
        return tuple(time for time in known if time is not None), False
    try:
        moments = np.array([as_text(time) for time in times], "datetime64[ms]")
    except ValueError:
        moments = np.array(["NaT"], "datetime64[ms]")
    if np.isnat(moments).any():
        return tuple(float(place) for place in range(len(times))), False
    return tuple(moments.astype(np.int64).astype(float).tolist()), True


def span(x: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest number, apart where they are the same."""
    low, high = min(x, default=0.0), max(x, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _drawn_rules(by_name: Mapping[str, Any], best: str) -> list[str]:
    """Return the rules to draw: the best one first, then those with the smallest errors."""
    others = [name for name in by_name if name not in (MODEL, best)]
    return [name for name in (best, *others) if name in by_name][: len(_RULES)]


def _lines(x: tuple[float, ...], by_name: Mapping[str, list[float | None]], best: str) -> tuple[Series, ...]:
    """Return the curves of the rules and, in front of them, of the model."""
    named = [*zip(_drawn_rules(by_name, best), _RULES, strict=False)][::-1]
    lines: list[Series] = []
    for name, role in (*named, (MODEL, "train")):
        y = by_name.get(name, [])
        if len(y) == len(x):
            shown = "this model" if name == MODEL else visible(name)
            lines.append(Series(name=shown, role=role, x=x, y=tuple(y)))
    return tuple(lines)


def _from_zero(series: Sequence[Series]) -> tuple[float, float] | None:
    known = [value for one in series for value in one.y if value is not None]
    return (0.0, 1.08 * max(known)) if known and max(known) > 0 else None


# --- forecasts to look at ----------------------------------------------------------------------------------------


def _examples(evaluation: Mapping[str, Any]) -> list[Chart]:
    rule = visible(as_text(evaluation.get("best_rule")))
    entries = [as_object(one) for one in as_list(evaluation.get("examples"))]
    has_several = (
        len({as_text(one.get("series")) for one in entries}) > 1 or len(as_list(evaluation.get("targets"))) > 1
    )
    return [_example(place, entry, rule, has_several) for place, entry in enumerate(entries)]


def _example(place: int, entry: Mapping[str, Any], rule: str, has_several: bool) -> Chart:
    before = as_object(entry.get("before"))
    past, ahead = as_list(before.get("times")), as_list(entry.get("times"))
    came = [*_numbers(before.get("values")), *_numbers(entry.get("actual"))]
    x, is_dated = axis_of([*past, *ahead])
    later = x[len(past) :]
    named = {"median": ("forecast", "train"), "rule": (rule, "speed")}
    series = []
    if len(came) == len(x):
        series.append(Series(name="what came", role="valid", x=x, y=tuple(came)))
    for key, (name, role) in reversed(named.items()):
        y = _numbers(entry.get(key))
        if len(y) == len(later):
            series.append(Series(name=name, role=role, x=later, y=tuple(y)))  # type: ignore[arg-type]
    kind, error = visible(as_text(entry.get("kind"))), number(entry.get("error"))
    title = {"worst": "One of the worst", "median": "An ordinary one", "best": "The best"}.get(kind, "A forecast")
    what = ", ".join(visible(as_text(entry.get(key))) for key in (("series", "target") if has_several else ("target",)))
    return Chart(
        key=f"forecast_example_{place + 1}",
        title=title,
        y_label=what,
        summary="" if error is None else f"It is off by {measured(error)} times the scale of the series in the mean.",
        series=tuple(series),
        bands=tuple(_bands(entry, later)),
        x_label="time",
        is_dated=is_dated,
        x_range=span(x),
    )


def _bands(entry: Mapping[str, Any], x: tuple[float, ...]) -> Iterator[Band]:
    for share, both in sorted(as_object(entry.get("intervals")).items(), reverse=True):
        low, high = (_numbers(as_list(both)[place]) if len(as_list(both)) == 2 else [] for place in (0, 1))
        kept = [(a, b, c) for a, b, c in zip(x, low, high, strict=False) if b is not None and c is not None]
        known = share_of(share)
        if kept and known is not None:
            places, lower, upper = zip(*kept, strict=True)
            yield Band(name=f"{known:.0%} interval", role="train", x=places, low=lower, high=upper)


# --- errors ------------------------------------------------------------------------------------------------------


def _by_step(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    by_name = {name: _numbers(as_object(own).get("mae")) for name, own in as_object(evaluation.get("by_step")).items()}
    own = by_name.get(MODEL, [])
    if len(own) < 2:
        return
    x = tuple(float(step) for step in range(1, len(own) + 1))
    best = as_text(evaluation.get("best_rule"))
    series = _lines(x, by_name, best)
    first, last = own[0], own[-1]
    summary = ""
    if first is not None and last is not None:
        summary = f"The model's error is {measured(first)} one step ahead and {measured(last)} {len(own)} steps ahead."
    yield Chart(
        key="forecast_by_step",
        title="Errors by step",
        y_label="mean absolute error",
        summary=summary,
        series=series,
        x_label="steps ahead",
        x_range=span(x),
        y_range=_from_zero(series),
    )


def _over_time(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    over = as_object(evaluation.get("over_time"))
    by_name = {name: _numbers(values) for name, values in as_object(over.get("mae")).items()}
    x, is_dated = axis_of(as_list(over.get("times")))
    if len(x) < 2:
        return
    best = as_text(evaluation.get("best_rule"))
    series = _lines(x, {name: by_name[name] for name in (MODEL, best) if name in by_name}, best)
    yield Chart(
        key="forecast_over_time",
        title="Errors over time",
        y_label="mean absolute error",
        summary="By the time of the origin; a rise that the rule does not share is the model's own.",
        series=series,
        x_label="time",
        is_dated=is_dated,
        x_range=span(x),
        y_range=_from_zero(series),
    )


# --- intervals ---------------------------------------------------------------------------------------------------


def _coverage(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    intervals = as_object(evaluation.get("intervals"))
    shares = [share for share in _numbers(intervals.get("shares")) if share is not None]
    is_calibrated = intervals.get("is_calibrated") is True
    curves: list[tuple[str, str, Role]] = [("coverage_raw", "as the network says", "rate")]
    if is_calibrated:
        curves.append(("coverage_calibrated", "calibrated", "train"))
    x = tuple(shares)
    series = [Series(name="as asked", role="speed", x=(0.0, 1.0), y=(0.0, 1.0))]
    summary = ""
    for key, name, role in curves:
        y = _numbers(intervals.get(key))
        if len(y) == len(x):
            series.append(Series(name=name, role=role, x=x, y=tuple(y)))
            gaps = [abs(held - share) for share, held in zip(x, y, strict=True) if held is not None]
            if gaps:
                summary += f"{name.capitalize()}, intervals are off by {max(gaps):.1%} at most. "
    if len(series) > 1:
        yield Chart(
            key="forecast_coverage",
            title="What intervals hold",
            y_label="share of targets inside",
            summary=summary.strip(),
            series=tuple(series),
            x_label="share asked for",
            x_format=".0%",
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.02),
        )


def _coverage_by_step(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    held = as_object(as_object(as_object(evaluation.get("by_step")).get(MODEL)).get("coverage"))
    known = [(share, _numbers(held[text])) for text in held if (share := share_of(text)) is not None]
    known = [(share, y) for share, y in known if len(y) > 1][-3:]
    if not known:
        return
    x = tuple(float(step) for step in range(1, len(known[0][1]) + 1))
    roles: tuple[Role, ...] = ("rate", "speed", "train")
    series = [
        Series(name=f"{share:.0%} interval", role=role, x=x, y=tuple(y))
        for (share, y), role in zip(known, roles, strict=False)
        if len(y) == len(x)
    ]
    yield Chart(
        key="forecast_coverage_by_step",
        title="What intervals hold, by step",
        y_label="share of targets inside",
        summary="The dashed lines are what they should hold.",
        series=tuple(series),
        levels=tuple(Level(name=f"{share:.0%}", y=share) for share, _ in known),
        x_label="steps ahead",
        x_range=span(x),
        y_range=(0.0, 1.02),
    )


# --- residuals ---------------------------------------------------------------------------------------------------


def _autocorrelation(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    residuals = as_object(evaluation.get("residuals"))
    y, bound = _numbers(residuals.get("autocorrelation")), number(residuals.get("bound"))
    if len(y) < 2 or bound is None:
        return
    stride = number(residuals.get("stride")) or 1.0
    x = tuple(stride * lag for lag in range(1, len(y) + 1))
    outside = sum(abs(value) > bound for value in y if value is not None)
    yield Chart(
        key="forecast_autocorrelation",
        title="Whether errors hang together",
        y_label="autocorrelation",
        summary=f"Of the errors one step ahead. {outside} of {len(y)} lags are beyond what 95 of 100 are in noise; "
        "what is far beyond could have been told.",
        series=(Series(name="autocorrelation", role="train", x=x, y=tuple(y)),),
        levels=(Level(name="noise", y=bound), Level(name="", y=-bound)),
        x_label="steps apart",
        x_range=span((0.0, *x)),
    )


def _histogram(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    residuals = as_object(evaluation.get("residuals"))
    edges = [edge for edge in _numbers(residuals.get("edges")) if edge is not None]
    counts = _numbers(residuals.get("counts"))
    if len(edges) != len(counts) + 1 or len(counts) < 2:
        return
    middles = tuple((low + high) / 2 for low, high in pairwise(edges))
    x, y = thin(middles, counts)
    mean, spread = number(residuals.get("mean")), number(residuals.get("deviation"))
    said = (
        "" if mean is None or spread is None else f" Their mean is {measured(mean)}, their spread {measured(spread)}."
    )
    series = (Series(name="errors", role="train", x=x, y=y),)
    yield Chart(
        key="forecast_residuals",
        title="How errors are spread",
        y_label="number of errors",
        summary=f"What came less what was forecast one step ahead, in units of the series' scale.{said}",
        series=series,
        x_label="error",
        x_format=".3~g",
        x_range=span(edges),
        y_range=_from_zero(series),
    )
