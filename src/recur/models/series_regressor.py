"""A network that tells a number from a series, or from each step of it, such as how long a machine will yet run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recur.models.series_encoder import SeriesState
from recur.models.series_labels import SeriesLabelNetwork, mean_loss
from recur.models.series_options import SeriesRegressorOptions
from recur.models.series_shape import SeriesShape

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class SeriesRegressorNetwork(SeriesLabelNetwork):
    """A `SeriesEncoder` and a linear layer: one number of each series, or of each step, on the scale of the labels.

    The loss, squared or absolute, is in units of the labels' scale. A label that is only a lower bound costs nothing
    where the number is above it.

    Args:
        options: Shape, regularisation and loss.
        shape: Of the batches.

    Attributes:
        centre: Mean of the training part's labels, (), bounds among them; 0 before `fit_statistics`.
        scale: Their standard deviation, above 0, (); 1 before `fit_statistics`, or where they are all the same.

    Example:
        >>> from recur.data.series import LabelWindows, Panel, Part, remaining_life
        >>> panel = remaining_life(Panel.of_rows(["engine"], [40], torch.randn(40, 3).numpy()), cap=25)
        >>> batches = LabelWindows(Part.whole(panel), history=10, batch_size=64)
        >>> network = SeriesRegressorNetwork(SeriesRegressorOptions(), SeriesShape.of(panel.schema, batches.channels))
        >>> network.fit_statistics(batches)
        >>> values, state = network(next(iter(batches)))
        >>> values.shape, network.centre
        (torch.Size([40]), tensor(16.8750))
    """

    tells_classes = False
    centre: Tensor
    scale: Tensor

    def __init__(self, options: SeriesRegressorOptions, shape: SeriesShape) -> None:
        super().__init__(options, shape, 1)
        self.options = options
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, batch: SeriesBatch, state: SeriesState | None = None) -> tuple[Tensor, SeriesState]:
        """Return the numbers, and the state after the steps.

        Two pieces of a series, the state of the first handed to the second, give what the whole does; that of the
        series is then the second answer.

        Args:
            batch: B series of T steps; its labels are not looked at.
            state: As it was returned for the steps before, whose times go on; None at the beginning.

        Returns:
            (B,), or (B, T) of each step, zero past each row's end, in the labels' unit and the weights' dtype; and the
            state.

        Raises:
            ValueError: A state is given, but the series are read from their end too; or the batch has another shape
                than the network was built for.
        """
        outputs, after = self._outputs(batch, state)
        return self.masked(outputs.squeeze(-1) * self.scale + self.centre, batch.lengths), after

    @property
    def is_end_free(self) -> bool:
        """Whether cropping may take steps from the end: no, for a number may be that of the last step."""
        return False

    def _losses(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        values, _ = self(batch)
        error = (values - batch.target) / self.scale
        if batch.censored is not None:
            error = torch.where(batch.censored, error.clamp(max=0), error)
        return error.square() if self.options.loss == "squared" else error.abs(), batch.weight.to(error.dtype)

    def _fit_labels(self, label_N: Tensor, weight_N: Tensor) -> None:
        label_N = label_N.double()
        centre = mean_loss(label_N, weight_N)
        scale = mean_loss((label_N - centre).square(), weight_N).sqrt()
        # Labels that are all the same, or that only rounding tells apart, have no scale.
        is_spread = scale > torch.finfo(torch.float32).eps * label_N[weight_N > 0].abs().max()
        self.centre.copy_(centre)
        self.scale.copy_(torch.where(is_spread, scale, 1))

    def _check_kind(self, target: Tensor) -> None:
        if not target.is_floating_point():
            raise TypeError(
                f"SeriesRegressorNetwork: the labels are {target.dtype}, but numbers are floating. Take "
                "SeriesClassifierNetwork for classes."
            )
