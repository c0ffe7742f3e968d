"""What training by gradient steps asks of any task: optimiser, clipping, norms, and steps that are left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Required, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from recur.errors import TrainingError
from recur.gradients import FiniteGuard, NonFinite, clip_gradients, find_nonfinite, gradient_norms
from recur.gradients.randomness import Randomness

NORMS_EVERY = 10
"""Steps between two of which the norms of single layers are noted."""

Losses = tuple[Tensor, Tensor | None]
"""The loss of a batch, (), and what is minimised beside it, () or None."""


class GradientOptions(TypedDict, total=False):
    """The keyword arguments of `GradientTask`, which every task takes."""

    learning_rate: Required[float]
    weight_decay: float
    second_moment: float
    max_norm: float | None
    max_value: float | None
    max_layer_norm: float | None
    max_ratio: float | None
    skip_nonfinite: int


class GradientTask(LightningModule):
    """Trains a network by clipped steps of AdamW, and leaves out those whose loss or gradient is not finite.

    A task derives from it, and its `training_step` returns `minimised(...)`.

    Args:
        model: What to train.
        learning_rate: Peak learning rate of AdamW (Loshchilov & Hutter 2019); a schedule may change it each step.
        weight_decay: AdamW's, on matrices only.
        second_moment: AdamW's beta_2, how slowly the mean square of each gradient is forgotten, 0 to below 1.
        max_norm: Bound on the gradient's global norm, or None.
        max_value: Bound on each element of the gradient, or None.
        max_layer_norm: Bound on the norm of each layer's gradient, or None.
        max_ratio: Bound on the gradient of each unit as a share of its weights, or None; not on the output layer's.
        skip_nonfinite: Steps in a row that are left out when loss or gradient is not finite; one more raises.

    Attributes:
        model: The network.
        guard: Decides whether a step is taken; `guard.reason` says why the newest was not.
        loss: Loss of the newest batch.
        gradient_norm: Global norm of the newest gradient, before clipping.
        removed: Share of that norm that clipping removed, 0 to 1.
        layer_norms: Norm of the gradient of each layer before clipping, in every step of a number that `NORMS_EVERY`
            divides.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float = 0.01,
        second_moment: float = 0.999,
        max_norm: float | None = 1.0,
        max_value: float | None = None,
        max_layer_norm: float | None = None,
        max_ratio: float | None = None,
        skip_nonfinite: int = 3,
    ) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.second_moment = second_moment
        self.bounds = {
            "max_norm": max_norm,
            "max_value": max_value,
            "max_layer_norm": max_layer_norm,
            "max_ratio": max_ratio,
        }
        self.guard = FiniteGuard(limit=skip_nonfinite)
        self.loss = float("nan")
        self.gradient_norm = float("nan")
        self.removed = 0.0
        self.layer_norms: dict[str, float] = {}
        self._newest: tuple[Callable[[], Losses], Randomness] | None = None

    # --- what a task may change ---------------------------------------------------------------------------------

    @property
    def kept(self) -> nn.Module:
        """The network whose weights are judged and saved: the one that is trained, or a mean of what it has been."""
        return self.model

    def unbounded(self) -> Iterable[nn.Parameter]:
        """Return the parameters that `max_ratio` leaves alone: those of the output layer."""
        return ()

    def forget(self) -> None:
        """Drop what is carried from step to step, since a step that was left out may have spoilt it."""

    def progressed(self, share: float) -> None:
        """Take note, before each step, of how much of the training is done, 0 to 1."""

    def learning_rate_scale(self, batch: Any) -> float:
        """Return what the learning rate of a step is multiplied by."""
        return 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, the one in which Lightning notes each hook that it calls without a module's checks."""
        # Some forty times a step, which takes a tenth of a millisecond where it is looked whether it is a parameter.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # --- a step -------------------------------------------------------------------------------------------------

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return `batch` on `device`."""
        return batch.to(device)

    def minimised(self, run: Callable[[], Losses], *, again: Callable[[], Losses] | None = None, x: Tensor) -> Tensor:
        """Return what a step minimises, (), and note its loss.

        Args:
            run: Runs the network on a batch.
            again: Does the same once more, and any number of times; `run` when None.
            x: A tensor on the device where random numbers are drawn.
        """
        self._newest = again or run, Randomness.now(x)
        loss, penalty = run()
        self.loss = float(loss.detach())
        if not math.isfinite(self.loss):
            # An infinite loss may have a finite gradient. Of several processes all have to see it, by the gradient.
            loss = loss * math.nan
        return loss if penalty is None else loss + penalty

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, note the norms, and leave out a step that would spoil the weights.

        Raises:
            TrainingError: Loss or gradient are not finite, in more steps in a row than may be left out.
        """
        is_noted = (self.global_step + 1) % NORMS_EVERY == 0
        self.layer_norms = gradient_norms(self.model) if is_noted else {}
        exempt = () if self.bounds["max_ratio"] is None else self.unbounded()
        clipping = clip_gradients(self.model, **self.bounds, exempt=exempt)
        self.gradient_norm, after = torch.stack(clipping).tolist()
        self.removed = 1 - after / self.gradient_norm if self.gradient_norm else 0.0
        try:
            is_allowed = self.guard.allows(self.loss, self.gradient_norm, self._search)
        except TrainingError as error:
            raise TrainingError(f"step {self.global_step + 1}: {error} {self._advice()}") from None
        if is_allowed:
            return
        # Without gradients the optimiser leaves the weights, and what it knows of them, as they are. The state that
        # goes with them may be spoilt, and with several processes all have to drop it.
        for parameter in self.model.parameters():
            parameter.grad = None
        self.forget()
        self.layer_norms = {}

    def _search(self) -> NonFinite | None:
        """Return what went wrong first in the newest step, as this process has it."""
        assert self._newest is not None
        again, random = self._newest

        def run() -> Tensor:
            random.restore()
            with self.trainer.precision_plugin.forward_context():
                loss, penalty = again()
            return loss if penalty is None else loss + penalty

        return find_nonfinite(self.model, run)

    def _advice(self) -> str:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        bound = next((name for name, value in self.bounds.items() if value is not None), "max_norm")
        option = bound.replace("max_", "clip_")
        return f"Try a lower learning_rate than {rate:.2g}, a smaller {option}, or a longer warm-up."

    # --- optimiser and checkpoint -------------------------------------------------------------------------------

    def configure_optimizers(self) -> Optimizer:
        """Return AdamW; biases, and every other vector, are not decayed."""
        parameters = list(self.model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.learning_rate, betas=(0.9, self.second_moment), fused=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counts of steps that were left out."""
        checkpoint["guard"] = self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them."""
        self.guard.load_state_dict(checkpoint["guard"])
