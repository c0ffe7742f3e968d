"""Open hypotheses, and how those of the next step are chosen among what may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_LONG = 1024
"""Rows of scores from this length on are looked through in chunks."""

_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Beams:
    """The open hypotheses of all rows, ordered by row and then by slot; N of them, after T tokens."""

    row: Tensor
    """(N,) int64."""

    slot: Tensor
    """Place among the row's beams, (N,) int64."""

    newest: Tensor
    """The token that the model reads next, (N,) int64."""

    tokens: Tensor
    """(N, T) int64, without the start."""

    log_prob: Tensor
    """(N,) float64."""

    trail: Tensor
    """Its place among the open ones at the step that led to each token, (N, T) int64."""

    coverage: Tensor | None
    """Attention that each source position had, (N, S) float64; None where it does not count."""

    node: Tensor
    """Where in the automaton of the required phrases it is, (N,) int64."""

    met: Tensor
    """Which of them it holds, (N, P) bool."""

    def take(self, chosen: Tensor) -> Beams:
        """Return the chosen ones: their places, (M,) int64, or (N,) bool."""
        return Beams(
            row=self.row[chosen],
            slot=self.slot[chosen],
            newest=self.newest[chosen],
            tokens=self.tokens[chosen],
            log_prob=self.log_prob[chosen],
            trail=self.trail[chosen],
            coverage=None if self.coverage is None else self.coverage[chosen],
            node=self.node[chosen],
            met=self.met[chosen],
        )

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a step leads to."""

    parent: Tensor
    """Of each new open hypothesis the place of the one that it goes on with, (M,) int64."""

    slot: Tensor
    """Its slot, (M,) int64; ordered by row and then by this."""

    token: Tensor
    """Its new token, (M,) int64."""

    ended: Tensor
    """Places of those that end, (E,) int64."""

    ended_slot: Tensor
    """The slot that each is counted for, (E,) int64, no two of a row the same."""


class Selection(Protocol):
    """A way to choose."""

    first_slots: tuple[int, ...]
    """Slots that a row begins with."""

    is_nested: bool
    """Whether what the first beams of a row find does not depend on how many come after them."""

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow.

        Args:
            allowed: Log-probabilities, (N, V), minus infinity where a token may not follow.
            beams: The N open hypotheses.
        """
        ...


def grid_of(values: Tensor, index: Tensor, slot: Tensor, shape: tuple[int, int], fill: float) -> Tensor:
    """Return what belongs to N hypotheses, (N, ...), in a grid of rows and slots, (R, K, ...)."""
    grid = values.new_full((*shape, *values.shape[1:]), fill)
    grid[index, slot] = values
    return grid


def likeliest(scores: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return the `num` largest of each row and their places, (N, num), largest first; all where there are fewer.

    Of equals the first comes first, as with `argmax`.
    """
    num = min(num, scores.shape[1])
    values, places = _largest(scores, min(num + 1, scores.shape[1]))
    # It takes any of equals, in any order.
    is_tied = ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)).any(dim=1)
    values, places = values[:, :num], places[:, :num]
    if is_tied.any():
        rest = scores[is_tied]
        found = []
        for _ in range(num):
            largest = rest.max(dim=1, keepdim=True)
            found.append(largest)
            rest.scatter_(1, largest.indices, -torch.inf)
        values[is_tied] = torch.cat([one.values for one in found], dim=1)
        places[is_tied] = torch.cat([one.indices for one in found], dim=1)
    return values, places


def first_largest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest of each row and its place, (N,), of equals the first, as `max` does, which takes longer."""
    length = scores.shape[1]
    whole = length // _CHUNK * _CHUNK
    if length < _LONG:
        found = scores.max(dim=1)
        return found.values, found.indices
    # The first chunk with the highest maximum has the first of the largest.
    highest = scores[:, :whole].reshape(len(scores), whole // _CHUNK, _CHUNK).amax(dim=2)
    if whole < length:
        highest = torch.cat([highest, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    chunk = highest.max(dim=1)
    begin = chunk.indices * _CHUNK
    places = begin[:, None] + torch.arange(_CHUNK, device=scores.device)
    within = scores.gather(1, places.clamp(max=length - 1)).masked_fill(places >= length, -torch.inf)
    return chunk.values, begin + within.argmax(dim=1)


def _largest(scores: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return the same as `topk`, which takes several times as long for long rows and few of each."""
    length = scores.shape[1]
    whole = length // _CHUNK * _CHUNK
    if length < _LONG or num > length // _CHUNK // 2:
        found = scores.topk(num, dim=1)
        return found.values, found.indices
    # The largest are in the chunks that have the largest maxima.
    highest = scores[:, :whole].reshape(len(scores), whole // _CHUNK, _CHUNK).amax(dim=2)
    if whole < length:
        highest = torch.cat([highest, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    chunks = highest.topk(num, dim=1).indices
    places = (chunks[:, :, None] * _CHUNK + torch.arange(_CHUNK, device=scores.device)).flatten(1)
    within = scores.gather(1, places.clamp(max=length - 1)).masked_fill(places >= length, -torch.inf)
    found = within.topk(num, dim=1)
    return found.values, places.gather(1, found.indices)
