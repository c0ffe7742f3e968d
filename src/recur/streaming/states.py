"""The state of a network for each of many series, in a few tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.errors import RunError
from recur.nn import nest

_LEAST_ROOM = 16


class SeriesStates:
    """The states of many series beside each other, taken and put back for some of them.

    Args:
        initial: Returns the state of so many rows before their first step: a nest of tensors, each with a dimension for
            the rows. Which one it is shows when the number of rows changes.

    Example:
        >>> states = SeriesStates(lambda rows: {"h": torch.zeros(2, rows, 3)})
        >>> states.grow(4)
        >>> states.put(np.array([1, 3]), {"h": torch.ones(2, 2, 3)})
        >>> states.take(np.array([0, 3]))["h"][0, :, 0]
        tensor([0., 1.])
    """

    def __init__(self, initial: Callable[[int], Any]) -> None:
        one, two = initial(1), initial(2)
        self._structure = nest.structure(one)
        self._names = [name for name, _ in nest.leaves(one)]
        self._fresh: list[Tensor] = [leaf for _, leaf in nest.leaves(one)]
        shapes = [(a.shape, b.shape) for (_, a), (_, b) in zip(nest.leaves(one), nest.leaves(two), strict=True)]
        self._dims = [next(d for d, sizes in enumerate(zip(a, b, strict=True)) if sizes == (1, 2)) for a, b in shapes]
        self._room = 0
        self._count = 0
        self._leaves: list[Tensor] = [leaf.narrow(dim, 0, 0) for leaf, dim in zip(self._fresh, self._dims, strict=True)]

    def grow(self, count: int) -> None:
        """Make room for so many series; new ones have not begun."""
        if count > self._room:
            self._room = max(count, 2 * self._room, _LEAST_ROOM)
            for number, (leaf, dim) in enumerate(zip(self._leaves, self._dims, strict=True)):
                more = self._fresh[number].repeat_interleave(self._room - leaf.shape[dim], dim)
                self._leaves[number] = torch.cat([leaf, more], dim)
        self._count = max(count, self._count)

    def take(self, rows: NDArray[np.int64]) -> Any:
        """Return the states of some series."""
        if self._is_all(rows):
            taken = [leaf.narrow(dim, 0, self._count) for leaf, dim in self._pairs()]
        else:
            index = torch.from_numpy(rows)
            taken = [leaf.index_select(dim, index.to(leaf.device)) for leaf, dim in self._pairs()]
        return nest.rebuilt(self._structure, taken)

    def put(self, rows: NDArray[np.int64], state: Any) -> None:
        """Remember the states of some series."""
        own = [leaf for _, leaf in nest.leaves(state)]
        if self._is_all(rows):
            for (leaf, dim), new in zip(self._pairs(), own, strict=True):
                leaf.narrow(dim, 0, self._count).copy_(new)
            return
        index = torch.from_numpy(rows)
        for (leaf, dim), new in zip(self._pairs(), own, strict=True):
            leaf.index_copy_(dim, index.to(leaf.device), new)

    def tensors(self) -> dict[str, Tensor]:
        """Return the states of all series, on the CPU, by name."""
        pairs = zip(self._names, self._pairs(), strict=True)
        return {name: leaf.narrow(dim, 0, self._count).cpu().contiguous() for name, (leaf, dim) in pairs}

    def load(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Take the states that `tensors` returned.

        Raises:
            RunError: They are of another network.
        """
        self.grow(count)
        for name, (leaf, dim) in zip(self._names, self._pairs(), strict=True):
            own = leaf.narrow(dim, 0, count)
            saved = tensors.get(name)
            if saved is None or saved.shape != own.shape or saved.dtype != own.dtype:
                has = "none" if saved is None else f"{tuple(saved.shape)}, {saved.dtype}"
                raise RunError(f"its state {name!r} is {has}, expected {tuple(own.shape)}, {own.dtype}.")
            own.copy_(saved)

    def _pairs(self) -> list[tuple[Tensor, int]]:
        return list(zip(self._leaves, self._dims, strict=True))

    def _is_all(self, rows: NDArray[np.int64]) -> bool:
        """Return whether these are all series in their order, which need no copies."""
        return len(rows) == self._count and bool((rows == np.arange(self._count)).all())
