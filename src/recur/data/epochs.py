"""The order in which items are handed out in batches, which can be saved in the middle."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from recur.errors import OptionError, RunError
from recur.kinds import is_whole

BatchType = TypeVar("BatchType")


def check_sharing(batch_size: int, count: int) -> None:
    """Raise unless `count` processes can share a batch.

    Raises:
        OptionError: They cannot.
    """
    if batch_size % count:
        raise OptionError(
            f"batch_size: {batch_size} cannot be shared equally by {count} processes; give a multiple of {count}."
        )


class EpochBatches(ABC, Generic[BatchType]):
    """An epoch of batches after the other, in order or shuffled by a seed; the base of batches of series and of texts.

    Each epoch goes through all items once. Seed and number of the epoch alone decide on the order, so that a saved
    position goes on with the same batches.

    Args:
        num_items: How many items there are.
        batch_size: How many a batch has; the last of an epoch may have fewer.
        seed: Of the order; None for the order in which they are.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int | None) -> None:
        if not is_whole(batch_size, 1):
            raise OptionError(f"batch_size: expected a number from 1 on, got {batch_size!r}.")
        if seed is not None and not is_whole(seed, 0):
            raise OptionError(f"seed: expected a number from 0 on or None, got {seed!r}.")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self._epoch = self._position = 0
        self._resume_at: int | None = None
        self._rank, self._count = 0, 1

    def shared(self, rank: int, count: int) -> Self:
        """Return what one of several processes reads: every `count`-th item of each batch, beginning at `rank`.

        All have the same number of items in every batch. Where the last one of an epoch has too few, it is filled up
        with items from the epoch's beginning.

        Raises:
            OptionError: The items of a batch cannot be shared equally, or there is no such process.
        """
        if not (is_whole(count, 1) and is_whole(rank, 0) and rank < count):
            raise OptionError(f"rank: expected a number from 0 to below count, {count!r}, got {rank!r}.")
        check_sharing(self.batch_size, count)
        share = copy.copy(self)
        share._rank, share._count = rank, count
        return share

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return -(-self.num_items // self.batch_size)

    def __iter__(self) -> Iterator[BatchType]:
        """Yield the batches of an epoch, the first time after `load_state_dict` from where it stopped."""
        first, self._resume_at = self._resume_at or 0, None
        self._position = first
        order = self._order()
        cut = self._cut(order)
        for number in range(first, len(cut)):
            # Counted before it is handed out: a state saved while this batch is trained on goes on after it.
            self._position = number + 1
            yield self._batch(self._own(cut[number], order))
        self._position, self._epoch = 0, self._epoch + 1

    def _order(self) -> NDArray[np.int64]:
        if self.seed is None:
            return np.arange(self.num_items)
        return np.random.default_rng([self.seed, self._epoch]).permutation(self.num_items)

    def _cut(self, order: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Return the items of each batch of this epoch, as many batches as in any other."""
        return [order[first : first + self.batch_size] for first in range(0, self.num_items, self.batch_size)]

    def _own(self, items: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's items of a batch."""
        if self._count == 1:
            return items
        return np.concatenate([items, np.resize(order, -len(items) % self._count)])[self._rank :: self._count]

    def batch(self, items: NDArray[np.int64]) -> BatchType:
        """Return a batch of some items, numbered as they come without a seed."""
        return self._batch(items)

    @abstractmethod
    def _batch(self, items: NDArray[np.int64]) -> BatchType:
        """Return some of the items."""

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the epoch and of the batches already handed out in it, and what they count on."""
        epochs, position = divmod(self._position, max(1, len(self)))
        counted = {"items": self.num_items, "batch_size": self.batch_size, "seed": self.seed}
        return {"epoch": self._epoch + epochs, "position": position, **counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin after the batches that `state` says were handed out; later ones begin at 0.

        Raises:
            RunError: The state is of other items, another batch size or another seed, or is damaged.
        """
        expected = {"items": self.num_items, "batch_size": self.batch_size, "seed": self.seed}
        for name, value in expected.items():
            if state.get(name) != value:
                raise RunError(
                    f"the saved position counts on {name.replace('_', ' ')} {state.get(name)}, but here it is "
                    f"{value}; resume with the same data and options."
                )
        epoch, position = state.get("epoch"), state.get("position")
        if not is_whole(epoch, 0) or not is_whole(position, 0) or position >= max(1, len(self)):
            raise RunError(f"the saved position is damaged: epoch {epoch!r}, position {position!r}.")
        self._epoch, self._position, self._resume_at = epoch, position, position
