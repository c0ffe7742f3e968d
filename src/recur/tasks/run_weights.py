"""A network with the weights that a run holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from recur.errors import RunError
from recur.run import RunFolder
from recur.wording import quantity

Network = TypeVar("Network", bound=nn.Module)


def with_weights(folder: RunFolder, build: Callable[[], Network]) -> Network:
    """Return the network of a run with its weights.

    Args:
        folder: The run.
        build: Makes the network, with any weights.

    Raises:
        RunError: Options or weights are damaged, or do not fit each other.
    """
    weights = folder.load_weights()
    try:
        # Shapes are compared before any memory is taken, as a damaged size may be huge.
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in build().state_dict().items()}
        found = {name: tuple(value.shape) for name, value in weights.items()}
        if wanted != found:
            name = next(key for key in [*wanted, *found] if wanted.get(key) != found.get(key))
            raise RunError(
                f"{folder.path / 'model.safetensors'}: does not fit config.json: {name} is {found.get(name)}, "
                f"expected {wanted.get(name)}."
            )
        network = build()
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{folder.path / 'config.json'}: damaged: model: {str(error).rstrip('.')}.") from error
    network.load_state_dict(weights)
    return network


def with_its_size(trained: object, network: nn.Module) -> str:
    """Return what is printed of a trained model: its class, and how many weights its network has."""
    count = sum(weight.numel() for weight in network.parameters())
    return f"{type(trained).__name__}({quantity(count, 'weight')})"
