"""How much a network loses on all batches of held-out data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from torch import Tensor, nn


class SummedNetwork(Protocol):
    """What a network must have, beside being a module, to be judged by its loss."""

    def loss_sums(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses, and of what they count, () both."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its parameters, which say where it computes."""


def summed_losses(network: SummedNetwork, batches: Iterable[Any]) -> tuple[float, float]:
    """Return the sum of the losses of all batches, and of what they count.

    Args:
        network: In evaluation, where nothing records a gradient.
        batches: Of any kind that it takes; each is put where the network computes.
    """
    device = next(network.parameters()).device
    total = weight = 0.0
    for batch in batches:
        own, counted = network.loss_sums(batch.to(device))
        total, weight = total + float(own), weight + float(counted)
    return total, weight
