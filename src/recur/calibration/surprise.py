"""How surprising errors are beside those that came before, on streams, with the state as an argument and a result."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recur.kinds import is_number
from recur.score.counting import floating

_BINS_PER_OCTAVE = 3
_SMALLEST, _LARGEST = -60, 60
"""Bins lie between these powers of two, 1e-18 and 1e18; what is outside falls into the last or the first."""

NUM_BINS = (_LARGEST - _SMALLEST) * _BINS_PER_OCTAVE + 1

_TAIL_SHARE = 0.02
_LEAST_IN_TAIL = 10.0
_LEAST_SEEN = 50.0
"""With less that counts, nothing is said."""
_MOST = 300.0
"""The smallest likelihoods that numbers can tell; so much is an error after nothing but zeros."""
_MOST_ELEMENTS = 2**17
"""Of a table that the cache of a core holds."""
_LONGEST_CHUNK = 512
_USED_BINS = 64
"""About as many have errors in them."""


class SurpriseScale:
    """Turns errors of any size into surprises: -log10 of how likely an error is to be as large as this one, up to 300.

    Each stream has a histogram of the logarithms of its errors, in which older ones fade. Within it the likelihood is
    the share of errors that are as large; beyond the largest 2 % it goes on as an exponential tail with their mean
    excess, as of `recur.calibration.Tail` with a shape of 0. A surprise of 3 is an error that one in a thousand
    reaches. Errors in another unit get the same surprises, from 1e-18 to 1e18. An error is judged before it is learned
    from, so that nothing later than a step has a part in what is said of it. The histogram is the whole state: `begin`
    makes one, `advance` takes and returns one.

    Args:
        memory: Errors after which an old one counts 1/e, at least 100.

    Raises:
        TypeError: `memory` is no number.
        ValueError: It is below 100 or not finite.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> scale = SurpriseScale(memory=10_000)
        >>> errors = torch.randn(2000, 1, generator=generator).abs().double()
        >>> _, counts = scale.advance(errors, scale.begin(1))
        >>> surprise, _ = scale.advance(torch.tensor([[0.67], [8.0]]).double(), counts)
        >>> [f"{value:.1f}" for value in surprise[:, 0]]
        ['0.3', '7.1']
    """

    def __init__(self, memory: float = 10_000) -> None:
        if not is_number(memory):
            raise TypeError(f"SurpriseScale: memory must be a number, but is {type(memory).__name__}.")
        if not 100 <= memory < math.inf:
            raise ValueError(f"SurpriseScale: memory is {memory}, but must be at least 100 and finite.")
        self.memory = memory
        self._keep = 1 - 1 / memory
        place = torch.arange(NUM_BINS, dtype=torch.float64) / _BINS_PER_OCTAVE + _SMALLEST
        # The bin of the largest errors comes first; the last one begins at 0.
        self._end = torch.exp2(place).flip(0)
        self._begin = torch.cat([self._end[1:], place.new_zeros(1)])
        self._middle = torch.cat([(self._begin[:-1] * self._end[:-1]).sqrt(), self._end[-1:] / 2])

    def begin(self, *shape: int) -> Tensor:
        """Return the state of streams that have seen nothing, (..., `NUM_BINS`) float64."""
        return torch.zeros(*shape, NUM_BINS, dtype=torch.float64)

    def advance(self, errors: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return how surprising the next errors are, and the state after them.

        Args:
            errors: (T, ...), floating, from 0 on; NaN is missing and changes nothing.
            counts: The state, (..., `NUM_BINS`).

        Returns:
            (T, ...) float64, NaN where an error is missing, or those before it, as far as they are not forgotten, are
            fewer than 50; and the state.

        Raises:
            TypeError: `errors` is no floating tensor.
            ValueError: It does not fit the state, or has a negative error.
        """
        if floating("SurpriseScale", "errors", errors).shape[1:] != counts.shape[:-1]:
            raise ValueError(
                f"SurpriseScale: errors have shape {tuple(errors.shape)}, but the state is of streams "
                f"{tuple(counts.shape[:-1])}; expected (T, ...) with these."
            )
        if bool((errors < 0).any()):
            raise ValueError("SurpriseScale: an error is negative. Give its size.")
        is_there = ~errors.isnan()
        size = torch.where(is_there, errors.double(), 0)
        place = self._place(size)
        # Of all bins a stream has errors in few; the others change nothing.
        is_used = counts.reshape(-1, NUM_BINS).any(0)
        is_used[place.flatten()] = True
        bins = is_used.nonzero().squeeze(1)
        place = (is_used.cumsum(0) - 1)[place]
        table = counts[..., bins]
        # By nothing that later errors change, or the last digits would know of them.
        length = max(1, min(_LONGEST_CHUNK, _MOST_ELEMENTS // max(_USED_BINS * counts[..., 0].numel(), 1)))
        found = []
        for begin in range(0, len(errors), length):
            rows = slice(begin, begin + length)
            surprise, table = self._chunk(size[rows], is_there[rows], place[rows], table, bins)
            found.append(surprise)
        after = torch.zeros_like(counts)
        after[..., bins] = table
        return torch.cat(found) if found else errors.double(), after

    def _place(self, size: Tensor) -> Tensor:
        """Return the bins of errors."""
        octave = size.clamp(min=torch.finfo(torch.float64).tiny).log2()
        # Before they become whole numbers, which have no infinity.
        above = ((octave - _SMALLEST) * _BINS_PER_OCTAVE).floor().clamp(-1, NUM_BINS - 2).long() + 1
        return NUM_BINS - 1 - above

    def _chunk(
        self, size: Tensor, is_there: Tensor, place: Tensor, counts: Tensor, bins: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the surprises of some errors, and the counts in `bins`, to which `place` refers, after them."""
        # A stream forgets with what it sees, not with time.
        age = self._keep ** is_there.double().cumsum(0)
        table = size.new_zeros(len(size) + 1, *size.shape[1:], len(bins))
        table[0] = counts
        table[1:].scatter_(-1, place.unsqueeze(-1), (is_there / age).unsqueeze(-1))
        table.cumsum_(0)
        table[1:] *= age.unsqueeze(-1)
        surprise = self._surprise(size, place.unsqueeze(-1), table[:-1], bins)
        return torch.where(is_there, surprise, torch.nan), table[-1]

    def _surprise(self, size: Tensor, place: Tensor, before: Tensor, bins: Tensor) -> Tensor:
        """Return the surprises of errors at `place` of some bins, by the histograms `before` them."""
        begin, end, middle = (edges[bins] for edges in (self._begin, self._end, self._middle))
        from_here = before.cumsum(-1)
        number = from_here[..., -1]
        inside = before.gather(-1, place)[..., 0]
        bin_begin, bin_end = begin[place[..., 0]], end[place[..., 0]]
        share_below = ((size - bin_begin) / (bin_end - bin_begin)).clamp(0, 1)
        reached = from_here.gather(-1, place)[..., 0] - inside * share_below
        # The tail begins with the first bin up to which there is enough.
        enough = (number * _TAIL_SHARE).clamp(min=_LEAST_IN_TAIL)
        first = (from_here < enough.unsqueeze(-1)).sum(-1, keepdim=True).clamp(max=len(bins) - 1)
        in_tail = from_here.gather(-1, first)[..., 0].clamp(min=1e-9)
        total = (before * middle).cumsum_(-1).gather(-1, first)[..., 0]
        level = begin[first[..., 0]]
        excess = (total / in_tail - level).clamp(min=self._end[-1])
        tail = (number.clamp(min=1) / in_tail).log10() + ((size - level) / excess).clamp(min=0) / math.log(10)
        tail = tail.clamp(max=_MOST)
        within = ((number + 1) / (reached + 1)).log10()
        is_within = (reached > _LEAST_IN_TAIL) | (number < 1.5 * _LEAST_SEEN)
        # Neither may say less than what was seen: an error that none reached is beyond one in all.
        return torch.where(number < _LEAST_SEEN, torch.nan, torch.where(is_within, within, torch.maximum(tail, within)))
