"""The recurrent layers that read series: what they know after each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recur.models.cells import CELLS
from recur.models.forecast_start import ForecastStart, Remembered
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_inputs import SeriesInputs
from recur.models.series_normalization import NormalizationState, Normalized, Place, SeriesNormalization
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, taken
from recur.nn import LSTM, LockedDropout, nest


class ReaderState(NamedTuple):
    """All that a reader remembers of the steps before; tensors, a row for each series.

    Attributes:
        layers: As of the recurrent layers.
        normalization: Each (B, C).
        recent: The last inputs, (W - 1, B, I), that the next segment has too.
        start: What a `ForecastStart` remembers, each (..., B, C); nothing where there is none.
    """

    layers: Any
    normalization: NormalizationState
    recent: Tensor
    start: tuple[Tensor, ...] = ()

    def repeated(self, count: int) -> ReaderState:
        """Return the state of all rows several times, one time after the other."""

        def rows(part: Tensor) -> Tensor:
            return part.repeat(1, count, *[1] * (part.dim() - 2))

        return ReaderState(
            nest.mapped(rows, self.layers),
            tuple(part.repeat(count, 1) for part in self.normalization),
            rows(self.recent),
            tuple(rows(part) for part in self.start),
        )


class Reading(NamedTuple):
    """What a reader knows after 0, 1, ... T steps.

    Attributes:
        before: Features after 0 steps, (B, H), after dropout.
        output: Features after 1, ... T steps, (T, B, H), after dropout.
        place: Where the series are, (T + 1, B, C).
        state: After each row's last step.
        remembered: What forecasts start from; None where the reader has no start.
    """

    before: Tensor
    output: Tensor
    place: Place
    state: ReaderState
    remembered: Remembered | None = None

    @property
    def features(self) -> Tensor:
        """After 0, 1, ... T steps, (T + 1, B, H); a copy."""
        return torch.cat([self.before[None], self.output])

    def features_after(self, steps: Tensor) -> Tensor:
        """Return features after so many steps, (..., B): (..., B, H)."""
        has_read = steps.is_cpu and bool((steps > 0).all())
        return taken(self.output, steps - 1) if has_read else taken(self.features, steps)

    def after(self, steps: Tensor) -> tuple[Tensor, Place]:
        """Return features and place after so many steps, (..., B): (..., B, H) and (..., B, C)."""
        return self.features_after(steps), Place(*(taken(each, steps) for each in self.place))


class SeriesReader(nn.Module):
    """Normalises targets, puts them beside the other inputs, and runs recurrent layers over the steps.

    With segments of W steps, the layers read at each step a linear map of the last W, rectified, and their state comes
    from W steps back (Lin et al. 2023, section 3.2). So the segments that end with the last step follow each other as
    in the paper, those that end elsewhere run beside them, and a stream can stop at any step.

    Args:
        options: Complete.
        shape: Of the batches.
        reads_next: Whether what is known of the next step is read with each step.
        start_steps: Steps ahead of which a `ForecastStart` says what to start from, with the option `rules`; 0 for no
            start.

    Attributes:
        start: The `ForecastStart`, or None.
    """

    def __init__(
        self, options: ForecasterOptions, shape: SeriesShape, *, reads_next: bool = False, start_steps: int = 0
    ) -> None:
        super().__init__()
        assert options.hidden_size is not None
        assert options.history is not None
        assert options.normalize is not None
        assert options.level is not None
        self.num_targets, self.hidden_size = shape.num_targets, options.hidden_size
        self.segment = options.segment or 1
        self.inputs = SeriesInputs(shape, has_targets=False)
        self.normalization = SeriesNormalization(
            options.normalize, shape.num_targets, options.history, has_level=options.level
        )
        self.start: ForecastStart | None = None
        if start_steps and options.rules:
            self.start = ForecastStart(
                shape.num_targets, season=options.season or 1, memory=options.history, num_steps=start_steps
            )
        self.num_inputs = self.normalization.num_features + self.inputs.num_past
        if reads_next:
            self.num_inputs += self.inputs.num_known
        is_cut = self.segment > 1
        self.projection = nn.Conv1d(self.num_inputs, self.hidden_size, self.segment) if is_cut else None
        self.layers = CELLS[options.cell](
            self.hidden_size if is_cut else self.num_inputs,
            self.hidden_size,
            options.num_layers,
            dropout=options.dropout if options.num_layers > 1 else 0.0,
            locked_dropout=options.num_layers > 1 and options.dropout > 0,
            dilation=self.segment,
        )
        self.dropout = LockedDropout(options.dropout)

    def begin(self, count: int) -> ReaderState:
        """Return the state of so many series before their first step, with which `forward` does as without one."""
        like = next(self.parameters())
        none = torch.zeros(count, dtype=torch.int64, device=like.device)
        x_1BI = like.new_zeros(1, count, self.layers.input_size)
        return ReaderState(
            self.layers(x_1BI, lengths=none)[1],
            self.normalization.begin(count, like),
            like.new_zeros(self.segment - 1, count, self.num_inputs),
            () if self.start is None else self.start.begin(count, like),
        )

    def forward(self, timeline: Timeline, state: ReaderState | None = None, known: Tensor | None = None) -> Reading:
        """Return what is known after each step.

        Args:
            timeline: The steps to read.
            state: After the steps before; None if there were none.
            known: (T, B, K'), what is known of the next step at each, if that is read.
        """
        batch = timeline.numbers.shape[1]
        lengths = timeline.lengths
        normalized = self.normalized(timeline, None if state is None else state.normalization)
        parts = [normalized.features, self.inputs.past(timeline), *([] if known is None else [known])]
        x_TBI = torch.cat(parts, 2)
        kept = x_TBI.new_zeros(self.segment - 1, batch, self.num_inputs) if state is None else state.recent
        if self.projection is not None:
            joined = torch.cat([kept, x_TBI])
            order = torch.arange(self.segment - 1, device=lengths.device)
            kept = taken(joined, lengths + order[:, None])
            x_TBI = self.projection(joined.permute(1, 2, 0)).relu().permute(2, 0, 1)
        before = None if state is None else state.layers
        output_TBH, after = self.layers(x_TBI, before, lengths=lengths)
        latest = self._latest(before, output_TBH)
        if self.training and self.dropout.p:
            # One mask over all steps, so that the two have to go through together.
            dropped = self.dropout(torch.cat([latest[None], output_TBH]))
            latest, output_TBH = dropped[0], dropped[1:]
        remembered, start = self._remembered(timeline, state)
        state_after = ReaderState(after, normalized.state, kept, start)
        return Reading(latest, output_TBH, normalized.place, state_after, remembered)

    def place(self, reading: Reading, step: Tensor, row: Tensor) -> Place:
        """Return where the series are after some steps, to tell each step ahead from: (..., P, C), or (..., 1, C).

        Args:
            reading: As `forward` returned it.
            step: How many steps were read, (...).
            row: In which row, (...).
        """
        if self.start is None:
            return Place(*(each[step, row][..., None, :] for each in reading.place))
        assert reading.remembered is not None
        return self.start.place(reading.place, reading.remembered, step, row)

    def normalized(self, timeline: Timeline, state: NormalizationState | None = None) -> Normalized:
        """Return what is read of the targets, and where they are; arguments as of `forward`."""
        targets = timeline.numbers[..., : self.num_targets]
        found: Normalized = self.normalization(
            targets, timeline.is_there[..., : self.num_targets], timeline.lengths, state
        )
        return found

    def _remembered(
        self, timeline: Timeline, state: ReaderState | None
    ) -> tuple[Remembered | None, tuple[Tensor, ...]]:
        if self.start is None:
            return None, ()
        targets, is_there = (each[..., : self.num_targets] for each in (timeline.numbers, timeline.is_there))
        return self.start.remember(targets, is_there, timeline.lengths, None if state is None else state.start)

    def _latest(self, layers: Any, output_TBH: Tensor) -> Tensor:
        """Return the output that a state of the layers stands for, (B, H)."""
        if layers is None:
            return torch.zeros_like(output_TBH[0])
        h = layers[0] if isinstance(self.layers, LSTM) else layers
        # Of the last layer; with segments it has a state for each of the last steps, the newest last.
        latest: Tensor = h[-1] if self.segment == 1 else h[-1][-1]
        return latest
