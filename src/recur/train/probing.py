"""A look at the gradient through time every so many steps: written down, and said once where it is ill."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from recur.gradients import Finding, Probe, Training, diagnose, probe
from recur.run import RunFolder
from recur.tasks.gradient_task import GradientTask
from recur.tasks.inspection.run_training import TrainedSteps, late_training
from recur.train.display import Display
from recur.train.pace import Pace

_ROWS = 16
_IN_A_ROW = 5
"""Probes in a row that find the same before it is said; a network that has just begun forgets at once."""
_BEGUN = 0.1
"""Share of the training before which nothing is said."""


@dataclass(kw_only=True, eq=False)
class Probing(Callback):
    """Probes the network on the newest windows, writes rows of kind "probe", and warns of each finding once.

    A probe looks from the last step of sixteen rows back to steps at lags of powers of two, in evaluation mode, and
    draws no random number of the training's. The state is the model's own at the window's first step, not the one that
    training carried there. A window of less than half the usual length, such as the last of an epoch may be, is passed
    over.

    Args:
        run: Where the rows go.
        pace: Tells how far training has come.
        display: Where warnings are said.
        every: Steps between probes; 0 for none.
        window: Steps of a window.
        reach: Steps that the gradient may go back.
    """

    run: RunFolder
    pace: Pace
    display: Display
    every: int
    window: int
    reach: int
    in_a_row: Counter[str] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)
    losses: list[float] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    best_loss: float = float("inf")
    _before: list[Tensor] | None = None

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Keep the weights, to see by how much the step moves them."""
        if self._is_due(trainer, trainer.global_step + 1):
            self._before = [parameter.detach().clone() for parameter in pl_module.parameters()]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, where it is time to."""
        assert isinstance(pl_module, GradientTask)
        if not (self.every and trainer.is_global_zero):
            return
        step = trainer.global_step
        if not pl_module.guard.reason:
            self.losses.append(pl_module.loss)
            self.removed.append(pl_module.removed)
        if not self._is_due(trainer, step) or batch.x.shape[1] < self.window // 2:
            self._before = None
            return
        found = probe_step(pl_module.model, batch)
        training = self._training(pl_module)
        findings = diagnose(found, training)
        self.run.append_metrics({"kind": "probe", "step": step, "update": training.update, **_row(found)})
        names = {finding.name for finding in findings}
        self.in_a_row = Counter({name: self.in_a_row[name] + 1 for name in names})
        if self.pace.progress(step, self.pace.elapsed) >= _BEGUN:
            for finding in findings:
                self._say(finding, step)

    def _is_due(self, trainer: Trainer, step: int) -> bool:
        return bool(self.every) and trainer.is_global_zero and step % self.every == 0

    def _training(self, task: GradientTask) -> Training:
        """Return what is known of the training since the last probe."""
        # A step that was left out says nothing, of which there may be no other.
        steps = [
            TrainedSteps(1, loss, float(share > 0), share)
            for loss, share in zip(self.losses, self.removed, strict=True)
        ]
        update = None
        self.losses.clear()
        self.removed.clear()
        if self._before is not None and not task.guard.reason:
            pairs = list(zip(task.parameters(), self._before, strict=True))
            moved = torch.nn.utils.get_total_norm([new.detach() - old for new, old in pairs])
            update = float(moved / torch.nn.utils.get_total_norm([old for _, old in pairs]))
        self._before = None
        training = late_training(steps, best_loss=self.best_loss, window=self.reach, update=update)
        assert training.best_loss is not None
        self.best_loss = training.best_loss
        return training

    def _say(self, finding: Finding, step: int) -> None:
        if finding.name in self.said or self.in_a_row[finding.name] < _IN_A_ROW:
            return
        self.said.add(finding.name)
        self.run.append_metrics({"kind": "event", "step": step, "text": str(finding)})
        self.display.say(f"note     {finding}")

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far, so that a resumed training says the same."""
        return {
            "in_a_row": dict(self.in_a_row),
            "said": sorted(self.said),
            "losses": list(self.losses),
            "removed": list(self.removed),
            "best_loss": self.best_loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it."""
        self.in_a_row = Counter(state_dict["in_a_row"])
        self.said = set(state_dict["said"])
        self.losses = list(state_dict["losses"])
        self.removed = list(state_dict["removed"])
        self.best_loss = float(state_dict["best_loss"])


def probe_step(model: torch.nn.Module, batch: Any) -> Probe:
    """Return the cheap probe of a network on a batch: from the last step of some rows, at lags of powers of two."""
    last = batch.x.shape[1] - 1
    lags = {0, last, *(1 << k for k in range(last.bit_length()))}
    return probe(
        model,
        batch,
        rows=_ROWS,
        targets=[last],
        sources=[last - lag for lag in lags if lag <= last],
        exponents=1,
        lags=(),
        batch_first=True,
    )


def _row(found: Probe) -> dict[str, Any]:
    """Return what is written of a probe."""
    figures = found.to_json()
    layers = [
        {
            "name": layer["name"],
            "exponent": layer["lyapunov"][0] if layer["lyapunov"] else None,
            "saturated": layer["saturated"],
            "dead": layer["dead"],
            "gates": {name: gate["mean"] for name, gate in layer["gates"].items()},
        }
        for layer in figures["layers"]
    ]
    return {name: figures[name] for name in ("lags", "by_lag", "memory_length")} | {"layers": layers}
