"""The end of each step: validation, the common decision, a row of metrics, the bar, a checkpoint, in this order."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from recur.run import RunFolder
from recur.tasks.gradient_task import NORMS_EVERY, GradientTask
from recur.train.checkpoint import Checkpoints
from recur.train.display import Display, duration
from recur.train.job import Throughput
from recur.train.pace import Pace
from recur.train.validation import Validation

_ROW_EVERY = NORMS_EVERY
_BAR_SECONDS = 0.2
_SUMS = {"steps": int, "loss_sum": float, "norm_sum": float, "clipped": int, "removed_sum": float, "skipped": int}


@dataclass(kw_only=True, eq=False)
class Recorder(Callback):
    """Runs what follows a step and writes `metrics.jsonl`.

    Args:
        run: Where the rows go.
        pace: Decides.
        validation: Judges.
        checkpoints: Saves.
        display: Shows.
        throughput: What speed is counted in.
    """

    run: RunFolder
    pace: Pace
    validation: Validation
    checkpoints: Checkpoints
    display: Display
    throughput: Throughput
    steps: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    clipped: int = 0
    removed_sum: float = 0.0
    skipped: int = 0
    _counted: int = 0
    _since: float = 0.0
    _speed: float = 0.0
    _shown: float = 0.0
    _mean_loss: float = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start measuring speed."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what follows a step."""
        assert isinstance(pl_module, GradientTask)
        step = trainer.global_step
        epoch = (step - 1) // self.pace.steps_per_epoch
        before = time.monotonic()
        is_over = self.validation.after_step(trainer, pl_module, epoch)
        # Validation is not training: it does not count as slowness.
        self._since += time.monotonic() - before
        decision = self.pace.agree(trainer, pl_module.loss, is_over)
        self._counted += self.throughput.count(batch) * trainer.world_size
        if pl_module.guard.reason:
            self._skip(trainer, pl_module, step)
        else:
            self.steps += 1
            self.loss_sum += pl_module.loss if trainer.world_size == 1 else decision.loss
            self.norm_sum += pl_module.gradient_norm
            self.clipped += pl_module.removed > 0
            self.removed_sum += pl_module.removed
        if trainer.is_global_zero:
            # An interrupted training goes on, and its rows shall be as if it had not been.
            if step % _ROW_EVERY == 0 or decision.is_finished:
                self._write_row(trainer, pl_module, step, epoch)
            self._show(step, epoch, pl_module)
        if decision.is_checkpoint_due:
            self.checkpoints.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save how good the mean of the best weights is, so that a longer training keeps only what is better."""
        if self.validation.num_averaged > 1 and not self.pace.decision.is_interrupted:
            self.checkpoints.save(trainer)

    def _skip(self, trainer: Trainer, task: GradientTask, step: int) -> None:
        """Note a step that was left out, and say so once."""
        self.skipped += 1
        if not trainer.is_global_zero:
            return
        text = f"step {step}: {task.guard.reason}"
        self.run.append_metrics({"kind": "event", "step": step, "text": text, **spoilt_by(task)})
        if task.guard.skipped == 1:
            self.display.say(f"note     {text} Training goes on; later ones are in metrics.jsonl and in the report.")

    def _write_row(self, trainer: Trainer, task: GradientTask, step: int, epoch: int) -> None:
        now = time.monotonic()
        self._speed = self._counted / max(now - self._since, 1e-9)
        # All steps of a row may have been left out.
        steps = self.steps or math.nan
        self._mean_loss = self.loss_sum / steps
        elapsed = self.pace.elapsed
        row = {
            "step": step,
            "epoch": epoch,
            "progress": self.pace.progress(step, elapsed),
            "elapsed": elapsed,
            "loss": self._mean_loss,
            "grad_norm": self.norm_sum / steps,
            "clipped": self.clipped / steps,
            "removed": self.removed_sum / steps,
            "skipped": self.skipped,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **self.throughput.figures(self._speed),
        }
        self.run.append_metrics({"kind": "train", **row, "layer_norms": task.layer_norms})
        of_layers = {f"layer_norm/{name}": norm for name, norm in task.layer_norms.items()}
        for logger in trainer.loggers:
            figures = {f"train/{key}": value for key, value in row.items() if key != "step"}
            logger.log_metrics(figures | of_layers, step=step)
        self.steps, self.loss_sum, self.norm_sum = 0, 0.0, 0.0
        self.clipped, self.removed_sum, self.skipped = 0, 0.0, 0
        self._counted, self._since = 0, now

    def _show(self, step: int, epoch: int, task: GradientTask) -> None:
        now = time.monotonic()
        if now - self._shown < _BAR_SECONDS:
            return
        self._shown = now
        elapsed = self.pace.elapsed
        progress = self.pace.progress(step, elapsed)
        left = duration(elapsed * (1 - progress) / progress) if progress > 0.005 else "?"
        loss = self._mean_loss or task.loss
        if self.validation.latest == self.validation.latest:
            self.display.validated(self.validation.latest)
        speed = self.throughput.shown(self._speed) if self._speed else "measuring speed"
        self.display.advance(progress, f"step {step} | epoch {epoch + 1} | loss {loss:.3f} | {speed} | {left} left")

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the row in the making, so that a resumed run writes the same rows."""
        return {name: getattr(self, name) for name in _SUMS}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the sums."""
        for name, kind in _SUMS.items():
            setattr(self, name, kind(state_dict[name]))


def spoilt_by(task: GradientTask) -> dict[str, Any]:
    """Return what an event tells of what was not finite in the newest step, beside its text."""
    return {} if task.guard.found is None else {"nonfinite": task.guard.found.to_json()}
