"""Forecasts of all steps at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recur.models.distributions import Distribution
from recur.models.forecast_decoders import OnceDecoder, SegmentDecoder, StepDecoder
from recur.models.forecast_heads import ForecastHead, Told, drawn, history_weights, unit_of
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_reader import ReaderState, Reading, SeriesReader
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, follow_on, taken

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


_DECODERS: dict[str, type[OnceDecoder | StepDecoder | SegmentDecoder]] = {
    "direct": OnceDecoder,
    "encoder-decoder": StepDecoder,
    "segments": SegmentDecoder,
}


class DirectForecast(nn.Module):
    """Reads a window, and tells all steps to come at once, from the state after its last step.

    In training it tells steps also from within the window: from its end, from P steps before, 2 P steps before and so
    on, so that each value that was read is told once (the forking sequences of Wen et al. 2017).

    Args:
        options: Complete; the kind is "direct", "encoder-decoder" or "segments".
        shape: Of the batches.
    """

    def __init__(self, options: ForecasterOptions, shape: SeriesShape) -> None:
        super().__init__()
        self.shape = shape
        self.reader = SeriesReader(options, shape, start_steps=shape.horizon)
        self.decoder = _DECODERS[options.kind or ""](options, self.reader.inputs.num_known, shape.horizon)
        self.output = ForecastHead(options, self.decoder.steps_per_output, shape.num_targets)

    def forward(self, batch: SeriesBatch, state: ReaderState | None) -> tuple[Distribution, ReaderState]:
        """Return what follows each row's last step, (B, P, C) on the scaled values, and the state there."""
        reading, known = self._read(batch, state)
        return self._told(reading, known, batch.lengths[None])[0], reading.state

    def read(self, batch: SeriesBatch, state: ReaderState | None) -> ReaderState:
        """Return the state after each row's last step."""
        state_after: ReaderState = self.reader(
            Timeline.of(batch, self.shape, self.output.head.projection.weight.dtype), state
        ).state
        return state_after

    def told_after(
        self, batch: SeriesBatch, state: ReaderState | None, row: Tensor, step: Tensor
    ) -> tuple[Distribution, ReaderState]:
        """Return what follows after `step` (M,) steps of `row` (M,), (M, P, C), and the state after the last ones."""
        reading, known = self._read(batch, state)
        place = self.reader.place(reading, step, row)
        ahead = known[step + torch.arange(self.shape.horizon, device=step.device)[:, None], row]
        features = self.decoder(reading.features[step, row], ahead).transpose(0, 1)
        forecast: Distribution = self.output(features, place, self.shape.horizon)
        return forecast, reading.state

    def told(self, batch: SeriesBatch, state: ReaderState | None = None) -> Told:
        """Return what is told in training, in the shape (N, B, P, C), beside what came."""
        shape, dtype = self.shape, self.output.head.projection.weight.dtype
        timeline = Timeline.of(batch, shape, dtype, "targets")
        num_steps, ends = batch.x.shape[1], batch.lengths
        reading = self.reader(timeline.first(num_steps), state)
        back = torch.arange(0, num_steps, shape.horizon, device=ends.device)
        begins = ends - back[:, None]
        is_told = (begins > 0) | (back[:, None] == 0)
        begins = begins.clamp(min=0)
        forecast = self._told(reading, self.reader.inputs.known(timeline), begins)
        weights = follow_on(history_weights(batch, shape, dtype), batch.weight.to(dtype), ends).transpose(0, 1)
        steps = begins[:, None] + torch.arange(shape.horizon, device=ends.device)[:, None]
        target = taken(timeline.numbers[..., : shape.num_targets], steps).transpose(1, 2)
        weight = taken(weights, steps).transpose(1, 2) * is_told[..., None, None]
        return Told(forecast, target, weight)

    def paths(self, batch: SeriesBatch, num_paths: int, generator: torch.Generator | None) -> Tensor:
        """Return paths (S, B, P, C) on the scaled values, each of their steps drawn without regard to the others."""
        forecast, _ = self(batch, None)
        return drawn(forecast, unit_of(self.output.head, batch)[:, None], generator, num_paths)

    def _read(self, batch: SeriesBatch, state: ReaderState | None) -> tuple[Reading, Tensor]:
        """Return what is known after each step, and what is known of each step, (T + P, B, K')."""
        dtype = self.output.head.projection.weight.dtype
        reading: Reading = self.reader(Timeline.of(batch, self.shape, dtype), state)
        return reading, self.reader.inputs.known(Timeline.of(batch, self.shape, dtype, "known"))

    def _told(self, reading: Reading, known: Tensor, begins: Tensor) -> Distribution:
        """Return what follows after some numbers of steps, (N, B, P, C).

        Args:
            reading: After each step.
            known: What is known of each step, (T + P, B, K').
            begins: (N, B), how many steps were read.
        """
        count, horizon = begins.shape, self.shape.horizon
        read = reading.features_after(begins)
        place = self.reader.place(reading, begins, torch.arange(count[1], device=begins.device).expand(count))
        steps = begins + torch.arange(horizon, device=begins.device)[:, None, None]
        features = self.decoder(read.flatten(0, 1), taken(known, steps).flatten(1, 2))
        forecast: Distribution = self.output(features.unflatten(1, count).movedim(0, 2), place, horizon)
        return forecast
