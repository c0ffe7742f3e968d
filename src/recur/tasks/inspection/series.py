"""What is inside a network that reads numbers, on one series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from recur.gradients import Training
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import FORMAT
from recur.run import checksum
from recur.tasks.inspection.content import (
    Inspection,
    Stage,
    layers_content,
    probe_content,
    probed_places,
    properties_content,
)
from recur.tasks.inspection.given_series import Series, Times, series_of
from recur.tasks.inspection.series_attribution import explain_forecasts
from recur.tasks.inspection.series_recording import (
    Loss,
    SeriesModel,
    SeriesRecording,
    record_series,
    squared_error,
    states_before,
)
from recur.tasks.inspection.user_labels import Label


def inspect_series(
    model: nn.Module,
    values: ArrayLike | Tensor,
    *,
    channels: Sequence[str] | None = None,
    times: Times | None = None,
    title: str = "your series",
    labels: Sequence[Label] | NDArray[Any] | None = None,
    loss: Loss = squared_error,
    training: Training | None = None,
    batch_first: bool | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a network that says of a series at each step what comes next.

    Every state and gate of its layers, of recur.nn or torch.nn, at every step; what it said of each step before it saw
    it; the units that follow a channel or labels of your own; which earlier steps its predictions rest on, and which of
    the methods that tell it can be believed; how far the gradient reaches, and what is wrong with that. Where a part of
    the state has no gradient, such as a count of steps, the last two are left out.

    Args:
        model: Called as forward(x, state) -> (output, state): takes x (B, T, C) and the state, None at first, and
            returns the values that follow each step, (B, T, C), and the state, which is handed on from window to
            window; or x and output are (T, B, C), see `batch_first`. In evaluation mode for the time.
        values: The series, (N, C) or (N,), finite; of a longer one the first 5,000 steps are looked at.
        channels: C names.
        times: What to call each step, N numbers, dates or texts; numbers from 0 if not given.
        title: What to call the series.
        labels: One a step, as `recur.tasks.inspection.user_labels.label_properties` takes them.
        loss: Output and target, (B, T, C), to the loss of each step, (B, T); by default the squared error, the mean
            over the channels.
        training: What is known of its training.
        batch_first: Whether the model reads (B, T, C) instead of (T, B, C); None for what it says itself.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Raises:
        TypeError: The model is not called so.
        ValueError: The model has no layer that can record, or one that reads in both directions, or another
            `batch_first`; its output or the loss is of another shape; or its states or the loss are not finite.
        DataError: The series, the names, the times or the labels do not fit each other, or are not finite.

    Example:
        >>> class Forecaster(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.rnn, self.output = GRU(1, 8, batch_first=True), nn.Linear(8, 1)
        ...     def forward(self, x, state=None):
        ...         y, state = self.rnn(x, state)
        ...         return self.output(y), state
        >>> import numpy as np
        >>> from recur.nn import GRU
        >>> found = inspect_series(Forecaster(), np.sin(np.arange(200) / 5))
        >>> found.tensors["layers.0.h"].shape, found.content["layers"][0]["name"]
        (torch.Size([200, 8]), 'rnn')
    """
    say = stage or (lambda what: None)
    series = series_of(values, channels, times, title)
    properties = series.properties(labels)
    reader = SeriesModel(model, batch_first)
    with held_still(model):
        say("reading the series")
        recording = record_series(reader, series.values, loss)
        say("searching for units that follow a channel")
        searched, property_tensors = properties_content(recording.layers, properties, seed)
        say("asking what its predictions rest on")
        attribution = explain_forecasts(reader, recording, loss, seed=seed)
    say("looking at the gradient through time")
    found, diagnosis = _probe(reader, recording, loss, training or Training(), seed)
    layers, layer_tensors = layers_content(recording.layers)
    content = _described(model, series, recording) | {
        "layers": layers,
        "properties": searched,
        "attribution": attribution.to_json(),
        "probe": found,
        "diagnosis": diagnosis,
    }
    return Inspection(
        content=content, tensors=layer_tensors | property_tensors | _seen(recording) | attribution.tensors()
    )


def _described(model: nn.Module, series: Series, recording: SeriesRecording) -> dict[str, Any]:
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {
        "format": FORMAT,
        "kind": "series",
        "title": series.title,
        "cut": series.cut,
        "weights": checksum(weights),
        "unit": "step",
        "series": {"channels": series.channels, "times": series.times},
        "losses": [None, *recording.losses.tolist()],
        "model": {
            "name": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "vocabulary_size": None,
            "embedding_size": None,
            "tied": False,
            "residual": False,
        },
    }


def _seen(recording: SeriesRecording) -> dict[str, Tensor]:
    predictions = recording.output.float().cpu().roll(1, 0)
    predictions[0] = torch.nan
    return {"values": recording.x.float().cpu(), "predictions": predictions}


def _probe(
    model: SeriesModel, recording: SeriesRecording, loss: Loss, training: Training, seed: int
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Return what `probe_content` does of a few pieces of the series, each from the state that the model has there."""
    places = probed_places(len(recording.x), training)
    if places is None:
        return None, []
    # The probe holds the model still by itself, and lets its parameters have gradients where it needs them.
    with held_still(model.module):
        known = states_before(model, recording.x, places[:, 0].tolist())
    if known is None:
        return None, []
    vector, states = known
    batch = model.laid(recording.x[places]), model.laid(recording.x[places + 1])
    return probe_content(
        model.module,
        batch,
        vector.state(states),
        training,
        seed,
        lambda output, target: model.laid(loss(model.laid(output), model.laid(target))),
        batch_first=model.sequence.batch_first,
    )
