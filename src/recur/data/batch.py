"""What travels from a data set to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch of sequences, padded on the right.

    Attributes:
        x: Inputs, (B, T, F) float or (B, T) int64.
        lengths: Number of true steps of each row, (B,) int64.
        target: What the model should say; for token streams the next tokens, (B, T) int64.
        weight: Weight of each target in the loss, (B, T) float32; zero means that it does not count.
        index: Which stream, series or example each row is, (B,) int64.
        reset: Where the state starts anew before the step, (B, T) bool, or None when it never does.
    """

    x: Tensor
    lengths: Tensor
    target: Tensor
    weight: Tensor
    index: Tensor
    reset: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; itself when it is there already."""
        if self.x.device == device:
            return self
        return Batch(
            x=self.x.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
            target=self.target.to(device, non_blocking=True),
            weight=self.weight.to(device, non_blocking=True),
            index=self.index.to(device, non_blocking=True),
            reset=None if self.reset is None else self.reset.to(device, non_blocking=True),
        )
