"""Several classifiers of texts whose probabilities are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from recur.models.texts.classifier import TextClassifierNetwork

if TYPE_CHECKING:
    from recur.data.texts.batches import TextBatch


class TextClassifierEnsemble(nn.Module):
    """Networks of one kind, each with weights and noise of its own, trained side by side; probabilities are averaged.

    Source: Lakshminarayanan et al. (2017), section 2.4, without its adversarial training.

    Args:
        members: At least one.

    Example:
        >>> from recur.data.texts.batches import TextBatches
        >>> from recur.token_ids import Ragged
        >>> from recur.models.texts.options import TextClassifierOptions
        >>> one, two = (TextClassifierNetwork(TextClassifierOptions(), 100, 3).eval() for _ in range(2))
        >>> batch = next(iter(TextBatches(Ragged.of([[5, 7], [9]]), batch_size=2)))
        >>> mean = (one(batch).softmax(1) + two(batch).softmax(1)) / 2
        >>> torch.allclose(TextClassifierEnsemble([one, two])(batch).softmax(1), mean)
        True
    """

    def __init__(self, members: Sequence[TextClassifierNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.num_classes, self.is_multi = members[0].num_classes, members[0].is_multi

    @property
    def networks(self) -> tuple[TextClassifierNetwork, ...]:
        """The members, as what they are."""
        return tuple(self.members)  # type: ignore[arg-type]

    def fit_classes(self, counts: Tensor, num_texts: int) -> None:
        """As of the members."""
        for one in self.networks:
            one.fit_classes(counts, num_texts)

    def forward(self, batch: TextBatch) -> Tensor:
        """Return logits whose probabilities are the mean of the members', (B, K)."""
        return self._mean([one(batch) for one in self.networks])

    def embedded(self, x: Tensor) -> Tensor:
        """Return the vectors of token ids (B, T) of all members side by side, (T, B, E) with E that of all together."""
        return torch.cat([one.embedded(x) for one in self.networks], 2)

    def read(self, e_TBE: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of texts whose vectors of tokens are given as `embedded` returns them, (B, K)."""
        return self._mean([one.read(own, lengths) for one, own in self._of_members(e_TBE)])

    def attention(self, e_TBE: Tensor, lengths: Tensor) -> Tensor | None:
        """Return the mean of the members' attention, (T, B), by vectors as of `read`; None where they have none."""
        found = [one.attention(own, lengths) for one, own in self._of_members(e_TBE)]
        known = [one for one in found if one is not None]
        return torch.stack(known).mean(0) if known else None

    def _of_members(self, e_TBE: Tensor) -> Iterator[tuple[TextClassifierNetwork, Tensor]]:
        sizes = [one.encoder.embedding.embedding_dim for one in self.networks]
        return zip(self.networks, torch.split(e_TBE, sizes, 2), strict=True)

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        """Return logits whose probabilities are the mean of those of several."""
        each = torch.stack(list(logits))
        if not self.is_multi:
            return each.log_softmax(-1).logsumexp(0) - math.log(len(each))
        # log(p / (1 - p)) of the mean p; the numbers of members cancel.
        return logsigmoid(each).logsumexp(0) - logsigmoid(-each).logsumexp(0)

    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """As of the members, each of which begins with the same."""
        for one in self.networks:
            one.take_vectors(ids, vectors, freeze=freeze)

    def loss(self, batch: TextBatch) -> Tensor:
        """Return the mean of the members' losses, ()."""
        return torch.stack([one.loss(batch) for one in self.networks]).mean()

    def loss_sums(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the means of the members' sums, () both."""
        totals, weights = zip(*(one.loss_sums(batch) for one in self.networks), strict=True)
        return torch.stack(totals).mean(), torch.stack(weights).mean()

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the members' output layers."""
        for one in self.networks:
            yield from one.output_parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers of the first member, whom the others are like."""
        return self.networks[0].explain(batch_size, num_steps)
