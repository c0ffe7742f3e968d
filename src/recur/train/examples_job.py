"""The job of training a network on examples, whatever it tells of them: on windows of series, series or texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from recur.data.epochs import EpochBatches
from recur.gradients.randomness import Randomness
from recur.tasks.examples_task import ExamplesTask
from recur.train.checkpoint import Gather
from recur.train.display import Display
from recur.train.job import Job, Judged, Share, Throughput, gradient_options
from recur.train.options import SeriesTrainingOptions

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExamplesJob(Job):
    """A network that is to be trained on windows of series, on whole series, or on texts.

    Attributes:
        run: The run folder, with its `config.json`.
        training: With every value chosen, see `recur.train.series_choice` and `recur.train.text_choice`.
        build: Returns the network, with a method `loss(batch)`, its weights freshly drawn.
        batches: The training part, in an order of its own for each epoch; of all processes.
        judge: Judges the network, which is in evaluation mode and records no gradient, on the validation part. What it
            draws does not change the training.
        judge_best: Judges the best weights on the held-out parts and writes `evaluation.json`.
        unit: What an item of the batches is called.
        has_unused_parameters: Whether some parameters take no part in some steps, which several processes must know.
        resumed_by: What to do to go on with it; None for `recur train --resume` with its folder.
        sample: Returns a row of what the network makes of an example, for `metrics.jsonl` at each validation; likewise.
    """

    training: SeriesTrainingOptions
    build: Callable[[], nn.Module]
    batches: EpochBatches[Any]
    judge: Callable[[Any], Judged]
    judge_best: Callable[[Display], None]
    unit: Literal["windows", "series", "texts", "pairs"] = "windows"
    has_unused_parameters: bool = False
    resumed_by: str | None = None
    sample: Callable[[Any], dict[str, Any] | None] = lambda network: None

    @property
    def way_on(self) -> str:
        """What to do to go on with the training when it is interrupted."""
        return self.resumed_by or super().way_on

    def network(self) -> nn.Module:
        """Return the network with freshly drawn weights."""
        return self.build()

    def share(self, network: nn.Module, rank: int, count: int) -> Share:
        """Return what the process of number `rank` of `count` does, on its own items of every batch.

        Raises:
            OptionError: The items of a batch cannot be shared equally.
        """
        options = gradient_options(self.training)
        options["second_moment"] = self.training.second_moment
        task = ExamplesTask(network, averaging=self.training.averaging or 0.0, **options)
        return Share(
            task=task,
            batches=self.batches.shared(rank, count),
            carried=AgreedOrder(self.batches),
            judge=lambda: self._asked(self.judge, task.kept),
            sample=lambda: self._asked(self.sample, task.kept),
            throughput=Throughput(unit=self.unit, count=lambda batch: len(batch.lengths)),
            has_unused_parameters=self.has_unused_parameters,
        )

    def finish(self, display: Display) -> None:
        """Judge the best weights."""
        self.judge_best(display)

    @staticmethod
    def _asked(question: Callable[[Any], Answer], network: nn.Module) -> Answer:
        was_training = network.training
        network.eval()
        with torch.no_grad(), Randomness.kept(*network.parameters()):
            answer = question(network)
        network.train(was_training)
        return answer


@dataclass(frozen=True, eq=False)
class AgreedOrder:
    """Nothing is carried from batch to batch, but a resumed training must see the same items in the same order.

    Args:
        batches: Of all processes.
    """

    batches: EpochBatches[Any]

    def saved(self, gather: Gather | None) -> dict[str, Any]:
        """Return what the order depends on: number of items, batch size, seed."""
        return {name: value for name, value in self.batches.state_dict().items() if name not in ("epoch", "position")}

    def restore(self, saved: Mapping[str, Any], rank: int, count: int) -> None:
        """Do nothing: the number of the step tells which batch is next."""

    def misfit(self, saved: Mapping[str, Any]) -> str:
        """Return which of these is another one here."""
        here = self.saved(None)
        for name, what in (("items", "number of items"), ("batch_size", "batch size"), ("seed", "seed of the order")):
            if saved[name] != here[name]:
                return f"its {what} is {saved[name]}, expected {here[name]}"
        return ""

    def to(self, device: torch.device) -> None:
        """Do nothing."""
