"""Beam search that holds required phrases: slots shared among banks of hypotheses that got equally far with them.

Grid beam search (Hokamp & Liu 2017) with the dynamic allocation of Post & Vilar (2018): candidates are the likeliest of
each hypothesis and the tokens that go on with a required phrase; the best of each bank goes on before the second best
of any, so that no bank's share is lost where another is empty. Beyond the papers: a token that would leave too little
room for what is still to be said is left out, so that phrases are held whenever the lengths and the model allow it; and
an automaton tells how far a hypothesis is, so that phrases may overlap or come without having been forced.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.decode.beams import Beams, Choice, grid_of, likeliest
from recur.decode.phrases import Phrases


class Banks:
    """Chooses candidates evenly among those that have equally much left to say.

    Args:
        beams: Slots of a row.
        phrases: What each row requires.
        limits: Tokens before the end, at most, of each row; (B,) int64.
        prune: Candidates worse than the best of their bank by more than this are left out, if given.
        end: The token that ends, if one does.
    """

    first_slots: tuple[int, ...] = (0,)
    is_nested = False

    def __init__(self, beams: int, phrases: Phrases, limits: Tensor, prune: float | None, end: int | None) -> None:
        self._width = beams
        self._phrases = phrases
        self._limits = limits
        self._prune = prune
        self._end = end

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow."""
        rows, index = torch.unique_consecutive(beams.row, return_inverse=True)
        shape = (len(rows), self._width)
        token, value, left = self._candidates(allowed, beams)
        parent = torch.arange(len(beams), device=token.device)[:, None].expand_as(token)
        values = grid_of(value, index, beams.slot, shape, -torch.inf).flatten(1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        tokens, lefts, parents = (
            grid_of(part, index, beams.slot, shape, 0).flatten(1).gather(1, order) for part in (token, left, parent)
        )
        # Where any candidate can still say all that is left, those that cannot are left out.
        fits = lefts <= self._limits[rows, None] - beams.tokens.shape[1] - 1
        is_possible = (fits & (values > -torch.inf)).any(dim=1, keepdim=True)
        values = values.masked_fill(is_possible & ~fits, -torch.inf)
        rank, best = _within_banks(values, lefts)
        if self._prune is not None:
            values = values.masked_fill(values < best - self._prune, -torch.inf)
        # By rank within the bank, and of equal ranks those first that have less left to say.
        most = int(lefts.amax()) + 1
        is_there = values > -torch.inf
        order = torch.where(is_there, rank * most + lefts, values.shape[1] * most).argsort(dim=1, stable=True)
        tokens, parents, is_there = (part.gather(1, order) for part in (tokens, parents, is_there))
        is_end = is_there & (tokens == self._end) if self._end is not None else torch.zeros_like(is_there)
        slots = (is_there & ~is_end).cumsum(dim=1) - 1
        is_end[:, self._width :] = False
        row, column = (is_there & ~is_end & (slots < self._width)).nonzero(as_tuple=True)
        ended_row, ended_slot = is_end.nonzero(as_tuple=True)
        return Choice(
            parent=parents[row, column],
            slot=slots[row, column],
            token=tokens[row, column],
            ended=parents[ended_row, ended_slot],
            ended_slot=ended_slot,
        )

    def _candidates(self, allowed: Tensor, beams: Beams) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens, log-probabilities with all before, and how many tokens are left to say; (N, C) each."""
        _, tokens = likeliest(allowed, self._width + 1)
        tokens = torch.cat([tokens, self._phrases.following(beams.row, beams.node)], dim=1)
        if self._end is not None:
            tokens = nn.functional.pad(tokens, (0, 1), value=self._end)
        num = tokens.shape[1]
        values = allowed.gather(1, tokens).double() + beams.log_prob[:, None]
        is_repeated = (tokens[:, :, None] == tokens[:, None]).tril(-1).any(dim=2)
        values = values.masked_fill(is_repeated, -torch.inf)
        row = beams.row.repeat_interleave(num)
        node, met = self._phrases.after(
            row, beams.node.repeat_interleave(num), beams.met.repeat_interleave(num, dim=0), tokens.flatten()
        )
        left = self._phrases.left(row, node, met).view_as(tokens)
        if self._end is not None:
            unsaid = self._phrases.left(beams.row, beams.node, beams.met)
            is_early = (unsaid > 0) & (beams.tokens.shape[1] < self._limits[beams.row])
            is_end = tokens == self._end
            values = values.masked_fill(is_end & is_early[:, None], -torch.inf)
            left = torch.where(is_end, unsaid[:, None], left)
        return tokens, values, left


def _within_banks(values: Tensor, lefts: Tensor) -> tuple[Tensor, Tensor]:
    """Return each candidate's rank among those with equally much left, and the best value there.

    Args:
        values: (R, C), largest first in each row.
        lefts: (R, C) int64.
    """
    banked, order = lefts.sort(dim=1, stable=True)
    place = torch.arange(lefts.shape[1], device=lefts.device).expand_as(lefts)
    is_first = torch.ones_like(banked, dtype=torch.bool)
    is_first[:, 1:] = banked[:, 1:] != banked[:, :-1]
    first = place.masked_fill(~is_first, 0).cummax(dim=1).values
    best = values.gather(1, order).gather(1, first)
    return torch.empty_like(lefts).scatter(1, order, place - first), torch.empty_like(values).scatter(1, order, best)
