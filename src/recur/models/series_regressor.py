"""A network that tells a number from a series, or from each step of it, such as how long a machine will yet run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recur.models.series_encoder import SeriesEncoder, SeriesState
from recur.models.series_labels import check_labels, steps_between, weighted_loss
from recur.models.series_options import SeriesRegressorOptions
from recur.models.series_shape import SeriesShape
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class SeriesRegressorNetwork(nn.Module):
    """A `SeriesEncoder` and a linear layer: one number of each series, or of each step, on the scale of the labels.

    Args:
        options: Shape, regularisation and loss.
        shape: Of the batches.

    Attributes:
        centre: Mean of the labels, (); 0 before `fit_statistics`.
        scale: Their standard deviation, above 0, (); 1 before `fit_statistics`. The loss is in units of it.

    Example:
        >>> from recur.data.series import LabelWindows, Panel, Part, remaining_life
        >>> panel = remaining_life(Panel.of_rows(["engine"], [40], torch.randn(40, 3).numpy()), cap=25)
        >>> batches = LabelWindows(Part.whole(panel), history=10, batch_size=64)
        >>> network = SeriesRegressorNetwork(SeriesRegressorOptions(), SeriesShape.of(panel.schema, batches.channels))
        >>> network.fit_statistics(batches)
        >>> values, state = network(next(iter(batches)))
        >>> values.shape, network.centre
        (torch.Size([40]), tensor(17.1875))
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, options: SeriesRegressorOptions, shape: SeriesShape) -> None:
        super().__init__()
        self.options, self.shape = options, shape
        self.encoder = SeriesEncoder(options, shape, per_step=options.per_step)
        self.output = Linear(self.encoder.num_features, 1)
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
            ValueError: A state is given, but the series are read from their end too.
        """
        features, after = self.encoder(batch, state)
        values: Tensor = self.output(features).squeeze(-1) * self.scale + self.centre
        if not self.options.per_step:
            return values, after
        is_step_BT = torch.arange(len(values), device=values.device) < batch.lengths[:, None]
        return torch.where(is_step_BT, values.t(), 0), after

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean loss of the labels that count, (), in units of their scale.

        A label that is only a lower bound costs nothing where the number is above it. Each counts by its weight in the
        batch. Zero where nothing counts. In training the batch is augmented as the options say.

        Args:
            batch: With labels of series, or of steps where each step is told of.

        Raises:
            TypeError: The labels are classes and no numbers.
            ValueError: The labels are of series where steps are told of, or the other way round.
        """
        self._check(batch)
        batch = self.encoder.varied(batch, is_end_free=False)
        values, _ = self(batch)
        error = (values - batch.target) / self.scale
        if batch.censored is not None:
            error = torch.where(batch.censored, error.clamp(max=0), error)
        losses = error.square() if self.options.loss == "squared" else error.abs()
        return weighted_loss(losses, batch.weight.to(losses.dtype))

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[SeriesBatch]) -> None:
        """Take from the training part what is not learned: the labels' scale, and the usual time between steps.

        Args:
            batches: Of the training part, each once; not those that are trained on, whose order this would move on.

        Raises:
            TypeError: The labels are classes and no numbers.
            ValueError: As `loss`; or no label counts.
        """
        labels, weights, steps = [], [], []
        for batch in batches:
            self._check(batch)
            steps.append(steps_between(batch))
            labels.append(batch.target.flatten().double())
            weights.append(batch.weight.flatten().double())
        self.encoder.fit_time_unit(torch.cat(steps))
        label, weight = torch.cat(labels), torch.cat(weights)
        if not bool(weight.sum() > 0):
            raise ValueError("SeriesRegressorNetwork: no label counts, so their scale is unknown. Name the label.")
        centre = weighted_loss(label, weight)
        scale = weighted_loss((label - centre).square(), weight).sqrt()
        # Labels that are all the same, or that only rounding tells apart, have no scale.
        is_spread = scale > torch.finfo(torch.float32).eps * label[weight > 0].abs().max()
        self.centre.copy_(centre)
        self.scale.copy_(torch.where(is_spread, scale, 1))

    def _check(self, batch: SeriesBatch) -> None:
        check_labels("SeriesRegressorNetwork", batch, per_step=self.options.per_step)
        if not batch.target.is_floating_point():
            raise TypeError(
                f"SeriesRegressorNetwork: the labels are {batch.target.dtype}, but numbers are floating. Take "
                "SeriesClassifierNetwork for classes."
            )
