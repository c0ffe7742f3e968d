"""What comes before any training on series: what is to be read, and how; what was read; the table of layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import nn

from recur.data.series import Panel
from recur.data.series.options import TableOptions
from recur.errors import OptionError
from recur.tasks.series_reading import SeriesReading
from recur.train.display import Display


def one_source(data: Any) -> Any:
    """Return what is to be read, of a list of one name too.

    Raises:
        OptionError: There are several names, or none.
    """
    if not isinstance(data, list) or not all(isinstance(name, str | os.PathLike) for name in data):
        return data
    names: Sequence[Any] = data
    if len(names) != 1:
        raise OptionError(f"data: expected one table, or a folder of them, got {len(names)} names.")
    return names[0]


def reading_of(series: TableOptions, *, is_in_file: bool) -> SeriesReading:
    """Return how the data are read.

    Args:
        series: As the user gave them.
        is_in_file: Whether they are in a file or a folder, and not in memory.
    """
    columns, text = series.columns, series.text()
    defaults = type(series)()
    return SeriesReading(
        form=series.form,
        # What says nothing is left away, for arrays and .ts files take none of these.
        columns=None if columns == defaults.columns else columns,
        text=text if is_in_file and text != defaults.text() else None,
        assembly=series.assembly(),
    )


def say_what_was_read(panel: Panel, display: Display) -> None:
    """Tell what each column is for, and what was done to the data."""
    if panel.schema.roles is not None:
        for line in str(panel.schema.roles).splitlines():
            display.say(f"column   {line}")
    for note in panel.notes:
        display.say(f"note     {note}")


def layers_of(network: nn.Module) -> list[dict[str, Any]]:
    """Return a row for each module that has weights of its own: name, kind, shapes, number of parameters."""
    rows = []
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if own:
            rows.append(
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "weights": {key: list(value.shape) for key, value in own.items()},
                    "parameters": sum(value.numel() for value in own.values()),
                    "output": "",
                }
            )
    return rows
