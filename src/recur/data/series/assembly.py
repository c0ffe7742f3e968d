"""A table to a panel: rows sorted, checked and put into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.aggregation import Aggregate, check_aggregate, collapse
from recur.data.series.cells import as_text, category_names, read_codes, read_numbers, writing_of, written_as
from recur.data.series.columns import Columns, Roles
from recur.data.series.frequency import Frequency
from recur.data.series.grid import on_grid
from recur.data.series.guessing import guess_columns
from recur.data.series.labels import mark_among, read_labels
from recur.data.series.moments import begins_with_day, on_the_clock, read_times
from recur.data.series.panel import Panel
from recur.data.series.rows import NO_PART, Rows
from recur.data.series.schema import Schema
from recur.data.series.spacing import infer_frequencies, lies_on_grid
from recur.data.series.table import Table
from recur.data.series.writing import Writing
from recur.errors import DataError, OptionError
from recur.wording import option, quantity

_PARTS = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """How the rows of a table become series."""

    sort: bool = True
    """Whether rows out of the order of time are sorted; else they are an error."""
    duplicates: Literal["error", "mean", "last", "first"] = "error"
    """What becomes of several rows of one series at one time."""
    frequency: str | float = "infer"
    """The step, such as "1h"; or "infer" for one that all series share, "mixed" for one of each, "irregular" for
    none."""
    gaps: Literal["grid", "keep"] = "grid"
    """Whether steps that are not there get rows, all values missing, or are left out and told by the times."""
    zone: str | None = None
    """Time zone of the clock that calendar features are read from, such as "Europe/Paris"."""
    time_format: str | None = None
    """How times are written, as "%d.%m.%Y %H:%M", or s, ms, us or ns for numbers since 1970."""
    labels: Literal["auto", "class", "number", "mark"] = "auto"
    """What the label is: by default a number if it has decimals or more than fifty values, else a class. A mark is a
    class that nothing is trained on, so that other data may have classes which those of a model had not."""


def assemble(
    table: Table,
    columns: Columns | None = None,
    options: Assembly | None = None,
    *,
    schema: Schema | None = None,
) -> Panel:
    """Return the series of a table in long form, one row of it for each step of a series.

    Args:
        table: The table.
        columns: What the columns are for, where it is not to be guessed.
        options: What becomes of rows that are not as they should be.
        schema: Of the data a model was trained on: the same columns, categories and classes are read, nothing is
            guessed. Its targets and labels may be missing from the table; all else may not.

    Raises:
        DataError: The table cannot become series; the message names the file, the column and the row.
        OptionError: Columns or options contradict each other.
    """
    options = options or Assembly()
    check_aggregate("duplicates", options.duplicates, ("error", "mean", "last", "first"))
    if options.gaps not in ("grid", "keep"):
        raise OptionError(f"gaps: expected 'grid' or 'keep', got {options.gaps!r}.")
    if table.frame.is_empty():
        raise DataError(f"{table.name}: has no rows; give a table with some.")
    if schema is not None:
        if columns is not None:
            raise OptionError("columns: the schema already says what the columns are for; give one of the two.")
        if schema.roles is None:
            raise DataError(
                f"{table.name}: is a table, but the model was trained on arrays or a .ts file; give the like."
            )
        roles = _with_mark(schema.roles, table) if options.labels == "mark" else schema.roles
        table = _with_columns_of(table, roles)
    else:
        roles = guess_columns(table, columns)
    return _Assembly(table, roles, options, schema).panel()


@dataclass(frozen=True, kw_only=True, eq=False)
class LooseRows:
    """Rows of a table in its own order, read but not put together to series.

    Attributes:
        ids: Names of the series, in the order in which they first come.
        series: Which of them each row is of, (R,).
        rows: What the rows hold.
        static: Numbers of a series, as each row says them, (R, S) float32.
        static_codes: Likewise its categories, (R, S') int32.
    """

    ids: tuple[str, ...]
    series: NDArray[np.int64]
    rows: Rows
    static: NDArray[np.float32]
    static_codes: NDArray[np.int32]


def read_rows(table: Table, schema: Schema, options: Assembly | None = None) -> LooseRows:
    """Return the rows of a table in long form, of which there need not be more than one, in any order.

    Args:
        table: The table; it has all columns of the schema, though targets and labels may be missing.
        schema: Of the data a model was trained on, with roles.
        options: How they were assembled; the zone and the format of times are heeded.

    Raises:
        DataError: A cell cannot be read; the message names the table, the column and the row.
        OptionError: As of `assemble`.
    """
    assert schema.roles is not None
    return _Assembly(_with_columns_of(table, schema.roles), schema.roles, options or Assembly(), schema).loose()


class _Assembly:
    def __init__(self, table: Table, roles: Roles, options: Assembly, like: Schema | None) -> None:
        self.table, self.roles, self.options, self.like = table, roles, options, like
        self.notes: list[str] = []

    def panel(self) -> Panel:
        ids, series = self._series()
        times, zone = self._times(series, len(ids))
        order = self._order(ids, series, times)
        rows, schema = self._rows(times, zone)
        static, static_codes = self._of_series(ids, series, schema)
        labels = _labels_of_series(series, len(ids), rows.labels)
        if labels is not None:
            rows = replace(rows, labels=None)
        if order is not None:
            rows, series = rows.take(order), series[order]
        starts = self._starts(ids, series, rows.times, order)
        if starts is not None:
            by: Aggregate = self.options.duplicates  # type: ignore[assignment]
            rows, series = collapse(rows, starts, by), series[starts]
        offsets = np.searchsorted(series, np.arange(len(ids) + 1)).astype(np.int64)
        frequencies = self._frequencies(ids, rows.times, zone, offsets)
        panel = Panel(
            ids=ids,
            offsets=offsets,
            rows=rows,
            static=static,
            static_codes=static_codes,
            labels=labels,
            frequencies=tuple(frequencies),
            schema=schema,
        )
        if self.options.gaps == "grid" and None not in frequencies:
            filled = on_grid(panel)
            if len(filled.rows) > len(rows):
                gaps = len(filled.rows) - len(rows)
                self.notes.append(f"{quantity(gaps, 'step')} that the table lacks got rows without values")
            panel = filled
        self._look_at(panel)
        return replace(panel, notes=tuple(self.notes))

    def loose(self) -> LooseRows:
        ids, series = self._series()
        rows, schema = self._rows(*self._times(series, len(ids)))
        static = [read_numbers(self.table, name, "static") for name in schema.static]
        codes = [self._codes(name, schema.categories) for name in schema.static_categorical]
        num_rows = len(series)
        return LooseRows(
            ids=ids,
            series=series,
            rows=rows,
            static=np.stack(static, 1) if static else np.zeros((num_rows, 0), np.float32),
            static_codes=np.stack(codes, 1) if codes else np.zeros((num_rows, 0), np.int32),
        )

    # --- which series, and when ---

    def _series(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names of the series in the order of the table, and which one each row belongs to."""
        keys = self.roles.series_id
        if not keys:
            return ("series",), np.zeros(self.table.frame.height, np.int64)
        parts = [as_text(self.table.frame[key], self._written(key)) for key in keys]
        for key, part in zip(keys, parts, strict=True):
            if part.null_count():
                row = int(part.is_null().arg_true()[0])
                raise DataError(f"{self.table.cell(key, row)}: the name of the series is missing; fill it in.")
        frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
        text = parts[0] if len(keys) == 1 else frame.select(pl.concat_str(pl.all(), separator="/")).to_series()
        names = text.unique(maintain_order=True)
        if len(keys) > 1 and len(names) < frame.n_unique():
            raise DataError(
                f"{self.table.name}: two series get the same name when {', '.join(map(repr, keys))} are joined by '/'; "
                "rename one of them."
            )
        codes = text.replace_strict(names, pl.Series(np.arange(len(names))), return_dtype=pl.Int64)
        return tuple(names.to_list()), codes.to_numpy()

    def _times(self, series: NDArray[np.int64], num_series: int) -> tuple[NDArray[Any], str | None]:
        if self.roles.time:
            zone = self.options.zone
            if zone is None and self.like is not None:
                # Calendar features of a trained model are read from the same clock.
                zone = self.like.zone
            return read_times(self.table, self.roles.time, zone=zone, time_format=self.options.time_format)
        if self.options.zone is not None or self.options.time_format is not None:
            raise OptionError(f"zone, time_format: there is no column with times; name it with {option('time')}.")
        order = np.argsort(series, kind="stable")
        begins = np.searchsorted(series[order], np.arange(num_series))
        times = np.empty(len(series), np.int64)
        times[order] = np.arange(len(series)) - begins[series[order]]
        return times, None

    def _order(self, ids: tuple[str, ...], series: NDArray[np.int64], times: NDArray[Any]) -> NDArray[np.int64] | None:
        """Return the order that puts the rows by series and time, or None where they are."""
        is_grouped = bool((np.diff(series) >= 0).all())
        grouped = None if is_grouped else np.argsort(series, kind="stable")
        of_rows = series if grouped is None else series[grouped]
        ordered = times if grouped is None else times[grouped]
        is_back = (ordered[1:] < ordered[:-1]) & (of_rows[1:] == of_rows[:-1])
        num_back = int(is_back.sum())
        if not num_back:
            return grouped
        row = int(np.flatnonzero(is_back)[0]) + 1
        at = row if grouped is None else int(grouped[row])
        if not self.options.sort:
            raise DataError(
                f"{self.table.place(at)}: series {ids[int(of_rows[row])]!r} goes back from {ordered[row - 1]} to "
                f"{ordered[row]}; sort the rows by time, or say {option('sort', True)}."
            )
        self.notes.append(f"rows were out of the order of time ({num_back:,} went back), and were sorted")
        return np.lexsort((times, series))

    def _starts(
        self, ids: tuple[str, ...], series: NDArray[np.int64], times: NDArray[Any], order: NDArray[np.int64] | None
    ) -> NDArray[np.int64] | None:
        """Return where rows of a new time begin, or None where every row does."""
        is_same = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
        num_same = int(is_same.sum())
        if not num_same:
            return None
        row = int(np.flatnonzero(is_same)[0])
        if self.options.duplicates == "error":
            one, other = (row, row + 1) if order is None else (int(order[row]), int(order[row + 1]))
            which = f"series {ids[int(series[row])]!r}" if self.roles.series_id else "the series"
            hint = (
                ""
                if self.roles.series_id
                else f" name the column that tells series apart with {option('series_id')}, or"
            )
            raise DataError(
                f"{self.table.place(other)}: {which} has the time {times[row]} already at "
                f"{self.table.place(one)};{hint} say what becomes of them with {option('duplicates', 'mean')}, "
                "last or first."
            )
        self.notes.append(
            f"{quantity(num_same, 'row')} repeated a time; {option('duplicates', self.options.duplicates)}"
        )
        return np.flatnonzero(np.concatenate([[True], ~is_same]))

    # --- what the rows hold ---

    def _written(self, name: str) -> str | None:
        """Return how the names in a column are written in the data that these are read like."""
        return None if self.like is None else self.like.names.get(name)

    def _codes(self, name: str, categories: Mapping[str, Sequence[str]]) -> NDArray[np.int32]:
        return read_codes(self.table, name, categories[name], self._written(name))

    def _rows(self, times: NDArray[Any], zone: str | None) -> tuple[Rows, Schema]:
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

    # --- what belongs to a series ---

    def _of_series(
        self, ids: tuple[str, ...], series: NDArray[np.int64], schema: Schema
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the numbers and the codes of each series."""
        static = np.empty((len(ids), len(schema.static)), np.float32)
        codes = np.empty((len(ids), len(schema.static_categorical)), np.int32)
        for column, name in enumerate(schema.static):
            static[:, column] = self._constant(ids, series, name, read_numbers(self.table, name, "static"))
        for column, name in enumerate(schema.static_categorical):
            codes[:, column] = self._constant(ids, series, name, self._codes(name, schema.categories))
        return static, codes

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

    # --- how far apart, and what is odd ---

    def _frequencies(
        self, ids: tuple[str, ...], times: NDArray[Any], zone: str | None, offsets: NDArray[np.int64]
    ) -> list[Frequency | None]:
        asked = self.options.frequency
        if asked == "irregular":
            return [None] * len(ids)
        clock = on_the_clock(times, zone)
        if asked not in ("infer", "mixed"):
            return [self._named(Frequency.parse(asked), ids, times, clock, offsets)] * len(ids)
        found = infer_frequencies(times, offsets)
        if clock is not times:
            by_clock = infer_frequencies(clock, offsets)
            found = [b if b is not None and b.is_by_clock else own for own, b in zip(found, by_clock, strict=True)]
        different = list(dict.fromkeys(one for one in found if one is not None))
        if asked == "infer" and None in found and different:
            name = ids[found.index(None)]
            self.notes.append(f"series {name!r} is irregular, so all are taken as irregular")
            return [None] * len(ids)
        if asked == "infer" and len(different) > 1:
            one, other = (ids[found.index(frequency)] for frequency in different[:2])
            raise DataError(
                f"{self.table.name}: series {one!r} has a step of {different[0]}, but {other!r} one of "
                f"{different[1]}; read them apart, say {option('frequency', 'mixed')}, or name one step, such as "
                f"{option('frequency', str(different[0]))}."
            )
        if asked == "infer" and None in found:
            self.notes.append("the times are on no grid, so the series are irregular")
        return found

    def _named(
        self,
        frequency: Frequency,
        ids: tuple[str, ...],
        times: NDArray[Any],
        clock: NDArray[Any],
        offsets: NDArray[np.int64],
    ) -> Frequency:
        if not frequency.fits(times):
            kind = "dates" if times.dtype.kind == "M" else "numbers"
            raise OptionError(f"frequency: {frequency} is no step for times that are {kind}.")
        counted = clock if frequency.is_by_clock else times
        for number, name in enumerate(ids):
            own = counted[offsets[number] : offsets[number + 1]]
            if len(own) and not lies_on_grid(own, frequency):
                way = (
                    f"say {option('frequency', 'irregular')}, and in Python resample with on_grid(panel, '{frequency}')"
                    if self.like is None
                    else "give times on that grid, on which those that the model was trained on were"
                )
                raise DataError(
                    f"{self.table.name}: the times of series {name!r} are not all steps of {frequency}; {way}."
                )
        return frequency

    def _look_at(self, panel: Panel) -> None:
        """Note series of which there is little to learn."""
        for column, target in enumerate(panel.schema.targets):
            values, starts = panel.values[:, column], panel.offsets[:-1]
            low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
            for what, which in (("has no value", np.isnan(low)), ("is constant", low == high)):
                numbers = np.flatnonzero(which & (panel.lengths > 1))
                if len(numbers):
                    more = f" and {len(numbers) - 1:,} others" if len(numbers) > 1 else ""
                    self.notes.append(f"{target} {what} in series {panel.ids[int(numbers[0])]!r}{more}")


def _labels_of_series(series: NDArray[np.int64], num_series: int, labels: NDArray[Any] | None) -> NDArray[Any] | None:
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


def _with_mark(roles: Roles, table: Table) -> Roles:
    """Return the roles with a column of marks, which the data to judge on may have where those to learn from had none.

    Nothing is learned from marks, so that it does not matter to a model whether it has seen any.
    """
    taken = {name for names in roles.by_role().values() for name in names}
    mark = mark_among([name for name in table.frame.columns if name not in taken])
    return roles if roles.label or mark is None else replace(roles, label=(mark,))


def _with_columns_of(table: Table, roles: Roles) -> Table:
    """Return the table with empty columns for what has yet to be told, or raise where another one is missing."""
    frame = table.frame
    for role, names in roles.by_role().items():
        for name in names:
            if name in frame.columns or role == "ignored":
                continue
            if role not in ("targets", "label", "weight", "censored", "part"):
                near: Mapping[str, str] = {other.lower(): other for other in frame.columns}
                hint = f"; is it {near[name.lower()]!r}?" if name.lower() in near else "."
                raise DataError(f"{table.name}: has no column {name!r}, in {role} when the model was trained{hint}")
            filler = pl.lit({"weight": 1.0, "censored": 0.0}.get(role))
            frame = frame.with_columns(filler.alias(name))
    return replace(table, frame=frame)
