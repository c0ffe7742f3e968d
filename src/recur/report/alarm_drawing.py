"""The picture of a series with its alarms, for whoever has the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.detection_charts import alarm_chart
from recur.report.forecast_charts import axis_of
from recur.report.passage import visible


def alarm_figure(
    *,
    title: str,
    name: str,
    times: NDArray[Any],
    values: NDArray[Any],
    alarms: NDArray[np.int64],
    anomalies: NDArray[np.int64] | None = None,
) -> Any:
    """Return a series with alarms, and the anomalies that are known, as a plotly figure.

    Args:
        title: Above it; empty for none.
        name: What the values are, beside the axis.
        times: Of the steps, (T,), dates or numbers.
        values: Of the steps, (T,); NaN where missing.
        alarms: Places of the steps that raise one.
        anomalies: Places of the steps that are one; None where that is not known.
    """
    from recur.report.interactive import figure_alone

    chart = alarm_chart(
        key="alarms",
        title=visible(title),
        channel=visible(name),
        summary="",
        times=axis_of(times.astype(str).tolist() if times.dtype.kind == "M" else times.tolist()),
        values=tuple(None if np.isnan(value) else float(value) for value in values),
        alarms=alarms.tolist(),
        anomalies=[] if anomalies is None else anomalies.tolist(),
    )
    return figure_alone(chart)
