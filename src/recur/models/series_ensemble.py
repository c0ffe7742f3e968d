"""Several networks that tell the same labels, trained side by side, whose answers are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recur.models.series_encoder import SeriesState
from recur.models.series_labels import SeriesLabelNetwork

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

EnsembleState = tuple[SeriesState, ...]
"""The state of each member."""


class SeriesEnsemble(nn.Module):
    """Networks of one kind, each with weights and noise of its own; their probabilities, or numbers, are averaged.

    Where there is little to learn from, networks that begin differently err differently, and their mean errs less than
    the mean of them does.

    Source: Lakshminarayanan et al. (2017), "Simple and scalable predictive uncertainty estimation using deep
    ensembles", section 2.4, without its adversarial training.

    Args:
        members: `SeriesClassifierNetwork`s or `SeriesRegressorNetwork`s, at least one.

    Attributes:
        members: As given.
        per_step: Whether each step is told of.
        tells_classes: Whether classes are told and not numbers.

    Example:
        >>> from recur.data.series import Part, WholeSeries, panel_of_array
        >>> from recur.models import SeriesClassifierNetwork, SeriesClassifierOptions, SeriesShape
        >>> panel = panel_of_array(torch.randn(4, 20, 3).numpy(), ["a", "b", "a", "b"])
        >>> batches = WholeSeries(Part.whole(panel), batch_size=4)
        >>> shape = SeriesShape.of(panel.schema, batches.channels)
        >>> one, two = (SeriesClassifierNetwork(SeriesClassifierOptions(), shape, 2) for _ in range(2))
        >>> logits, state = SeriesEnsemble([one, two]).eval()(next(iter(batches)))
        >>> torch.allclose(logits.exp().sum(1), torch.ones(4))
        True
    """

    def __init__(self, members: Sequence[SeriesLabelNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.per_step, self.tells_classes = members[0].per_step, members[0].tells_classes

    @property
    def networks(self) -> tuple[SeriesLabelNetwork, ...]:
        """The members, as what they are."""
        return tuple(self.members)  # type: ignore[arg-type]

    def forward(self, batch: SeriesBatch, state: EnsembleState | None = None) -> tuple[Tensor, EnsembleState]:
        """Return the logarithm of the mean probabilities, or the mean number, and the state after the steps.

        Args:
            batch: As of the members.
            state: As it was returned for the steps before; None at the beginning.

        Returns:
            (B, K), or (B,) numbers; of each step (B, T, K) or (B, T), zero past each row's end; and the state.

        Raises:
            ValueError: As of the members.
        """
        before = [None] * len(self.members) if state is None else state
        answers, after = zip(*(one(batch, own) for one, own in zip(self.members, before, strict=True)), strict=True)
        if not self.tells_classes:
            return torch.stack(answers).mean(0), after
        logs = torch.stack([answer.log_softmax(-1) for answer in answers]).logsumexp(0) - math.log(len(answers))
        return self.networks[0].masked(logs, batch.lengths), after

    def begin(self, count: int) -> EnsembleState:
        """Return the state of so many series before their first step, with which all is told as without one."""
        return tuple(one.begin(count) for one in self.networks)

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean of the members' losses, (); in training each varies the batch in its own way.

        Raises:
            TypeError: As of the members.
            ValueError: As of the members.
        """
        return torch.stack([one.loss(batch) for one in self.networks]).mean()

    def loss_sums(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Return the means of the members' sums, () both; see `SeriesLabelNetwork.loss_sums`.

        Raises:
            TypeError: As of the members.
            ValueError: As of the members.
        """
        totals, weights = zip(*(one.loss_sums(batch) for one in self.networks), strict=True)
        return torch.stack(totals).mean(), torch.stack(weights).mean()

    def fit_statistics(self, batches: Iterable[SeriesBatch]) -> None:
        """Take from the training part what is not learned.

        Args:
            batches: As of the members; gone through once.

        Raises:
            TypeError: As of the members.
            ValueError: As of the members.
        """
        kept = list(batches)
        for one in self.networks:
            one.fit_statistics(kept)

    def check_labels(self, batch: SeriesBatch) -> None:
        """Raise where a batch has not the labels that the members tell.

        Raises:
            TypeError: As of the members.
            ValueError: As of the members.
        """
        self.networks[0].check_labels(batch)

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers of the first member, whom the others are like."""
        return self.networks[0].explain(batch_size, num_steps)
