"""What comes before any training on series: what is to be read, and how; what was read."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from recur.data.series import Assembly, Columns, Delimited, Panel, files
from recur.data.series.forms import ROLES_OF_ROWS, reads_like_rows
from recur.data.series.options import TableOptions
from recur.errors import OptionError
from recur.tasks.series_reading import SeriesReading
from recur.train.display import Display
from recur.wording import option


def one_source(data: Any) -> Any:
    """Return what is to be read, of a list of one name too.

    Raises:
        OptionError: There are several names, or none.
    """
    is_names = isinstance(data, list) and all(isinstance(name, str | os.PathLike) for name in data)
    return files.one_source(data) if is_names else data


def reading_of(series: TableOptions, data: Any) -> SeriesReading:
    """Return how the data are read.

    Args:
        series: As the user gave them.
        data: In a file, a folder, or in memory.

    Raises:
        OptionError: An option would be ignored: of text, but the data are in no file; or the data were read already.
    """
    columns, text, assembly = series.columns, series.text(), series.assembly()
    # Of their kind, for where labels are told no column is a target.
    defaults = type(series)()
    # What says nothing is left away, for arrays and .ts files take none of these.
    said = {
        "text": None if text == Delimited() else text,
        "columns": None if columns == defaults.columns else columns,
        "assembly": None if assembly == Assembly() else assembly,
        "form": series.form if series.form in ("wide", "rows") else None,
    }
    if said["text"] is not None and not isinstance(data, str | os.PathLike):
        raise OptionError(
            "separator, decimal_comma, has_header, encoding, missing: say how a text file is cut into cells, but the "
            "data are not in a file; leave them out."
        )
    given = next((name for name, value in said.items() if value is not None), None)
    if isinstance(data, Panel) and given is not None:
        options = {"columns": "the roles of columns", "assembly": "duplicates, frequency, gaps, zone and time_format"}
        raise OptionError(
            f"{options.get(given, given)}: say how data are read, but a Panel has been read already; leave them out, "
            "or give them to read_series."
        )
    return SeriesReading(
        form=series.form or "long",
        columns=columns if said["columns"] is not None else None,
        text=text if said["text"] is not None else None,
        assembly=assembly,
    )


def with_series_in_rows(reading: SeriesReading, panel: Panel) -> SeriesReading:
    """Return how a table is read each of whose rows looks like a series; the same reading where they do not.

    Args:
        reading: In long form.
        panel: What it read.
    """
    columns, roles = reading.columns or Columns(), panel.schema.roles
    if roles is None or not set(columns.given()) <= {*ROLES_OF_ROWS} or not reads_like_rows(panel):
        return reading
    return replace(
        reading, form="rows", columns=replace(columns, label=roles.label[0] if roles.label else columns.label)
    )


def say_what_was_read(panel: Panel, display: Display, *, tells_labels: bool = False) -> None:
    """Tell what each column is for, and what was done to the data.

    Args:
        panel: The series.
        display: Where it is told.
        tells_labels: Whether labels are told of the series, so that all that they hold is read and nothing forecast.
    """
    roles = panel.schema.roles
    if roles is not None:
        if tells_labels:
            channels = (*roles.targets, *roles.known_future, *roles.past_only)
            reasons = {name: "read to tell from" for name in channels if roles.reasons.get(name) != "given"}
            roles = replace(
                roles, targets=(), known_future=(), past_only=channels, reasons={**roles.reasons, **reasons}
            )
        for line in str(roles).splitlines():
            display.say(f"column   {line}")
        if not roles.time and not roles.series_id and (tells_labels or reads_like_rows(panel)):
            display.say(
                "note     rows are taken for the steps of one series, for no column names their time or their series; "
                f"{option('form', 'rows')} takes each for a series, and {option('series_id')} names a column that says "
                "which series a row is of"
            )
    for note in panel.notes:
        display.say(f"note     {note}")
