"""Which back end runs each recurrent layer of a network."""

from __future__ import annotations

from typing import Any

from torch import nn

from recur.nn import GatedLayer


def chosen_back_ends(network: nn.Module, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
    """Return which back end runs each recurrent layer on windows of this shape, and why each other one does not."""
    found = []
    for name, layer in network.named_modules():
        if isinstance(layer, GatedLayer):
            x_TBI = next(layer.parameters()).new_zeros(num_steps, batch_size, layer.input_size)
            found.append({"layer": name, "device": x_TBI.device.type, **layer.explain(x_TBI).to_json()})
    return found
