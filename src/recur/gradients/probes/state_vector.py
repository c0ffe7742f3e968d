"""A model's state as one vector for each row, whatever nest of tensors it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recur.gradients.probes.sequence_model import SequenceModel
from recur.nn import nest


class StateVector:
    """How the state of a model is laid out as one vector a row, in the order of the state's leaves.

    Which dimension of a leaf counts the rows is found by comparing the states of one row and of two.

    Args:
        one: A state of one row.
        two: A state of two rows.

    Attributes:
        size: Number of elements n of the state of one row.
        parts: Place of each leaf in the vector, by name.

    Raises:
        ValueError: A leaf has no dimension that counts the rows.

    Example:
        >>> import torch
        >>> layer = torch.nn.LSTM(1, 3)
        >>> vector = StateVector(layer(torch.zeros(1, 1, 1))[1], layer(torch.zeros(1, 2, 1))[1])
        >>> vector.size, vector.parts
        (6, {'0': slice(0, 3, None), '1': slice(3, 6, None)})
        >>> vector.of(layer(torch.zeros(1, 5, 1))[1]).shape
        torch.Size([5, 6])
    """

    def __init__(self, one: Any, two: Any) -> None:
        self._nest = nest.structure(one)
        self._axes: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        self.parts: dict[str, slice] = {}
        self.size = 0
        for (name, single), (_, double) in zip(nest.leaves(one), nest.leaves(two), strict=True):
            shapes = tuple(single.shape), tuple(double.shape)
            differing = [k for k, (a, b) in enumerate(zip(*shapes, strict=False)) if (a, b) == (1, 2)]
            if len(differing) != 1 or len(shapes[0]) != len(shapes[1]):
                raise ValueError(
                    f"the state {name or 'of the model'} has shape {shapes[0]} for one row and {shapes[1]} for two, "
                    "so none of its dimensions counts the rows. Return a state with the rows of x."
                )
            axis = differing[0]
            shape = (*shapes[0][:axis], *shapes[0][axis + 1 :])
            self._axes.append(axis)
            self._shapes.append(shape)
            count = single.numel()
            self.parts[name] = slice(self.size, self.size + count)
            self.size += count

    def of(self, state: Any) -> Tensor:
        """Return the vectors (B, n) of a state of B rows."""
        leaves = [leaf for _, leaf in nest.leaves(state)]
        return torch.cat([leaf.movedim(axis, 0).flatten(1) for leaf, axis in zip(leaves, self._axes, strict=True)], 1)

    def state(self, vectors: Tensor) -> Any:
        """Return the state of the rows whose vectors (B, n) these are."""
        rows: Sequence[Tensor] = [vectors[:, place] for place in self.parts.values()]
        leaves = [
            row.reshape(len(vectors), *shape).movedim(0, axis)
            for row, shape, axis in zip(rows, self._shapes, self._axes, strict=True)
        ]
        return nest.rebuilt(self._nest, leaves)


def vector_of(model: SequenceModel, x: Tensor, state: Any = None) -> StateVector:
    """Return how the state of a model is laid out, found by running one step of one row and of two."""
    one = x.narrow(1 - model.axis, 0, 1)
    rows = 1 - model.axis
    found = []
    with torch.no_grad():
        for count in (1, 2):
            along = {name: torch.cat([value.narrow(rows, 0, 1)] * count, rows) for name, value in model.along.items()}
            found.append(model.beside(along).run(torch.cat([one] * count, rows), 0, 1, None)[1])
    if state is not None and nest.structure(state) != nest.structure(found[0]):
        raise ValueError(
            f"{model.owner}: the state given is {nest.shown(nest.structure(state))}, but the model returns "
            f"{nest.shown(nest.structure(found[0]))}."
        )
    return StateVector(*found)
