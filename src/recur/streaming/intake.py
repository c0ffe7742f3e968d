"""From rows that come in any order to steps of series that go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Frequency, Scaler, Schema
from recur.data.series.assembly import LooseRows
from recur.data.series.moments import instants, on_the_clock
from recur.errors import DataError
from recur.streaming.buffer import StepBuffer
from recur.streaming.slots import Slots

Numbers = NDArray[np.int64]


class RowError(DataError):
    """A row cannot be used beside what is known of its series.

    Args:
        row: Its number.
        reason: Why.
        column: In which column.

    Attributes:
        row: As given.
    """

    def __init__(self, row: int, reason: str, *, column: str | None = None) -> None:
        where = "" if column is None else f"column {column!r}, "
        super().__init__(f"the rows, {where}row {row + 1}: {reason}")
        self.row = row


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrivals:
    """Steps that came, ordered by series and time.

    Attributes:
        series: Places of their series, (R,).
        step: Which steps they are, (R,).
        values: (R, F) float32.
        codes: (R, Q) int32.
        row: The pushed row of each, (R,).
        is_read: Whether the step is read now; else it only says what is known ahead, (R,).
        left_out: As of `Answers`.
    """

    series: Numbers
    step: Numbers
    values: NDArray[np.float32]
    codes: NDArray[np.int32]
    row: Numbers
    is_read: NDArray[np.bool_]
    left_out: tuple[tuple[int, str], ...]


class Intake:
    """Finds the series and the step of each row, and refuses what cannot be.

    Args:
        slots: The series, to which new ones are added.
        buffer: Their newest steps.
        schema: Of the run.
        frequency: Of the run.
        scaler: Of the run.
        horizon: Steps that the model tells; 0 where it tells nothing of those to come, so that no row is of one.
        most_ahead: How many steps after its last one may be told of a series ahead.
    """

    def __init__(
        self,
        slots: Slots,
        buffer: StepBuffer,
        *,
        schema: Schema,
        frequency: Frequency,
        scaler: Scaler,
        horizon: int,
        most_ahead: int,
    ) -> None:
        self.slots, self.buffer = slots, buffer
        self.schema, self.frequency, self.scaler = schema, frequency, scaler
        self.horizon, self.most_ahead = horizon, most_ahead
        self.has_times = schema.roles is None or bool(schema.roles.time)
        self.is_told_ahead = bool(horizon and (schema.known_future or schema.known_categorical))
        self._seen = {name: number for number, name in enumerate(scaler.ids)}
        first = len(schema.targets) + len(schema.past_only)
        self._known = slice(first, first + len(schema.known_future))

    def nothing(self) -> Arrivals:
        """Return what arrives where there are no rows."""
        none = np.zeros(0, np.int64)
        return Arrivals(
            series=none,
            step=none,
            values=np.zeros((0, len(self.schema.channels)), np.float32),
            codes=np.zeros((0, len(self.schema.categorical)), np.int32),
            row=none,
            is_read=np.zeros(0, np.bool_),
            left_out=(),
        )

    def take(self, loose: LooseRows, numbers: Numbers) -> Arrivals:
        """Return the steps that rows are, and give places to new series. Nothing has changed where it raises.

        Args:
            loose: The rows.
            numbers: The number of each of them, (R,).

        Raises:
            RowError: A time is not on the grid of its series, what is static changes, or what is known of the future
                is missing.
        """
        if not len(loose.series):
            return self.nothing()
        place = self.slots.find(loose.ids)
        new = np.flatnonzero(place < 0)
        place[new] = len(self.slots) + np.arange(len(new))
        series = place[loose.series]
        targets = loose.rows.values[:, : len(self.schema.targets)]
        is_ahead = np.zeros(len(series), np.bool_)
        if self.is_told_ahead:
            is_ahead |= np.isnan(targets).all(axis=1)
        last = np.append(self.slots.last[: len(self.slots)], np.full(len(new), -1))
        origin = self._origins(series, is_ahead, last, loose)
        later = self._later(origin, loose, series, numbers)
        step = self._steps(series, origin, last, loose, numbers)
        # Of a step that is told ahead and comes in the same push, what came counts.
        order = np.lexsort((is_ahead, step, series))
        series, step, is_ahead = series[order], step[order], is_ahead[order]
        # Before the first step, which a series begins with, nothing is repeated.
        is_late: NDArray[np.bool_] = step < np.maximum(last[series], 0)
        is_repeated: NDArray[np.bool_] = ~is_late & (step == last[series])
        is_repeated[1:] |= (series[1:] == series[:-1]) & (step[1:] == step[:-1])
        kept = np.flatnonzero(~is_late & ~is_repeated)
        left_out = [
            (int(numbers[order[number]]), "late" if is_late[number] else "repeated")
            for number in np.flatnonzero(is_late | is_repeated).tolist()
        ]
        left_out += [(int(numbers[order[number]]), "ahead") for number in kept[is_ahead[kept]].tolist()]
        found = Arrivals(
            series=series[kept],
            step=step[kept],
            values=loose.rows.values[order[kept]],
            codes=loose.rows.codes[order[kept]],
            row=numbers[order[kept]],
            is_read=~is_ahead[kept],
            left_out=tuple(sorted(left_out)),
        )
        names = [*self.slots.ids, *(loose.ids[number] for number in new.tolist())]
        if self.is_told_ahead:
            self._check_ahead(found, last, later, names)
        static, codes = self._static(series, loose, order, names, len(new), numbers)
        self._add([loose.ids[number] for number in new.tolist()], origin, static, codes)
        self.buffer.shift(np.flatnonzero(later), later[later != 0])
        return found

    def times(self, series: Numbers, steps: Numbers) -> NDArray[Any]:
        """Return when steps (B, T) of series (B,) are, (B, T): instants where the zone is known."""
        origin = np.repeat(self.slots.origin[series], steps.shape[1])
        found = self.frequency.times(steps.reshape(-1), origin)
        if self.frequency.is_by_clock:
            found = instants(found, self.schema.zone)
        return found.reshape(steps.shape)

    def _add(self, ids: list[str], origin: NDArray[Any], static: NDArray[Any], codes: NDArray[Any]) -> None:
        slots, first = self.slots, len(self.slots)
        slots.add(ids)
        count = len(slots)
        self.buffer.grow(count)
        slots.origin[:count] = origin
        slots.static[:count], slots.static_codes[:count] = static, codes
        scaler = self.scaler
        for place, name in enumerate(ids, first):
            number = self._seen.get(name) if scaler.per_series else 0
            slots.is_settled[place] = number is not None
            if number is not None:
                slots.centre[place], slots.scale[place] = scaler.centre[number], scaler.scale[number]

    # --- when ---

    def _counted(self, times: NDArray[Any]) -> NDArray[Any]:
        """Return times in which steps are equal."""
        return on_the_clock(times, self.schema.zone) if self.frequency.is_by_clock else times

    def _origins(self, series: Numbers, is_ahead: NDArray[np.bool_], last: Numbers, loose: LooseRows) -> NDArray[Any]:
        """Return when step 0 of each series is: of one that has not begun its earliest row that is read.

        Where there is none yet it is the earliest that tells ahead.
        """
        known = len(self.slots)
        origin = np.zeros(len(last), self.slots.origin.dtype)
        origin[:known] = self.slots.origin[:known]
        own = np.flatnonzero(last[series] < 0)
        if self.has_times and len(own):
            times = self._counted(loose.rows.times[own])
            order = np.lexsort((times, is_ahead[own], series[own]))
            order = order[np.diff(series[own][order], prepend=-1) > 0]
            which, earliest = series[own][order], times[order]
            keeps = is_ahead[own][order] & (which < known)
            origin[which] = np.where(keeps, np.minimum(earliest, origin[which]), earliest)
        return origin

    def _later(self, origin: NDArray[Any], loose: LooseRows, series: Numbers, numbers: Numbers) -> Numbers:
        """Return how many steps later than it was counted comes what was told ahead of each series, (S,).

        Raises:
            RowError: It is not on the grid from its new origin on.
        """
        later = np.zeros(len(origin), np.int64)
        known = self.slots.origin[: len(self.slots)]
        moved = np.flatnonzero(origin[: len(known)] != known)
        if len(moved):
            later[moved] = self.frequency.steps(known[moved], origin[moved])
            off = moved[self._is_off(known[moved], later[moved], origin[moved])]
            if len(off):
                row = int(np.flatnonzero(series == off[0])[0])
                raise RowError(
                    int(numbers[row]),
                    f"series {loose.ids[int(loose.series[row])]!r} begins at "
                    f"{origin[off[0]]}, from which what was told ahead of it, at {known[off[0]]}, is no step of "
                    f"{self.frequency}; give times on that grid.",
                )
        return later

    def _steps(
        self, series: Numbers, origin: NDArray[Any], last: Numbers, loose: LooseRows, numbers: Numbers
    ) -> Numbers:
        if not self.has_times:
            # The rows of a series are its next steps, in their order.
            order = np.argsort(series, kind="stable")
            begins = np.flatnonzero(np.diff(series[order], prepend=-1))
            step = np.empty(len(series), np.int64)
            ranks = np.arange(len(series)) - np.repeat(begins, np.diff(np.append(begins, len(series))))
            step[order] = last[series[order]] + 1 + ranks
            return step
        times = self._counted(loose.rows.times)
        begin = origin[series]
        step = self.frequency.steps(times, begin)
        is_off = self._is_off(times, step, begin)
        if is_off.any():
            row = int(np.flatnonzero(is_off)[0])
            raise RowError(
                int(numbers[row]),
                f"series {loose.ids[int(loose.series[row])]!r} has the time "
                f"{loose.rows.times[row]}, which is no step of {self.frequency} from {begin[row]} on; give times on "
                "that grid.",
            )
        return step

    def _is_off(self, times: NDArray[Any], step: Numbers, origin: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which times are not those of their steps from an origin on."""
        back = self.frequency.times(step, origin)
        if times.dtype.kind == "f":
            return np.asarray(np.abs(back - times) > 1e-6 * float(self.frequency.count))
        return np.asarray(back != times)

    # --- what is known ---

    def _static(
        self, series: Numbers, loose: LooseRows, order: Numbers, names: list[str], num_new: int, numbers: Numbers
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return what is static of all series, the new ones too."""
        known, schema = len(self.slots), self.schema
        static = np.concatenate([self.slots.static[:known], np.full((num_new, len(schema.static)), np.nan, np.float32)])
        codes = np.concatenate(
            [self.slots.static_codes[:known], np.zeros((num_new, len(schema.static_categorical)), np.int32)]
        )
        said: NDArray[Any]
        kept: NDArray[Any]
        for said, kept, columns in (
            (loose.static, static, schema.static),
            (loose.static_codes, codes, schema.static_categorical),
        ):
            for column, name in enumerate(columns):
                value = said[order, column]
                is_said = ~np.isnan(value) if value.dtype.kind == "f" else value != 0
                own = np.flatnonzero(is_said)
                now = kept[series[own], column]
                is_open = np.isnan(now) if value.dtype.kind == "f" else now == 0
                # The first row of each series wins: written last.
                earliest = own[is_open][::-1]
                kept[series[earliest], column] = value[earliest]
                wrong = own[value[own] != kept[series[own], column]]
                if len(wrong):
                    row = int(order[wrong].min())
                    raise RowError(
                        int(numbers[row]),
                        f"changes within series {loose.ids[int(loose.series[row])]!r}, but is static.",
                        column=name,
                    )
        return static, codes

    def _check_ahead(self, found: Arrivals, last: Numbers, later: Numbers, names: list[str]) -> None:
        """Raise where numbers that are known of the future are not known of all steps that are to be told."""
        reads = np.full(len(names), -1)
        np.maximum.at(reads, found.series[found.is_read], found.step[found.is_read])
        base = np.maximum(reads, last)[found.series]
        far = np.flatnonzero(found.step - base > self.most_ahead)
        if len(far):
            number = int(far[0])
            raise RowError(
                int(found.row[number]),
                f"tells of series {names[int(found.series[number])]!r} "
                f"{int(found.step[number] - base[number])} steps ahead, but at most {self.most_ahead} are kept; "
                "give it later.",
            )
        if self._known.start == self._known.stop:
            return
        asked = np.flatnonzero(found.is_read)
        series = np.repeat(found.series[asked], self.horizon)
        ahead = (found.step[asked][:, None] + np.arange(1, self.horizon + 1)).reshape(-1)
        values = np.full((len(ahead), self._known.stop - self._known.start), np.nan, np.float32)
        old = np.flatnonzero(series < len(self.buffer.step))
        values[old] = self.buffer.read(series[old], (ahead - later[series])[old, None])[0][:, 0, self._known]
        # Rows are ordered by series and step, so that one number does for both.
        width = int(max(ahead.max(initial=0), found.step.max(initial=0))) + 1
        key = found.series * width + found.step
        place = np.minimum(np.searchsorted(key, series * width + ahead), len(key) - 1)
        is_new = key[place] == series * width + ahead
        values[is_new] = found.values[place[is_new], self._known]
        lacking = np.argwhere(np.isnan(values))
        if len(lacking):
            number, column = lacking[0].tolist()
            name = self.schema.known_future[column]
            raise RowError(
                int(found.row[asked[number // self.horizon]]),
                f"series {names[int(series[number])]!r} lacks {name!r} for the "
                f"{number % self.horizon + 1}. step after it, but it is known of the future; push rows with it and "
                "without targets first.",
            )
