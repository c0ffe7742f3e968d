"""What was and what follows it, in one row of steps for each series of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch
    from recur.models.series_shape import SeriesShape

Ahead = Literal["nothing", "known", "targets"]
"""What of the steps to be told there is: nothing, not even they; what is known of them; the targets themselves too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """The steps of a batch, time first; each row's steps to be told come right after its last step.

    Attributes:
        numbers: (N, B, F), in the order of `SeriesBatch.x`; 0 where missing. N is T, or T + P with what is ahead.
        is_there: (N, B, F) bool.
        codes: (N, B, Q) int64, or None where there are no categories.
        static: (B, S), or None.
        is_static_there: (B, S) bool, or None.
        static_codes: (B, S') int64, or None.
        lengths: True steps of the history of each row, (B,).
    """

    numbers: Tensor
    is_there: Tensor
    codes: Tensor | None
    static: Tensor | None
    is_static_there: Tensor | None
    static_codes: Tensor | None
    lengths: Tensor

    @classmethod
    def of(cls, batch: SeriesBatch, shape: SeriesShape, dtype: torch.dtype, ahead: Ahead = "nothing") -> Timeline:
        """Return the steps of a batch.

        Args:
            batch: The batch.
            shape: Its shape.
            dtype: Of the numbers.
            ahead: What of the steps to be told it is to have. `target` is looked at for "targets" alone.
        """
        numbers, is_there, codes = batch.x.to(dtype), batch.observed, batch.codes
        if ahead != "nothing":
            more, are_there = _ahead(batch, shape, dtype, has_targets=ahead == "targets")
            numbers = follow_on(numbers, more, batch.lengths)
            is_there = follow_on(is_there, are_there, batch.lengths)
            if codes is not None:
                own = codes.new_zeros(len(codes), shape.horizon, len(shape.past_sizes))
                later = own if batch.future_codes is None else torch.cat([own, batch.future_codes], 2)
                codes = follow_on(codes, later, batch.lengths)
        return cls(
            numbers=numbers.transpose(0, 1),
            is_there=is_there.transpose(0, 1),
            codes=None if codes is None else codes.transpose(0, 1),
            static=None if batch.static is None else batch.static.to(dtype),
            is_static_there=batch.static_observed,
            static_codes=batch.static_codes,
            lengths=batch.lengths,
        )

    def first(self, num_steps: int) -> Timeline:
        """Return the first steps alone."""
        return replace(
            self,
            numbers=self.numbers[:num_steps],
            is_there=self.is_there[:num_steps],
            codes=None if self.codes is None else self.codes[:num_steps],
        )

    def step(self, place: Tensor, targets: Tensor) -> Timeline:
        """Return one step of each row, several times, with other targets.

        Args:
            place: Which step, (B,).
            targets: (S, B, C), all of them there.

        Returns:
            One step of S * B rows, first all rows with the first of the targets.
        """
        count, _, num_targets = targets.shape

        def several(values: Tensor) -> Tensor:
            return values.repeat(1, count, *[1] * (values.dim() - 2))

        numbers, is_there = (several(taken(each, place[None])) for each in (self.numbers, self.is_there))
        numbers[0, :, :num_targets] = targets.flatten(0, 1)
        is_there[..., :num_targets] = True
        static, is_static_there, static_codes = (
            None if each is None else several(each[None])[0]
            for each in (self.static, self.is_static_there, self.static_codes)
        )
        return Timeline(
            numbers=numbers,
            is_there=is_there,
            codes=None if self.codes is None else several(taken(self.codes, place[None])),
            static=static,
            is_static_there=is_static_there,
            static_codes=static_codes,
            lengths=place.new_ones(numbers.shape[1]),
        )


def _ahead(batch: SeriesBatch, shape: SeriesShape, dtype: torch.dtype, *, has_targets: bool) -> tuple[Tensor, Tensor]:
    """Return the numbers of the steps to be told, (B, P, F), and which are there; of the past alone there are none."""
    rows, num_steps = len(batch.x), shape.horizon
    if has_targets:
        target, is_told = batch.target.to(dtype), batch.weight > 0
        parts, there = [torch.where(is_told, target, 0)], [is_told]
    else:
        parts = [batch.x.new_zeros(rows, num_steps, shape.num_targets, dtype=dtype)]
        there = [batch.observed.new_zeros(rows, num_steps, shape.num_targets)]
    parts.append(batch.x.new_zeros(rows, num_steps, shape.num_past_only, dtype=dtype))
    there.append(batch.observed.new_zeros(rows, num_steps, shape.num_past_only))
    if batch.future is not None and batch.future_observed is not None:
        parts.append(batch.future.to(dtype))
        there.append(batch.future_observed)
    return torch.cat(parts, 2), torch.cat(there, 2)


def follow_on(before: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, ...) with (B, P, ...) put right after each row's last step, (B, T + P, ...); zero past that."""
    num_steps, num_more = before.shape[1], after.shape[1]
    if lengths.is_cpu and bool((lengths == num_steps).all()):
        return torch.cat([before, after], 1)
    steps = torch.arange(num_steps + num_more, device=before.device)
    ends = lengths[:, None]
    place = torch.where(steps < ends, steps, steps + num_steps - ends).clamp(max=num_steps + num_more - 1)
    whole = torch.cat([before, after], 1)
    wide = [1] * (whole.dim() - 2)
    found = whole.gather(1, place.view(*place.shape, *wide).expand_as(whole))
    return found.masked_fill((steps >= ends + num_more).view(*place.shape, *wide), 0)


def taken(values: Tensor, steps: Tensor) -> Tensor:
    """Return the values (N, B, ...) at `steps`, (..., B): (..., B, the rest)."""
    rest = values.shape[2:]
    flat = steps.reshape(-1, steps.shape[-1])
    place = flat.view(*flat.shape, *[1] * len(rest)).expand(*flat.shape, *rest)
    return values.gather(0, place).view(*steps.shape, *rest)
