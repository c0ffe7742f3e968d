"""Beam search in which a wider beam finds all that a narrower one finds.

In plain beam search the best candidates of all beams go on together, so that one more beam can push out what a narrower
search would have found, and end worse. Here the slots of a row choose in order, and each sees only what follows itself
and those before it. So the first w slots are at every step exactly what a search with w slots would have, whatever
comes after them; the first alone is greedy decoding (monotonic beam search; Lemons et al. 2022). What ends is kept
aside and its slot chooses again. With the rule of `Search` for when a row is done, all that a narrower search finds a
wider one finds too, so that its best never scores worse, under any penalty. Pruning and groups of diverse beams give
this up: both let one hypothesis depend on others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recur.decode.beams import Beams, Choice, grid_of, likeliest


class NestedBeams:
    """Chooses the best candidates of each row, slot by slot, and group by group.

    Args:
        beams: Slots of a row.
        groups: Groups that they are split into (Vijayakumar et al. 2018, algorithm 1, with the Hamming diversity).
        diversity: What a candidate loses for each beam of an earlier group that chose its token.
        prune: Candidates worse than their row's best by more than this are left out, if given.
        end: The token that ends, if one does.
    """

    is_nested = True

    def __init__(self, beams: int, groups: int, diversity: float, prune: float | None, end: int | None) -> None:
        self._width = beams // groups
        self._groups = groups
        self._diversity = diversity
        self._prune = prune
        self._end = end
        self.first_slots = tuple(range(0, beams, self._width))

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow; of equals the lower token, the end last."""
        rows, index = torch.unique_consecutive(beams.row, return_inverse=True)
        parents, tokens, ended = [], [], []
        said = allowed.new_zeros(len(rows), allowed.shape[1]) if self._groups > 1 else None
        for group in range(self._groups):
            members = (beams.slot // self._width == group).nonzero().squeeze(1) if self._groups > 1 else None
            parent, token, ends = self._fill(allowed, beams, members, index, len(rows), said)
            parents.append(parent)
            tokens.append(token)
            ended.append(ends)
            if said is not None:
                # Each slot says what it chose first; without an end none is chosen.
                words = token if self._end is None else token.masked_fill(ends >= 0, self._end)
                said.scatter_add_(1, words, ((parent >= 0) | (ends >= 0)).to(said.dtype))
        parent, token, ends = (torch.cat(parts, dim=1) for parts in (parents, tokens, ended))
        row, slot = (parent >= 0).nonzero(as_tuple=True)
        ended_row, ended_slot = (ends >= 0).nonzero(as_tuple=True)
        return Choice(
            parent=parent[row, slot],
            slot=slot,
            token=token[row, slot],
            ended=ends[ended_row, ended_slot],
            ended_slot=ended_slot,
        )

    def _fill(
        self, allowed: Tensor, beams: Beams, members: Tensor | None, index: Tensor, num_rows: int, said: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return parents, tokens and ended parents of a group's slots, (R, W) int64; -1 where there is none."""
        width, shape = self._width, (num_rows, self._width)
        place = torch.arange(len(beams), device=allowed.device) if members is None else members
        index, slot, before = index[place], beams.slot[place] % width, beams.log_prob[place, None]
        scores = allowed if members is None else allowed[members]
        if said is not None and scores.numel():
            scores = scores - self._diversity * said[index]
        # One more than can go on, for one of them may be the end.
        values, candidates = likeliest(scores, width + 1)
        num = candidates.shape[1]
        values = values.double() + before
        if self._end is not None:
            ends = grid_of(scores[:, self._end].double() + before[:, 0], index, slot, shape, -torch.inf)
            values = values.masked_fill(candidates == self._end, -torch.inf)
        else:
            ends = before.new_full(shape, -torch.inf)
        open_ones = grid_of(values, index, slot, shape, -torch.inf).flatten(1)
        tokens = grid_of(candidates, index, slot, shape, 0).flatten(1)
        parents = grid_of(place, index, slot, shape, -1)
        if self._prune is not None:
            least = torch.maximum(open_ones.amax(dim=1), ends.amax(dim=1))[:, None] - self._prune
            open_ones = open_ones.masked_fill(open_ones < least, -torch.inf)
            ends = ends.masked_fill(ends < least, -torch.inf)
        bests: list[Tensor] = []
        places: list[Tensor] = []
        ended: list[Tensor] = []
        end_places: list[Tensor] = []
        for last in range(1, width + 1):
            best, at = open_ones[:, : last * num].max(dim=1, keepdim=True)
            best_end, end_at = ends[:, :last].max(dim=1, keepdim=True)
            is_end = best_end > best
            open_ones.scatter_(1, at, -torch.inf)
            ends.scatter_(1, end_at, best_end.masked_fill(is_end, -torch.inf))
            for of_slots, of_slot in zip((bests, places, ended, end_places), (best, at, is_end, end_at), strict=True):
                of_slots.append(of_slot)
        place_of = torch.cat(places, dim=1)
        parent = parents.gather(1, place_of // num).masked_fill(torch.cat(bests, dim=1) == -torch.inf, -1)
        ends_at = parents.gather(1, torch.cat(end_places, dim=1)).masked_fill(~torch.cat(ended, dim=1), -1)
        return parent, tokens.gather(1, place_of), ends_at
