"""Time series: from a file, a dataframe or arrays to a checked `Panel`, its parts, and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.data.series.archive import read_archive as read_archive
    from recur.data.series.arrays import panel_of_array as panel_of_array
    from recur.data.series.assembly import Assembly as Assembly
    from recur.data.series.assembly import assemble as assemble
    from recur.data.series.batch import SeriesBatch as SeriesBatch
    from recur.data.series.calendars import calendar_features as calendar_features
    from recur.data.series.columns import Columns as Columns
    from recur.data.series.columns import Roles as Roles
    from recur.data.series.delimited import Delimited as Delimited
    from recur.data.series.files import read_table as read_table
    from recur.data.series.frequency import Frequency as Frequency
    from recur.data.series.grid import on_grid as on_grid
    from recur.data.series.guessing import guess_columns as guess_columns
    from recur.data.series.label_windows import LabelWindows as LabelWindows
    from recur.data.series.lifetimes import remaining_life as remaining_life
    from recur.data.series.panel import Panel as Panel
    from recur.data.series.reading import read_series as read_series
    from recur.data.series.rows import Rows as Rows
    from recur.data.series.scaling import Scaler as Scaler
    from recur.data.series.schema import Schema as Schema
    from recur.data.series.split import Part as Part
    from recur.data.series.split import Split as Split
    from recur.data.series.split import seen_categories as seen_categories
    from recur.data.series.table import Table as Table
    from recur.data.series.table import table_of as table_of
    from recur.data.series.windows import LastWindows as LastWindows
    from recur.data.series.windows import WholeSeries as WholeSeries
    from recur.data.series.windows import Windows as Windows

_ORIGINS = {
    "Assembly": ".assembly",
    "Columns": ".columns",
    "Delimited": ".delimited",
    "Frequency": ".frequency",
    "LabelWindows": ".label_windows",
    "LastWindows": ".windows",
    "Panel": ".panel",
    "Part": ".split",
    "Roles": ".columns",
    "Rows": ".rows",
    "Scaler": ".scaling",
    "Schema": ".schema",
    "SeriesBatch": ".batch",
    "Split": ".split",
    "Table": ".table",
    "WholeSeries": ".windows",
    "Windows": ".windows",
    "assemble": ".assembly",
    "calendar_features": ".calendars",
    "guess_columns": ".guessing",
    "on_grid": ".grid",
    "panel_of_array": ".arrays",
    "read_archive": ".archive",
    "read_series": ".reading",
    "read_table": ".files",
    "remaining_life": ".lifetimes",
    "seen_categories": ".split",
    "table_of": ".table",
}

__all__ = [
    "Assembly",
    "Columns",
    "Delimited",
    "Frequency",
    "LabelWindows",
    "LastWindows",
    "Panel",
    "Part",
    "Roles",
    "Rows",
    "Scaler",
    "Schema",
    "SeriesBatch",
    "Split",
    "Table",
    "WholeSeries",
    "Windows",
    "assemble",
    "calendar_features",
    "guess_columns",
    "on_grid",
    "panel_of_array",
    "read_archive",
    "read_series",
    "read_table",
    "remaining_life",
    "seen_categories",
    "table_of",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
