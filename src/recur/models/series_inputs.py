"""What a network reads at each step of a series: numbers, what is missing, categories, and what the series is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline


def embedding_size(num_codes: int) -> int:
    """Return how many numbers stand for one of so many codes: 1.6 n^0.56, at most 50 (the rule of the fastai library).

    Example:
        >>> [embedding_size(num_codes) for num_codes in (3, 8, 13, 1000)]
        [3, 5, 7, 50]
    """
    return min(50, round(1.6 * math.pow(num_codes, 0.56)))


class CategoryEmbeddings(nn.Module):
    """A vector for each code of some categories, side by side.

    Code 0, missing or unseen, is the vector of zeros, which says nothing.

    Args:
        sizes: How many codes each has, with 0.

    Attributes:
        num_features: Of what comes out.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, embedding_size(size), padding_idx=0) for size in sizes)
        self.num_features = sum(embedding_size(size) for size in sizes)

    def forward(self, codes: Tensor) -> list[Tensor]:
        """Return the vectors of codes (..., Q), one (..., E) for each of the Q."""
        return [table(codes[..., number]) for number, table in enumerate(self.tables)]


class SeriesInputs(nn.Module):
    """Numbers, marks of what is missing, embedded categories and the numbers of the series, side by side.

    A missing number is 0 and has a mark of 1 beside it; calendar features are never missing and have none.

    Args:
        shape: Of the batches.
        has_targets: Whether the numbers of the targets themselves are among the inputs; their marks are in any case.

    Attributes:
        num_past: I, features of a step that was.
        num_known: K', features of a step of which only what is known of the future is read.

    Example:
        >>> shape = SeriesShape(
        ...     num_features=3, num_targets=1, num_future=2, num_calendar=2, known_sizes=(8,), horizon=1
        ... )
        >>> inputs = SeriesInputs(shape)
        >>> inputs.num_past, inputs.num_known
        (9, 7)
    """

    def __init__(self, shape: SeriesShape, *, has_targets: bool = True) -> None:
        super().__init__()
        self.shape = shape
        self.num_skipped = 0 if has_targets else shape.num_targets
        self.past_codes = CategoryEmbeddings(shape.past_sizes)
        self.known_codes = CategoryEmbeddings(shape.known_sizes)
        self.static_codes = CategoryEmbeddings(shape.static_sizes)
        num_static = 2 * shape.num_static + self.static_codes.num_features
        num_marks = shape.num_features - shape.num_calendar
        of_known = self.known_codes.num_features + num_static
        self.num_past = shape.num_features - self.num_skipped + num_marks + self.past_codes.num_features + of_known
        self.num_known = 2 * shape.num_future - shape.num_calendar + of_known

    def past(self, timeline: Timeline) -> Tensor:
        """Return all that is read of each step, (N, B, I)."""
        shape = self.shape
        marks = ~timeline.is_there[..., : shape.num_features - shape.num_calendar]
        parts = [timeline.numbers[..., self.num_skipped :], marks.to(timeline.numbers.dtype)]
        if timeline.codes is not None:
            own, known = torch.split(timeline.codes, [len(shape.past_sizes), len(shape.known_sizes)], 2)
            parts += [*self.past_codes(own), *self.known_codes(known)]
        return torch.cat([*parts, *self._static(timeline)], 2)

    def known(self, timeline: Timeline) -> Tensor:
        """Return what is known of each step before it comes, (N, B, K')."""
        shape = self.shape
        first = shape.num_features - shape.num_future
        marks = ~timeline.is_there[..., first : shape.num_features - shape.num_calendar]
        parts = [timeline.numbers[..., first:], marks.to(timeline.numbers.dtype)]
        if timeline.codes is not None:
            parts += self.known_codes(timeline.codes[..., len(shape.past_sizes) :])
        return torch.cat([*parts, *self._static(timeline)], 2)

    def _static(self, timeline: Timeline) -> list[Tensor]:
        """Return what belongs to the series, the same at all steps, (N, B, ...)."""
        parts: list[Tensor] = []
        if timeline.static is not None and timeline.is_static_there is not None:
            parts += [timeline.static, (~timeline.is_static_there).to(timeline.static.dtype)]
        if timeline.static_codes is not None:
            parts += self.static_codes(timeline.static_codes)
        return [part.expand(len(timeline.numbers), *part.shape) for part in parts]
