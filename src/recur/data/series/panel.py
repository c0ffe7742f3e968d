"""`Panel`: many series in a few arrays, sorted and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.series.frequency import Frequency
from recur.data.series.moments import instants, on_the_clock
from recur.data.series.rows import Rows
from recur.data.series.schema import Schema
from recur.errors import DataError, OptionError
from recur.wording import quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Many series, one after the other in a few arrays, so that memory is that of the numbers.

    It is checked when it is made: within each series times ascend without duplicates, no value is infinite, and codes
    and labels are in range. A missing value is NaN and nothing is ever filled in.

    Attributes:
        ids: Names of the series, (N,), all different.
        offsets: Where the rows of each series begin and the last one's end, (N + 1,) int64.
        rows: What belongs to each time step.
        static: (N, S) float32, NaN where missing.
        static_codes: (N, S') int32.
        labels: Of whole series, (N,) int64 classes or float32 as `Rows.labels`, or None.
        frequencies: Of each series; None where its times are on no grid.
        schema: What the arrays mean.
        notes: What was done to the data, and what is odd about it.

    Raises:
        DataError: Something above does not hold.

    Example:
        >>> panel = Panel.of_rows(["a", "b"], [2, 1], [[1.0], [2.0], [3.0]], times=[0, 1, 0])
        >>> panel, panel.series("b").values
        (Panel(2 series, 3 rows, target y), array([[3.]], dtype=float32))
    """

    ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    rows: Rows
    static: NDArray[np.float32]
    static_codes: NDArray[np.int32]
    labels: NDArray[Any] | None = None
    frequencies: tuple[Frequency | None, ...]
    schema: Schema
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()

    @classmethod
    def of_rows(
        cls,
        ids: Sequence[str],
        lengths: Sequence[int] | NDArray[np.int64],
        values: Any,
        *,
        times: Any = None,
        schema: Schema | None = None,
        labels: NDArray[Any] | None = None,
        frequencies: Sequence[Frequency | None] | None = None,
    ) -> Panel:
        """Return a panel of numbers alone.

        Args:
            ids: Names of the series, (N,).
            lengths: How many rows each has, (N,).
            values: (R, F) numbers, NaN where missing.
            times: (R,), or None to count the rows of each series from 0 on.
            schema: What the numbers mean; by default all are targets, called y or y_1, y_2 and so on.
            labels: As of `Panel`.
            frequencies: As of `Panel`; by default one step where `times` is None, else none.

        Raises:
            DataError: As of `Panel`.
        """
        offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)
        array = np.asarray(values, np.float32)
        if times is None:
            times = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
            frequencies = [Frequency(1, "")] * len(ids) if frequencies is None else frequencies
        if schema is None:
            names = ("y",) if array.shape[1] == 1 else tuple(f"y_{k}" for k in range(1, array.shape[1] + 1))
            schema = Schema(targets=names)
        return cls(
            ids=tuple(ids),
            offsets=offsets,
            rows=Rows(times=np.asarray(times), values=array, codes=np.zeros((len(array), 0), np.int32)),
            static=np.zeros((len(ids), 0), np.float32),
            static_codes=np.zeros((len(ids), 0), np.int32),
            labels=labels,
            frequencies=tuple([None] * len(ids) if frequencies is None else frequencies),
            schema=schema,
        )

    # --- what it holds ---

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    def __repr__(self) -> str:
        what = f"target {', '.join(self.schema.targets)}" if self.schema.targets else f"label {self.schema.label}"
        series = f"{len(self):,} series"
        return f"Panel({series}, {quantity(len(self.rows), 'row')}, {what})"

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of rows of each series, (N,)."""
        return np.diff(self.offsets)

    @property
    def values(self) -> NDArray[np.float32]:
        """The numbers of all rows, (R, F)."""
        return self.rows.values

    @property
    def times(self) -> NDArray[Any]:
        """The times of all rows, (R,)."""
        return self.rows.times

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where a number is there and not missing, (R, F)."""
        return ~np.isnan(self.rows.values)

    @property
    def series_of_rows(self) -> NDArray[np.int64]:
        """The number of the series of each row, (R,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def frequency(self) -> Frequency | None:
        """The frequency that all series have; None where they have none or differ."""
        different = set(self.frequencies)
        return next(iter(different)) if len(different) == 1 else None

    @property
    def clock(self) -> NDArray[Any]:
        """What the clock in the schema's zone showed at each row, (R,)."""
        return on_the_clock(self.rows.times, self.schema.zone)

    def times_counted(self, frequency: Frequency) -> NDArray[Any]:
        """Return the times in which steps of a frequency are equal, (R,): by the clock from a day on, else instants."""
        return self.clock if frequency.is_by_clock else self.rows.times

    def number_of(self, series_id: str) -> int:
        """Return which series has this name.

        Raises:
            DataError: None has.
        """
        try:
            return self.ids.index(series_id)
        except ValueError:
            raise DataError(f"there is no series {series_id!r} among the {len(self):,} here.") from None

    def series(self, series_id: str) -> Rows:
        """Return the rows of one series, as views.

        Raises:
            DataError: There is none of that name.
        """
        number = self.number_of(series_id)
        return self.rows.take(slice(int(self.offsets[number]), int(self.offsets[number + 1])))

    def select(self, numbers: Sequence[int] | NDArray[np.int64]) -> Panel:
        """Return a panel of some of the series, in the order given."""
        chosen = np.asarray(numbers, np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(self.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            ids=tuple(self.ids[number] for number in chosen.tolist()),
            offsets=offsets,
            rows=self.rows.take(rows),
            static=self.static[chosen],
            static_codes=self.static_codes[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            frequencies=tuple(self.frequencies[number] for number in chosen.tolist()),
        )

    def with_rows(self, is_kept: NDArray[np.bool_]) -> Panel:
        """Return the panel with some of its rows, as `is_kept`, (R,), says; a series may be left with none."""
        kept = np.concatenate([[0], np.cumsum(is_kept)]).astype(np.int64)
        return replace(self, rows=self.rows.take(is_kept), offsets=kept[self.offsets])

    def recoded(self, categories: Mapping[str, Sequence[str]]) -> Panel:
        """Return the panel with other codes: those of the categories that were seen in training, 0 for all others.

        Args:
            categories: For each categorical column, as `seen_categories` returns them.
        """

        def coded(codes: NDArray[np.int32], names: tuple[str, ...]) -> NDArray[np.int32]:
            found = codes.copy()
            for column, name in enumerate(names):
                place = {category: code for code, category in enumerate(categories[name], 1)}
                table = np.array([0, *(place.get(own, 0) for own in self.schema.categories[name])], np.int32)
                found[:, column] = table[codes[:, column]]
            return found

        return replace(
            self,
            rows=replace(self.rows, codes=coded(self.rows.codes, self.schema.categorical)),
            static_codes=coded(self.static_codes, self.schema.static_categorical),
            schema=replace(self.schema, categories={name: tuple(names) for name, names in categories.items()}),
        )

    def extended(self, steps: int) -> Panel:
        """Return the panel with rows after the end of each series, whose times go on and whose values are missing.

        Raises:
            OptionError: `steps` is negative.
            DataError: A series has no frequency, so that nobody knows when its next step is, or it has no rows.
        """
        if steps < 0:
            raise OptionError(f"steps: expected a number from 0 on, got {steps}.")
        ends = self.offsets[1:]
        for number, frequency in enumerate(self.frequencies):
            if frequency is None or self.lengths[number] == 0:
                lacks = "rows" if frequency is not None else "frequency"
                raise DataError(
                    f"series {self.ids[number]!r} has no {lacks}, so the times after its end are unknown; give rows "
                    "for the future, or resample with on_grid()."
                )
        ahead = np.tile(np.arange(1, steps + 1), len(self))
        later = np.empty(len(ahead), self.times.dtype)
        for frequency in set(self.frequencies):
            assert frequency is not None
            own = np.repeat(np.array([one == frequency for one in self.frequencies], np.bool_), steps)
            times = self.times_counted(frequency)
            # Counted from the first row: a month that ends early must not move the grid.
            first, last = (np.repeat(times[rows], steps)[own] for rows in (self.offsets[:-1], ends - 1))
            next_times = frequency.times(frequency.steps(last, first) + ahead[own], first)
            later[own] = instants(next_times, self.schema.zone) if frequency.is_by_clock else next_times
        offsets = self.offsets + steps * np.arange(len(self) + 1)
        old = np.arange(len(self.rows)) + steps * self.series_of_rows
        times = np.empty(int(offsets[-1]), self.rows.times.dtype)
        is_new = np.ones(len(times), np.bool_)
        is_new[old] = False
        times[old], times[is_new] = self.rows.times, later
        return replace(self, offsets=offsets, rows=self.rows.placed(old, times))

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a dataframe: series_id, time, the channels and categories, the label of each row."""
        frame = pl.DataFrame(
            {"series_id": pl.Series(self.ids, dtype=pl.String).gather(self.series_of_rows), "time": self.rows.times}
        )
        if self.schema.zone is not None:
            frame = frame.with_columns(
                pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone(self.schema.zone)
            )
        columns = [
            pl.Series(name, self.values[:, number], nan_to_null=True)
            for number, name in enumerate(self.schema.channels)
        ]
        for number, name in enumerate(self.schema.categorical):
            words = pl.Series([None, *self.schema.categories[name]], dtype=pl.String)
            columns.append(words.gather(self.rows.codes[:, number]).alias(name))
        per_step = self.rows.labels if self.labels is None else self.labels[self.series_of_rows]
        if per_step is not None and self.schema.label is not None:
            if self.schema.classes is None:
                columns.append(pl.Series(self.schema.label, per_step, nan_to_null=True))
            else:
                classes = pl.Series([*self.schema.classes, None], dtype=pl.String)
                columns.append(
                    classes.gather(np.where(per_step < 0, len(classes) - 1, per_step)).alias(self.schema.label)
                )
        return frame.with_columns(columns)

    # --- what holds of it ---

    def _check_shapes(self) -> None:
        schema, num_rows = self.schema, len(self.rows)
        expected = {
            "offsets": (self.offsets.shape, (len(self.ids) + 1,)),
            "values": (self.rows.values.shape, (num_rows, len(schema.channels))),
            "codes": (self.rows.codes.shape, (num_rows, len(schema.categorical))),
            "static": (self.static.shape, (len(self.ids), len(schema.static))),
            "static_codes": (self.static_codes.shape, (len(self.ids), len(schema.static_categorical))),
            "frequencies": ((len(self.frequencies),), (len(self.ids),)),
        }
        for name in ("labels", "weight", "censored", "part"):
            array = getattr(self.rows, name)
            if array is not None:
                expected[name] = (array.shape, (num_rows,))
        if self.labels is not None:
            expected["series labels"] = (self.labels.shape, (len(self.ids),))
        for name, (came, wanted) in expected.items():
            if came != wanted:
                raise DataError(f"the series' {name} have the shape {came}, but must have {wanted}.")
        is_sound = self.offsets[0] == 0 and self.offsets[-1] == num_rows and bool((np.diff(self.offsets) >= 0).all())
        if not is_sound:
            raise DataError(f"the series' offsets must go up from 0 to the {num_rows} rows.")
        if len(set(self.ids)) < len(self.ids):
            twice = next(one for one in self.ids if self.ids.count(one) > 1)
            raise DataError(f"two series are called {twice!r}; give each a name of its own.")

    def _check_values(self) -> None:
        if np.isinf(self.rows.values).any() or np.isinf(self.static).any():
            raise DataError("a value of the series is infinite; mend it, or make it NaN if it is missing.")
        is_back = np.diff(self.rows.times) <= np.zeros(1, np.diff(self.rows.times[:1]).dtype)
        begins = self.offsets[1:-1]
        is_back[begins[(begins > 0) & (begins < len(self.rows))] - 1] = False
        if is_back.any():
            row = int(np.flatnonzero(is_back)[0])
            name = self.ids[int(np.searchsorted(self.offsets, row, "right")) - 1]
            raise DataError(
                f"series {name!r}: its time goes from {self.rows.times[row]} to {self.rows.times[row + 1]}; times must "
                "ascend without duplicates."
            )
        for codes, names in (
            (self.rows.codes, self.schema.categorical),
            (self.static_codes, self.schema.static_categorical),
        ):
            for column, name in enumerate(names):
                most = len(self.schema.categories[name])
                if len(codes) and not 0 <= int(codes[:, column].min()) <= int(codes[:, column].max()) <= most:
                    raise DataError(f"the codes of {name!r} must be from 0 to {most}.")
        for labels in (self.labels, self.rows.labels):
            if labels is None or not len(labels):
                continue
            if labels.dtype.kind == "f":
                is_sound = not np.isinf(labels).any()
            else:
                is_sound = -1 <= int(labels.min()) <= int(labels.max()) < len(self.schema.classes or ())
            if not is_sound:
                raise DataError("a label is neither one of the schema's classes, a finite number, nor missing.")
        weight = self.rows.weight
        if weight is not None and not bool((np.isfinite(weight) & (weight >= 0)).all()):
            raise DataError("the weight of a row must be a number from 0 on.")
