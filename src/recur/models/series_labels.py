"""What networks that tell labels of series have in common, whether these are classes or numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from recur.models.layer_back_ends import explain_layers
from recur.models.series_encoder import SeriesEncoder, SeriesState
from recur.models.series_options import SeriesLabelOptions
from recur.models.series_shape import SeriesShape
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class SeriesLabelNetwork(nn.Module, ABC):
    """A `SeriesEncoder` and a linear layer; the base of `SeriesClassifierNetwork` and `SeriesRegressorNetwork`.

    Args:
        options: Shape, regularisation and loss.
        shape: Of the batches.
        num_outputs: O, of the linear layer.

    Attributes:
        per_step: Whether each step is told of.
        tells_classes: Whether classes are told and not numbers.
    """

    tells_classes: ClassVar[bool]

    def __init__(self, options: SeriesLabelOptions, shape: SeriesShape, num_outputs: int) -> None:
        super().__init__()
        self.shape, self.per_step = shape, options.per_step
        self.encoder = SeriesEncoder(options, shape, per_step=options.per_step)
        self.output = Linear(self.encoder.num_features, num_outputs)

    def begin(self, count: int) -> SeriesState:
        """Return the state of so many series before their first step, with which all is told as without one."""
        return self.encoder.begin(count)

    def _outputs(self, batch: SeriesBatch, state: SeriesState | None) -> tuple[Tensor, SeriesState]:
        """Return what the linear layer says, (B, O), or (B, T, O) of each step, and the state after the steps."""
        features, after = self.encoder(batch, state)
        outputs: Tensor = self.output(features)
        return (outputs.transpose(0, 1) if self.per_step else outputs), after

    def masked(self, told: Tensor, lengths: Tensor) -> Tensor:
        """Return what is told of steps, (B, T, ...), as zero past each row's end; of series as it is."""
        if not self.per_step:
            return told
        is_step_BT = torch.arange(told.shape[1], device=told.device) < lengths[:, None]
        return torch.where(is_step_BT if told.dim() == 2 else is_step_BT.unsqueeze(-1), told, 0)

    @property
    @abstractmethod
    def is_end_free(self) -> bool:
        """Whether cropping in training may take steps from the end of a series too."""

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the weighted mean of the losses of the labels that count, (); zero where none does.

        In training the batch is augmented as the options say.

        Args:
            batch: With labels of series, or of steps where each step is told of.

        Raises:
            TypeError: The labels are of the other kind, numbers or classes.
            ValueError: The labels are of series where steps are told of, or the other way round; or the batch has
                another shape than the network was built for.
        """
        return mean_loss(*self._checked_losses(batch))

    def loss_sums(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses of the labels that count, and how much these count together, () both.

        With them the mean over several batches does not depend on how labels fall into batches.

        Args:
            batch: As of `loss`.

        Raises:
            TypeError: As of `loss`.
            ValueError: As of `loss`.
        """
        return _sums(*self._checked_losses(batch))

    def _checked_losses(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        self.check_labels(batch)
        return self._losses(self.encoder.varied(batch, is_end_free=self.is_end_free))

    @abstractmethod
    def _losses(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of each label, in any order, and how much it counts."""

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[SeriesBatch]) -> None:
        """Take from the training part what is not learned: the usual time between steps, and what the labels are like.

        Args:
            batches: Of the training part, each once; not those that are trained on, whose order this would move on.

        Raises:
            TypeError: As of `loss`.
            ValueError: As of `loss`; or no label counts.
        """
        steps, labels, weights = [], [], []
        for batch in batches:
            self.check_labels(batch)
            is_later = torch.arange(1, batch.x.shape[1], device=batch.lengths.device) < batch.lengths[:, None]
            steps.append(batch.times.diff(dim=1)[is_later])
            labels.append(batch.target.flatten())
            weights.append(batch.weight.flatten().double())
        weight = torch.cat(weights) if weights else torch.zeros(0)
        if not bool(weight.sum() > 0):
            raise ValueError(f"{type(self).__name__}: no label counts, so there is nothing to learn. Name the label.")
        self.encoder.fit_time_unit(torch.cat(steps))
        self._fit_labels(torch.cat(labels), weight)

    @abstractmethod
    def _fit_labels(self, label_N: Tensor, weight_N: Tensor) -> None:
        """Take what is needed from the labels of the training part."""

    @abstractmethod
    def _check_kind(self, target: Tensor) -> None:
        """Raise TypeError where labels are of the other kind."""

    def check_labels(self, batch: SeriesBatch) -> None:
        """Raise where a batch has not the labels that this network tells.

        Raises:
            TypeError: They are of the other kind, numbers or classes.
            ValueError: They are of series where steps are told of, or the other way round.
        """
        if batch.target.dim() != 1 + self.per_step:
            has, wants = ("series", "steps") if self.per_step else ("steps", "series")
            raise ValueError(
                f"{type(self).__name__}: the labels are of {has}, {tuple(batch.target.shape)}, but "
                f"per_step={self.per_step} tells of {wants}. Give per_step={not self.per_step}, or the other labels."
            )
        self._check_kind(batch.target)

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer, which a bound on the gradient of each unit leaves alone."""
        return self.output.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers on series of this shape, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)


def mean_loss(losses: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of losses, (); zero where nothing counts, with a gradient of zeros."""
    total, counted = _sums(losses, weight)
    return total / torch.where(counted > 0, counted, 1)


def _sums(losses: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return (torch.where(weight > 0, losses, 0) * weight).sum(), weight.sum()
