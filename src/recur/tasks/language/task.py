"""Language modelling: the loss over windows of parallel streams, by truncated back-propagation through time."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from recur.data.batch import Batch
from recur.gradients import TruncatedBPTT, WindowLengths, activation_penalty, temporal_penalty
from recur.models.language import LanguageModel, State
from recur.tasks.gradient_task import GradientOptions, GradientTask, Losses


class LanguageTask(GradientTask):
    """Trains a `LanguageModel` on contiguous streams by truncated back-propagation through time.

    The state is carried from window to window and starts anew with each epoch; how far the gradient goes back is
    `TruncatedBPTT`'s. The loss is the mean negative log-likelihood of the next token, in nats.

    Args:
        model: What to train.
        windows_per_epoch: Windows that one pass over the text takes; tells where the carried state starts anew.
        activation_penalty: Factor of `recur.gradients.activation_penalty` in what is minimised, the loss as told
            being without it.
        temporal_penalty: Factor of `recur.gradients.temporal_penalty`.
        window: Steps of a window, or the law of their random lengths; None where they are of no matter.
        reach: Steps that the gradient goes back over, at least those of a window; None: the window.
        drop_state: Probability, for each stream and window, that the carried state is dropped.
        options: As of `GradientTask`.
    """

    model: LanguageModel

    def __init__(
        self,
        model: LanguageModel,
        *,
        windows_per_epoch: int,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        window: int | WindowLengths | None = None,
        reach: int | None = None,
        drop_state: float = 0.0,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(model, **options)
        self.windows_per_epoch = windows_per_epoch
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.window = window
        self.truncation = TruncatedBPTT(
            self._with_hidden if self.has_penalties else model,
            k1=window,
            k2=reach,
            batch_first=True,
            reduction="mean",
            drop_state=drop_state,
        )
        """Carries the state, one row a stream of this process."""

    @property
    def carried(self) -> State | None:
        """The newest state that is kept, see `TruncatedBPTT.carried`; None at the beginning of an epoch."""
        carried: State | None = self.truncation.carried
        return carried

    def forget(self) -> None:
        """Let the carried state begin anew."""
        self.truncation.forget()

    def unbounded(self) -> Iterable[nn.Parameter]:
        """Return the parameters of the output layer."""
        return self.model.output.parameters()

    def learning_rate_scale(self, batch: Batch) -> float:
        """Return what the learning rate of a window is multiplied by: its share of the typical one's random length."""
        if not isinstance(self.window, WindowLengths):
            return 1.0
        return self.truncation.learning_rate_scale(batch.x.shape[1])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return what is minimised over a window, () float32, and carry the state on."""
        if self.global_step % self.windows_per_epoch == 0:
            self.forget()
        # A copy of it begins where this one does, whatever becomes of this one.
        before = copy.copy(self.truncation)
        return self.minimised(
            lambda: self._run(batch, self.truncation), again=lambda: self._run(batch, copy.copy(before)), x=batch.x
        )

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

    def _run(self, batch: Batch, truncation: TruncatedBPTT) -> Losses:
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
