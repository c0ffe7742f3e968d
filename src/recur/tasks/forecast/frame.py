"""Forecasts as a dataframe, of the kind that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.tasks.series_frame import Column, native_frame


def forecast_frame(
    panel: Panel, series: NDArray[np.int64], rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]], like: Any
) -> Any:
    """Return a dataframe with a row for each step and target of each forecast.

    Its columns are `series_id`, `time` (by the clock of the schema's zone if it names one), `target`, and those given.

    Args:
        panel: The series, with the rows that were told.
        series: Which series each forecast is of, (B,).
        rows: Which row of the panel each of its steps is, (B, P).
        columns: More columns by name, each (B, P, C) or (B, P, C, K), the latter with K rows for each target; a
            dimension of 1 stands for all.
        like: What the data came in; a dataframe that narwhals knows gives its kind, anything else one of polars.
    """
    targets = panel.schema.targets
    inner = max((array.shape[3] for array in columns.values() if array.ndim == 4), default=1)
    shape = (*rows.shape, len(targets), inner)

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        full = array[..., None] if array.ndim == 3 else array
        return np.broadcast_to(full, shape).reshape(-1)

    number = spread(series[:, None, None]).tolist()
    cells: dict[str, Column] = {
        "series_id": [panel.ids[each] for each in number],
        "time": spread(panel.times[rows][:, :, None]),
        "target": [targets[each] for each in spread(np.arange(len(targets))[None, None]).tolist()],
        **{name: np.ascontiguousarray(spread(array)) for name, array in columns.items()},
    }
    return native_frame(panel, cells, like)
