"""How far training has come: learning rate, time budget, and the decision to stop, agreed by all processes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from recur.train.options import TrainingOptions
from recur.wording import enumerated, quantity

_SETTLED_SECONDS = 5.0
"""A validation that comes sooner after a checkpoint does not ask for another one."""

_WARMUP_SHARE = 0.05
"""Warm-up is over after this share of the training at the latest, however few the steps are."""


def learning_rate_factor(step: int, progress: float, *, warmup_steps: int, final: float) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, then half a cosine (Loshchilov & Hutter 2017).

    Args:
        step: Steps taken so far.
        progress: Share of the training that is done, 0 to 1, by steps, epochs or time, whichever is furthest.
        warmup_steps: Steps of the warm-up.
        final: Share of the peak at the end.
    """
    warmup = max((step + 1) / warmup_steps if warmup_steps else 1.0, progress / _WARMUP_SHARE)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return min(warmup, 1.0) * (final + (1 - final) * cosine)


@dataclass
class Decision:
    """What the processes agreed on after a step."""

    is_over: bool = False
    is_finished: bool = False
    """Over by itself, whether it was interrupted or not."""
    is_interrupted: bool = False
    is_checkpoint_due: bool = False
    loss: float = math.nan


@dataclass(kw_only=True, eq=False)
class Pace(Callback):
    """Sets the learning rate before each step, and after it decides whether to stop and whether to save.

    The first process decides by its clock and the others follow. Ctrl-C and SIGTERM stop after the running step; a
    second Ctrl-C stops at once.

    Args:
        options: With every value chosen.
        steps_per_epoch: Steps of one pass over the data.
        learning_rate_scale: What the learning rate of a batch is multiplied by.
        progressed: Is told before each step how much of the training is done, 0 to 1.
        checkpoint_seconds: Time between checkpoints where `options.checkpoint_every` is not given.
    """

    options: TrainingOptions
    steps_per_epoch: int
    learning_rate_scale: Callable[[Any], float] = lambda batch: 1.0
    progressed: Callable[[float], None] = lambda share: None
    checkpoint_seconds: float = 60.0
    stop_wanted: str = ""
    """Why training should stop after this step, by whoever wants it; empty: it should not."""
    checkpoint_wanted: bool = False
    decision: Decision = field(default_factory=Decision)
    _elapsed_before: float = 0.0
    _started: float = 0.0
    _last_saved: float = 0.0
    _signal_seen: bool = False
    _handlers: dict[int, Any] = field(default_factory=dict)

    # --- clock and schedule -------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume counted in."""
        return self._elapsed_before + (time.monotonic() - self._started if self._started else 0.0)

    def progress(self, step: int, elapsed: float) -> float:
        """Return the share of the training that is done after `step` steps and `elapsed` seconds, 0 to 1."""
        shares = [0.0]
        if self.options.max_steps is not None:
            shares.append(step / self.options.max_steps)
        if self.options.max_epochs is not None:
            shares.append(step / (self.options.max_epochs * self.steps_per_epoch))
        if self.options.max_minutes is not None:
            shares.append(elapsed / (self.options.max_minutes * 60))
        return min(max(shares), 1.0)

    def is_over(self, step: int) -> bool:
        """Return whether the bounds end the training after `step` steps, by this process's clock."""
        return self.progress(step, self.elapsed) >= 1.0

    def out_of_time(self, step: int) -> str:
        """Return how far `step` steps came where time ends the training before its other bounds; else nothing."""
        minutes, steps, epochs = self.options.max_minutes, self.options.max_steps, self.options.max_epochs
        if minutes is None or self.elapsed < minutes * 60:
            return ""
        reached = [f"step {step:,} of {steps:,}"] if steps is not None else []
        reached += [f"epoch {step // self.steps_per_epoch + 1:,} of {epochs:,}"] if epochs is not None else []
        most = min(most for most in (steps, epochs and epochs * self.steps_per_epoch, math.inf) if most is not None)
        return f"{quantity(minutes, 'minute')}, in {enumerated(reached)}" if reached and step < most else ""

    def validated(self) -> None:
        """Want a checkpoint after a validation, unless the user says when, or the last one is young."""
        age = time.monotonic() - self._last_saved
        self.checkpoint_wanted = self.options.checkpoint_every is None and age >= _SETTLED_SECONDS

    # --- hooks --------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and take the signals over."""
        self._started = self._last_saved = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            # Python gives signals to the main thread alone.
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.getsignal(number)
            signal.signal(number, self._on_signal)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock and give the signals back."""
        self.release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop the clock and give the signals back."""
        self.release()

    def release(self) -> None:
        """Stop the clock and give the signals back; harmless when done already."""
        self._elapsed_before, self._started = self.elapsed, 0.0
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of the step."""
        step = trainer.global_step
        elapsed = self.elapsed
        if trainer.world_size > 1 and self.options.max_minutes is not None:
            elapsed = float(trainer.strategy.broadcast(elapsed))
        progress = self.progress(step, elapsed)
        self.progressed(progress)
        factor = learning_rate_factor(
            step,
            progress,
            warmup_steps=self.options.warmup_steps,
            final=self.options.final_learning_rate,
        )
        assert self.options.learning_rate is not None
        factor *= self.learning_rate_scale(batch)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.options.learning_rate * factor

    def agree(self, trainer: Trainer, loss: float, is_over: bool) -> Decision:
        """Decide what follows the step that just ended; with several processes a collective call.

        Args:
            trainer: The trainer.
            loss: This process's loss; the decision holds the mean of all.
            is_over: Whether the bounds are reached; the first process's word counts.
        """
        step = trainer.global_step
        is_over = is_over or bool(self.stop_wanted)
        every = self.options.checkpoint_every
        due = self.checkpoint_wanted or is_over or self._signal_seen
        if every is not None:
            due = due or step % every == 0
        else:
            due = due or time.monotonic() - self._last_saved >= self.checkpoint_seconds
        interrupted = self._signal_seen
        if trainer.world_size > 1:
            is_over, interrupted, due, loss = self._agreed(trainer, is_over, due, loss)
        self.decision = Decision(
            is_over=is_over or interrupted,
            is_finished=is_over,
            is_interrupted=interrupted,
            is_checkpoint_due=due or interrupted,
            loss=loss,
        )
        if self.decision.is_checkpoint_due:
            self._last_saved = time.monotonic()
        self.checkpoint_wanted = False
        trainer.should_stop = trainer.should_stop or self.decision.is_over
        return self.decision

    def _agreed(self, trainer: Trainer, is_over: bool, due: bool, loss: float) -> tuple[bool, bool, bool, float]:
        """Return whether all stop, were interrupted, and save, and the mean of their losses."""
        flags = torch.tensor([is_over, self._signal_seen, due, loss], dtype=torch.float64)
        if not trainer.is_global_zero:
            flags[0] = flags[2] = 0
        over, interrupted, saving, total = trainer.strategy.reduce(
            flags.to(trainer.strategy.root_device), reduce_op="sum"
        ).tolist()
        return over > 0, interrupted > 0, saving > 0, total / trainer.world_size

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal_seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal_seen = True

    # --- checkpoint ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent, for resuming."""
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the time spent before."""
        self._elapsed_before = float(state_dict["elapsed"])
