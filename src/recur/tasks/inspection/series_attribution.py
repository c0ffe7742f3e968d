"""Which earlier steps of a series a network's predictions rest on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recur.tasks.inspection.explained_predictions import WINDOW, ExplainedPredictions, explained, explained_positions
from recur.tasks.inspection.series_recording import (
    Loss,
    SeriesModel,
    SeriesRecording,
    squared_error,
    states_before,
    step_losses,
)

_SHARE = "Against the mean of the series in its place, a share is what a step, all channels together, adds to {}."
_LIKELIHOOD = (
    "the logarithm of the probability density of what came next, taken as normal about the prediction with the mean "
    "squared error of this series as its variance"
)
_UNEXPLAINED = "Nothing was explained: the model's state has parts without a gradient."


def explain_forecasts(
    model: SeriesModel, recording: SeriesRecording, loss: Loss = squared_error, *, window: int = WINDOW, seed: int = 0
) -> ExplainedPredictions:
    """Return which earlier steps the predictions rest on, by every method, and which method to believe.

    Explained is less the loss; of the squared error, the logarithm of the density of a normal distribution about the
    prediction, whose variance is the mean squared error of the series, so that shares and falls are in nats. The
    neutral input is the mean of the series.

    Args:
        model: Its module held still.
        recording: What it did while it read the series.
        loss: Loss of each step.
        window: Steps before a prediction that it is led back to, from 1 on.
        seed: Of the random deletions.
    """
    x = recording.x
    positions = explained_positions(np.concatenate([[0.0], recording.losses]), window)
    # What state comes before the first step, the model alone knows.
    positions = positions[positions >= 1]
    scale, said, unit = 1.0, "less the loss", "units of the loss"
    if loss is squared_error and len(positions):
        scale, said, unit = x.shape[1] / (2 * max(float(recording.losses.mean()), 1e-12)), _LIKELIHOOD, "nats"
    begins = np.maximum(positions - window + 1, 1)
    known = states_before(model, x, begins.tolist()) if len(positions) else None
    if known is None:
        return ExplainedPredictions(window=window, positions=positions[:0], note=_UNEXPLAINED if len(positions) else "")
    places = torch.from_numpy(np.minimum(begins[:, None] + np.arange(window), len(x) - 1)).to(x.device)
    lengths = torch.from_numpy(positions + 1 - begins).to(x.device)
    targets = x[torch.from_numpy(positions + 1).to(x.device)]

    def score(variants: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (B,) of windows (B, W, C), variants of the rows (B,)."""
        vector, states = known
        output, _ = model.run(variants, vector.state(states[rows]))
        last = output[torch.arange(len(rows), device=x.device), lengths[rows] - 1]
        return -scale * step_losses(loss, last.unsqueeze(1), targets[rows].unsqueeze(1)).squeeze(1)

    return explained(
        score,
        x[places],
        x.mean(0),
        positions=positions,
        lengths=lengths,
        units=sum(layer.hidden_size for layer in recording.layers),
        share=_SHARE.format(said),
        seed=seed,
        unit=unit,
    )
