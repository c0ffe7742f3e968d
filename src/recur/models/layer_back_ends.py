"""Which back ends run the recurrent layers of a network."""

from __future__ import annotations

from typing import Any

from torch import nn

from recur.nn import GatedLayer


def explain_layers(network: nn.Module, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
    """Return which back end runs each recurrent layer of a network on such inputs, and why each other one does not.

    Args:
        network: Whose layers.
        batch_size: Rows of an input.
        num_steps: Its steps.

    Returns:
        A row for each layer: its name as "layer", the "device", and what `GatedLayer.explain` says.
    """
    found = []
    for name, layer in network.named_modules():
        if isinstance(layer, GatedLayer):
            x_TBI = next(layer.parameters()).new_zeros(num_steps, batch_size, layer.input_size)
            found.append({"layer": name, "device": x_TBI.device.type, **layer.explain(x_TBI).to_json()})
    return found
