"""Where each example stood, for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Where each of N examples stood.

    Attributes:
        names: Of the files, or what else the examples came from.
        units: What is counted in each of them: "line", "row", "conversation"; "" where a file is one example.
        source: (N,) int64, which of `names` an example came from.
        number: (N,) int64, which line or row of it, from 1 on.

    Example:
        >>> places = Places.of("train.tsv", [1, 2, 4], "row") + Places.of("test.tsv", [1], "row")
        >>> places[2], places[3], len(places)
        ('train.tsv, row 4', 'test.tsv, row 1', 4)
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    source: NDArray[np.int64]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, numbers: Sequence[int] | NDArray[Any], unit: str = "line") -> Places:
        """Return the places of examples that all came from one file."""
        number = np.asarray(numbers, np.int64)
        return cls(names=(name,), units=(unit,), source=np.zeros_like(number), number=number)

    @classmethod
    def of_files(cls, names: Sequence[str]) -> Places:
        """Return the places of examples that are a file each."""
        count = np.arange(len(names))
        return cls(names=tuple(names), units=("",) * len(names), source=count, number=np.ones_like(count))

    @classmethod
    def joined(cls, all_places: Iterable[Places]) -> Places:
        """Return the places of several sets of examples, one after the other."""
        found = list(all_places)
        firsts = np.cumsum([0, *(len(places.names) for places in found)])
        return cls(
            names=tuple(name for places in found for name in places.names),
            units=tuple(unit for places in found for unit in places.units),
            source=np.concatenate([places.source + first for places, first in zip(found, firsts, strict=False)]),
            number=np.concatenate([places.number for places in found]),
        )

    def __add__(self, other: Places) -> Places:
        return Places.joined([self, other])

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, index: int) -> str:
        """Return where an example stood, such as "train.tsv, row 4"."""
        source = int(self.source[index])
        unit = self.units[source]
        return f"{self.names[source]}, {unit} {int(self.number[index]):,}" if unit else self.names[source]

    def take(self, indices: NDArray[Any]) -> Places:
        """Return the places of some of the examples, in the order given."""
        return replace(self, source=self.source[indices], number=self.number[indices])
