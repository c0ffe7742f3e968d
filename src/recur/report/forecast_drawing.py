"""The picture of one forecast, for whoever has the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.chart import Band, Chart, Series
from recur.report.forecast_charts import axis_of, span
from recur.report.passage import visible

Numbers = NDArray[Any]


def forecast_figure(
    *,
    title: str,
    name: str,
    times: Numbers,
    values: Numbers,
    times_ahead: Numbers,
    median: Numbers,
    intervals: Mapping[float, tuple[Numbers, Numbers]],
) -> Any:
    """Return what was and what is told as a plotly figure.

    Args:
        title: Above it; empty for none.
        name: What the values are, beside the axis.
        times: Of the steps that were, (T,), dates or numbers.
        values: Of these steps, (T,); NaN where missing.
        times_ahead: Of the steps that are told, (P,).
        median: What is told, (P,).
        intervals: Lower and upper ends, (P,) each, by the share that they shall hold.
    """
    from recur.report.interactive import figure_alone

    whole = np.concatenate([times, times_ahead])
    x, is_dated = axis_of(whole.astype(str).tolist() if whole.dtype.kind == "M" else whole.tolist())
    later = x[len(times) :]
    came = tuple(None if np.isnan(value) else float(value) for value in values)
    return figure_alone(
        Chart(
            key="forecast",
            title=visible(title),
            y_label=visible(name),
            summary="",
            series=(
                Series(name="what came", role="valid", x=x[: len(times)], y=came),
                Series(name="forecast", role="train", x=later, y=_floats(median)),
            ),
            bands=tuple(
                Band(name=f"{share:.0%} interval", role="train", x=later, low=_floats(low), high=_floats(high))
                for share, (low, high) in sorted(intervals.items(), reverse=True)
            ),
            x_label="time",
            x_format=".3~g",
            is_dated=is_dated,
            x_range=span(x),
        )
    )


def _floats(values: Numbers) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
