"""What the recurrent layers of a trained network do while it reads, and what the network is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from recur.errors import RunError
from recur.models.layer_recording import LayerRecorder, LayerRecording
from recur.wording import cell_name, quantity


def recorded_layers(network: nn.Module, read: Callable[[], object], num_steps: int) -> list[LayerRecording]:
    """Return what the layers of a network do at each of some steps.

    Args:
        network: Held still.
        read: Runs it over one sequence.
        num_steps: Steps of the sequence.

    Raises:
        RunError: A state is not finite, or there is no layer whose states can be shown.
    """
    with torch.no_grad(), LayerRecorder(network) as recorder:
        read()
        recordings = recorder.recordings()
    for one in recordings:
        for name, part in one.parts.items():
            if not np.isfinite(part).all():
                raise RunError(f"{name} of {one.name} is not finite; the weights are too large, train anew.")
    # A layer that runs elsewhere too has no place beside the steps.
    found = [one for one in recordings if all(len(part) == num_steps for part in one.parts.values())]
    if not found:
        raise RunError("the network has no recurrent layer whose states can be shown.")
    return found


def model_content(
    network: nn.Module,
    layers: Sequence[LayerRecording],
    *,
    vocabulary_size: int | None = None,
    embedding_size: int | None = None,
) -> dict[str, Any]:
    """Return what a network is, as `inspect.json` has it, by its layers as they were recorded."""
    first, both = layers[0], any(layer.name.endswith("_reverse") for layer in layers)
    count = len(layers) // 2 if both else len(layers)
    units = quantity(first.hidden_size, "unit")
    size = (units if count == 1 else f"{count} x {units}") + (" in both directions" if both else "")
    return {
        "name": f"{cell_name(first.cell)}, {size}",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "vocabulary_size": vocabulary_size,
        "embedding_size": embedding_size,
        "tied": False,
        "residual": False,
    }
