"""A network that tells each value of series from several times before it, for what was not to be expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from recur.models.detector_options import DetectorOptions
from recur.models.detector_reader import check_detector, reader_options
from recur.models.forecast_heads import ForecastHead, history_weights
from recur.models.series_normalization import Place
from recur.models.series_reader import ReaderState, Reading, SeriesReader
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, follow_on, taken

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class LeadState(NamedTuple):
    """What a `LeadNetwork` remembers of the steps before.

    Attributes:
        reader: Of the recurrent layers.
        told: What the last steps said of those to come, (longest lead, B, E, C); NaN where there were none.
    """

    reader: ReaderState
    told: Tensor


class LeadNetwork(nn.Module):
    """Reads series and tells at each step the values some leads ahead, all at once.

    What is told a step before is told best, but follows what lasts; what is told from long before does not. Each value
    has an error for each of the E leads. The median is told, for absolute errors are what training makes small, which
    single outliers in the training part sway little.

    The state is an argument and a result; two halves give the errors of the whole.

    Args:
        options: Every value chosen; the way is "forecast".
        shape: Of the batches; its horizon is 1.

    Raises:
        OptionError: Options are incomplete, or the shape has no target or another horizon.
    """

    def __init__(self, options: DetectorOptions, shape: SeriesShape) -> None:
        super().__init__()
        check_detector("LeadNetwork", options, shape)
        self.options, self.shape = options, shape
        within = reader_options(options, normalize="last")
        self.reader = SeriesReader(within, shape)
        self.output = ForecastHead(within, len(options.leads), shape.num_targets)
        self.register_buffer("leads", torch.tensor(options.leads), persistent=False)
        self.leads: Tensor

    @property
    def views(self) -> tuple[str, ...]:
        """What each of the E errors of a value is, in words."""
        leads: list[int] = self.leads.tolist()
        return tuple(f"told {lead} step{'s' if lead > 1 else ''} before" for lead in leads)

    def begin(self, count: int) -> LeadState:
        """Return the state of so many series before their first step, with which `errors` does as without one."""
        reader = self.reader.begin(count)
        longest, num_targets = int(self.leads[-1]), self.shape.num_targets
        return LeadState(reader, reader.recent.new_full((longest, count, len(self.leads), num_targets), torch.nan))

    def errors(self, batch: SeriesBatch, state: LeadState | None = None) -> tuple[Tensor, LeadState]:
        """Return how far each value is from what was told of it, and the state after each row's last step.

        Args:
            batch: Steps; of `target` nothing is read.
            state: After the steps before; None if there were none.

        Returns:
            (B, T, C, E) on the scaled values, from 0 on; NaN where the value is missing or past the end, or nothing was
            told of it.
        """
        dtype = self.output.head.projection.weight.dtype
        timeline = Timeline.of(batch, self.shape, dtype)
        reading = self.reader(timeline, None if state is None else state.reader)
        told = self._told(reading)
        num_steps, longest = len(told), int(self.leads[-1])
        before = told.new_full((longest, *told.shape[1:]), torch.nan) if state is None else state.told
        joined = torch.cat([before, told])
        steps = torch.arange(num_steps, device=told.device)
        lead = torch.arange(len(self.leads), device=told.device)
        # (T, E, B, C): what was told of step t a lead before it.
        expected = joined.transpose(1, 2)[longest + steps[:, None] - self.leads, lead]
        is_step = steps[:, None] < batch.lengths
        num_targets = self.shape.num_targets
        is_there = timeline.is_there[..., :num_targets] & is_step[..., None]
        values = torch.where(is_there, timeline.numbers[..., :num_targets], torch.nan)
        errors = (values[:, None] - expected).abs().permute(2, 0, 3, 1)
        last = torch.arange(longest, device=told.device)[:, None] + batch.lengths
        return errors, LeadState(reading.state, taken(joined, last))

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean absolute error of what is told within the window and of the step after it, ()."""
        total, weight = self.absolute_errors(batch)
        return total / weight.clamp(min=1e-9)

    def absolute_errors(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the absolute errors of a window, and of the weights that they count with, () each."""
        shape, dtype = self.shape, self.output.head.projection.weight.dtype
        timeline = Timeline.of(batch, shape, dtype, "targets")
        num_steps = batch.x.shape[1]
        told = self._told(self.reader(timeline.first(num_steps), None))
        weights = follow_on(history_weights(batch, shape, dtype), batch.weight.to(dtype), batch.lengths)
        steps = torch.arange(num_steps, device=told.device)[:, None] + self.leads
        # (T, E, B): the step after the window is its last one.
        is_told = (steps[..., None] <= batch.lengths) & (steps[..., None] - self.leads[:, None] < batch.lengths)
        place = steps.clamp(max=num_steps)[..., None].expand(-1, -1, len(batch.lengths))
        target = taken(timeline.numbers[..., : shape.num_targets], place).transpose(1, 2)
        weight = taken(weights.transpose(0, 1), place).transpose(1, 2) * is_told.transpose(1, 2)[..., None]
        return ((told - target).abs() * weight).sum(), weight.sum()

    def _told(self, reading: Reading) -> Tensor:
        """Return what each step says of those a lead ahead, (T, B, E, C)."""
        place = Place(*(each[1:, :, None] for each in reading.place))
        told: Tensor = self.output(reading.output[:, :, None], place).mean
        return told
