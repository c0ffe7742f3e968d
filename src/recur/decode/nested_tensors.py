"""Nested beams in tensors: the slots of all rows are filled at once, for many hypotheses."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.decode.beams import Beams, Choice, grid_of, likeliest


class NestedTensors:
    """Chooses as `NestedBeams` does, whose arguments it takes."""

    def __init__(self, beams: int, groups: int, diversity: float, prune: float | None, end: int | None) -> None:
        self._width = beams // groups
        self._groups = groups
        self._diversity = diversity
        self._prune = prune
        self._end = end

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow; of equals the lower token, and after the first slot the end last."""
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
            if last == 1 and self._end is not None:
                # As `argmax` has it, so that the first slot is greedy among equals too.
                is_end |= (best_end == best) & (tokens.gather(1, at) > self._end) & (best > -torch.inf)
            open_ones.scatter_(1, at, -torch.inf)
            ends.scatter_(1, end_at, best_end.masked_fill(is_end, -torch.inf))
            for of_slots, of_slot in zip((bests, places, ended, end_places), (best, at, is_end, end_at), strict=True):
                of_slots.append(of_slot)
        place_of = torch.cat(places, dim=1)
        parent = parents.gather(1, place_of // num).masked_fill(torch.cat(bests, dim=1) == -torch.inf, -1)
        ends_at = parents.gather(1, torch.cat(end_places, dim=1)).masked_fill(~torch.cat(ended, dim=1), -1)
        return parent, tokens.gather(1, place_of), ends_at
