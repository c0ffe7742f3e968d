"""Ids of the tokens of many texts, and the ids that every vocabulary has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
"""Ids of what stands past a row's end, and of every token that is not known."""

END = PADDING
"""Id that ends a target, and that a decoder begins with."""

SPECIAL = 2
"""The first id of a token."""


class Ragged(NamedTuple):
    """Ids of many texts, one after the other.

    Attributes:
        ids: (N,) int32, of all texts.
        offsets: (M + 1,) int64, where each of the M begins, and where the last one ends.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many tokens each text has, (M,)."""
        return np.diff(self.offsets)

    def pieces(self, most: int) -> Iterator[Ragged]:
        """Return the texts in their order, as many at once as have so many tokens; a longer one by itself.

        Args:
            most: Tokens of a piece.

        Example:
            >>> [piece.lengths.tolist() for piece in Ragged.of([[2, 3], [4], [5, 6, 7], []]).pieces(3)]
            [[2, 1], [3, 0]]
        """
        begin, count = 0, len(self.offsets) - 1
        while begin < count:
            # The last text that ends within the piece.
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + most, side="right")) - 1
            end = max(end, begin + 1)
            offsets = self.offsets[begin : end + 1]
            yield Ragged(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0])
            begin = end

    @classmethod
    def of(cls, rows: Iterable[Sequence[int] | NDArray[Any]]) -> Ragged:
        """Return the ids of texts, given one after the other."""
        arrays = [np.asarray(row, np.int32) for row in rows]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(row) for row in arrays], out=offsets[1:])
        return cls(np.concatenate([np.zeros(0, np.int32), *arrays]), offsets)
