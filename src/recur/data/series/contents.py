"""What the rows of a table hold: cells read and checked, column by column, into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.cells import as_text, category_names, read_codes, read_numbers, writing_of, written_as
from recur.data.series.columns import Roles
from recur.data.series.labels import read_labels
from recur.data.series.moments import begins_with_day
from recur.data.series.rows import NO_PART, Rows
from recur.data.series.schema import Schema
from recur.data.series.table import Table
from recur.data.series.writing import Writing
from recur.errors import DataError
from recur.wording import option

if TYPE_CHECKING:
    from recur.data.series.assembly import Assembly

_PARTS = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


class Contents:
    """What the rows of a table hold, in its own order.

    Args:
        table: The table.
        roles: What its columns are for.
        options: What labels are, and how times are written.
        like: Of the data a model was trained on, whose categories and classes are read; None where there is none.
    """

    def __init__(self, table: Table, roles: Roles, options: Assembly, like: Schema | None) -> None:
        self.table, self.roles, self.options, self.like = table, roles, options, like

    def rows(self, times: NDArray[Any], zone: str | None) -> tuple[Rows, Schema]:
        """Return the rows, and what their channels and labels are.

        Args:
            times: Of each row.
            zone: Of the clock that calendar features are read from.

        Raises:
            DataError: A cell cannot be read, or a target is missing everywhere or known beforehand.
        """
        roles, is_category = self.roles, set(self.roles.categorical)
        past, known, static = (
            ([n for n in names if n not in is_category], [n for n in names if n in is_category])
            for names in (roles.past_only, roles.known_future, roles.static)
        )
        categories = (
            {name: category_names(self.table, name) for name in (*past[1], *known[1], *static[1])}
            if self.like is None
            else dict(self.like.categories)
        )
        channels = (*roles.targets, *past[0], *known[0])
        values = np.empty((len(times), len(channels)), np.float32)
        role_of = {name: role for role, names in roles.by_role().items() for name in names if role != "categorical"}
        for column, name in enumerate(channels):
            values[:, column] = read_numbers(self.table, name, role_of[name])
        codes = np.empty((len(times), len(past[1]) + len(known[1])), np.int32)
        for column, name in enumerate((*past[1], *known[1])):
            codes[:, column] = self._codes(name, categories)
        labels, classes = self._labels()
        if self.like is None:
            self._check_targets(values, channels)
        schema = Schema(
            targets=roles.targets,
            past_only=tuple(past[0]),
            known_future=tuple(known[0]),
            past_categorical=tuple(past[1]),
            known_categorical=tuple(known[1]),
            static=tuple(static[0]),
            static_categorical=tuple(static[1]),
            categories=categories,
            label=roles.label[0] if roles.label else None,
            classes=classes,
            zone=zone,
            roles=roles,
            names={name: written_as(self.table.frame[name]) for name in (*roles.series_id, *categories)}
            if self.like is None
            else self.like.names,
            writing=self._writing((*channels, *static[0])) if self.like is None else self.like.writing,
        )
        rows = Rows(
            times=times,
            values=values,
            codes=codes,
            labels=labels,
            weight=self._weight(),
            censored=self._censored(classes),
            part=self._part(),
        )
        return rows, schema

    def static_of_rows(self, schema: Schema) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the numbers, (R, S), and the codes, (R, S'), of a series, as each row says them.

        Raises:
            DataError: A cell is no number.
        """
        numbers = [read_numbers(self.table, name, "static") for name in schema.static]
        codes = [self._codes(name, schema.categories) for name in schema.static_categorical]
        num_rows = self.table.frame.height
        return (
            np.stack(numbers, 1) if numbers else np.zeros((num_rows, 0), np.float32),
            np.stack(codes, 1) if codes else np.zeros((num_rows, 0), np.int32),
        )

    def of_series(
        self, ids: tuple[str, ...], series: NDArray[np.int64], schema: Schema
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the numbers, (N, S), and the codes, (N, S'), of each series.

        Raises:
            DataError: One changes within a series.
        """
        static = np.empty((len(ids), len(schema.static)), np.float32)
        codes = np.empty((len(ids), len(schema.static_categorical)), np.int32)
        for column, name in enumerate(schema.static):
            static[:, column] = self._constant(ids, series, name, read_numbers(self.table, name, "static"))
        for column, name in enumerate(schema.static_categorical):
            codes[:, column] = self._constant(ids, series, name, self._codes(name, schema.categories))
        return static, codes

    def _written(self, name: str) -> str | None:
        """Return how the names in a column are written in the data that these are read like."""
        return None if self.like is None else self.like.names.get(name)

    def _codes(self, name: str, categories: Mapping[str, Sequence[str]]) -> NDArray[np.int32]:
        return read_codes(self.table, name, categories[name], self._written(name))

    def _writing(self, numbers: Sequence[str]) -> Writing:
        """Return how the table is written, so that others are read like it where they do not tell."""
        time, is_day_first = self.roles.time, None
        if len(time) == 1 and self.options.time_format is None:
            is_day_first = begins_with_day(self.table.frame[time[0]])
        return replace(writing_of(self.table, numbers), is_day_first=is_day_first)

    def _labels(self) -> tuple[NDArray[Any] | None, tuple[str, ...] | None]:
        if not self.roles.label:
            return None, None
        classes = None if self.like is None else self.like.classes
        kind: str = self.options.labels
        if self.like is not None and kind != "mark":
            kind = "number" if classes is None else "class"
        return read_labels(self.table, self.roles.label[0], kind, classes)

    def _weight(self) -> NDArray[np.float32] | None:
        if not self.roles.weight:
            return None
        name = self.roles.weight[0]
        weight = read_numbers(self.table, name, "weight")
        wrong = np.flatnonzero(~(weight >= 0))
        if len(wrong):
            raise DataError(
                f"{self.table.cell(name, int(wrong[0]))}: a weight must be a number from 0 on, got {weight[wrong[0]]}."
            )
        return weight

    def _censored(self, classes: tuple[str, ...] | None) -> NDArray[np.bool_] | None:
        if not self.roles.censored:
            return None
        name = self.roles.censored[0]
        if classes is not None:
            raise DataError(
                f"{self.table.name}, column {name!r}: says which labels are lower bounds, but the labels are classes; "
                f"leave it out with {option('censored', ())}."
            )
        found = read_numbers(self.table, name, "censored")
        wrong = np.flatnonzero((found != 0) & (found != 1))
        if len(wrong):
            raise DataError(
                f"{self.table.cell(name, int(wrong[0]))}: whether a label is censored must be 0 or 1, got "
                f"{found[wrong[0]]}."
            )
        return found.astype(np.bool_)

    def _part(self) -> NDArray[np.int8] | None:
        if not self.roles.part:
            return None
        name = self.roles.part[0]
        text = as_text(self.table.frame[name]).str.to_lowercase()
        wrong = text.is_not_null() & ~text.is_in(list(_PARTS))
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise DataError(f"{self.table.cell(name, row)}: {text[row]!r} is none of train, valid and test.")
        return text.replace_strict(_PARTS, default=NO_PART, return_dtype=pl.Int8).to_numpy()

    def _check_targets(self, values: NDArray[np.float32], channels: tuple[str, ...]) -> None:
        for number, target in enumerate(self.roles.targets):
            if np.isnan(values[:, number]).all():
                raise DataError(
                    f"{self.table.name}, column {target!r}: is a target, but every value is missing; name another one "
                    f"with {option('targets')}."
                )
            for column, name in enumerate(channels):
                if name in self.roles.known_future and np.array_equal(
                    values[:, number], values[:, column], equal_nan=True
                ):
                    raise DataError(
                        f"{self.table.name}, column {name!r}: is in known_future, but is the same as the target "
                        f"{target!r}, so the model would be told the answer; leave it out."
                    )

    def _constant(
        self, ids: tuple[str, ...], series: NDArray[np.int64], name: str, values: NDArray[Any]
    ) -> NDArray[Any]:
        """Return the one value of each series, those that are missing apart; (N,)."""
        is_there = ~np.isnan(values) if values.dtype.kind == "f" else values != 0
        found = np.full(len(ids), np.nan if values.dtype.kind == "f" else 0, values.dtype)
        known = np.flatnonzero(is_there)
        # The first row of each series wins: written last.
        found[series[known[::-1]]] = values[known[::-1]]
        wrong = known[values[known] != found[series[known]]]
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{self.table.cell(name, row)}: changes within series {ids[int(series[row])]!r}, but is static; put "
                "the column into past_only or known_future."
            )
        return found


def labels_of_series(series: NDArray[np.int64], num_series: int, labels: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return the label of each series, (N,), or None where there is none, or it changes within one."""
    if labels is None or num_series == 1:
        return None
    first = np.empty(num_series, np.int64)
    # The first row of each series wins: written last.
    first[series[::-1]] = np.arange(len(series))[::-1]
    found = labels[first]
    is_missing = labels != labels
    same = (labels == found[series]) | (is_missing & is_missing[first][series])
    return found if bool(same.all()) else None
