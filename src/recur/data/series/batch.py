"""What travels from series to a model."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from recur.data.batch import Batch


@dataclass(frozen=True, kw_only=True)
class SeriesBatch(Batch):
    """A batch of windows with what is to follow them, or of whole series.

    Everything is padded on the right, numbers with 0, and scaled if there is a scaler. A missing number is 0 too, and
    `observed` says so: nothing is filled in from elsewhere.

    Attributes:
        x: (B, T, F) float32: targets, past-only and known-future numbers, calendar features, in that order.
        lengths: Number of true steps of each row, (B,) int64.
        target: What follows, (B, P, C) float32; of whole series their labels, (B,) or (B, T), int64 or float32.
        weight: Of each target, in its shape, float32; zero where the target is missing or padding.
        index: Which series of the panel each row is, (B,) int64.
        censored: In the shape of `target`, bool: where a label is only a lower bound of the true one. None where none
            is.
        history_weight: How much each step that is read counts where a network learns to tell it too, (B, T) float32:
            the weight of its row, 0 for what lies before the part. None where all count 1.
        observed: (B, T, F) bool, false where a number of `x` is missing or padding.
        times: (B, T) float32, how many steps each step is after the first of its window; seconds where the series have
            no frequency and times are dates. Zero on padding.
        future: (B, P, K) float32, the known-future numbers and calendar features of the steps to be told, or None.
        future_observed: (B, P, K) bool, or None.
        future_times: (B, P) float32, going on from `times`, or None.
        codes: (B, T, Q) int64, categories: past-only ones, then known-future ones; 0 is missing or unseen. None if Q is
            0.
        future_codes: (B, P, Q') int64, the known-future ones of the steps to be told, or None.
        static: (B, S) float32, or None.
        static_observed: (B, S) bool, or None.
        static_codes: (B, S') int64, or None.
        centre: (B, C) float32 of the targets' scaling, so that value = scaled * scale + centre; None for whole series.
        scale: (B, C) float32 likewise.
        row: The row of the panel of the first target, (B,) int64; of whole series their first row.
    """

    observed: Tensor
    times: Tensor
    future: Tensor | None = None
    future_observed: Tensor | None = None
    future_times: Tensor | None = None
    codes: Tensor | None = None
    future_codes: Tensor | None = None
    static: Tensor | None = None
    static_observed: Tensor | None = None
    static_codes: Tensor | None = None
    centre: Tensor | None = None
    scale: Tensor | None = None
    censored: Tensor | None = None
    history_weight: Tensor | None = None
    row: Tensor

    def to(self, device: torch.device) -> SeriesBatch:
        """Return the batch on `device`; itself when it is there already."""
        if self.x.device == device:
            return self
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {n: None if t is None else t.to(device, non_blocking=True) for n, t in given.items()}
        return SeriesBatch(**moved)

    def piece(self, start: int, stop: int) -> SeriesBatch:
        """Return the steps of each row from `start` up to `stop`, with what is known of those that follow.

        A row that ended before has none of them, and keeps what is known of the steps to be told. Reading the pieces of
        a batch one after the other, each from the state after the one before, is reading the batch.
        """
        lengths = (self.lengths - start).clamp(0, stop - start)
        horizon = self.target.shape[1]
        step = self.lengths.clamp(max=stop)[:, None] + torch.arange(horizon, device=lengths.device)
        is_before = step < self.lengths[:, None]
        # What follows is in `x` up to the row's end, and in `future` from there on.
        later = (step - self.lengths[:, None]).clamp(min=0)

        def ahead(past: Tensor, future: Tensor | None) -> Tensor | None:
            if future is None:
                return None
            width = future.shape[2]
            own = past[..., past.shape[2] - width :]
            before = own.gather(1, step.clamp(max=own.shape[1] - 1)[..., None].expand(-1, -1, width))
            after = future.gather(1, later[..., None].expand(-1, -1, width))
            return torch.where(is_before[..., None], before, after)

        return replace(
            self,
            x=self.x[:, start:stop],
            observed=self.observed[:, start:stop],
            times=self.times[:, start:stop],
            codes=None if self.codes is None else self.codes[:, start:stop],
            history_weight=None if self.history_weight is None else self.history_weight[:, start:stop],
            lengths=lengths,
            future=ahead(self.x, self.future),
            future_observed=ahead(self.observed, self.future_observed),
            future_codes=None if self.codes is None else ahead(self.codes, self.future_codes),
        )

    def with_nan(self) -> Tensor:
        """Return `x` with NaN where a number is missing, as `recur.nn.GRUD` takes it; padding stays 0."""
        is_step = torch.arange(self.x.shape[1], device=self.x.device) < self.lengths[:, None]
        return torch.where(self.observed | ~is_step[..., None], self.x, torch.nan)

    def unscaled(self, values: Tensor) -> Tensor:
        """Return what a model says of the targets, (B, ..., C), on the original scale.

        Raises:
            ValueError: The batch is of whole series, whose labels are not scaled.
        """
        if self.centre is None or self.scale is None:
            raise ValueError(
                "SeriesBatch: there is no scaling of the targets to undo; batches of whole series have none."
            )
        shape = (len(self.centre), *[1] * (values.dim() - 2), self.centre.shape[1])
        return values * self.scale.reshape(shape) + self.centre.reshape(shape)
