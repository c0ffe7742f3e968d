"""Which earlier symbols a language model's predictions rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.gradients.attributions.attribution import METHODS, attribute
from recur.gradients.attributions.deletion import Deletion, check_by_deletion
from recur.gradients.probes.sequence_model import held_still
from recur.tasks.text_recording import TextRecording
from recur.tasks.trained_language import TrainedLanguageModel

WINDOW = 64
"""Symbols before a prediction that it is led back to; the state before them is taken as it is."""

_SPREAD = 32
"""Explained positions that are spread evenly over the text."""

_SURPRISING = 16
"""Explained positions at which the next symbol surprised most."""

_NAMES = {
    "gradient_input": "gradient \N{MULTIPLICATION SIGN} input",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
}
_NOTE = (
    "A share is what a symbol adds to the logarithm of the next symbol's probability, against the mean embedding of "
    "the training text in its place; the state before the window is taken as it is. A method is called faithful if "
    "deleting what it calls most important hurts more than deleting as many symbols at random, on average over the "
    "explained positions and by more than two standard errors."
)

_MOST_VALUES = 1 << 23
"""Values of hidden states that are kept for a gradient at once, at most."""

_DRAWS = 5
"""Random deletions that each method is compared with, at every share."""

_MOST_ROWS = 256
"""Windows that are run at once, at most."""


@dataclass(frozen=True, kw_only=True)
class TextAttribution:
    """Which of W earlier symbols each of A predictions rests on.

    Attributes:
        window: W.
        positions: Positions p whose prediction, of the symbol at p + 1, is explained, (A,) int64, ascending.
        shares: By method, the signed share of the symbol at p - W + 1 + w, (A, W) float32; 0 before the text.
        deletions: By method, whether its shares can be believed; empty with fewer than two positions.
    """

    window: int
    positions: NDArray[np.int64]
    shares: dict[str, Tensor]
    deletions: dict[str, Deletion]

    def to_json(self) -> dict[str, Any]:
        """Return all but the tensors as it stands in `inspect.json`."""
        return {
            "window": self.window,
            "methods": [
                {"key": key, "name": _NAMES[key]}
                | ({"deletion": self.deletions[key].to_json()} if key in self.deletions else {})
                for key in self.shares
            ],
            "note": _NOTE,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors as they stand in `inspect.safetensors`; none where nothing was explained."""
        if not self.shares:
            return {}
        return {
            "attribution.positions": torch.from_numpy(self.positions.astype(np.int32)),
            **{f"attribution.{key}": shares for key, shares in self.shares.items()},
        }


def explained_positions(nats: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.int64]:
    """Return the positions whose predictions are explained: evenly spread, and before the most surprising symbols.

    Args:
        nats: Loss of each of N symbols.
        window: Positions that have fewer symbols before them are passed over, or half of a shorter text.

    Returns:
        At most 48 of 0 to N - 2, ascending, int64.
    """
    last = len(nats) - 2
    if last < 0:
        return np.zeros(0, dtype=np.int64)
    first = min(window - 1, last // 2)
    spread = np.unique(np.linspace(first, last, _SPREAD).round().astype(np.int64))
    others = np.setdiff1d(np.arange(first, last + 1), spread)
    # Stable, so that of equal ones the first are taken.
    worst = others[np.argsort(-nats[others + 1], kind="stable")[:_SURPRISING]]
    return np.sort(np.concatenate([spread, worst]))


def explain_predictions(
    trained: TrainedLanguageModel,
    ids: NDArray[np.int64],
    recording: TextRecording,
    document_starts: NDArray[np.int64] | None = None,
    *,
    window: int = WINDOW,
    seed: int = 0,
) -> TextAttribution:
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
        return TextAttribution(window=window, positions=positions, shares={}, deletions={})
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
    mask = torch.arange(window, device=device) < scorer.lengths.unsqueeze(1)
    units = sum(layer.hidden_size for layer in recording.layers)
    size = min(max(_MOST_VALUES // (window * units), 1), _MOST_ROWS)
    with held_still(trained.model):
        found: dict[str, Tensor] = {
            method: attribute(scorer, inputs, baseline, method=method, batch_size=size) for method in METHODS
        }
        deletions = {}
        if len(positions) > 1:
            deletions = check_by_deletion(
                scorer, inputs, found, baseline, mask=mask, draws=_DRAWS, seed=seed, batch_size=size
            )
    shares = {method: _right_aligned(own, lengths) for method, own in found.items()}
    return TextAttribution(window=window, positions=positions, shares=shares, deletions=deletions)


class _Scorer:
    """The logarithm of the target's probability, as a function of the embeddings of the symbols before it."""

    def __init__(
        self,
        trained: TrainedLanguageModel,
        recording: TextRecording,
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


def _right_aligned(shares: Tensor, lengths: NDArray[np.int64]) -> Tensor:
    """Return the shares (A, W), which begin with each window's first symbol, moved so that they end with its last."""
    moved = torch.zeros(shares.shape, dtype=torch.float32)
    for row, length in enumerate(lengths.tolist()):
        moved[row, shares.shape[1] - length :] = shares[row, :length]
    return moved
