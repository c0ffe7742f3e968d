"""Series at any level to numbers around zero, step by step, so that nothing is known before it comes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from recur.models.forecaster_options import Normalize
from recur.models.series_timeline import taken

NormalizationState = tuple[Tensor, ...]
"""What is remembered of the steps before, each (B, C)."""


class Place(NamedTuple):
    """Where series are, which answers are told from.

    Attributes:
        loc: (..., B, C), what an answer is added to.
        mean: (..., B, C), where the series came from: the mean of the steps so far, or 0, that of the training part.
        scale: (..., B, C), above 0, the unit of an answer.
    """

    loc: Tensor
    mean: Tensor
    scale: Tensor


class Normalized(NamedTuple):
    """What a network reads of targets, and where they are.

    Attributes:
        features: (T, B, N), zero where a value is missing.
        place: After 0, 1, ... T steps, (T + 1, B, C).
        state: After each row's last step.
    """

    features: Tensor
    place: Place
    state: NormalizationState


class SeriesNormalization(nn.Module):
    """Takes the level of a series out of what a network reads of its targets, and says how to put it back.

    | kind | the network reads | its answer y means |
    | --- | --- | --- |
    | series | the value, as it was scaled for the series | y |
    | window | (value - mean) / deviation | mean + gate (last value - mean) + deviation y |
    | last | the change since the last value that was there, and value - mean | mean + gate (last value - mean) + y |

    Mean and deviation are those of the steps so far, each older step counting 1 - 1 / `memory` times as much: the
    instance normalisation of Kim et al. (2022) without the steps to come, so that it can go on with a stream. They
    begin at the first value and 1, which count as one step. The last value is that of Lin et al. (2023), section 3.3,
    who always start from it; how much of the way from the mean, `ForecastHead` learns.
    With "window" and "last", adding a constant to a series adds it to the forecast and changes nothing else, unless
    the level is read too. With the level, "last" takes 0, the centre of the scaling, in place of the mean of the steps
    so far.

    Args:
        kind: Which.
        num_targets: C.
        memory: Steps that mean and deviation go back over, from 1 on.
        has_level: Whether the value itself is read too; with "series" it is in any case.

    Attributes:
        num_features: N.
    """

    def __init__(self, kind: Normalize, num_targets: int, memory: int, *, has_level: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.num_targets = num_targets
        self.memory = memory
        self.has_level = has_level and kind != "series"
        self.num_features = num_targets * ((2 if kind == "last" else 1) + self.has_level)
        # The last one that was asked for: batch after batch it is the same.
        self._kept_fading: Tensor | None = None

    def begin(self, count: int, like: Tensor) -> NormalizationState:
        """Return what is remembered of so many series before their first step, of the dtype and device of `like`."""
        if self.kind == "series":
            return ()
        return tuple(like.new_zeros(5, count, self.num_targets).unbind(0))

    def forward(
        self, values: Tensor, is_there: Tensor, lengths: Tensor, state: NormalizationState | None = None
    ) -> Normalized:
        """Return what is read of targets.

        Args:
            values: (T, B, C), 0 where missing.
            is_there: (T, B, C) bool; false from each row's end on.
            lengths: (B,), true steps of each row.
            state: After the steps before; None if there were none.
        """
        if self.kind == "series":
            zeros = values.new_zeros(len(values) + 1, *values.shape[1:])
            return Normalized(values, Place(zeros, zeros, torch.ones_like(zeros)), ())
        if state is None:
            state = self.begin(values.shape[1], values)
        first, latest, *sums = state
        # Row r of these, and of mean and deviation, knows of r steps.
        has_begun, last = torch.cat([(sums[0] > 0)[None], is_there]), torch.cat([latest[None], values])
        earliest = values[0]
        # A look is cheap on a processor; elsewhere it would have to be waited for.
        is_whole = is_there.is_cpu and bool(is_there.all())
        if not is_whole:
            order = torch.arange(len(last), device=values.device)[:, None, None]
            last = last.gather(0, torch.where(has_begun, order, 0).cummax(0).values)
            begins = is_there.to(torch.int8).argmax(0, keepdim=True)
            earliest = (values * is_there).gather(0, begins)[0]
            has_begun = has_begun.cumsum(0) > 0
        first = torch.where(has_begun[0], first, earliest)
        moments = self._moments((values - first) * is_there, is_there, sums)
        count, total, squares = moments.unbind(-1)
        away = total / (count + 1)
        mean = (first + away) * has_begun
        level = [values] if self.has_level else []
        ends = (each[-1] if is_whole else taken(each, lengths[None])[0] for each in (last, moments))
        kept = (first, next(ends), *next(ends).unbind(-1))
        if self.kind == "window":
            # Rounding apart, it is at least this, since the first value counts as a step with the spread 1.
            variance = torch.maximum((squares + 1) / (count + 1) - away.square(), 1 / (count + 1))
            deviation = variance.sqrt()
            position = (values - mean[1:]) / deviation[1:] * is_there
            return Normalized(torch.cat([position, *level], 2), Place(last, mean, deviation), kept)
        # The first value has nothing to have changed from.
        change = (values - last[:-1]) * (is_there & has_begun[:-1])
        from_mean = (values - mean[1:]) * is_there
        place = Place(last, torch.zeros_like(mean) if self.has_level else mean, torch.ones_like(last))
        return Normalized(torch.cat([change, from_mean, *level], 2), place, kept)

    def _moments(self, away: Tensor, is_there: Tensor, sums: list[Tensor]) -> Tensor:
        """Return how many steps counted, their sum and the sum of their squares, (T + 1, B, C, 3), after 0, 1, ... T.

        Args:
            away: (T, B, C), how far each value lies from the first; 0 where missing.
            is_there: (T, B, C) bool.
            sums: The three after the steps before, each (B, C).
        """
        terms = torch.stack([is_there.to(away.dtype), away, away.square()], -1)
        terms = torch.cat([torch.stack(sums, -1)[None], terms])
        found: Tensor = torch.tensordot(self._fading(len(terms), away), terms, 1)
        return found

    def _fading(self, count: int, like: Tensor) -> Tensor:
        """Return how much of each of so many steps is left after each, (count, count): 0 of those ahead."""
        kept = self._kept_fading
        if kept is None or len(kept) != count or kept.dtype != like.dtype or kept.device != like.device:
            # Kept, it may be asked for where gradients are taken.
            with torch.inference_mode(mode=False):
                steps = torch.arange(count, device=like.device)
                keep = torch.tensor(1 - 1 / self.memory, dtype=like.dtype, device=like.device)
                # What lies ahead, whose power may be infinite, is cut off.
                kept = (keep ** (steps[:, None] - steps)).tril()
            self._kept_fading = kept
        return kept
