"""Pairs of texts in batches of about the same length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.batches import MAX_TOKENS, LengthBatches, padded
from recur.token_ids import Ragged

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_ATTENTION = 1 << 26
"""Source tokens times target tokens that are learned from at once, padding included: attention has a weight for each,
and a step keeps several times as many numbers, of 4 bytes each."""


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """One batch of pairs, padded on the right.

    Attributes:
        x: Token ids of the sources, (B, S) int64, 0 past a row's end.
        lengths: Tokens of each source, (B,) int64.
        y: Token ids of the targets, each with an END, (B, T) int64, 0 past a row's end.
        y_lengths: Tokens of each target and its end, (B,) int64.
        copies: Of each token of the source its id as a target, (B, S) int64; None where nothing is copied. Tokens that
            no target has are numbered, in each row, behind the last id of targets.
        index: Which example each row is, (B,) int64.
    """

    x: Tensor
    lengths: Tensor
    y: Tensor
    y_lengths: Tensor
    copies: Tensor | None
    index: Tensor

    def to(self, device: torch.device) -> PairBatch:
        """Return the batch on `device`; itself when it is there already."""
        if self.x.device == device:
            return self
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return replace(
            self,
            **{name: one.to(device, non_blocking=True) for name, one in found.items() if one is not None},
        )


class PairBatches(LengthBatches[PairBatch]):
    """Batches of pairs, each of pairs of about the same length: that of the longer of the two.

    Args:
        sources: Token ids of N sources.
        targets: Token ids of their targets, without an end; None where they are not known.
        copies: As of `PairBatch`, in step with `sources`.
        batch_size: As of `LengthBatches`, as all others.
        max_tokens: Likewise, of sources and of targets.
        max_attention: Source tokens times target tokens of several pairs in a batch, at most, each pair taken to be as
            long on both sides; a pair alone may have more.
        seed: Likewise.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> pairs = PairBatches(Ragged.of([[2, 3], [4], [5]]), Ragged.of([[7], [8, 9], []]), batch_size=2)
        >>> for batch in pairs:
        ...     print(batch.x.tolist(), batch.y.tolist(), batch.y_lengths.tolist())
        [[5, 0], [2, 3]] [[0, 0], [7, 0]] [1, 2]
        [[4]] [[8, 9, 0]] [3]
    """

    def __init__(
        self,
        sources: Ragged,
        targets: Ragged | None = None,
        copies: Ragged | None = None,
        *,
        batch_size: int,
        max_tokens: int = MAX_TOKENS,
        max_attention: int = MAX_ATTENTION,
        seed: int | None = None,
    ) -> None:
        self.sources, self.copies = sources, copies
        self.targets = Ragged.of([[]] * len(sources.lengths)) if targets is None else targets
        longer = np.maximum(sources.lengths, self.targets.lengths + 1)
        super().__init__(longer, batch_size=batch_size, max_tokens=max_tokens, seed=seed, max_squares=max_attention)

    def _batch(self, items: NDArray[np.int64]) -> PairBatch:
        import torch

        x, lengths = padded(self.sources, items)
        y, y_lengths = padded(self.targets, items, num_more=1)
        return PairBatch(
            x=x,
            lengths=lengths,
            y=y,
            y_lengths=y_lengths,
            copies=None if self.copies is None else padded(self.copies, items)[0],
            index=torch.from_numpy(items),
        )
