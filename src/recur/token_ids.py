"""Ids of the tokens of many texts, and the ids that every vocabulary has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    @classmethod
    def of(cls, rows: Iterable[Sequence[int] | NDArray[Any]]) -> Ragged:
        """Return the ids of texts, given one after the other."""
        arrays = [np.asarray(row, np.int32) for row in rows]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(row) for row in arrays], out=offsets[1:])
        return cls(np.concatenate([np.zeros(0, np.int32), *arrays]), offsets)
