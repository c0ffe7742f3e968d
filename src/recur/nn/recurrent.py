"""A layer of cells of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recur.nn import nest
from recur.nn import options as checks
from recur.nn.form import zoneout_mask
from recur.nn.layer import RecurrentLayer
from recur.nn.options import StackOptions
from recur.nn.states import StateForm
from recur.ops._call import Result, State
from recur.ops._scan import scan


class Recurrent(RecurrentLayer):
    """A stack of cells of any kind, in one or two directions, with all that the library's own layers can do.

    A cell is a module that says in `state_size` what its state looks like, a nest (tuple, named tuple, list or
    dictionary) of sizes, each an int or a torch.Size, or one alone. Its `forward(x_t, state)`, with x_t (B, I) and the
    state as that nest of tensors (B, size), returns the next state, or the pair of output and next state, or the triple
    of these and a dictionary of what else is to be seen with `return_all`. Without an output of its own the first
    tensor of the state is the output; one of another size is told in `output_size`.

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
        given = checks.complete(owner, options, StackOptions)
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
        first = cell if isinstance(cell, nn.Module) else cell(self._cell_input(input_size))
        self._state_nest = _state_size(owner, first)
        named = list(nest.leaves(self._state_nest))
        self._state_names = tuple(name or "h" for name, _ in named)
        super().__init__(input_size, _shape(named[0][1])[0], num_layers, batch_first, dropout, bidirectional, given)
        self.cells = nn.ModuleList()
        for k in range(self._num_states):
            layer = k // self._num_directions
            made = first if k == 0 else cell(self._cell_input(self._in_size(layer)))
            if nest.structure(_state_size(owner, made)) != nest.structure(self._state_nest):
                raise ValueError(f"{owner}: the cells of all layers must have states of one structure.")
            self.cells.append(made)
        weight = next(self.parameters(), torch.empty(0))
        self._make_stack_parameters(weight.device, weight.dtype)
        self._reset_stack_parameters()

    def _cell_input(self, size: int) -> int:
        """Return the input size that a cell is made for, when its layer gets `size` features."""
        return size

    def reset_parameters(self) -> None:
        """Draw the parameters of the stack and of each cell that has a `reset_parameters` of its own."""
        for cell in self.cells:
            draw = getattr(cell, "reset_parameters", None)
            if callable(draw):
                draw()
        self._reset_stack_parameters()

    def _state_shapes(self, layer: int) -> tuple[tuple[int, ...], ...]:
        size = _state_size(self._owner, self.cells[layer * self._num_directions])
        return tuple(_shape(leaf) for _, leaf in nest.leaves(size))

    def _out_size(self, layer: int) -> int:
        cell = self.cells[layer * self._num_directions]
        size = getattr(cell, "output_size", None)
        one = self._state_shapes(layer)[0][0] if size is None else int(size)
        return 2 * one if self.bidirectional and self.merge in ("concat", None) else one

    def _sample_weight(self) -> Tensor:
        return next(self.parameters(), torch.empty(0))

    def _outer(self, parts: tuple[Any, ...]) -> Any:
        return nest.rebuilt(self._state_nest, parts)

    def _inner(self, hx: Any, state_form: StateForm) -> tuple[Any, ...]:
        if not state_form.is_stacked:
            # Each leaf of the state is a tuple over layers and directions.
            return _leaves_above(self._owner, hx, self._state_nest)
        if nest.structure(hx) != nest.structure(self._state_nest):
            raise TypeError(
                f"{self._owner}: hx must have the structure {self._state_nest}, but is {nest.structure(hx)}."
            )
        return tuple(leaf for _, leaf in nest.leaves(hx))

    def _run_one(
        self,
        k: int,
        x_TBI: Tensor,
        state: State,
        *,
        lengths: Tensor | None,
        reset: Tensor | None,
        anew: State | None,
        reverse: bool,
        records: bool,
    ) -> Result:
        cell, wanted = self.cells[k], nest.structure(self._state_nest)

        def step(t: int, x_BI: Tensor, parts: State) -> tuple[Tensor, State, dict[str, Tensor]]:
            found = cell(x_BI, nest.rebuilt(self._state_nest, parts))
            output, new, record = _told(self._owner, found, wanted)
            leaves = tuple(leaf for _, leaf in nest.leaves(new))
            self._check_step(leaves, parts)
            return (leaves[0] if output is None else output), leaves, dict(record)

        num_steps = len(x_TBI)
        shares = zip(state, self.zoneout, strict=True)
        kept = tuple(zoneout_mask(part, share, num_steps, self.training) for part, share in shares)
        has_output = getattr(cell, "output_size", None) is not None
        # A parametrized weight, such as a normalised one, is computed once for all steps.
        with parametrize.cached():
            return scan(
                step,
                x_TBI,
                state,
                names=self._state_names,
                lengths=lengths,
                reset=reset,
                anew=state if anew is None else anew,
                reverse=reverse,
                zoneout=kept if any(self.zoneout) else (),
                gradient_clip=self.gradient_clip,
                records=records,
                is_output_state=not has_output,
            )

    def _check_step(self, new: State, old: State) -> None:
        for name, after, before in zip(self._state_names, new, old, strict=True):
            if after.shape != before.shape:
                raise ValueError(
                    f"{self._owner}: the cell returned a state {name} of shape {tuple(after.shape)}, but its "
                    f"state_size says {tuple(before.shape)}."
                )


def _state_size(owner: str, cell: nn.Module) -> Any:
    size = getattr(cell, "state_size", None)
    if size is None:
        raise TypeError(
            f"{owner}: {type(cell).__name__} does not say what its state looks like; set self.state_size to its size, "
            "or to a tuple or dictionary of sizes."
        )
    for name, leaf in nest.leaves(size):
        if isinstance(leaf, bool) or not isinstance(leaf, int | torch.Size):
            raise TypeError(
                f"{owner}: state_size{f'.{name}' if name else ''} must be an int or a torch.Size, but is {leaf!r}."
            )
    return size


def _shape(size: int | torch.Size) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def _told(owner: str, found: Any, wanted: Any) -> tuple[Tensor | None, Any, Mapping[str, Tensor]]:
    """Return output (None: the state's first tensor), state and record from what a cell returned."""
    if nest.structure(found) == wanted:
        return None, found, {}
    if isinstance(found, tuple) and len(found) in (2, 3) and nest.structure(found[1]) == wanted:
        return found[0], found[1], found[2] if len(found) == 3 else {}
    raise TypeError(
        f"{owner}: the cell must return its next state, shaped {wanted}, or (output, state), but returned "
        f"{nest.structure(found)}."
    )


def _leaves_above(owner: str, hx: Any, state_nest: Any) -> tuple[Any, ...]:
    """Return the leaves of `hx` where `state_nest` has its own; below them there may be more."""
    if not isinstance(state_nest, tuple | list | dict) or isinstance(state_nest, torch.Size):
        return (hx,)
    if type(hx) is not type(state_nest) or len(hx) != len(state_nest):
        raise TypeError(f"{owner}: hx must have the structure {state_nest}, but is {nest.structure(hx)}.")
    names = state_nest if isinstance(state_nest, dict) else range(len(state_nest))
    return tuple(leaf for name in names for leaf in _leaves_above(owner, hx[name], state_nest[name]))
