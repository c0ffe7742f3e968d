"""What a language model does while it reads a text: its states and gates, and what it says will come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recur.errors import RunError
from recur.models.language import State
from recur.models.layer_recording import LayerRecorder, LayerRecording
from recur.tasks.language.trained import TrainedLanguageModel

_WINDOW = 256
"""Symbols that are run at once."""

_MOST_LOGITS = 1 << 24
"""Logits computed at once, so that a large vocabulary takes smaller windows and not more memory."""

_LISTED = 8
"""Next symbols whose probabilities are kept."""


@dataclass(frozen=True, kw_only=True)
class LanguageRecording:
    """What a language model does while it reads N symbols.

    Attributes:
        layers: Each layer.
        nats: -ln of each symbol's probability given all before it, (N,) float64; the first has its frequency.
        next_ids: The K most probable next symbols after each symbol, best first, (N, K) int32.
        next_probs: Their probabilities, (N, K) float32.
        first_embedding: Embeddings of the first S symbols, (S, E) float32.
    """

    layers: tuple[LayerRecording, ...]
    nats: NDArray[np.float64]
    next_ids: Tensor
    next_probs: Tensor
    first_embedding: Tensor

    def state_after(self, steps: Sequence[int], device: torch.device) -> State:
        """Return the state after each of B steps as `LanguageModel.run_layers` takes it; of step -1 it is zero."""
        places, states = np.maximum(steps, 0), []
        is_before = torch.tensor([step < 0 for step in steps], device=device).unsqueeze(1)
        for layer in self.layers:
            parts = [
                torch.from_numpy(layer.parts[name][places]).to(device).masked_fill(is_before, 0.0).unsqueeze(0)
                for name in layer.states
            ]
            states.append(parts[0] if len(parts) == 1 else (parts[0], parts[1]))
        return tuple(states)


@torch.inference_mode()
def record_text(
    trained: TrainedLanguageModel,
    ids: NDArray[np.int64],
    document_starts: NDArray[np.int64] | None = None,
    *,
    num_first: int = 4,
) -> LanguageRecording:
    """Return what a trained language model does while it reads `ids`, the state carried all through.

    Args:
        trained: The model.
        ids: Token ids, (N,), N at least 1.
        document_starts: Where the state starts anew, (D,), or None.
        num_first: Symbols at the beginning of which the embeddings are kept.

    Raises:
        RunError: What the model says is not finite.
    """
    model, device = trained.model, trained.device
    x = torch.from_numpy(ids).to(device).unsqueeze(0)
    reset = None
    if document_starts is not None:
        reset = torch.zeros(1, len(ids), dtype=torch.bool, device=device)
        reset[0, torch.from_numpy(document_starts).to(device)] = True
    size = max(min(_WINDOW, _MOST_LOGITS // model.vocabulary_size), 1)
    count = min(_LISTED, model.vocabulary_size)
    state: State | None = None
    nats, best = [torch.tensor([trained.first_token_nats(int(ids[0]))])], []
    with LayerRecorder(model) as recorder:
        for start in range(0, len(ids), size):
            own = x[:, start : start + size]
            resets = None if reset is None else reset[:, start : start + size]
            said, state = model(own, state, reset=resets)
            log_probs = torch.log_softmax(said[0].float(), dim=1)
            targets = x[0, start + 1 : start + size + 1]
            nats.append(functional.nll_loss(log_probs[: len(targets)], targets, reduction="none").cpu())
            best.append([found.cpu() for found in log_probs.topk(count)])
    found = torch.cat(nats)
    if not bool(torch.isfinite(found).all()) or not bool(torch.isfinite(torch.cat([one[0] for one in best])).all()):
        raise RunError("the model's predictions are not finite, for its weights are too large; train it anew.")
    return LanguageRecording(
        layers=tuple(recorder.recordings()),
        nats=found.double().numpy(),
        next_ids=torch.cat([one[1] for one in best]).int(),
        next_probs=torch.cat([one[0] for one in best]).exp(),
        first_embedding=model.embedding(x[0, :num_first]).float().cpu(),
    )
