"""Sampling: every hypothesis of a row goes on by a draw of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.decode.beams import Beams, Choice
from recur.decode.sampling import Sampling


class Draws:
    """Draws the next token of each hypothesis.

    Args:
        sampling: How.
        num: Hypotheses of a row.
        end: The token that ends, if one does.
        generator: Where the random numbers come from; None is torch's own.
    """

    is_nested = True

    def __init__(self, sampling: Sampling, num: int, end: int | None, generator: torch.Generator | None) -> None:
        self.first_slots = tuple(range(num))
        self._sampling = sampling
        self._end = end
        self._generator = generator

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Return what was drawn; one that nothing may follow is neither open nor ended after that."""
        token = self._sampling.draw(allowed, self._generator)
        is_possible = allowed.amax(dim=1) > -torch.inf
        is_end = is_possible & (token == self._end) if self._end is not None else torch.zeros_like(is_possible)
        if is_possible.all() and not is_end.any():
            all_ones = torch.arange(len(token), device=token.device)
            return Choice(parent=all_ones, slot=beams.slot, token=token, ended=all_ones[:0], ended_slot=all_ones[:0])
        parent = (is_possible & ~is_end).nonzero().squeeze(1)
        ended = is_end.nonzero().squeeze(1)
        return Choice(
            parent=parent, slot=beams.slot[parent], token=token[parent], ended=ended, ended_slot=beams.slot[ended]
        )
