"""Validation while training: held-out loss, best weights, early stopping, samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recur.errors import TrainingError
from recur.run import RunFolder
from recur.tasks.gradient_task import GradientTask
from recur.train.job import Judged
from recur.train.pace import Pace
from recur.wording import enumerated, quantity


@dataclass(kw_only=True, eq=False)
class Validation(Callback):
    """Judges the model on the validation part, keeps the best weights, and stops when it gets no better.

    Only the first process validates; the others wait in the decision that follows each step.

    Args:
        run: Where the best weights and the figures go.
        pace: Told when to stop, and that a checkpoint is due.
        judge: Judges the validation part.
        sample: Returns the row of a sample for `metrics.jsonl`, or None.
        every: Steps between validations.
        patience: Validations without a better one before training stops; 0 never stops.
        keeps_newest: Whether the newest weights are kept, though others may have been better.
        judges_beginning: Whether the weights before the first step are judged too.
        num_averaged: Of so many of the best validations the weights are averaged at the end; 1 for none.
    """

    run: RunFolder
    pace: Pace
    judge: Callable[[], Judged]
    sample: Callable[[], dict[str, Any] | None]
    every: int
    patience: int
    keeps_newest: bool = False
    judges_beginning: bool = False
    num_averaged: int = 1
    best: float = math.inf
    best_step: int = 0
    without_better: int = 0
    latest: float = math.nan
    _first: dict[str, Tensor] | None = None
    _best: list[tuple[float, int, dict[str, Tensor]]] = field(default_factory=list)
    _mean_of: list[int] = field(default_factory=list)

    def after_step(self, trainer: Trainer, task: GradientTask, epoch: int) -> bool:
        """Validate when it is due, every so many steps and at the end, and return whether the bounds are reached.

        Who asks the clock again may get another answer, and end a training whose last weights were never judged.
        """
        step = trainer.global_step
        is_over = self.pace.is_over(step)
        if not trainer.is_global_zero or not (step % self.every == 0 or is_over):
            return is_over
        self._judge(trainer, task, epoch)
        self.pace.validated()
        if self.patience and self.without_better >= self.patience:
            self.pace.stop_wanted = (
                f"the validation loss has not fallen for {quantity(self.without_better, 'validation')}"
            )
        # Judging took time too.
        return self.pace.is_over(step)

    def _judge(self, trainer: Trainer, task: GradientTask, epoch: int) -> None:
        """Judge the weights as they are, keep them where they are best, and write down what was found."""
        step = trainer.global_step
        judged = self.judge()
        self.latest = judged.loss
        # Nothing is better than its beginning when that is judged, and there is nothing else to keep.
        value = judged.loss if judged.score is None or not math.isfinite(judged.loss) else -judged.score
        is_better = value < self.best or (judged.score is not None and value == self.best)
        is_best = (judged.is_kept or step == 0) and is_better
        if is_best:
            self.best, self.best_step, self.without_better = value, step, 0
        else:
            self.without_better += 1
        if self.num_averaged > 1 and judged.is_kept and math.isfinite(value):
            weights = {name: one.detach().clone() for name, one in task.kept.state_dict().items()}
            self._best = sorted([*self._best, (value, step, weights)], key=lambda one: one[:2])[: self.num_averaged]
        is_kept = is_best or (self.keeps_newest and math.isfinite(judged.loss))
        if is_kept:
            self.run.save_weights(task.kept.state_dict())
            self._first = None
        common = {"step": step, "epoch": epoch, "elapsed": self.pace.elapsed}
        self.run.append_metrics({"kind": "valid", **common, "loss": judged.loss, **judged.figures, "is_best": is_best})
        sample = self.sample()
        if sample is not None:
            self.run.append_metrics({"kind": "sample", **common, **sample})
        for logger in trainer.loggers:
            logger.log_metrics({"valid/loss": judged.loss}, step=step)

    def state_dict(self) -> dict[str, Any]:
        """Return what early stopping has seen, for resuming, the weights to average, and whose mean was judged."""
        seen = {"best": self.best, "best_step": self.best_step, "without_better": self.without_better}
        return seen | ({"best_weights": self._best, "mean_of": self._mean_of} if self._best else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what early stopping saw before."""
        self.best = float(state_dict["best"])
        self.best_step = int(state_dict["best_step"])
        self.without_better = int(state_dict["without_better"])
        self._best = list(state_dict.get("best_weights", []))
        self._mean_of = list(state_dict.get("mean_of", []))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the weights before the first step, or remember them until the first are saved."""
        assert isinstance(pl_module, GradientTask)
        if trainer.is_global_zero and self.judges_beginning and trainer.global_step == 0:
            self._judge(trainer, pl_module, 0)
        if trainer.is_global_zero and not self.run.has("model.safetensors"):
            self._first = {name: value.detach().clone() for name, value in pl_module.kept.state_dict().items()}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a training of which no weights could be kept.

        Raises:
            TrainingError: The validation loss was never finite.
        """
        if self._first is not None and math.isinf(self.best) and not self.pace.decision.is_interrupted:
            raise TrainingError(
                f"the loss on the validation part was never finite, in the end {self.latest}, so that no weights could "
                "be judged, and those from before are kept. Look there for values that are far too large."
            )
        assert isinstance(pl_module, GradientTask)
        if self.is_mean_due and trainer.is_global_zero and not self.pace.decision.is_interrupted:
            self.judge_mean(trainer.global_step, pl_module)

    @property
    def is_mean_due(self) -> bool:
        """Whether there are weights to average whose mean has not been judged."""
        return len(self._best) > 1 and self._steps_of_best() != self._mean_of

    def _steps_of_best(self) -> list[int]:
        return sorted(step for _, step, _ in self._best)

    def judge_mean(self, step: int, task: GradientTask) -> None:
        """Average the best weights, and keep their mean where it is better than all of them.

        Source: Vaswani et al. (2017), section 6.1, who take the newest ones.

        Args:
            step: Steps of the training.
            task: Its weights stay what they are.
        """
        newest = {name: one.clone() for name, one in task.kept.state_dict().items()}
        of_best = [weights for _, _, weights in self._best]
        mean = {
            name: torch.stack([weights[name] for weights in of_best]).mean(0) if one.is_floating_point() else one
            for name, one in of_best[0].items()
        }
        task.kept.load_state_dict(mean)
        judged = self.judge()
        value = judged.loss if judged.score is None else -judged.score
        is_better = judged.is_kept and math.isfinite(judged.loss) and value < self.best
        if is_better:
            self.best = value
            self.run.save_weights(task.kept.state_dict())
        task.kept.load_state_dict(newest)
        self._mean_of = self._steps_of_best()
        steps = enumerated([f"{one:,}" for one in self._mean_of])
        text = f"the mean of the weights of steps {steps} has a validation loss of {judged.loss:.4f}, and is"
        event = {"kind": "event", "step": step, "text": f"{text} {'kept' if is_better else 'no better than the best'}"}
        # A kill before the next checkpoint lets a resumed training come to it again.
        if event not in self.run.metrics():
            self.run.append_metrics(event)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep good weights of a training that went wrong before its first validation."""
        if not isinstance(exception, TrainingError) or not trainer.is_global_zero or self._first is None:
            return
        assert isinstance(pl_module, GradientTask)
        # The step before may have spoilt the weights although they are finite: then the first ones are the last good.
        is_good = math.isfinite(self.judge().loss)
        self.run.save_weights(pl_module.kept.state_dict() if is_good else self._first)
