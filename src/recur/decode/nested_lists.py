"""Nested beams in Python's lists: few operations of torch, for few hypotheses."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import NamedTuple

import torch
from torch import Tensor

from recur.decode.beams import Beams, Choice, likeliest


class _Filled(NamedTuple):
    """What a slot of a row chooses: who goes on and with which token, and who ends; -1 where nobody does."""

    row: int
    slot: int
    parent: int
    token: int
    ended: int


class NestedLists:
    """Chooses as `NestedBeams` does, whose arguments it takes."""

    def __init__(self, beams: int, groups: int, diversity: float, prune: float | None, end: int | None) -> None:
        self._width = beams // groups
        self._groups = groups
        self._diversity = diversity
        self._prune = prune
        self._end = end

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow; of equals the lower token, and after the first slot the end last."""
        row, slot = beams.row.tolist(), beams.slot.tolist()
        found: list[_Filled] = []
        said = allowed.new_zeros(max(row) + 1, allowed.shape[1]) if self._groups > 1 and row else None
        for group in range(self._groups):
            members = [n for n, of in enumerate(slot) if of // self._width == group]
            filled = self._fill(allowed, beams, members, row, slot, said) if members else []
            found += filled
            if said is not None and filled:
                # Each slot says what it chose first; without an end none is chosen.
                words = [one.token if one.ended < 0 or self._end is None else self._end for one in filled]
                places = torch.tensor([[one.row for one in filled], words], device=said.device)
                said.index_put_((places[0], places[1]), said.new_ones(()), accumulate=True)
        found.sort(key=lambda one: (one.row, one.slot))
        new = [(one.parent, one.slot, one.token) for one in found if one.parent >= 0]
        ended = [(one.ended, one.slot) for one in found if one.ended >= 0]
        parts = torch.tensor(new, dtype=torch.int64, device=allowed.device).view(-1, 3).unbind(1)
        ends = torch.tensor(ended, dtype=torch.int64, device=allowed.device).view(-1, 2).unbind(1)
        return Choice(parent=parts[0], slot=parts[1], token=parts[2], ended=ends[0], ended_slot=ends[1])

    def _fill(
        self, allowed: Tensor, beams: Beams, members: list[int], row: list[int], slot: list[int], said: Tensor | None
    ) -> list[_Filled]:
        """Return what the slots of a group come to, of all rows."""
        scores, before = allowed, beams.log_prob[:, None]
        if said is not None:
            chosen = torch.tensor(members, device=allowed.device)
            scores, before = allowed[chosen] - self._diversity * said[beams.row[chosen]], before[chosen]
        # One more than can go on, for one of them may be the end.
        values, candidates = likeliest(scores, self._width + 1)
        follow, tokens = (values.double() + before).tolist(), candidates.tolist()
        ends = [-math.inf] * len(members)
        if self._end is not None:
            ends = (scores[:, self._end].double() + before[:, 0]).tolist()
        of_rows: dict[int, dict[int, int]] = {}
        for n, member in enumerate(members):
            of_rows.setdefault(row[member], {})[slot[member]] = n
        found = []
        for number, places in of_rows.items():
            least = -math.inf
            if self._prune is not None:
                least = max(max(self._open(follow[n], tokens[n], default=-math.inf), ends[n]) for n in places.values())
                least -= self._prune
            first = min(places) // self._width * self._width
            # The best first; of equals what came first.
            open_ones: list[tuple[float, int, int, int]] = []
            end_ones: list[tuple[float, int]] = []
            for at in range(first, first + self._width):
                n = places.get(at, -1)
                if n >= 0:
                    for k, (value, token) in enumerate(zip(follow[n], tokens[n], strict=True)):
                        if token != self._end and value >= least and value > -math.inf:
                            heappush(open_ones, (-value, at * len(tokens[n]) + k, token, members[n]))
                    if ends[n] >= least and ends[n] > -math.inf:
                        heappush(end_ones, (-ends[n], members[n]))
                best = heappop(open_ones) if open_ones else (math.inf, 0, 0, -1)
                end = end_ones[0] if end_ones else (math.inf, -1)
                # As `argmax` has it, so that the first slot is greedy among equals too.
                is_lower = at == first and self._end is not None and end[0] == best[0] and best[2] > self._end
                is_end = end[1] >= 0 and (end[0] < best[0] or is_lower)
                if is_end:
                    heappop(end_ones)
                if is_end or best[3] >= 0:
                    found.append(_Filled(number, at, best[3], best[2], end[1] if is_end else -1))
        return found

    def _open(self, values: list[float], tokens: list[int], *, default: float) -> float:
        """Return the best of what goes on."""
        return max((value for value, token in zip(values, tokens, strict=True) if token != self._end), default=default)
