"""What predictions rest on, of a text or a series: which are explained, the shares, and whether to believe them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.gradients.attributions.attribution import METHODS, Score, attribute
from recur.gradients.attributions.deletion import Deletion, check_by_deletion

WINDOW = 64
"""Steps before a prediction that it is led back to; the state before them is taken as it is."""

_SPREAD = 32
"""Explained positions that are spread evenly over the input."""

_SURPRISING = 16
"""Explained positions at which what came next surprised most."""

_NAMES = {
    "gradient_input": "gradient \N{MULTIPLICATION SIGN} input",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
}
_NOTE = (
    "The state before the window is taken as it is. A method is called faithful if deleting what it calls most "
    "important hurts more than deleting as much at random, on average over the explained positions and by more than "
    "two standard errors."
)

_MOST_VALUES = 1 << 23
"""Values of hidden states that are kept for a gradient at once, at most."""

_DRAWS = 5
"""Random deletions that each method is compared with, at every share."""

_MOST_ROWS = 256
"""Windows that are run at once, at most."""


@dataclass(frozen=True, kw_only=True)
class ExplainedPredictions:
    """Which of W earlier steps each of A predictions rests on.

    Attributes:
        window: W.
        positions: Positions p whose prediction, of what comes at p + 1, is explained, (A,) int64, ascending.
        note: What a share is, and how it was checked.
        shares: By method, the signed share of the step at p - W + 1 + w, (A, W) float32; 0 before the beginning.
        deletions: By method, whether its shares can be believed; empty with fewer than two positions.
        unit: What shares and falls are in.
    """

    window: int
    positions: NDArray[np.int64]
    note: str
    shares: dict[str, Tensor] = field(default_factory=dict)
    deletions: dict[str, Deletion] = field(default_factory=dict)
    unit: str = "nats"

    def to_json(self) -> dict[str, Any]:
        """Return all but the tensors as it stands in `inspect.json`."""
        return {
            "window": self.window,
            "methods": [
                {"key": key, "name": _NAMES[key]}
                | ({"deletion": self.deletions[key].to_json()} if key in self.deletions else {})
                for key in self.shares
            ],
            "note": self.note,
            "unit": self.unit,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors as they stand in `inspect.safetensors`; none where nothing was explained."""
        if not self.shares:
            return {}
        return {
            "attribution.positions": torch.from_numpy(self.positions.astype(np.int32)),
            **{f"attribution.{key}": shares for key, shares in self.shares.items()},
        }


def explained_positions(losses: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.int64]:
    """Return the positions whose predictions are explained: evenly spread, and before the most surprising steps.

    Args:
        losses: Loss of each of N steps.
        window: Positions that have fewer steps before them are passed over, or half of a shorter input.

    Returns:
        At most 48 of 0 to N - 2, ascending, int64.
    """
    last = len(losses) - 2
    if last < 0:
        return np.zeros(0, dtype=np.int64)
    first = min(window - 1, last // 2)
    spread = np.unique(np.linspace(first, last, _SPREAD).round().astype(np.int64))
    others = np.setdiff1d(np.arange(first, last + 1), spread)
    # Stable, so that of equal ones the first are taken.
    worst = others[np.argsort(-losses[others + 1], kind="stable")[:_SURPRISING]]
    return np.sort(np.concatenate([spread, worst]))


def explained(
    score: Score,
    inputs: Tensor,
    baseline: Tensor,
    *,
    positions: NDArray[np.int64],
    lengths: Tensor,
    units: int,
    share: str,
    seed: int,
    unit: str = "nats",
) -> ExplainedPredictions:
    """Return the shares of all methods, and which of these can be believed.

    Args:
        score: As of `recur.gradients.attribute`.
        inputs: The windows that end at the positions, (A, W, F), each from its first step on.
        baseline: As of `attribute`.
        positions: The positions, (A,).
        lengths: Steps that each window has, (A,), from 1 to W.
        units: Units of all layers, by which the memory is bounded.
        share: What a share is, a sentence for people.
        seed: Of the random deletions.
        unit: What scores are in.
    """
    window = inputs.shape[1]
    mask = torch.arange(window, device=inputs.device) < lengths.unsqueeze(1)
    size = min(max(_MOST_VALUES // (window * units), 1), _MOST_ROWS)
    found: dict[str, Tensor] = {
        method: attribute(score, inputs, baseline, method=method, batch_size=size) for method in METHODS
    }
    deletions = {}
    if len(positions) > 1:
        deletions = check_by_deletion(
            score, inputs, found, baseline, mask=mask, draws=_DRAWS, seed=seed, batch_size=size
        )
    return ExplainedPredictions(
        window=window,
        positions=positions,
        note=f"{share} {_NOTE}",
        shares={method: _right_aligned(own, lengths.cpu().numpy()) for method, own in found.items()},
        deletions=deletions,
        unit=unit,
    )


def _right_aligned(shares: Tensor, lengths: NDArray[np.int64]) -> Tensor:
    """Return the shares (A, W), which begin with each window's first symbol, moved so that they end with its last."""
    moved = torch.zeros(shares.shape, dtype=torch.float32)
    for row, length in enumerate(lengths.tolist()):
        moved[row, shares.shape[1] - length :] = shares[row, :length]
    return moved
