"""The training of a network on batches of series, whatever it tells of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, Unpack, cast

from torch import Tensor, nn

from recur.data.series.batch import SeriesBatch
from recur.tasks.gradient_task import GradientOptions, GradientTask


class SeriesNetwork(Protocol):
    """What a network must have, beside being a module, to be trained on series."""

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Return what training minimises over a batch, () float, the mean over its rows."""


class SeriesTask(GradientTask):
    """Trains a network with a method `loss(batch)` on windows of series, or on whole series.

    Nothing is carried from batch to batch. With `max_ratio`, a network says by a method `output_parameters()` which are
    those of its output layer; one without it is bounded as a whole.

    Args:
        model: What to train, a `SeriesNetwork`.
        options: As of `GradientTask`.

    Raises:
        TypeError: The network has no method `loss`.
    """

    def __init__(self, model: nn.Module, **options: Unpack[GradientOptions]) -> None:
        if not callable(getattr(model, "loss", None)):
            raise TypeError(
                f"SeriesTask: {type(model).__name__} has no method loss(batch); give a network that returns there what "
                "training minimises."
            )
        super().__init__(model, **options)

    def unbounded(self) -> Iterable[nn.Parameter]:
        """Return the network's `output_parameters()`; none where it has no such method."""
        told: Callable[[], Iterable[nn.Parameter]] = getattr(self.model, "output_parameters", tuple)
        return told()

    def training_step(self, batch: SeriesBatch, batch_idx: int) -> Tensor:
        """Return what is minimised over a batch, () float32."""
        network = cast("SeriesNetwork", self.model)
        return self.minimised(lambda: (network.loss(batch), None), x=batch.x)
