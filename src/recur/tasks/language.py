"""Language modelling: the loss over windows of parallel streams, by truncated back-propagation through time."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from recur.data.batch import Batch
from recur.errors import TrainingError
from recur.gradients import (
    FiniteGuard,
    NonFinite,
    TruncatedBPTT,
    WindowLengths,
    activation_penalty,
    clip_gradients,
    find_nonfinite,
    gradient_norms,
    temporal_penalty,
)
from recur.gradients.randomness import Randomness
from recur.models.language import LanguageModel, State

NORMS_EVERY = 10
"""Steps between two of which the norms of single layers are noted."""


class LanguageTask(LightningModule):
    """Trains a `LanguageModel` on contiguous streams by truncated back-propagation through time.

    The state is carried from window to window and starts anew with each epoch; how far the gradient goes back is
    `TruncatedBPTT`'s. The loss is the mean negative log-likelihood of the next token, in nats.

    Args:
        model: What to train.
        windows_per_epoch: Windows that one pass over the text takes; tells where the carried state starts anew.
        learning_rate: Peak learning rate of AdamW (Loshchilov & Hutter 2019); a schedule may change it each step.
        weight_decay: AdamW's, on matrices only.
        max_norm: Bound on the gradient's global norm, or None.
        max_value: Bound on each element of the gradient, or None.
        max_layer_norm: Bound on the norm of each layer's gradient, or None.
        max_ratio: Bound on the gradient of each unit as a share of its weights, or None; not on the output layer's.
        skip_nonfinite: Steps in a row that are left out when loss or gradient is not finite; one more raises.
        activation_penalty: Factor of `recur.gradients.activation_penalty` in what is minimised, the loss as told
            being without it.
        temporal_penalty: Factor of `recur.gradients.temporal_penalty`.
        window: Steps of a window, or the law of their random lengths; None where they are of no matter.
        reach: Steps that the gradient goes back over, at least those of a window; None: the window.
        drop_state: Probability, for each stream and window, that the carried state is dropped.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        windows_per_epoch: int,
        learning_rate: float,
        weight_decay: float = 0.01,
        max_norm: float | None = 1.0,
        max_value: float | None = None,
        max_layer_norm: float | None = None,
        max_ratio: float | None = None,
        skip_nonfinite: int = 3,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        window: int | WindowLengths | None = None,
        reach: int | None = None,
        drop_state: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.windows_per_epoch = windows_per_epoch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.bounds = {
            "max_norm": max_norm,
            "max_value": max_value,
            "max_layer_norm": max_layer_norm,
            "max_ratio": max_ratio,
        }
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.guard = FiniteGuard(limit=skip_nonfinite)
        """Decides whether a step is taken; `guard.reason` says why the newest was not."""
        self.truncation = TruncatedBPTT(
            self._with_hidden if self.has_penalties else model,
            k1=window,
            k2=reach,
            batch_first=True,
            reduction="mean",
            drop_state=drop_state,
        )
        """Carries the state, one row a stream of this process."""
        self.loss = float("nan")
        """Mean loss of the newest window, nats a token."""
        self.gradient_norm = float("nan")
        """Global norm of the newest gradient, before clipping."""
        self.removed = 0.0
        """Share of that norm that clipping removed, 0 to 1."""
        self.layer_norms: dict[str, float] = {}
        """Norm of the gradient of each layer before clipping, in every step of a number that `NORMS_EVERY` divides."""
        self._newest: tuple[Batch, TruncatedBPTT, Randomness] | None = None

    @property
    def carried(self) -> State | None:
        """The newest state that is kept, see `TruncatedBPTT.carried`; None at the beginning of an epoch."""
        carried: State | None = self.truncation.carried
        return carried

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return `batch` on `device`."""
        return batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return what is minimised over a window, () float32, and carry the state on."""
        if self.global_step % self.windows_per_epoch == 0:
            self.truncation.forget()
        # A copy of it begins where this one does, whatever becomes of this one.
        self._newest = batch, copy.copy(self.truncation), Randomness.now(batch.x)
        loss, penalty = self._run(batch, self.truncation)
        self.loss = float(loss.detach())
        if not math.isfinite(self.loss):
            # An infinite loss may have a finite gradient. Of several processes all have to see it, by the gradient.
            loss = loss * math.nan
        return loss if penalty is None else loss + penalty

    @property
    def has_penalties(self) -> bool:
        """Whether more than the loss is minimised."""
        return bool(self.activation_penalty or self.temporal_penalty)

    def _with_hidden(
        self, x: Tensor, state: State | None = None, *, reset: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor], State]:
        """Return logits, the last layer's output before and after dropout, (B, T, ...) each, and the state."""
        h_TBH, dropped_TBH, state = self.model.hidden(x, state, reset=reset)
        return (self.model.logits(dropped_TBH), h_TBH.transpose(0, 1), dropped_TBH.transpose(0, 1)), state

    def _run(self, batch: Batch, truncation: TruncatedBPTT) -> tuple[Tensor, Tensor | None]:
        """Return the mean loss of a window, and the penalties, if any."""
        penalty = None
        logits = truncation(batch.x, reset=batch.reset)
        if self.has_penalties:
            logits, h_BTH, dropped_BTH = logits
            penalty = logits.new_zeros(())
            if self.activation_penalty:
                penalty = penalty + self.activation_penalty * activation_penalty(dropped_BTH, batch_first=True)
            if self.temporal_penalty:
                change = temporal_penalty(h_BTH, reset=batch.reset, batch_first=True)
                penalty = penalty + self.temporal_penalty * change
        # The model computes time first; read in that order, the logits need no copy. Under autocast they are narrow.
        logits = logits.transpose(0, 1).flatten(0, 1)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(logits, batch.target.t().flatten()), penalty

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
        exempt = () if self.bounds["max_ratio"] is None else self.model.output.parameters()
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
        self.truncation.forget()
        self.layer_norms = {}

    def _search(self) -> NonFinite | None:
        """Return what went wrong first in the newest window, as this process has it."""
        assert self._newest is not None
        batch, truncation, random = self._newest

        def run() -> Tensor:
            random.restore()
            with self.trainer.precision_plugin.forward_context():
                # So that it can be run again.
                loss, penalty = self._run(batch, copy.copy(truncation))
            return loss if penalty is None else loss + penalty

        return find_nonfinite(self.model, run)

    def _advice(self) -> str:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        bound = next((name for name, value in self.bounds.items() if value is not None), "max_norm")
        option = bound.replace("max_", "clip_")
        return f"Try a lower learning_rate than {rate:.2g}, a smaller {option}, or a longer warm-up."

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counts of steps that were left out."""
        checkpoint["guard"] = self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them."""
        self.guard.load_state_dict(checkpoint["guard"])

    def configure_optimizers(self) -> Optimizer:
        """Return AdamW; biases, and every other vector, are not decayed."""
        parameters = list(self.model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.learning_rate, fused=True)
