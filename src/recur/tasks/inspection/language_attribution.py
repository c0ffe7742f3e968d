"""Which earlier symbols a language model's predictions rest on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.gradients.probes.sequence_model import held_still
from recur.tasks.inspection.explained_predictions import WINDOW, ExplainedPredictions, explained, explained_positions
from recur.tasks.inspection.language_recording import LanguageRecording
from recur.tasks.language.trained import TrainedLanguageModel

_SHARE = (
    "A share is what a symbol adds to the logarithm of the next symbol's probability, against the mean embedding of "
    "the training text in its place."
)


def explain_predictions(
    trained: TrainedLanguageModel,
    ids: NDArray[np.int64],
    recording: LanguageRecording,
    document_starts: NDArray[np.int64] | None = None,
    *,
    window: int = WINDOW,
    seed: int = 0,
) -> ExplainedPredictions:
    """Return which earlier symbols the model's predictions rest on, by every method, and which method to believe.

    Explained is the logarithm of the probability of the symbol that really came; the neutral input is the mean of the
    embeddings, weighted by how often their tokens occur in the training text.

    Args:
        trained: The model.
        ids: Token ids, (N,).
        recording: What the model did while it read them.
        document_starts: Where the state starts anew, (D,), or None; no window reaches back over such a place.
        window: Symbols before a prediction that it is led back to, from 1 on.
        seed: Of the random deletions.
    """
    positions = explained_positions(recording.nats, window)
    if len(positions) == 0:
        return ExplainedPredictions(window=window, positions=positions, note=_SHARE)
    starts = np.array([0]) if document_starts is None else np.union1d([0], document_starts)
    begins = np.maximum(positions - window + 1, starts[np.searchsorted(starts, positions, side="right") - 1])
    lengths = positions + 1 - begins
    device, embedding = trained.device, trained.model.embedding.weight.detach()
    places = np.minimum(begins[:, None] + np.arange(window), len(ids) - 1)
    inputs = embedding[torch.from_numpy(ids[places]).to(device)]
    frequency = torch.from_numpy(trained.counts / max(int(trained.counts.sum()), 1)).to(embedding)
    baseline = frequency @ embedding
    scorer = _Scorer(
        trained,
        recording,
        inputs,
        begins=begins,
        lengths=torch.from_numpy(lengths).to(device),
        targets=torch.from_numpy(ids[positions + 1]).to(device),
        is_anew=torch.from_numpy(np.isin(begins, starts)).to(device),
    )
    with held_still(trained.model):
        return explained(
            scorer,
            inputs,
            baseline,
            positions=positions,
            lengths=scorer.lengths,
            units=sum(layer.hidden_size for layer in recording.layers),
            share=_SHARE,
            seed=seed,
        )


class _Scorer:
    """The logarithm of the target's probability, as a function of the embeddings of the symbols before it."""

    def __init__(
        self,
        trained: TrainedLanguageModel,
        recording: LanguageRecording,
        inputs: Tensor,
        *,
        begins: NDArray[np.int64],
        lengths: Tensor,
        targets: Tensor,
        is_anew: Tensor,
    ) -> None:
        self.lengths = lengths
        self._model = trained.model
        self._recording = recording
        self._inputs = inputs
        self._begins = begins
        self._targets = targets
        self._is_anew = is_anew

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (B,) of windows x (B, W, E), variants of the rows (B,)."""
        lengths, anew = self.lengths[rows], self._is_anew[rows]
        begins = self._begins[rows.cpu().numpy()]
        if not x.requires_grad:
            # What the network does before the first change is recorded.
            first = self._first_changed(x, rows)
            places = torch.arange(x.shape[1], device=x.device) + first.unsqueeze(1)
            x = x[torch.arange(len(x), device=x.device).unsqueeze(1), places.clamp_max(x.shape[1] - 1)]
            lengths, anew, begins = lengths - first, anew & (first == 0), begins + first.cpu().numpy()
            x = x[:, : int(lengths.max())]
        state = self._recording.state_after((begins - 1).tolist(), x.device)
        reset = None
        if bool(anew.any()):
            # The first symbol of a document has the layers' own initial state before it, which may be learned.
            reset = torch.zeros(x.shape[1], len(rows), dtype=torch.bool, device=x.device)
            reset[0] = anew
        _, hidden, _ = self._model.run_layers(x.transpose(0, 1), state, lengths=lengths, reset=reset)
        logits = self._model.output(hidden[lengths - 1, torch.arange(len(rows), device=x.device)])
        scores = torch.log_softmax(logits, dim=1).gather(1, self._targets[rows].unsqueeze(1))
        return scores.squeeze(1)

    def _first_changed(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return the first step at which each window differs from the text's, (B,); of one that does not, its last."""
        is_changed = (x != self._inputs[rows]).any(2)
        is_changed[torch.arange(len(rows), device=x.device), self.lengths[rows] - 1] = True
        return is_changed.int().argmax(1)
