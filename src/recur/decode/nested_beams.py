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

from torch import Tensor

from recur.decode.beams import Beams, Choice
from recur.decode.nested_lists import NestedLists
from recur.decode.nested_tensors import NestedTensors

_FEW = 64
"""Open hypotheses that lists choose among in less time than tensors, with 1 to 20 beams, on a CPU."""


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
        self.first_slots = tuple(range(0, beams, beams // groups))
        self._lists = NestedLists(beams, groups, diversity, prune, end)
        self._tensors = NestedTensors(beams, groups, diversity, prune, end)

    def choose(self, allowed: Tensor, beams: Beams) -> Choice:
        """Choose among what may follow; of equals the lower token, and after the first slot the end last."""
        return (self._lists if len(beams) <= _FEW else self._tensors).choose(allowed, beams)
