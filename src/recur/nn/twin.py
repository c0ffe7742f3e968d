"""A torch layer seen as one of this library's, which tells each of its steps."""

from __future__ import annotations

from typing import Any

from torch import nn

from recur.nn.accelerate import accelerate
from recur.nn.contract import takes
from recur.nn.layer import RecurrentLayer


def twin_of(layer: nn.Module) -> RecurrentLayer | None:
    """Return the layer itself if it is one of this library's; else one that computes the same, or None.

    Args:
        layer: A layer of this library or of torch.

    Returns:
        Of a torch layer a twin with the very same parameters, while the layer stays as it was. None for anything else,
        such as a subclass of torch's, which may compute something else, or one of ours whose own `forward` does not
        take `return_all`.
    """
    if isinstance(layer, RecurrentLayer):
        return layer if takes(layer, "return_all") else None
    if not isinstance(layer, nn.RNNBase):
        return None
    # Not copy.copy, which parametrized modules refuse.
    twin: Any = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    return twin if accelerate(twin).replaced else None
