"""Texts in batches of about the same length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.epochs import BatchType, EpochBatches
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.token_ids import PADDING, Ragged

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_TOKENS = 16_384
"""Tokens of a batch, padding included, that a step of ordinary size stays below."""

_GROWTH = 1.1
"""How much longer than the shortest the texts of a bucket are at most."""


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """One batch of texts, padded on the right.

    Attributes:
        x: Token ids, (B, T) int64, 0 past a row's end.
        lengths: Tokens of each text, (B,) int64; none for an empty text.
        target: What is told of each: the number of its class, (B,) int64; or which classes it is of, (B, K) float32.
        weight: How much each counts, (B,) float32; 0 where it is not known what is to be told.
        index: Which example each row is, (B,) int64.
    """

    x: Tensor
    lengths: Tensor
    target: Tensor
    weight: Tensor
    index: Tensor

    def to(self, device: torch.device) -> Self:
        """Return the batch on `device`; itself when it is there already."""
        if self.x.device == device:
            return self
        return replace(
            self, **{name: getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__}
        )


class LengthBatches(EpochBatches[BatchType]):
    """Batches of items of about the same length, whatever they are: the base of batches of texts and of pairs.

    Items lie in buckets by length, each bucket a tenth longer than the one before. In each epoch the items of a bucket
    are shuffled, batches are cut from the buckets in order, and handed out in an order drawn anew; without a seed from
    the shortest to the longest. Nothing is truncated: an item that is longer than `max_tokens` is a batch of its own.

    Args:
        lengths: Of the items, (N,) int64.
        batch_size: Items that a batch has at most.
        max_tokens: Tokens that a batch has at most, padding included.
        seed: Of the order.
        max_squares: The sum of the squares of the padded lengths that a batch has at most; None for any.

    Raises:
        OptionError: A number is out of range.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        batch_size: int,
        max_tokens: int,
        seed: int | None,
        max_squares: int | None = None,
    ) -> None:
        if not is_whole(max_tokens, 1):
            raise OptionError(f"max_tokens: expected a number from 1 on, got {max_tokens!r}.")
        super().__init__(len(lengths), batch_size, seed)
        self.max_tokens = max_tokens
        bounds = _bounds(int(lengths.max(initial=0)))
        self._bucket = np.searchsorted(bounds, lengths)
        self._ends = _ends(bounds[np.sort(self._bucket)], batch_size, max_tokens, max_squares)

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return len(self._ends)

    def _cut(self, order: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        by_bucket = order[np.argsort(self._bucket[order], kind="stable")]
        found = np.split(by_bucket, self._ends[:-1]) if len(self._ends) else []
        if self.seed is None:
            return found
        shuffled = np.random.default_rng([self.seed, self._epoch, 1]).permutation(len(found))
        return [found[number] for number in shuffled]


class TextBatches(LengthBatches[TextBatch]):
    """Batches of texts, each of texts of about the same length.

    Args:
        texts: Token ids of N texts.
        target: (N,) int64 or (N, K) float32, as of `TextBatch`; None where nothing is to be told.
        weight: (N,) float32; None counts each as 1, or as 0 without a target.
        batch_size: As of `LengthBatches`, as all others.
        max_tokens: Likewise.
        seed: Likewise.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> texts = Ragged.of([[2, 3], [4], [5, 6, 7], [8]])
        >>> for batch in TextBatches(texts, np.array([0, 1, 1, 0]), batch_size=2):
        ...     print(batch.x.tolist(), batch.target.tolist())
        [[4], [8]] [1, 0]
        [[2, 3, 0], [5, 6, 7]] [0, 1]
    """

    def __init__(
        self,
        texts: Ragged,
        target: NDArray[np.int64] | NDArray[np.float32] | None = None,
        weight: NDArray[np.float32] | None = None,
        *,
        batch_size: int,
        max_tokens: int = MAX_TOKENS,
        seed: int | None = None,
    ) -> None:
        super().__init__(texts.lengths, batch_size=batch_size, max_tokens=max_tokens, seed=seed)
        self.texts = texts
        count = self.num_items
        self._target = np.zeros(count, np.int64) if target is None else target
        self._weight = np.full(count, np.float32(target is not None)) if weight is None else weight

    def _batch(self, items: NDArray[np.int64]) -> TextBatch:
        import torch

        x, lengths = padded(self.texts, items)
        return TextBatch(
            x=x,
            lengths=lengths,
            target=torch.from_numpy(self._target[items]),
            weight=torch.from_numpy(self._weight[items]),
            index=torch.from_numpy(items),
        )


def padded(texts: Ragged, items: NDArray[np.int64], *, num_more: int = 0) -> tuple[Tensor, Tensor]:
    """Return the ids of some texts, (B, T) int64, `PADDING` past a row's end, and their lengths, (B,) int64.

    Args:
        texts: Of all.
        items: Which of them.
        num_more: Padding that each row has at least, and that its length counts.
    """
    import torch

    lengths, begins = texts.lengths[items], texts.offsets[items]
    # A layer needs a step, though all texts may be empty.
    steps = np.arange(max(1, int(lengths.max(initial=0)) + num_more))
    is_there = steps < lengths[:, None]
    place = np.where(is_there, begins[:, None] + steps, 0)
    ids = texts.ids[place] if len(texts.ids) else np.zeros(place.shape, np.int32)
    return torch.from_numpy(np.where(is_there, ids, PADDING).astype(np.int64)), torch.from_numpy(lengths + num_more)


def _bounds(longest: int) -> NDArray[np.int64]:
    """Return the longest item of each bucket, up to one that holds `longest`."""
    found = [1]
    while found[-1] < longest:
        found.append(max(found[-1] + 1, int(found[-1] * _GROWTH)))
    return np.array(found, np.int64)


def _ends(lengths: NDArray[np.int64], batch_size: int, max_tokens: int, max_squares: int | None) -> NDArray[np.int64]:
    """Return where each batch ends of items whose buckets, by their bounds, grow."""

    def fits(rows: int, longest: int) -> bool:
        return rows * longest <= max_tokens and (max_squares is None or rows * longest**2 <= max_squares)

    ends: list[int] = []
    begin, count = 0, len(lengths)
    while begin < count:
        end = min(begin + batch_size, count)
        # All rows are padded to the longest, which is the last.
        while end > begin + 1 and not fits(end - begin, int(lengths[end - 1])):
            end -= 1
        ends.append(end)
        begin = end
    return np.array(ends, np.int64)
