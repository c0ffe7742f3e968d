"""How the data of a run were read, so that other data can be read in the same way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recur.data.series import Assembly, Columns, Delimited, Frequency, Panel, Schema, read_series
from recur.data.series.arrays import ARRAYS
from recur.data.series.options import OtherTableOptions
from recur.data.series.reading import Form, kind_in, under_schema
from recur.errors import DataError
from recur.kinds import with_tuples


@dataclass(frozen=True, kw_only=True)
class SeriesReading:
    """The arguments of `recur.data.series.read_series` that a run was made with.

    Attributes:
        form: Of the table.
        columns: What the user said about the columns.
        text: How text is cut into cells.
        assembly: What becomes of rows that are unsorted, doubled or missing.

    Example:
        >>> reading = SeriesReading()
        >>> panel = reading.first({"day": [1, 2, 3], "sales": [3.0, 4.0, 5.0]})
        >>> reading.again({"day": [4, 5], "sales": [6.0, 7.0]}, panel.schema, panel.frequency).values[:, 0]
        array([6., 7.], dtype=float32)
    """

    form: Form = "long"
    columns: Columns | None = None
    text: Delimited | None = None
    assembly: Assembly = field(default_factory=Assembly)

    def first(self, data: Any) -> Panel:
        """Return the series that a model is to be trained on; what is not said is guessed.

        Raises:
            DataError: As of `read_series`.
            OptionError: As of `read_series`.
            TypeError: As of `read_series`.
        """
        if isinstance(data, Panel):
            return data
        # The kind of label that a task asks for says nothing of arrays, whose labels have one.
        is_default = replace(self.assembly, labels="auto") == Assembly()
        assembly = None if _is_array(data) and is_default else self.assembly
        return read_series(data, self.columns, form=self.form, text=self.text, assembly=assembly)

    def again(self, data: Any, schema: Schema, frequency: Frequency | None, *, with_labels: bool = True) -> Panel:
        """Return other series under the schema of the model's own.

        Targets and labels may be missing; marks, as of `Assembly.labels`, may be there where the model's own data had
        none. Categories that the training part did not have become code 0. Times must lie on the grid of the model's
        own; steps that are left out get rows without values.

        Args:
            data: Whatever `read_series` takes, or a panel with the same channels.
            schema: That of the data the model was trained on.
            frequency: Likewise; None where they had none.
            with_labels: Whether labels, weights and parts are read; else the series have none, whatever the data hold.

        Raises:
            DataError: The data are of another kind, or as of `read_series`.
            OptionError: As of `read_series`.
            TypeError: As of `read_series`.
        """
        assembly = self.assembly
        if not with_labels:
            schema = schema.without_labels()
        if not with_labels or (self.columns is not None and self.columns.label == ()):
            assembly = replace(assembly, labels="auto")
        has_marks = assembly.labels == "mark"
        if isinstance(data, Panel):
            return _like(data, schema, frequency, has_marks=has_marks)
        if schema.roles is None:
            if has_marks and _is_array(data):
                return under_schema(read_series(data), schema, has_marks=True)
            return read_series(data, schema=schema)
        if _is_array(data):
            names = ", ".join(map(repr, (*schema.roles.series_id, *schema.roles.time, *schema.channels)))
            raise DataError(f"the model was trained on a table, so an array cannot be read; give a table with {names}.")
        if assembly.frequency == "infer":
            # A few new rows do not tell their step, and one that is not the model's must not pass.
            step: str | float = "irregular"
            if frequency is not None:
                step = frequency.count if frequency.unit == "" else str(frequency)
            assembly = replace(assembly, frequency=step)
        return read_series(
            data,
            None if self.form == "long" else self.columns,
            form=self.form,
            text=self.text if isinstance(data, str | os.PathLike) else None,
            assembly=assembly,
            schema=schema,
        )

    def of_other(self, table: OtherTableOptions) -> SeriesReading:
        """Return how other data are read, of which `table` says what is not as in the run's own."""
        return replace(self, text=table.text(self.text), assembly=table.assembly(self.assembly))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeriesReading:
        """Return the reading that `to_json` wrote.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is unknown.
        """
        kinds: dict[str, type[Any]] = {"columns": Columns, "text": Delimited, "assembly": Assembly}
        found: dict[str, Any] = {"form": data["form"]}
        for name, kind in kinds.items():
            entries = data[name]
            found[name] = None if entries is None else kind(**with_tuples(entries))
        return cls(**found)


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 over all that a panel holds, in hexadecimal digits, by which changed data are recognised."""
    schema, rows = panel.schema, panel.rows
    names = (panel.ids, schema.channels, schema.categorical, schema.static, schema.static_categorical)
    digest = hashlib.sha256(repr((names, sorted(schema.categories.items()))).encode())
    arrays = (panel.offsets, panel.times, panel.values, rows.codes, rows.part, rows.weight, panel.static)
    for array in (*arrays, panel.static_codes):
        if array is None:
            digest.update(b"none\n")
            continue
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    for label in (rows.labels, panel.labels, rows.censored):
        if label is not None:
            digest.update(f"{schema.label} {schema.classes} {label.dtype} {label.shape}\n".encode())
            digest.update(np.ascontiguousarray(label).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _is_array(data: Any) -> bool:
    """Return whether data have no columns, and so take no option of tables."""
    if isinstance(data, str | os.PathLike):
        return kind_in(Path(data)) in (".ts", *ARRAYS)
    return isinstance(data, np.ndarray | list | tuple)


def _like(panel: Panel, schema: Schema, frequency: Frequency | None, *, has_marks: bool) -> Panel:
    """Return a panel under the schema of a model's data."""
    if frequency is not None and set(panel.frequencies) != {frequency}:
        step = "none in common" if panel.frequency is None else f"one of {panel.frequency}"
        raise DataError(
            f"the model was trained on series with a step of {frequency}, but these have {step}; resample them with "
            f"on_grid(panel, '{frequency}')."
        )
    for what in ("channels", "categorical", "static", "static_categorical"):
        own, wanted = getattr(panel.schema, what), getattr(schema, what)
        if own != wanted:
            raise DataError(
                f"the series have the {what.replace('_', ' ')} {', '.join(own) or 'none'}, but the model was trained "
                f"on {', '.join(wanted) or 'none'}; read them with the model's schema."
            )
    return under_schema(panel.recoded(schema.categories), schema, has_marks=has_marks)
