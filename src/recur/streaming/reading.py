"""Steps of many series through the network, and what it says after them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import SeriesBatch
from recur.data.series.calendars import encode_calendar
from recur.data.series.gathering import tensor
from recur.data.series.moments import on_the_clock
from recur.streaming.buffer import StepBuffer
from recur.streaming.intake import Arrivals, Intake
from recur.streaming.plan import Pass, passes
from recur.streaming.slots import Slots
from recur.streaming.states import SeriesStates
from recur.streaming.streamed import Columns, Streamed

Numbers = NDArray[np.int64]

_MOST_STEPS = 64
"""Steps of a series that are read in one call; the work of the normalisation grows with their square."""


class Outcome(NamedTuple):
    """What was said after each step that was read, in the order of the steps.

    Attributes:
        said: As the model says it, A rows each.
        began_anew: (A,).
    """

    said: Columns
    began_anew: NDArray[np.bool_]


class StepReader:
    """Brings arrivals to the network, pass by pass, and keeps its states.

    Args:
        model: What reads and tells.
        slots: The series.
        buffer: Their newest steps.
        states: Of the network, of each series.
        intake: Which knows the times of steps.
        longest_gap: Steps that may be missing before a series begins anew.
    """

    def __init__(
        self,
        model: Streamed[Any],
        slots: Slots,
        buffer: StepBuffer,
        states: SeriesStates,
        intake: Intake,
        longest_gap: int,
    ) -> None:
        self.model, self.slots, self.buffer, self.states, self.intake = model, slots, buffer, states, intake
        self.setup = model.setup
        self.longest_gap = longest_gap
        schema = self.setup.schema
        self._first_known = len(schema.targets) + len(schema.past_only)
        self._num_own_codes = len(schema.past_categorical)

    def read(self, arrivals: Arrivals) -> Outcome:
        """Read the steps that came, and say what follows each."""
        self.states.grow(len(self.slots))
        read = np.flatnonzero(arrivals.is_read)
        series, step = arrivals.series[read], arrivals.step[read]
        outcome = Outcome(self.model.blank(len(read)), np.zeros(len(read), np.bool_))
        is_written = np.zeros(len(arrivals.step), np.bool_)
        left = np.arange(len(read))
        while len(left):
            again = left if self.model.window else left[~self.slots.is_settled[series[left]]]
            # Series without a scale go ahead one row at a time, until they have one; windows always.
            chosen = again[np.diff(series[again], prepend=-1) > 0] if len(again) else left
            for one in passes(
                series[chosen],
                step[chosen],
                self.slots.last[series[chosen]],
                longest_gap=self.longest_gap,
                most_steps=_MOST_STEPS if self.model.tells_between and not len(again) else 1,
            ):
                self._write(one, arrivals, is_written)
                (self._pass_again if len(again) else self._pass)(one, outcome, chosen)
            left = np.setdiff1d(left, chosen, assume_unique=True)
        rest = np.flatnonzero(~is_written)
        self.buffer.write(arrivals.series[rest], arrivals.step[rest], arrivals.values[rest], arrivals.codes[rest])
        return outcome

    def reread(self, series: Numbers) -> None:
        """Make the states of series anew from their newest steps, as many as the window of the run is long."""
        own = series[self.slots.is_settled[series] & (self.slots.last[series] >= 0)]
        if not len(own):
            return
        last = self.slots.last[own]
        first = np.maximum(self.slots.start[own], last - self.model.history + 1)
        batch = self._batch(own, first, last - first + 1, first)
        self.states.put(own, self.model.read(batch, self._fresh(own)))
        self.slots.begun[own] = first

    def _write(self, one: Pass, arrivals: Arrivals, is_written: NDArray[np.bool_]) -> None:
        """Put into the buffer what came of the steps of a pass, and of those that it looks ahead to."""
        upto = np.full(len(self.slots), np.iinfo(np.int64).min)
        upto[one.series] = one.before + one.length + self.model.horizon
        now = np.flatnonzero(~is_written & (arrivals.step <= upto[arrivals.series]))
        self.buffer.write(arrivals.series[now], arrivals.step[now], arrivals.values[now], arrivals.codes[now])
        is_written[now] = True

    def _fresh(self, series: Numbers) -> Any:
        """Return the state of series before their first step."""
        return self.model.begin([self.slots.ids[place] for place in series.tolist()])

    def _begin(self, one: Pass) -> Numbers:
        """Note where series begin, or begin anew, and return which do."""
        begins = one.is_fresh | (self.slots.last[one.series] < 0)
        for first in (self.slots.start, self.slots.begun):
            first[one.series[begins]] = one.before[begins] + 1
        return one.series[begins]

    def _pass(self, one: Pass, outcome: Outcome, chosen: Numbers) -> None:
        begun = self._begin(one)
        if len(begun):
            self.states.put(begun, self._fresh(begun))
        batch = self._batch(one.series, one.before + 1, one.length, self.slots.begun[one.series])
        state = self.states.take(one.series)
        if len(one.row):
            said, state = self.model.tell(batch, state, torch.from_numpy(one.at), torch.from_numpy(one.steps))
            self._put(outcome, chosen[one.row], said)
            outcome.began_anew[chosen[one.row]] = one.is_fresh[one.at] & (one.steps == 1)
        else:
            state = self.model.read(batch, state)
        self.states.put(one.series, state)
        self.slots.last[one.series] = one.before + one.length

    def _pass_again(self, one: Pass, outcome: Outcome, chosen: Numbers) -> None:
        """Read series from their beginning, or from that of the window; settle those that have enough for a scale."""
        self._begin(one)
        self.slots.last[one.series] = one.before + one.length
        outcome.began_anew[chosen[one.row]] = one.is_fresh[one.at]
        # Steps that are missing need no call of their own: they are read with the row after them.
        series, row = one.series[one.at], chosen[one.row]
        model, slots = self.model, self.slots
        length = slots.last[series] - slots.start[series] + 1
        if not model.tells_unscaled:
            series, row, length = (each[length >= model.history] for each in (series, row, length))
        if not len(series):
            return
        first, last = slots.start[series], slots.last[series]
        if model.window:
            first = np.maximum(first, last - model.window + 1)
        self._scale(series, first, last)
        batch = self._batch(series, first, last - first + 1, first)
        said, state = model.tell(batch, self._fresh(series), torch.arange(len(series)), batch.lengths)
        if not model.tells_unscaled:
            # The row by which the scale is known is the last of which nothing is told.
            is_told = length > model.history
            row, said = row[is_told], {name: values[is_told] for name, values in said.items()}
        self._put(outcome, row, said)
        if not model.window:
            slots.is_settled[series] = length >= model.history
            self.states.put(series, state)

    def _scale(self, series: Numbers, first: Numbers, last: Numbers) -> None:
        """Scale series that have no scale of their own by their first steps, those from `first` to `last`."""
        is_open = ~self.slots.is_settled[series]
        if not is_open.any():
            return
        series, first, last = series[is_open], first[is_open], last[is_open]
        steps = first[:, None] + np.arange(min(int((last - first).max()) + 1, self.model.history))
        values, _ = self.buffer.read(series, steps, steps <= last[:, None])
        self.slots.centre[series], self.slots.scale[series] = self.setup.scaler.of_history(values)

    @staticmethod
    def _put(outcome: Outcome, row: Numbers, said: Columns) -> None:
        for name, values in said.items():
            outcome.said[name][row] = values

    def _batch(self, series: Numbers, first: Numbers, length: Numbers, origin: Numbers) -> SeriesBatch:
        """Return steps of series, each from `first` on, (B,), and what is known of those that follow.

        Times count from `origin` on, (B,).
        """
        setup, slots, schema = self.setup, self.slots, self.setup.schema
        num_targets, horizon = len(schema.targets), self.model.horizon
        steps = first[:, None] + np.arange(int(length.max()))
        inside = steps < (first + length)[:, None]
        later = (first + length)[:, None] + np.arange(horizon)
        centre, scale = slots.centre[series], slots.scale[series]
        x, observed, codes = self._numbers(series, steps, inside, centre, scale)
        has_future = bool(horizon and (schema.known_future or setup.calendar))
        future = future_observed = future_codes = None
        if horizon and (has_future or schema.known_categorical):
            ahead, is_known, codes_ahead = self._numbers(series, later, np.ones(later.shape, np.bool_), centre, scale)
            if has_future:
                future = tensor(ahead[..., self._first_known :])
                future_observed = tensor(is_known[..., self._first_known :])
            if schema.known_categorical:
                future_codes = tensor(codes_ahead[..., self._num_own_codes :].astype(np.int64))
        target = torch.full((len(series), horizon, num_targets), torch.nan)
        static = ((slots.static[series] - setup.scaler.static_centre) / setup.scaler.static_scale).astype(np.float32)
        is_there = ~np.isnan(static)
        has_static, has_codes = bool(schema.static), bool(schema.static_categorical)
        return SeriesBatch(
            x=tensor(x),
            lengths=tensor(length),
            target=target,
            weight=torch.zeros_like(target),
            index=tensor(series),
            observed=tensor(observed),
            times=tensor(np.where(inside, steps - origin[:, None], 0).astype(np.float32)),
            future=future,
            future_observed=future_observed,
            future_times=tensor((later - origin[:, None]).astype(np.float32)),
            codes=tensor(codes.astype(np.int64)) if schema.categorical else None,
            future_codes=future_codes,
            static=tensor(np.where(is_there, static, np.float32(0))) if has_static else None,
            static_observed=tensor(is_there) if has_static else None,
            static_codes=tensor(slots.static_codes[series].astype(np.int64)) if has_codes else None,
            centre=tensor(centre[:, :num_targets].astype(np.float32)),
            scale=tensor(scale[:, :num_targets].astype(np.float32)),
            row=tensor(first + length),
        )

    def _numbers(
        self,
        series: Numbers,
        steps: Numbers,
        inside: NDArray[np.bool_],
        centre: NDArray[np.float64],
        scale: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any]]:
        """Return scaled numbers with calendar features, where they are there, and codes, of steps (B, T)."""
        values, codes = self.buffer.read(series, steps, inside)
        scaled = ((values - centre[:, None]) / scale[:, None]).astype(np.float32)
        if self.setup.calendar:
            clock = on_the_clock(self.intake.times(series, steps).reshape(-1), self.setup.schema.zone)
            features = encode_calendar(clock, self.setup.calendar).reshape(*steps.shape, -1)
            scaled = np.concatenate([scaled, features], axis=2)
        observed = inside[..., None] & ~np.isnan(scaled)
        return np.where(observed, scaled, np.float32(0)), observed, codes
