"""What a network told of texts, beside what was true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recur.models.texts.classifier import TextClassifierNetwork
from recur.models.texts.ensemble import TextClassifierEnsemble

if TYPE_CHECKING:
    from recur.data.texts.batches import TextBatches

TextNetwork = TextClassifierNetwork | TextClassifierEnsemble


@dataclass(frozen=True, kw_only=True, eq=False)
class TextOutcomes:
    """N answers of a classifier of texts, in the order of the texts, and the labels.

    Attributes:
        logits: (N, K), floating.
        target: Classes, (N,) int64; or of which each is, (N, K) float32.
        weight: How much each counts, (N,) float32.
    """

    logits: Tensor
    target: Tensor
    weight: Tensor

    def counted(self) -> TextOutcomes:
        """Return those that count."""
        return self.taken(self.weight > 0)

    def taken(self, which: Tensor) -> TextOutcomes:
        """Return those of which (N,) bool is true."""
        return TextOutcomes(logits=self.logits[which], target=self.target[which], weight=self.weight[which])


@torch.no_grad()
def collect_outcomes(network: TextNetwork, batches: TextBatches) -> TextOutcomes:
    """Return what a network says of all texts.

    The network is run as in evaluation, and left as it was.

    Args:
        network: On any device.
        batches: Of the texts, in any order.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    logits, index, target, weight = [torch.zeros(0, network.num_classes)], [torch.zeros(0, dtype=torch.int64)], [], []
    try:
        for batch in batches:
            logits.append(network(batch.to(device)).cpu())
            index.append(batch.index)
            target.append(batch.target)
            weight.append(batch.weight)
    finally:
        network.train(was_training)
    order = torch.cat(index).argsort()
    if not len(order):
        return TextOutcomes(logits=logits[0], target=index[0], weight=torch.zeros(0))
    return TextOutcomes(
        logits=torch.cat(logits)[order], target=torch.cat(target)[order], weight=torch.cat(weight)[order]
    )
