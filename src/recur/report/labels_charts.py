"""The charts of a judgement of labels that were told of series, from `label_evaluation.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recur.report.chart import Chart, Drawing, Matrix, Role, Series, thin
from recur.report.forecast_charts import axis_of, span
from recur.report.passage import visible
from recur.report.values import as_list, as_object, as_text, number
from recur.wording import measured

_MOST_CLASSES = 200
"""Of which a matrix is drawn."""


def label_charts(evaluation: Mapping[str, Any]) -> dict[str, tuple[Drawing, ...]]:
    """Return the charts by what they are for: told, errors, sureness, runs; those without a point left out.

    Args:
        evaluation: What `label_evaluation.json` holds.
    """
    return {
        "told": (*_confusion(evaluation), *_told(evaluation)),
        "errors": tuple(_by_true(evaluation)),
        "sureness": (*_reliability(evaluation), *_coverage(evaluation)),
        "runs": tuple(_runs(evaluation)),
    }


def _numbers(value: object) -> list[float | None]:
    return [number(one) for one in as_list(value)]


def _known(value: object) -> list[float]:
    return [one for one in _numbers(value) if one is not None]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = span(values)
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


# --- classes ---


def _confusion(evaluation: Mapping[str, Any]) -> Iterator[Matrix]:
    names = tuple(visible(as_text(name)) for name in as_list(evaluation.get("classes")))
    rows = [_known(row) for row in as_list(as_object(evaluation.get("figures")).get("confusion"))]
    if not 2 <= len(names) <= _MOST_CLASSES or [len(row) for row in rows] != [len(names)] * len(names):
        return
    wrong = [
        (count, names[true], names[told])
        for true, row in enumerate(rows)
        for told, count in enumerate(row)
        if true != told and count
    ]
    summary = "No label was told wrong."
    if wrong:
        count, true, told = max(wrong)
        summary = f"Most often confused: {true}, taken for {told} {count:,.0f} times."
    yield Matrix(
        key="label_confusion",
        title="Confusion matrix",
        summary=f"{summary} A colour is the share of the class of its row.",
        x_label="told",
        y_label="true",
        names=names,
        counts=tuple(tuple(int(count) for count in row) for row in rows),
    )


def _reliability(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    tables = as_object(evaluation.get("reliability"))
    curves: list[tuple[str, str, Role]] = [
        ("raw", "as the network says", "rate"),
        ("calibrated", "calibrated", "train"),
    ]
    series = [Series(name="as sure as right", role="speed", x=(0.0, 1.0), y=(0.0, 1.0))]
    said = []
    for key, name, role in curves:
        table = as_object(tables.get(key))
        pairs = [
            (sure, right)
            for sure, right in zip(_numbers(table.get("confidence")), _numbers(table.get("accuracy")), strict=False)
            if sure is not None and right is not None
        ]
        error = number(table.get("expected_error"))
        if pairs:
            x, y = zip(*pairs, strict=True)
            series.append(Series(name=name, role=role, x=x, y=y))
            said += [] if error is None else [f"{name}, off by {error:.1%} in the mean"]
    if len(series) > 1:
        yield Chart(
            key="label_reliability",
            title="How often it is right, by how sure it is",
            y_label="share of right ones",
            summary=f"{'; '.join(said).capitalize()}." if said else "",
            series=tuple(series),
            x_label="probability of the told class",
            x_format=".0%",
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.02),
        )


# --- numbers ---


def _told(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    points = as_object(evaluation.get("points"))
    pairs = [
        (true, told)
        for true, told in zip(_numbers(points.get("true")), _numbers(points.get("told")), strict=False)
        if true is not None and told is not None
    ]
    if not pairs:
        return
    true, told = zip(*sorted(pairs), strict=True)
    ends = span([*true, *told])
    yield Chart(
        key="label_told",
        title="Told beside true",
        y_label=f"told {visible(as_text(evaluation.get('label')))}",
        summary="What lies on the line was told right; above it too much.",
        series=(
            Series(name="right", role="speed", x=ends, y=ends),
            Series(name="labels", role="train", x=true, y=told, is_scattered=True),
        ),
        x_label="true",
        x_format=".3~g",
        x_range=_padded(true),
        y_range=_padded([*true, *told]),
    )


def _by_true(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    groups = as_object(evaluation.get("by_true"))
    x, mae, bias = (_known(groups.get(name)) for name in ("true", "mae", "bias"))
    if len(x) < 2 or not len(x) == len(mae) == len(bias):
        return
    worst = max(range(len(x)), key=lambda place: mae[place])
    yield Chart(
        key="label_by_true",
        title="Errors by the true number",
        y_label="error",
        summary=f"The mean absolute error is largest, {measured(mae[worst])}, around {measured(x[worst])}. "
        "A bias above zero is too much told.",
        series=(
            Series(name="bias", role="rate", x=tuple(x), y=tuple(bias)),
            Series(name="mean absolute error", role="train", x=tuple(x), y=tuple(mae)),
        ),
        x_label="true",
        x_format=".3~g",
        x_range=_padded(x),
    )


def _coverage(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    intervals = as_object(evaluation.get("intervals"))
    pairs = [
        (share, held)
        for share, held in zip(_numbers(intervals.get("shares")), _numbers(intervals.get("coverage")), strict=False)
        if share is not None and held is not None
    ]
    if not pairs:
        return
    x, y = zip(*pairs, strict=True)
    off = max(abs(share - held) for share, held in pairs)
    yield Chart(
        key="label_coverage",
        title="What intervals hold",
        y_label="share of true numbers inside",
        summary=f"They are off by {off:.1%} at most.",
        series=(
            Series(name="as asked", role="speed", x=(0.0, 1.0), y=(0.0, 1.0)),
            Series(name="held", role="train", x=x, y=y),
        ),
        x_label="share asked for",
        x_format=".0%",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.02),
    )


def _runs(evaluation: Mapping[str, Any]) -> Iterator[Chart]:
    titles = {"worst": "The worst series", "ordinary": "An ordinary series", "best": "The best series"}
    for place, run in enumerate(as_object(one) for one in as_list(evaluation.get("runs"))):
        x, is_dated = axis_of(as_list(run.get("times")))
        error = number(run.get("rmse"))
        series = []
        for key, name, role in (("true", "true", "valid"), ("told", "told", "train")):
            y = _numbers(run.get(key))
            if len(y) == len(x) > 0:
                kept_x, kept_y = thin(x, y)
                series.append(Series(name=name, role=role, x=kept_x, y=kept_y))  # type: ignore[arg-type]
        if len(series) == 2:
            yield Chart(
                key=f"label_run_{place + 1}",
                title=titles.get(as_text(run.get("kind")), "A series"),
                y_label=f"{visible(as_text(evaluation.get('label')))} of {visible(as_text(run.get('series')))}",
                summary="" if error is None else f"RMSE {measured(error)} over its steps.",
                series=tuple(series),
                x_label="time",
                x_format=".3~g",
                is_dated=is_dated,
                x_range=span(x),
            )
