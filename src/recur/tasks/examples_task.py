"""The training of a network on batches of examples, whatever it tells of them: of windows, series or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Unpack, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from recur.tasks.gradient_task import GradientOptions, GradientTask


class ExamplesNetwork(Protocol):
    """What a network must have, beside being a module, to be trained on examples."""

    def loss(self, batch: Any) -> Tensor:
        """Return what training minimises over a batch, () float, the mean over its rows."""


@dataclass(frozen=True)
class _Mean:
    """Moves averaged weights towards new ones, as `AveragedModel` asks."""

    averaging: float

    @torch.no_grad()
    def __call__(self, mean: Sequence[Tensor], newest: Sequence[Tensor], number: Tensor | int) -> None:
        kept = min(self.averaging, (1 + float(number)) / (10 + float(number)))
        torch._foreach_lerp_(list(mean), list(newest), 1 - kept)


class ExamplesTask(GradientTask):
    """Trains a network with a method `loss(batch)` on windows of series, on whole series, or on texts.

    Nothing is carried from batch to batch. With `max_ratio`, a network says by a method `output_parameters()` which are
    those of its output layer; one without it is bounded as a whole.

    With `averaging` d the weights that are judged and saved are a moving mean of those of all steps: after step n the
    mean moves towards them by the share 1 - min(d, (1 + n) / (10 + n)), so that early it forgets the first ones fast.
    Source: Polyak & Juditsky (1992) for averaging; Tarvainen & Valpola (2017) for the exponential one.

    Args:
        model: What to train, an `ExamplesNetwork`.
        averaging: d, 0 to below 1; 0 keeps the weights of the newest step.
        options: As of `GradientTask`.

    Raises:
        TypeError: The network has no method `loss`.
    """

    def __init__(self, model: nn.Module, *, averaging: float = 0.0, **options: Unpack[GradientOptions]) -> None:
        if not callable(getattr(model, "loss", None)):
            raise TypeError(
                f"ExamplesTask: {type(model).__name__} has no method loss(batch); give a network that returns there "
                "what training minimises."
            )
        super().__init__(model, **options)
        # A module of the task's, so that a checkpoint holds it.
        self.averaged: AveragedModel | None = None
        if averaging:
            self.averaged = AveragedModel(model, multi_avg_fn=_Mean(averaging))
            self.averaged.requires_grad_(False)

    @property
    def kept(self) -> nn.Module:
        """The mean of the weights where they are averaged, else the network."""
        if self.averaged is None:
            return self.model
        mean: nn.Module = self.averaged.module
        return mean

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Take the step, and move the mean."""
        super().optimizer_step(*arguments, **options)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def unbounded(self) -> Iterable[nn.Parameter]:
        """Return the network's `output_parameters()`; none where it has no such method."""
        told: Callable[[], Iterable[nn.Parameter]] = getattr(self.model, "output_parameters", tuple)
        return told()

    def progressed(self, share: float) -> None:
        """Tell the network, where it asks by a method `progressed(share)`, how much of the training is done."""
        tell: Callable[[float], None] | None = getattr(self.model, "progressed", None)
        if tell is not None:
            tell(share)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return what is minimised over a batch, () float32."""
        network = cast("ExamplesNetwork", self.model)
        return self.minimised(lambda: (network.loss(batch), None), x=batch.x)
