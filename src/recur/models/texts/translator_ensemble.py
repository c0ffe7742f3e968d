"""Several translators that are trained side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from recur.models.texts.translator import TranslatorNetwork

if TYPE_CHECKING:
    from recur.data.texts.pair_batches import PairBatch


class TranslatorEnsemble(nn.Module):
    """Networks of one kind, each with weights and noise of its own, trained side by side.

    How they write together, by the mean of their probabilities, is `recur.decode.Ensemble`'s.

    Args:
        members: At least one.
    """

    def __init__(self, members: Sequence[TranslatorNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def networks(self) -> tuple[TranslatorNetwork, ...]:
        """The members, as what they are."""
        return tuple(self.members)  # type: ignore[arg-type]

    def take_vectors(
        self, ids: Tensor, vectors: Tensor, *, freeze: bool = False, side: Literal["source", "target"] = "source"
    ) -> None:
        """As of the members, each of which begins with the same."""
        for one in self.networks:
            one.take_vectors(ids, vectors, freeze=freeze, side=side)

    def loss(self, batch: PairBatch) -> Tensor:
        """Return the mean of the members' losses, ()."""
        return torch.stack([one.loss(batch) for one in self.networks]).mean()

    def loss_sums(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return the mean of the members' sums, and how many tokens and ends there are, () both."""
        totals, counts = zip(*(one.loss_sums(batch) for one in self.networks), strict=True)
        return torch.stack(totals).mean(), counts[0]

    def target_log_probs(self, batch: PairBatch) -> Tensor:
        """Return how likely the members take each token and end of the targets by their mean probability, (N,).

        As of `TranslatorNetwork`; it is by this mean that they write.
        """
        said = torch.stack([one.target_log_probs(batch) for one in self.networks])
        return said.logsumexp(0) - math.log(len(said))

    def progressed(self, share: float) -> None:
        """Tell the members how much of the training is done, 0 to 1."""
        for one in self.networks:
            one.progressed(share)

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the members' output layers."""
        for one in self.networks:
            yield from one.output_parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers of the first member, whom the others are like."""
        return self.networks[0].explain(batch_size, num_steps)
