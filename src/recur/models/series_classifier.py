"""A network that tells which class a series, or each step of it, belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.series_encoder import SeriesEncoder, SeriesState
from recur.models.series_labels import check_labels, steps_between, weighted_loss
from recur.models.series_options import SeriesClassifierOptions
from recur.models.series_shape import SeriesShape
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class SeriesClassifierNetwork(nn.Module):
    """A `SeriesEncoder` and a linear layer: the logits of K classes, of each series or of each step.

    Args:
        options: Shape, regularisation and loss.
        shape: Of the batches.
        num_classes: K, at least 2.

    Attributes:
        class_weight: What an error at a series of each class counts in the loss, (K,); ones before `fit_statistics`.

    Raises:
        OptionError: There are fewer than two classes.

    Example:
        >>> from recur.data.series import Part, WholeSeries, panel_of_array
        >>> panel = panel_of_array(torch.randn(4, 20, 3).numpy(), ["a", "b", "a", "b"])
        >>> batches = WholeSeries(Part.whole(panel), batch_size=4)
        >>> shape = SeriesShape.of(panel.schema, batches.channels)
        >>> network = SeriesClassifierNetwork(SeriesClassifierOptions(), shape, len(panel.schema.classes))
        >>> logits, state = network(next(iter(batches)))
        >>> logits.shape
        torch.Size([4, 2])
    """

    class_weight: Tensor

    def __init__(self, options: SeriesClassifierOptions, shape: SeriesShape, num_classes: int) -> None:
        super().__init__()
        if not is_whole(num_classes, 2):
            raise OptionError(f"num_classes must be a whole number from 2 on, not {num_classes!r}.")
        self.options, self.shape, self.num_classes = options, shape, num_classes
        self.encoder = SeriesEncoder(options, shape, per_step=options.per_step)
        self.output = Linear(self.encoder.num_features, num_classes)
        self.register_buffer("class_weight", torch.ones(num_classes))

    def forward(self, batch: SeriesBatch, state: SeriesState | None = None) -> tuple[Tensor, SeriesState]:
        """Return the logits, and the state after the steps.

        Two pieces of a series, the state of the first handed to the second, give what the whole does; that of the
        series is then the second answer.

        Args:
            batch: B series of T steps; its labels are not looked at.
            state: As it was returned for the steps before, whose times go on; None at the beginning.

        Returns:
            (B, K), or (B, T, K) of each step, zero past each row's end, of the weights' dtype; and the state.

        Raises:
            ValueError: A state is given, but the series are read from their end too.
        """
        features, after = self.encoder(batch, state)
        logits: Tensor = self.output(features)
        if not self.options.per_step:
            return logits, after
        is_step_BT1 = (torch.arange(len(logits), device=logits.device) < batch.lengths[:, None]).unsqueeze(-1)
        return torch.where(is_step_BT1, logits.transpose(0, 1), 0), after

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean cross-entropy of the labels that count, (), in nats.

        Each counts by its weight in the batch times that of its class. Zero where nothing counts. In training the batch
        is augmented as the options say.

        Args:
            batch: With labels of series, or of steps where each step is told of.

        Raises:
            TypeError: The labels are numbers and no classes.
            ValueError: The labels are of series where steps are told of, or the other way round.
        """
        check_labels("SeriesClassifierNetwork", batch, per_step=self.options.per_step)
        if batch.target.dtype != torch.int64:
            raise TypeError(
                f"SeriesClassifierNetwork: the labels are {batch.target.dtype}, but classes are torch.int64. Take "
                "SeriesRegressorNetwork for numbers."
            )
        batch = self.encoder.varied(batch, is_end_free=self.options.pooling != "last")
        logits, _ = self(batch)
        target, weight = batch.target.flatten(), batch.weight.flatten().to(logits.dtype)
        losses = cross_entropy(
            logits.flatten(0, -2), target, reduction="none", label_smoothing=self.options.label_smoothing
        )
        return weighted_loss(losses, weight * self.class_weight[target])

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[SeriesBatch]) -> None:
        """Take from the training part what is not learned: the weights of the classes, the usual time between steps.

        Balanced, a class has the weight n / (K n_k), n_k being how much the labels of the class count together; 1 if it
        has none.

        Args:
            batches: Of the training part, each once; not those that are trained on, whose order this would move on.
        """
        counts, steps = self.class_weight.new_zeros(self.num_classes), []
        for batch in batches:
            check_labels("SeriesClassifierNetwork", batch, per_step=self.options.per_step)
            steps.append(steps_between(batch))
            counts.index_add_(0, batch.target.flatten(), batch.weight.flatten().to(counts.dtype))
        self.encoder.fit_time_unit(torch.cat(steps))
        if self.options.class_weights == "balanced":
            even = counts.sum() / (counts > 0).sum()
            self.class_weight.copy_(torch.where(counts > 0, even / counts, 1))
