"""What is known of a series after having read it: the part that classifiers and regressors share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from recur.models.augmentation import augmented
from recur.models.cells import CELLS
from recur.models.pooling import PoolState, pool_of
from recur.models.series_inputs import SeriesInputs
from recur.models.series_options import TIMED_CELLS, SeriesEncoderOptions
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline
from recur.models.step_convolution import StepConvolution
from recur.nn import GRUD, CfC, LockedDropout, PhasedLSTM, RecurrentLayer

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

_CELLS: dict[str, Callable[..., RecurrentLayer]] = {**CELLS, "phased": PhasedLSTM, "cfc": CfC, "grud": GRUD}


class SeriesState(NamedTuple):
    """What is carried on from one piece of a series to the next.

    Attributes:
        recurrent: Of the recurrent layers, in their own form.
        inputs: Of each convolution, the inputs that it will still see, (width - 1, B, I).
        time: When the last step was, and 1 if there was one, (B, 2).
        pooled: What has been pooled so far; empty where each step is told of.
    """

    recurrent: Any
    inputs: tuple[Tensor, ...]
    time: Tensor
    pooled: PoolState


class SeriesEncoder(nn.Module):
    """Inputs, convolutions if any, recurrent layers, and a pool over the steps.

    ```text
    x_t = the numbers of the step, which of them are there, its categories, what belongs to the series, log(1 + δ_t / u)
    x_t = ReLU(LayerNorm(convolution(..., x_t)))            for each of `convolutions`, dropout behind the last
    h_t = layers(x_t, h_{t-1})
    y = dropout(pool(h_1, ..., h_T)), or y_t = dropout(h_t) where each step is told of
    ```

    δ_t is the time since the step before, zero at the first, and u the usual one in the training part.

    Args:
        options: Shape and regularisation.
        shape: Of the batches.
        per_step: Whether there are features of each step, or of the series.

    Attributes:
        num_features: H, of what is returned: `hidden_size`, twice that in both directions.
        time_unit: u, (); 1 before `fit_time_unit`. Cells that are told the times count them in it too.

    Example:
        >>> options = SeriesEncoderOptions(hidden_size=8, convolutions=(5,), pooling="attention")
        >>> encoder = SeriesEncoder(options, SeriesShape(num_features=2))
        >>> encoder.num_features, encoder.recurrent
        (8, GRU(64, 8))
    """

    time_unit: Tensor

    def __init__(self, options: SeriesEncoderOptions, shape: SeriesShape, *, per_step: bool = False) -> None:
        super().__init__()
        self.options, self.shape = options, shape
        self.inputs = SeriesInputs(shape)
        size = self._num_inputs = self.inputs.num_past + bool(options.time_input)
        is_causal = not options.bidirectional
        self.convolutions = nn.ModuleList()
        for width in options.convolutions:
            self.convolutions.append(StepConvolution(size, options.filters, width, is_causal=is_causal))
            size = options.filters
        between: dict[str, Any] = {}
        if options.num_layers > 1 and options.dropout:
            between = {"dropout": options.dropout, "locked_dropout": True}
        self.recurrent = _CELLS[options.cell](
            size,
            options.hidden_size,
            options.num_layers,
            bidirectional=options.bidirectional,
            skip="residual" if options.residual else None,
            **between,
        )
        num_directions = 2 if options.bidirectional else 1
        self.num_features = options.hidden_size * num_directions
        self.pool = None if per_step else pool_of(options.pooling, self.num_features, num_directions)
        self.locked_dropout = LockedDropout(options.dropout)
        self.dropout = nn.Dropout(options.dropout)
        self.register_buffer("time_unit", torch.ones(()))

    def begin(self, count: int) -> SeriesState:
        """Return the state of so many series before their first step, with which `forward` does as without one."""
        like = self.time_unit
        none = torch.zeros(count, dtype=torch.int64, device=like.device)
        x_1BI = like.new_zeros(1, count, self.recurrent.input_size)
        told = {"times": like.new_zeros(1, count)} if self.options.cell in TIMED_CELLS else {}
        inputs, size = [], self._num_inputs
        for width in self.options.convolutions:
            inputs.append(like.new_zeros(width - 1, count, size))
            size = self.options.filters
        pooled: PoolState = ()
        if self.pool is not None:
            h_1BH = like.new_zeros(1, count, self.num_features)
            _, pooled = self.pool(h_1BH, torch.zeros(1, count, dtype=torch.bool, device=like.device))
        recurrent = self.recurrent(x_1BI, lengths=none, **told)[1]
        return SeriesState(recurrent, tuple(inputs), like.new_zeros(count, 2), pooled)

    def forward(self, batch: SeriesBatch, state: SeriesState | None = None) -> tuple[Tensor, SeriesState]:
        """Return the features of each series, or of each step, and the state after them.

        Args:
            batch: B series of T steps.
            state: As it was returned for the steps before, whose times go on; None at the beginning.

        Returns:
            (B, H), or (T, B, H), zero past each row's end, of the weights' dtype; and the state.

        Raises:
            ValueError: A state is given, but the series are read from their end too; or the batch has another shape
                than the encoder was built for.
        """
        self._check(batch)
        if state is not None and self.options.bidirectional:
            raise ValueError(
                "SeriesEncoder: a state is carried on, but the series are read from their end too; build it with "
                "bidirectional=False."
            )
        times_TB = batch.times.t().to(self.time_unit.dtype)
        is_step_TB = torch.arange(len(times_TB), device=times_TB.device)[:, None] < batch.lengths
        x_TBI, inputs = self._convolved(self._inputs(batch, times_TB, state), is_step_TB, state)
        told = {"times": times_TB / self.time_unit} if self.options.cell in TIMED_CELLS else {}
        before = None if state is None else state.recurrent
        h_TBH, recurrent = self.recurrent(x_TBI, before, lengths=batch.lengths, **told)
        pooled: PoolState = ()
        if self.pool is None:
            features = self.locked_dropout(h_TBH)
        else:
            features, pooled = self.pool(h_TBH, is_step_TB, None if state is None else state.pooled)
            features = self.dropout(features)
        return features, SeriesState(recurrent, inputs, self._time(times_TB, batch.lengths, state), pooled)

    def _check(self, batch: SeriesBatch) -> None:
        shape = self.shape
        found = {
            "numbers": (batch.x, shape.num_features),
            "categories": (batch.codes, len(shape.past_sizes) + len(shape.known_sizes)),
            "static numbers": (batch.static, shape.num_static),
            "static categories": (batch.static_codes, len(shape.static_sizes)),
        }
        for what, (values, wanted) in found.items():
            has = 0 if values is None else values.shape[-1]
            if has != wanted:
                raise ValueError(f"SeriesEncoder: the batch has {has} {what}, but the network is built for {wanted}.")

    def _inputs(self, batch: SeriesBatch, times_TB: Tensor, state: SeriesState | None) -> Tensor:
        """Return the features of the steps, (T, B, I)."""
        x_TBI = self.inputs.past(Timeline.of(batch, self.shape, self.time_unit.dtype))
        if self.options.time_input:
            before_1B = times_TB[:1]
            if state is not None:
                before_1B = torch.where(state.time[:, 1] > 0, state.time[:, 0], before_1B)
            since_TB = torch.cat([before_1B, times_TB[:-1]])
            passed_TB = torch.log1p((times_TB - since_TB).clamp(min=0) / self.time_unit)
            x_TBI = torch.cat([x_TBI, passed_TB.unsqueeze(-1)], 2)
        if self.options.cell == "grud":
            # The numbers are the first features.
            numbers = self.shape.num_features
            x_TBI = torch.cat([batch.with_nan().transpose(0, 1).to(x_TBI.dtype), x_TBI[..., numbers:]], 2)
        return x_TBI

    def _convolved(
        self, x_TBI: Tensor, is_step_TB: Tensor, state: SeriesState | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the convolutions make of the inputs, and what they will still see of them."""
        if not len(self.convolutions):
            return x_TBI, ()
        x_TBI = torch.where(is_step_TB.unsqueeze(-1), x_TBI, 0)
        kept = []
        for number, convolution in enumerate(self.convolutions):
            x_TBI, after = convolution(x_TBI, is_step_TB, None if state is None else state.inputs[number])
            kept.append(after)
        # Never the numbers themselves: of few channels each is needed.
        return self.locked_dropout(x_TBI), tuple(kept)

    def _time(self, times_TB: Tensor, lengths_B: Tensor, state: SeriesState | None) -> Tensor:
        """Return when the last step of each row was, and whether there was one, (B, 2)."""
        last_B = times_TB.gather(0, (lengths_B - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
        time_B2 = torch.stack([last_B, torch.ones_like(last_B)], 1)
        before_B2 = torch.zeros_like(time_B2) if state is None else state.time
        return torch.where((lengths_B > 0)[:, None], time_B2, before_B2)

    def varied(self, batch: SeriesBatch, *, is_end_free: bool) -> SeriesBatch:
        """Return the batch as training reads it: `augmented` by the options; in evaluation itself."""
        if not self.training:
            return batch
        return augmented(batch, self.options, num_calendar=self.shape.num_calendar, is_end_free=is_end_free)

    def fit_time_unit(self, steps: Tensor) -> None:
        """Take the median of the times between steps that are above zero as their unit; 1 if there is none.

        Args:
            steps: Times since the step before, (N,).
        """
        above = steps[steps > 0]
        self.time_unit.fill_(float(above.median()) if len(above) else 1.0)
