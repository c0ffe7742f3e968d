"""A network that tells which class a series, or each step of it, belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.series_encoder import SeriesState
from recur.models.series_labels import SeriesLabelNetwork
from recur.models.series_options import SeriesClassifierOptions
from recur.models.series_shape import SeriesShape

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class SeriesClassifierNetwork(SeriesLabelNetwork):
    """A `SeriesEncoder` and a linear layer: the logits of K classes, of each series or of each step.

    The loss is the cross-entropy in nats, with `label_smoothing`. A label counts by its weight in the batch times that
    of its class.

    Args:
        options: Shape, regularisation and loss.
        shape: Of the batches.
        num_classes: K, at least 2.

    Attributes:
        class_weight: (K,), ones. With class_weights="balanced", `fit_statistics` makes them n / (K n_k), n_k being how
            much the labels of the class count together, over the K classes that are there; 1 for those that are not.

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

    tells_classes = True
    class_weight: Tensor

    def __init__(self, options: SeriesClassifierOptions, shape: SeriesShape, num_classes: int) -> None:
        if not is_whole(num_classes, 2):
            raise OptionError(f"num_classes must be a whole number from 2 on, not {num_classes!r}.")
        super().__init__(options, shape, num_classes)
        self.options, self.num_classes = options, num_classes
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
            ValueError: A state is given, but the series are read from their end too; or the batch has another shape
                than the network was built for.
        """
        logits, after = self._outputs(batch, state)
        return self.masked(logits, batch.lengths), after

    @property
    def is_end_free(self) -> bool:
        """Whether cropping may take steps from the end: a class is that of the whole, unless its last step tells."""
        return self.options.pooling != "last"

    def _losses(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        logits, _ = self(batch)
        target = batch.target.flatten()
        losses = cross_entropy(
            logits.flatten(0, -2), target, reduction="none", label_smoothing=self.options.label_smoothing
        )
        return losses, batch.weight.flatten().to(logits.dtype) * self.class_weight[target]

    def _fit_labels(self, label_N: Tensor, weight_N: Tensor) -> None:
        if self.options.class_weights == "none":
            return
        counts = weight_N.new_zeros(self.num_classes).index_add_(0, label_N, weight_N)
        even = counts.sum() / (counts > 0).sum()
        self.class_weight.copy_(torch.where(counts > 0, even / counts, 1))

    def _check_kind(self, target: Tensor) -> None:
        if target.dtype != torch.int64:
            raise TypeError(
                f"SeriesClassifierNetwork: the labels are {target.dtype}, but classes are torch.int64. Take "
                "SeriesRegressorNetwork for numbers."
            )
