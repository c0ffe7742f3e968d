"""Forecasts of one step, fed back for the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recur.models.distributions import Distribution, Point, Quantiles
from recur.models.forecast_heads import ForecastHead, Told, drawn, history_weights, unit_of
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_normalization import Place
from recur.models.series_reader import ReaderState, Reading, SeriesReader
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, follow_on, taken

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

_After = tuple[Tensor, Place]
"""Features and place after some steps."""

_Choose = Callable[[Distribution, int], Tensor]
"""Takes what is told of a step in all paths, (S, B, C), and which step it is, and returns values, (S, B, C)."""


class AutoregressiveForecast(nn.Module):
    """Tells one step from all before it; what it says, it reads as if it had come (Salinas et al. 2020, section 3).

    In training it tells each step of the window and of the horizon from the true ones before. In use it draws a value,
    reads it, and goes on; many such paths are the forecast of several steps, and their quantiles are told. What is
    known of the past alone is missing from the steps ahead, in training too.

    Args:
        options: Complete; the kind is "autoregressive".
        shape: Of the batches.
    """

    def __init__(self, options: ForecasterOptions, shape: SeriesShape) -> None:
        super().__init__()
        self.shape, self.options = shape, options
        self.reader = SeriesReader(options, shape, reads_next=True, start_steps=1)
        self.output = ForecastHead(options, 1, shape.num_targets)

    def forward(self, batch: SeriesBatch, state: ReaderState | None) -> tuple[Distribution, ReaderState]:
        """Return what follows each row's last step, (B, P, C) on the scaled values, and the state there.

        Of one step it is the head's own distribution. Of several it is the quantiles of paths, without a gradient, for
        which a row gets the same random numbers whatever rows are beside it; of points, the one path of them.
        """
        timeline, known = self._timeline(batch)
        (features, place), reached = self._read(batch, timeline, known, state)
        if self.shape.horizon == 1:
            return self.output(*_rows_first(features, place)), reached
        after = features, place
        with torch.no_grad():
            if self.options.head == "point":
                value = self._paths(batch, timeline, known, after, reached, 1, lambda forecast, _: forecast.mean)
                return Point(value=value[0]), reached
            unit = unit_of(self.output.head, batch)
            generator = torch.Generator(batch.x.device)

            def alike(forecast: Distribution, step: int) -> Tensor:
                generator.manual_seed(step)
                return drawn(forecast, unit, generator, alike=1)

            paths = self._paths(batch, timeline, known, after, reached, self.options.num_paths, alike)
            return _quantiles(paths, self.options.levels), reached

    def read(self, batch: SeriesBatch, state: ReaderState | None) -> ReaderState:
        """Return the state after each row's last step."""
        timeline, known = self._timeline(batch)
        return self._read(batch, timeline, known, state)[1]

    def told_after(
        self, batch: SeriesBatch, state: ReaderState | None, row: Tensor, step: Tensor
    ) -> tuple[Distribution, ReaderState]:
        """Return what follows after `step` (M,) steps of `row` (M,), (M, P, C), and the state after the last ones.

        With a horizon of several steps each must be the last of its row, since paths go on from the state there.
        """
        if self.shape.horizon == 1:
            timeline, known = self._timeline(batch)
            reading = self.reader(timeline.first(batch.x.shape[1]), state, known[1 : batch.x.shape[1] + 1])
            place = self.reader.place(reading, step, row)
            return self.output(reading.features[step, row][:, None], place), reading.state
        if bool((step != batch.lengths[row]).any()):
            raise ValueError("ForecastNetwork: paths can only be drawn after the last step of each row.")
        forecast, reached = self(batch, state)
        return forecast[row], reached

    def told(self, batch: SeriesBatch, state: ReaderState | None = None) -> Told:
        """Return what is told in training, in the shape (B, S, C), beside what came.

        S counts all steps there are, and where each row has a history all but the first: from nothing at all only what
        has no history is told.
        """
        shape, dtype = self.shape, self.output.head.projection.weight.dtype
        timeline = Timeline.of(batch, shape, dtype, "targets")
        last = len(timeline.numbers) - 1
        known = self.reader.inputs.known(timeline)
        read = replace(timeline.first(last), lengths=batch.lengths + shape.horizon - 1)
        reading = self.reader(read, state, known[1:])
        weight = follow_on(history_weights(batch, shape, dtype), batch.weight.to(dtype), batch.lengths)
        target = timeline.numbers[..., : shape.num_targets].transpose(0, 1)
        steps = torch.arange(last + 1, device=batch.lengths.device)
        # Without a start it is what was read, as it lies.
        place = reading.place
        if self.reader.start is not None:
            place = self._place(reading, steps[:, None].expand(-1, len(batch.lengths)))
        if batch.lengths.is_cpu and bool((batch.lengths > 0).all()):
            place = Place(*(each[1:] for each in place))
            return Told(self.output(*_rows_first(reading.output, place)), target[:, 1:], weight[:, 1:])
        is_told = (steps > 0) | (batch.lengths == 0)[:, None]
        return Told(self.output(*_rows_first(reading.features, place)), target, weight * is_told[..., None])

    def paths(self, batch: SeriesBatch, num_paths: int, generator: torch.Generator | None) -> Tensor:
        """Return paths (S, B, P, C) on the scaled values, each step drawn given those before it in its path."""
        timeline, known = self._timeline(batch)
        unit = unit_of(self.output.head, batch)
        after, reached = self._read(batch, timeline, known, None)
        return self._paths(
            batch, timeline, known, after, reached, num_paths, lambda forecast, _: drawn(forecast, unit, generator)
        )

    def _timeline(self, batch: SeriesBatch) -> tuple[Timeline, Tensor]:
        """Return the history and the steps ahead without targets, and what is known of each, (T + P, B, K')."""
        timeline = Timeline.of(batch, self.shape, self.output.head.projection.weight.dtype, "known")
        return timeline, self.reader.inputs.known(timeline)

    def _read(
        self, batch: SeriesBatch, timeline: Timeline, known: Tensor, state: ReaderState | None
    ) -> tuple[_After, ReaderState]:
        """Return what is known after each row's last step, (1, B, ...), and the state there."""
        num_steps = batch.x.shape[1]
        reading = self.reader(timeline.first(num_steps), state, known[1 : num_steps + 1])
        steps = batch.lengths[None]
        return (reading.features_after(steps), self._place(reading, steps)), reading.state

    def _place(self, reading: Reading, steps: Tensor) -> Place:
        """Return where the series are after so many steps, (N, B): (N, B, C) each."""
        row = torch.arange(steps.shape[1], device=steps.device).expand(steps.shape)
        return Place(*(each[..., 0, :] for each in self.reader.place(reading, steps, row)))

    def _paths(
        self,
        batch: SeriesBatch,
        timeline: Timeline,
        known: Tensor,
        after: _After,
        state: ReaderState,
        num_paths: int,
        choose: _Choose,
    ) -> Tensor:
        """Return paths, (S, B, P, C)."""
        shape = (num_paths, len(batch.x))
        features, place = after[0].expand(*shape, -1), Place(*(each.expand(*shape, -1) for each in after[1]))
        state = state.repeated(num_paths)
        values = [choose(self.output(features, place), 0)]
        for ahead in range(self.shape.horizon - 1):
            step = batch.lengths + ahead
            known_next = taken(known, step[None] + 1).repeat(1, num_paths, 1)
            reading = self.reader(timeline.step(step, values[-1]), state, known_next)
            state = reading.state
            place = self._place(reading, torch.ones_like(step).repeat(num_paths)[None])
            features, place = reading.output[0].unflatten(0, shape), Place(*(each.view(*shape, -1) for each in place))
            values.append(choose(self.output(features, place), ahead + 1))
        return torch.stack(values, 2)


def _rows_first(features: Tensor, place: Place) -> _After:
    """Return (S, B, ...) as (B, S, ...)."""
    return features.transpose(0, 1), Place(*(each.transpose(0, 1) for each in place))


def _quantiles(paths: Tensor, levels: tuple[float, ...]) -> Quantiles:
    """Return quantiles of paths, (S, ...), straight between them."""
    ordered = paths.sort(0).values
    place = torch.tensor(levels, dtype=torch.float64) * (len(paths) - 1)
    below = place.floor().long().clamp(max=len(paths) - 2)
    share = (place - below).to(paths.dtype).to(paths.device)
    low, high = ordered[below], ordered[below + 1]
    return Quantiles(values=torch.lerp(low.movedim(0, -1), high.movedim(0, -1), share), levels=levels)
