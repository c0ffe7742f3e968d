"""What is told of series as a dataframe, of the kind that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
from numpy.typing import NDArray

from recur.data.series import Panel

Column = NDArray[Any] | list[str]


def native_frame(panel: Panel, cells: Mapping[str, Column], like: Any) -> Any:
    """Return columns as a dataframe; a column `time` of dates is by the clock of the schema's zone, if it names one.

    Args:
        panel: The series that they tell of.
        cells: Columns of one length by name; times as the panel has them.
        like: What the data came in; a dataframe that narwhals knows gives its kind, anything else one of polars.
    """
    given = nw.from_native(like, pass_through=True, allow_series=True)
    backend: Any = given.implementation if isinstance(given, nw.DataFrame | nw.Series) else "polars"
    frame = nw.from_dict(dict(cells), backend=backend)
    if "time" in cells and panel.schema.zone is not None and panel.times.dtype.kind == "M":
        time = nw.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone(panel.schema.zone)
        frame = frame.with_columns(time.alias("time"))
    return frame.to_native()
