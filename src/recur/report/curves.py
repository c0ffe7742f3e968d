"""The charts of a training, from the rows of `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recur.report.chart import Chart, Level, Role, Series, log_range, smooth, thin
from recur.report.values import as_list, number

Row = Mapping[str, Any]

# A smoothed curve averages over this part of all points, on each side.
_RADIUS = 0.015

# A gradient norm below this is zero for every purpose.
_SMALLEST = 1e-30

_UNITS = ("characters", "windows", "series", "tokens")
"""What the speed of a training may be counted in; the first that its rows have is shown."""


def rows_of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """Return the rows of that kind that say at which step they were written, ordered by step."""
    found = [row for row in rows if row.get("kind") == kind and number(row.get("step")) is not None]
    return sorted(found, key=lambda row: float(row["step"]))


def training_charts(
    rows: Sequence[Row],
    *,
    unit: str = "token",
    baselines: Mapping[str, float] | None = None,
    clip_norm: float | None = None,
) -> list[Chart]:
    """Return the charts of loss, learning rate, gradient norm, memory and throughput, but for those without a point.

    Args:
        rows: The rows of `metrics.jsonl`.
        unit: What one symbol of the model is: "character", "byte" or "token"; empty where the loss has no unit.
        baselines: Name to loss in nats per symbol, drawn beside the loss.
        clip_norm: The norm beyond which gradients were clipped.
    """
    train, valid = rows_of_kind(rows, "train"), rows_of_kind(rows, "valid")
    charts = [
        _loss(train, valid, unit, baselines or {}),
        _learning_rate(train),
        _gradient_norm(train, clip_norm),
        _memory(rows_of_kind(rows, "probe")),
        _throughput(train),
    ]
    return [chart for chart in charts if any(value is not None for series in chart.series for value in series.y)]


def _points(rows: Sequence[Row], key: str) -> tuple[list[float], list[float | None]]:
    return [float(row["step"]) for row in rows], [number(row.get(key)) for row in rows]


def _raw_and_smooth(rows: Sequence[Row], key: str, name: str, role: Role) -> list[Series]:
    x, y = _points(rows, key)
    radius = int(len(y) * _RADIUS)
    if radius < 1:
        return [_thinned(name, role, x, y)]
    return [_thinned(f"{name}, as logged", "raw", x, y), _thinned(name, role, x, smooth(y, radius))]


def _thinned(name: str, role: Role, x: Sequence[float], y: Sequence[float | None]) -> Series:
    thin_x, thin_y = thin(x, y)
    return Series(name=name, role=role, x=thin_x, y=thin_y)


def _drawn(series: Series) -> bool:
    return any(value is not None for value in series.y)


def _loss(train: Sequence[Row], valid: Sequence[Row], unit: str, baselines: Mapping[str, float]) -> Chart:
    series = _raw_and_smooth(train, "loss", "training", "train")
    valid_x, valid_y = _points(valid, "loss")
    series.append(_thinned("validation", "valid", valid_x, valid_y))
    best = min(((y, x) for x, y in zip(valid_x, valid_y, strict=True) if y is not None), default=None)
    if best is not None:
        series.append(Series(name="best", role="best", x=(best[1],), y=(best[0],)))
    levels = tuple(Level(name=f"{name} {loss:.2f}", y=loss) for name, loss in baselines.items())
    return Chart(
        key="loss",
        title="Loss",
        y_label=_nats(unit).strip(),
        summary=_loss_summary(series[-1] if best is not None else None, valid_y, unit),
        series=tuple(one for one in series if _drawn(one)),
        levels=levels,
        y_range=_loss_range(series, levels),
    )


def _nats(unit: str) -> str:
    return f" nats per {unit}" if unit else ""


def _loss_summary(best: Series | None, valid: Sequence[float | None], unit: str) -> str:
    if best is None:
        return "The loss on the training part; it has not been validated yet."
    first = next(value for value in valid if value is not None)
    lowest = best.y[0]
    if len(valid) == 1:
        return f"Validated once, at step {best.x[0]:,.0f}: {lowest:.3f}{_nats(unit)}."
    step = f"step {best.x[0]:,.0f}"
    return f"The validation loss went from {first:.3f} to its best of {lowest:.3f}{_nats(unit)} at {step}."


def _loss_range(series: Sequence[Series], levels: Sequence[Level]) -> tuple[float, float] | None:
    # One wild batch must not squeeze the curves into a corner, so the points as logged do not count here.
    shown = [y for one in series if one.role != "raw" for y in one.y if y is not None] + [level.y for level in levels]
    if not shown:
        return None
    low, high = min(shown), max(shown)
    # Equal losses, and those that differ in their last digits only, still span an axis.
    margin = max(0.06 * (high - low), 0.01 * max(abs(low), abs(high)), 0.01)
    return low - margin, high + margin


def _learning_rate(train: Sequence[Row]) -> Chart:
    series = _thinned("learning rate", "rate", *_points(train, "learning_rate"))
    values = [y for y in series.y if y is not None]
    summary = ""
    if values:
        end = f"{values[-1]:.2g}" if values[-1] > 1e-3 * max(values) else "almost nothing"
        summary = f"At most {max(values):.2g}, {end} in the end."
    return Chart(key="learning_rate", title="Learning rate", y_label="", summary=summary, series=(series,))


def clipping_of(train: Sequence[Row]) -> str:
    """Return how much clipping did in a training, in a sentence; nothing where its rows do not tell."""
    clipped = [share for row in train if (share := number(row.get("clipped"))) is not None]
    removed = [share for row in train if (share := number(row.get("removed"))) is not None]
    if not clipped or not removed:
        return ""
    return (
        f"Clipped in {sum(clipped) / len(clipped):.0%} of the steps, which took "
        f"{sum(removed) / len(removed):.0%} off the norm in the mean."
    )


def _gradient_norm(train: Sequence[Row], clip_norm: float | None) -> Chart:
    x, y = _points(train, "grad_norm")
    # On the logarithmic axis there is no place for zero.
    positive = [value if value is not None and value > _SMALLEST else None for value in y]
    shown = [{"step": a, "grad_norm": b} for a, b in zip(x, positive, strict=True)]
    series = _raw_and_smooth(shown, "grad_norm", "gradient norm", "norm")
    values = sorted(value for value in positive if value is not None)
    clip = clip_norm if clip_norm is not None and clip_norm > _SMALLEST else None
    levels = () if clip is None else (Level(name=f"clipped above {clip:g}", y=clip),)
    summary, y_range = "", None
    if values:
        summary = f"Median {values[len(values) // 2]:.3g}, at most {values[-1]:.3g}."
        summary = " ".join(filter(None, [summary, clipping_of(train)]))
        heights = [*values, *(level.y for level in levels)]
        y_range = log_range(min(heights), max(heights))
    return Chart(
        key="gradient_norm",
        title="Gradients",
        y_label="norm before clipping",
        summary=summary,
        series=tuple(series),
        levels=levels,
        is_log=True,
        y_range=y_range,
    )


def _memory(probes: Sequence[Row]) -> Chart:
    x = [float(row["step"]) for row in probes]
    series = _thinned("steps back", "norm", x, [_reach(row) for row in probes])
    values = [y for y in series.y if y is not None]
    summary = ""
    if values:
        summary = (
            f"From {values[0]:.0f} steps at first to {values[-1]:.0f} in the end; seen no further than the window."
        )
    return Chart(
        key="memory",
        title="How far the gradient reaches back",
        y_label="steps until a tenth is left",
        summary=summary,
        series=(series,),
        y_range=None if not values else (0.0, 1.12 * max(*values, 1.0)),
    )


def _reach(probe: Row) -> float | None:
    """Return the lag at which a tenth of the gradient's norm is left, between those that were looked at."""
    lags = [number(lag) for lag in as_list(probe.get("lags"))]
    norms = [number(norm) for norm in as_list(probe.get("by_lag"))]
    pairs = [(lag, norm) for lag, norm in zip(lags, norms, strict=False) if lag is not None and norm is not None]
    if len(pairs) < 2 or pairs[0][1] <= 0:
        return None
    tenth = 0.1 * pairs[0][1]
    last = max(place for place, (_, norm) in enumerate(pairs) if norm >= tenth)
    if last == len(pairs) - 1:
        return pairs[-1][0]
    (lag, norm), (next_lag, next_norm) = pairs[last : last + 2]
    # Between two lags it falls by about the same factor at each step.
    share = math.log(norm / tenth) / math.log(norm / max(next_norm, _SMALLEST))
    return lag + share * (next_lag - lag)


def _throughput(train: Sequence[Row]) -> Chart:
    found = (unit for unit in _UNITS if any(number(row.get(f"{unit}_per_second")) is not None for row in train))
    unit = next(found, _UNITS[-1])
    series = _thinned(f"{unit} per second", "speed", *_points(train, f"{unit}_per_second"))
    values = sorted(y for y in series.y if y is not None)
    summary = f"Median {values[len(values) // 2]:,.0f} {unit} a second." if values else ""
    top = values[-1] * 1.12 if values and values[-1] > 0 else None
    return Chart(
        key="throughput",
        title="Throughput",
        y_label=f"{unit} per second",
        summary=summary,
        series=(series,),
        y_range=None if top is None else (0.0, top),
    )
