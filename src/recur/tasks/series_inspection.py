"""What is inside a network that reads numbers, on one series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from recur.errors import DataError
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import FORMAT, MAX_CHANNELS, MAX_SYMBOLS
from recur.models.layer_recording import LayerRecorder, LayerRecording
from recur.tasks.inspection import Inspection, Stage, layers_content, properties_content
from recur.tasks.unit_search import Property
from recur.tasks.user_labels import Label, label_properties
from recur.wording import quantity

_WINDOW = 256


def inspect_series(
    model: nn.Module,
    values: ArrayLike | Tensor,
    *,
    channels: Sequence[str] | None = None,
    times: Sequence[str | float] | None = None,
    title: str = "your series",
    labels: Sequence[Label] | NDArray[Any] | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a network that says of a series at each step what comes next.

    Every state and gate of its layers, of recur.nn or torch.nn, at every step, what it said of each step before it saw
    it, and the units that follow a channel or labels of your own. What its predictions rest on, and how far its
    gradient reaches, `recur.gradients.attribute` and `recur.gradients.probe` tell.

    Args:
        model: Takes x (1, T, C) and the state, None at first, and returns the values that follow each step, (1, T, C),
            and the state, which is handed on from window to window. In evaluation mode for the time.
        values: The series, (N, C) or (N,), finite; of a longer one the first 5,000 steps are looked at.
        channels: C names.
        times: What to call each step, N texts or numbers; numbers from 0 if not given.
        title: What to call the series.
        labels: One a step, as `recur.tasks.user_labels.label_properties` takes them.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Raises:
        ValueError: The model has no layer that can record, its output is of another shape, or its states are not
            finite.
        DataError: The series, the names, the times or the labels do not fit each other, or are not finite.

    Example:
        >>> class Forecaster(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.rnn, self.output = GRU(1, 8, batch_first=True), nn.Linear(8, 1)
        ...     def forward(self, x, state=None):
        ...         y, state = self.rnn(x, state)
        ...         return self.output(y), state
        >>> from recur.nn import GRU
        >>> found = inspect_series(Forecaster(), np.sin(np.arange(200) / 5))
        >>> found.tensors["layers.0.h"].shape, found.content["layers"][0]["name"]
        (torch.Size([200, 8]), 'rnn')
    """
    say = stage or (lambda what: None)
    every = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    every = every[:, None] if every.ndim == 1 else every
    if every.ndim != 2 or every.size == 0 or not np.isfinite(every).all():
        raise DataError(f"{title}: must be finite numbers of shape (N, C) or (N,), but is {every.shape}.")
    total, num_channels = every.shape
    shown = every[:MAX_SYMBOLS]
    names = [f"channel {number}" for number in range(num_channels)] if channels is None else list(channels)
    called = list(range(total)) if times is None else list(times)
    for what, given, wanted in (("channels", names, num_channels), ("times", called, total)):
        if len(given) != wanted:
            raise DataError(f"{title}: there are {len(given)} {what}, expected {wanted}.")
    properties = [
        Property(key=f"channel_{number}", name=f"value of {name}", kind="number", values=shown[:, number])
        for number, name in enumerate(names[:MAX_CHANNELS])
    ]
    if labels is not None:
        listed: list[Any] = list(labels.tolist() if isinstance(labels, np.ndarray) else labels)
        if len(listed) not in (len(shown), total):
            raise DataError(f"{title}: there are {quantity(len(listed), 'label')} for {quantity(total, 'step')}.")
        properties += label_properties(listed[: len(shown)])
    say("reading the series")
    layers, output = _recorded(model, shown)
    predictions = np.full(shown.shape, np.nan, dtype=np.float32)
    predictions[1:] = output[:-1]
    losses = ((predictions[1:] - shown[1:]) ** 2).mean(axis=1)
    say("searching for units that follow a channel")
    searched, property_tensors = properties_content(layers, properties, seed)
    described, layer_tensors = layers_content(layers)
    content = {
        "format": FORMAT,
        "kind": "series",
        "title": title,
        "cut": f"the first {MAX_SYMBOLS:,} of {total:,} steps" if len(shown) < total else "",
        "unit": "step",
        "series": {"channels": names, "times": called[: len(shown)]},
        "losses": [None, *(float(loss) if np.isfinite(loss) else None for loss in losses)],
        "model": {
            "name": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "vocabulary_size": None,
            "embedding_size": None,
            "tied": False,
            "residual": False,
        },
        "layers": described,
        "properties": searched,
        "attribution": {"window": 0, "methods": [], "note": ""},
        "probe": None,
        "diagnosis": [],
    }
    seen = {"values": torch.from_numpy(shown).float(), "predictions": torch.from_numpy(predictions)}
    return Inspection(content=content, tensors=layer_tensors | property_tensors | seen)


def _recorded(model: nn.Module, values: NDArray[np.float64]) -> tuple[list[LayerRecording], NDArray[np.float32]]:
    """Return what the layers of `model` did, and its output of every step, (N, C)."""
    x = torch.from_numpy(values).to(next(model.parameters())).unsqueeze(0)
    outputs, state = [], None
    with held_still(model), torch.inference_mode(), LayerRecorder(model) as recorder:
        for own in torch.split(x, _WINDOW, dim=1):
            output, state = model(own, state)
            if output.shape != own.shape:
                raise ValueError(
                    f"inspect_series: the model must return the values that follow each step, {tuple(own.shape)}, "
                    f"but returned {tuple(output.shape)}; wrap it in a module that does."
                )
            outputs.append(output[0].float().cpu())
        recordings = recorder.recordings()
    # A layer that ran twice in a step, or not in each, has no place beside the series.
    found = [one for one in recordings if all(len(part) == len(values) for part in one.parts.values())]
    if not found:
        raise ValueError(
            f"inspect_series: {type(model).__name__} has no recurrent layer, of recur.nn or torch.nn, that runs once "
            "over every step, so there are no states to show."
        )
    for one in found:
        for name, part in one.parts.items():
            if not np.isfinite(part).all():
                raise ValueError(f"inspect_series: {name} of {one.name} is not finite; the weights are too large.")
    return found, torch.cat(outputs).numpy()
