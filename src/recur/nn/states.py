"""States of a whole stack: where they come from, how they are checked, in which form they go out.

Inside a stack there is one tuple of tensors (B, ...) for each layer and direction, in torch's order. Outside there is
one entry for each part of the state (h, and for an LSTM c): a tensor (L*D, B, ...) where all layers are alike, else a
tuple of L*D tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from recur.ops._call import State
from recur.ops._checks import check_like, shape_of

Part: TypeAlias = Tensor | tuple[Tensor, ...]
"""One part of the state of all layers and directions."""


class Directions(NamedTuple):
    """The final states of a stack by direction.

    Attributes:
        forward: Each part of the state as (L, B, ...), or a tuple of L tensors where layers differ.
        backward: The same of the direction that reads from the end; None when there is none.
    """

    forward: Any
    backward: Any


@dataclass(frozen=True)
class StateForm:
    """What the states of a stack look like.

    Attributes:
        owner: Who complains.
        names: Of the parts: ("h",) or ("h", "c").
        shapes: For each layer and direction the shape of each part for one row, such as ((16,), (16,)).
        copies: For each layer and direction, how many states it keeps: its dilation.
        batch_first: Whether the batch comes before layers and directions.
        is_stacked: Whether all layers are alike, so that each part is one tensor.
    """

    owner: str
    names: tuple[str, ...]
    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    copies: tuple[int, ...]
    batch_first: bool

    is_stacked: bool = field(init=False)
    _parts: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_stacked", len(set(self.shapes)) == 1 and set(self.copies) == {1})
        # What the initial value of each part is called, and its shape in each layer and direction.
        columns = zip(self.names, zip(*self.shapes, strict=True), strict=True)
        object.__setattr__(self, "_parts", tuple([(f"{name}_0", shapes) for name, shapes in columns]))

    def joined(self, states: Sequence[State], *, is_batched: bool) -> tuple[Part, ...]:
        """Return each part of the states of all layers and directions, in the outer form."""
        axis = 1 if self.batch_first and is_batched else 0
        parts: list[Part] = []
        for column in zip(*states, strict=True):
            if not is_batched:
                column = tuple(
                    [tensor[0] if n == 1 else tensor[:, 0] for tensor, n in zip(column, self.copies, strict=True)]
                )
            elif self.batch_first:
                column = tuple([t if n == 1 else t.transpose(0, 1) for t, n in zip(column, self.copies, strict=True)])
            if not self.is_stacked:
                parts.append(column)
            else:
                parts.append(column[0].unsqueeze(axis) if len(column) == 1 else torch.stack(column, axis))
        return tuple(parts)

    def split(self, parts: Sequence[Any], batch: int, weight: Tensor, *, is_batched: bool) -> list[State]:
        """Check a state in the outer form and return one state for each layer and direction.

        Raises:
            TypeError: Something is no tensor, or of another dtype.
            ValueError: A count, a shape or a device is wrong.
        """
        columns = [
            self._column(name, part, shapes, batch, weight, is_batched)
            for (name, shapes), part in zip(self._parts, parts, strict=True)
        ]
        return list(zip(*columns, strict=True))

    def _column(
        self, name: str, part: Any, shapes: tuple[tuple[int, ...], ...], batch: int, weight: Tensor, is_batched: bool
    ) -> Sequence[Tensor]:
        first = is_batched and self.batch_first
        rows = (batch,) if is_batched else ()
        if self.is_stacked:
            if not isinstance(part, Tensor):
                raise TypeError(f"{self.owner}: {name} must be a torch.Tensor, but is {type(part).__name__}.")
            count = (len(shapes),)
            expected = (*rows, *count, *shapes[0]) if first else (*count, *rows, *shapes[0])
            if part.shape != expected:
                letters = "(B, L*D, H)" if first else "(L*D, B, H)" if is_batched else "(L*D, H)"
                raise ValueError(
                    f"{self.owner}: {name} must have shape {letters} = {expected}, but has {shape_of(part)}."
                )
            check_like(self.owner, name, part, weight, "the layer")
            return (part if is_batched else part.unsqueeze(1)).unbind(1 if first else 0)
        if not isinstance(part, list | tuple) or len(part) != len(shapes):
            what = f"has {len(part)}" if isinstance(part, list | tuple) else f"is {type(part).__name__}"
            raise TypeError(
                f"{self.owner}: {name} must be a list of tensors, {len(shapes)}, one for each layer and direction, "
                f"because sizes or dilations make their shapes differ, but {what}."
            )
        column = []
        for number, (tensor, shape, copies) in enumerate(zip(part, shapes, self.copies, strict=True)):
            label = f"{name}[{number}]"
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{self.owner}: {label} must be a torch.Tensor, but is {type(tensor).__name__}.")
            kept = () if copies == 1 else (copies,)
            expected = (*rows, *kept, *shape) if first else (*kept, *rows, *shape)
            if tensor.shape != expected:
                raise ValueError(f"{self.owner}: {label} must have shape {expected}, but has {shape_of(tensor)}.")
            check_like(self.owner, label, tensor, weight, "the layer")
            if not is_batched:
                tensor = tensor.unsqueeze(len(kept))
            elif first and kept:
                tensor = tensor.transpose(0, 1)
            column.append(tensor)
        return column

    def by_direction(self, parts: Sequence[Any], num_directions: int) -> list[tuple[Part, ...]]:
        """Return each part of the states in the outer form, for each direction.

        Raises:
            TypeError: A part is no tensor, or where layers differ no list of them.
            ValueError: It has another count of layers and directions.
        """
        chosen: list[tuple[Part, ...]] = []
        for direction in range(num_directions):
            every = slice(direction, None, num_directions)
            picked = []
            for name, part, shape in zip(self.names, parts, self.shapes[0], strict=True):
                kind: Any = Tensor if self.is_stacked else list | tuple
                if not isinstance(part, kind):
                    what = "a torch.Tensor" if self.is_stacked else "a list of tensors"
                    raise TypeError(f"{self.owner}: {name}_n must be {what}, but is {type(part).__name__}.")
                is_second = self.batch_first and isinstance(part, Tensor) and part.dim() == 2 + len(shape)
                count = part.shape[1 if is_second else 0] if isinstance(part, Tensor) else len(part)
                if count != len(self.shapes):
                    found = f"shape {shape_of(part)}" if isinstance(part, Tensor) else f"{count} tensors"
                    raise ValueError(
                        f"{self.owner}: {name}_n must have an entry for each of the {len(self.shapes)} layers and "
                        f"directions, but has {found}."
                    )
                picked.append(part[:, every] if is_second else part[every])
            chosen.append(tuple(picked))
        return chosen
