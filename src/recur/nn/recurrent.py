"""A layer of cells of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from torch import nn

from recur.nn import nest
from recur.nn import options as checks
from recur.nn.cell_layer import CellLayer, shape_of_size, state_size
from recur.nn.options import StackOptions


class Recurrent(CellLayer):
    """A stack of cells of any kind, in one or two directions, with all that the library's own layers can do.

    A cell is a module that says in `state_size` what its state looks like, a nest (tuple, named tuple, list or
    dictionary) of sizes, each an int or a torch.Size, or one alone. Its `forward(x_t, state)`, with x_t (B, I) and the
    state as that nest of tensors (B, size), returns the next state, or the pair of output and next state, or the triple
    of these and a dictionary of what else is to be seen with `return_all`. Without an output of its own the first
    tensor of the state is the output; an output of its own is told by its size in `output_size`.

    Torch's `RNNCell`, `GRUCell` and `LSTMCell` are taken as they are.

    What a cell may say beside: `state_names`, the names of the parts of its state; `fixed_states`, those that begin
    with zeros whatever `initial_state` says and that zoneout leaves alone, such as a count of steps; `num_features`,
    how many dimensions one row of x_t has, 3 for images (C, H, W), of which the state then has the size: (C, 1, 1) in
    `state_size` stands for (C, H, W).

    Args:
        cell: A cell, for one layer in one direction; or a function that makes one from its input size, called once for
            each layer and direction.
        input_size: Features of the input, I; may be left out when the cell says its `input_size`.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        options: `StackOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: The cells, in torch's order: for each layer the forward one, then the backward one.

    Raises:
        TypeError: An argument is of the wrong kind, an option is not known, or the cell does not say its state.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        A leaky unit, h_t = (1 - a) h_{t-1} + a tanh(W x_t + U h_{t-1}):

        >>> import torch
        >>> class Leaky(torch.nn.Module):
        ...     def __init__(self, input_size, hidden_size, rate=0.5):
        ...         super().__init__()
        ...         self.state_size, self.rate = hidden_size, rate
        ...         self.both = torch.nn.Linear(input_size + hidden_size, hidden_size)
        ...
        ...     def forward(self, x, h):
        ...         return (1 - self.rate) * h + self.rate * torch.tanh(self.both(torch.cat([x, h], 1)))
        >>> layer = Recurrent(lambda size: Leaky(size, 16), input_size=8, num_layers=2, bidirectional=True, zoneout=0.1)
        >>> output, state = layer(torch.randn(5, 3, 8), lengths=[5, 2, 0])
        >>> output.shape, state.shape
        (torch.Size([5, 3, 32]), torch.Size([4, 3, 16]))
    """

    _options_type: ClassVar[type[StackOptions]] = StackOptions

    def __init__(
        self,
        cell: nn.Module | Callable[[int], nn.Module],
        input_size: int | None = None,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[StackOptions],
    ) -> None:
        owner = type(self).__name__
        checks.check_size(owner, "num_layers", num_layers, 1)
        if isinstance(cell, nn.Module) and (num_layers != 1 or bidirectional):
            raise ValueError(
                f"{owner}: one cell makes one layer in one direction; for more, give a function that makes a cell from "
                "its input size."
            )
        if not callable(cell):
            raise TypeError(
                f"{owner}: cell must be a module or a function that makes one, but is {type(cell).__name__}."
            )
        if input_size is None:
            input_size = getattr(cell, "input_size", None)
            if input_size is None:
                raise TypeError(f"{owner}: input_size is missing; give it, or let the cell say it.")
        checks.check_size(owner, "input_size", input_size, 1)
        first = cell if isinstance(cell, nn.Module) else _made(owner, cell, input_size)
        self._state_nest = state_size(owner, first)
        named = list(nest.leaves(self._state_nest))
        names: Any = getattr(first, "state_names", None)
        self._state_names = tuple(name or "h" for name, _ in named) if names is None else tuple(names)
        if len(self._state_names) != len(named):
            raise ValueError(
                f"{owner}: state_names of {type(first).__name__} names {len(self._state_names)} parts of the state, "
                f"but state_size has {len(named)}."
            )
        if len(set(self._state_names)) != len(named):
            raise ValueError(
                f"{owner}: state_names of {type(first).__name__} must differ from each other, but is "
                f"{self._state_names}."
            )
        fixed: Any = getattr(first, "fixed_states", ())
        if isinstance(fixed, str) or not set(fixed) <= set(self._state_names):
            raise ValueError(
                f"{owner}: fixed_states of {type(first).__name__} is {fixed!r}, but must be a tuple of names from "
                f"{self._state_names}."
            )
        self._fixed_states = tuple(fixed)
        self._num_features = getattr(first, "num_features", 1)
        checks.check_size(owner, f"num_features of {type(first).__name__}", self._num_features, 1)
        waiting = [first]

        def make(layer: int, size: int) -> nn.Module:
            if waiting:
                return waiting.pop()
            assert not isinstance(cell, nn.Module)
            return _made(owner, cell, size)

        units = shape_of_size(named[0][1])[0]
        super().__init__(make, input_size, units, num_layers, batch_first, dropout, bidirectional, options)


def _made(owner: str, make: Callable[[int], nn.Module], size: int) -> nn.Module:
    """Return a new cell for inputs of `size` features."""
    made = make(size)
    if not isinstance(made, nn.Module):
        raise TypeError(f"{owner}: cell must return a module, but returned {type(made).__name__}.")
    return made
