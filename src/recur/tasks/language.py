"""Language modelling: the loss over windows of parallel streams, by truncated back-propagation through time."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from recur.data.batch import Batch
from recur.errors import TrainingError
from recur.gradients.clipping import clip_gradients
from recur.gradients.truncation import TruncatedBPTT
from recur.gradients.window_lengths import WindowLengths
from recur.models.language import LanguageModel, State


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
        window: int | WindowLengths | None = None,
        reach: int | None = None,
        drop_state: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.windows_per_epoch = windows_per_epoch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.max_value = max_value
        self.truncation = TruncatedBPTT(
            model, k1=window, k2=reach, batch_first=True, reduction="mean", drop_state=drop_state
        )
        """Carries the state, one row a stream of this process."""
        self.loss = float("nan")
        """Mean loss of the newest window, nats a token."""
        self.gradient_norm = float("nan")
        """Global norm of the newest gradient, before clipping."""

    @property
    def carried(self) -> State | None:
        """The newest state that is kept, see `TruncatedBPTT.carried`; None at the beginning of an epoch."""
        carried: State | None = self.truncation.carried
        return carried

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return `batch` on `device`."""
        return batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of a window, () float32, and carry the state on."""
        if self.global_step % self.windows_per_epoch == 0:
            self.truncation.forget()
        logits = self.truncation(batch.x, reset=batch.reset)
        # The model computes time first; read in that order, the logits need no copy. Under autocast they are narrow.
        logits = logits.transpose(0, 1).flatten(0, 1)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = functional.cross_entropy(logits, batch.target.t().flatten())
        self.loss = float(loss.detach())
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, note the norm, and stop before a step that would spoil the weights.

        Raises:
            TrainingError: The loss or the gradient is not finite.
        """
        found = clip_gradients(self.model, max_norm=self.max_norm, max_value=self.max_value)
        self.gradient_norm = float(found.before)
        if not (math.isfinite(self.gradient_norm) and math.isfinite(self.loss)):
            raise TrainingError(self._advice())

    def _advice(self) -> str:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        bound = "clip_norm" if self.max_value is None else "clip_value"
        return (
            f"step {self.global_step + 1}: the loss is {self.loss:.4g} and the gradient's norm "
            f"{self.gradient_norm:.4g}, not finite; this step was not taken and the last good weights are kept. "
            f"Try a lower learning_rate than {rate:.2g}, a smaller {bound}, or a longer warm-up."
        )

    def configure_optimizers(self) -> Optimizer:
        """Return AdamW; biases, and every other vector, are not decayed."""
        parameters = list(self.model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.learning_rate, fused=True)
