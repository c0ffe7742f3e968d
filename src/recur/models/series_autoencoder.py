"""A recurrent autoencoder of the last steps of series, for steps that it cannot describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from recur.models.cells import CELLS
from recur.models.detector_options import DetectorOptions
from recur.models.detector_reader import check_detector, reader_options
from recur.models.forecast_heads import history_weights
from recur.models.series_normalization import Place
from recur.models.series_reader import ReaderState, SeriesReader
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, taken
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class AutoencoderState(NamedTuple):
    """What a `SeriesAutoencoder` remembers of the steps before.

    Attributes:
        reader: Of the recurrent layers.
        values: The last steps, (W - 1, B, C); NaN where there was none or a value is missing.
    """

    reader: ReaderState
    values: Tensor


class SeriesAutoencoder(nn.Module):
    """Reads series, squeezes what it knows after each step into a few numbers, and tells the last W steps from these.

    What was seen often enough in training fits into the few numbers, and what was not does not. The layers that read go
    over the series once, whereas those of the paper begin anew with each window; so it runs on a stream, and no step
    is read twice. The last W steps are told from the newest to the oldest, as there.

    A value has two errors: its own, and the mean over the last W steps. The state is an argument and a result; two
    halves give the errors of the whole.

    Source: EncDec-AD, Malhotra et al. (2016), section 2.

    Args:
        options: Every value chosen; the way is "autoencoder".
        shape: Of the batches; its horizon is 1.

    Raises:
        OptionError: Options are incomplete, or the shape has no target or another horizon.
    """

    def __init__(self, options: DetectorOptions, shape: SeriesShape) -> None:
        super().__init__()
        check_detector("SeriesAutoencoder", options, shape)
        assert options.hidden_size is not None
        self.options, self.shape = options, shape
        size = options.code_size * shape.num_targets
        # Not the last value: the newest step would be described by itself.
        self.reader = SeriesReader(reader_options(options, normalize="window"), shape)
        self.code = Linear(options.hidden_size, size)
        self.decoder = CELLS[options.cell](size, options.hidden_size, 1)
        self.output = Linear(options.hidden_size, shape.num_targets)

    @property
    def views(self) -> tuple[str, ...]:
        """What each of the two errors of a value is, in words."""
        return ("described now", f"described over {self.options.window} steps")

    def begin(self, count: int) -> AutoencoderState:
        """Return the state of so many series before their first step, with which `errors` does as without one."""
        reader = self.reader.begin(count)
        values = reader.recent.new_full((self.options.window - 1, count, self.shape.num_targets), torch.nan)
        return AutoencoderState(reader, values)

    def errors(self, batch: SeriesBatch, state: AutoencoderState | None = None) -> tuple[Tensor, AutoencoderState]:
        """Return how badly each value and the last steps are described, and the state after each row's last step.

        Args:
            batch: Steps; of `target` nothing is read.
            state: After the steps before; None if there were none.

        Returns:
            (B, T, C, 2) on the scaled values, from 0 on; NaN where the value is missing or past the end.
        """
        timeline = Timeline.of(batch, self.shape, self.output.weight.dtype)
        reading = self.reader(timeline, None if state is None else state.reader)
        num_steps, num_targets, width = batch.x.shape[1], self.shape.num_targets, self.options.window - 1
        steps = torch.arange(num_steps, device=batch.lengths.device)[:, None]
        is_step = steps < batch.lengths
        is_there = timeline.is_there[..., :num_targets] & is_step[..., None]
        values = torch.where(is_there, timeline.numbers[..., :num_targets], torch.nan)
        before = values.new_full((width, *values.shape[1:]), torch.nan) if state is None else state.values
        joined = torch.cat([before, values])
        back = torch.arange(width + 1, device=steps.device)
        # (T, W, B, C), the newest first.
        described = self._described(reading.output, Place(*(each[1:] for each in reading.place)))
        away = (joined[width + steps - back] - described).abs()
        lately = torch.where(is_there, away.nanmean(1), torch.nan)
        errors = torch.stack([away[:, 0], lately], -1).permute(1, 0, 2, 3)
        last = torch.arange(width, device=steps.device)[:, None] + batch.lengths
        return errors, AutoencoderState(reading.state, taken(joined, last))

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean absolute error of the descriptions of a window's steps, each described once, ()."""
        total, weight = self.absolute_errors(batch)
        return total / weight.clamp(min=1e-9)

    def absolute_errors(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the absolute errors of a window, and of the weights that they count with, () each."""
        shape, dtype = self.shape, self.output.weight.dtype
        timeline = Timeline.of(batch, shape, dtype)
        reading = self.reader(timeline, None)
        width = self.options.window
        back = torch.arange(0, batch.x.shape[1], width, device=batch.lengths.device)
        ends = batch.lengths - back[:, None]
        told = self._described(*reading.after(ends.clamp(min=0)))
        steps = ends[:, None] - 1 - torch.arange(width, device=back.device)[:, None]
        weights = history_weights(batch, shape, dtype).transpose(0, 1)
        target = taken(timeline.numbers[..., : shape.num_targets], steps.clamp(min=0))
        weight = taken(weights, steps.clamp(min=0)) * (steps >= 0)[..., None]
        return ((told - target).abs() * weight).sum(), weight.sum()

    def _described(self, features: Tensor, place: Place) -> Tensor:
        """Return the last W steps as the codes have them, (T, W, B, C), the newest first.

        Args:
            features: After each of T steps, (T, B, H).
            place: After each of them.
        """
        code = self.code(features).tanh().flatten(0, 1)
        out, _ = self.decoder(code.expand(self.options.window, *code.shape))
        answer = self.output(out).unflatten(1, features.shape[:2]).transpose(0, 1)
        told: Tensor = place.mean[:, None] + place.scale[:, None] * answer
        return told
