"""Layers whose cells are modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recur.nn import nest
from recur.nn import options as checks
from recur.nn.asked import Asked
from recur.nn.form import Checked, changed_arguments, zoneout_mask
from recur.nn.gated_cell import GatedCell, LSTMState
from recur.nn.layer import RecurrentLayer
from recur.nn.module_cell import ModuleCell
from recur.nn.options import LibraryOptions, StackOptions
from recur.nn.states import StateForm
from recur.ops._call import Result, State
from recur.ops._scan import scan


class CellLayer(RecurrentLayer):
    """A stack that runs one cell, a module, for each layer and direction; the base of `Recurrent`, `RHN` and others.

    Args:
        make: Makes a cell from the number of its layer and the features that it gets.
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        options: `LibraryOptions` by keyword, `StackOptions` in `Recurrent`.

    Attributes:
        cells: The cells, in torch's order: for each layer the forward one, then the backward one.
    """

    _options_type: ClassVar[type[StackOptions]] = LibraryOptions
    recurrent_dropout: Any = Checked()
    weight_dropout: Any = Checked()
    # What a state looks like, any leaves in place of its tensors.
    _state_nest: Any = "*"

    def __init__(
        self,
        make: Callable[[int, int], nn.Module],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        options: Mapping[str, Any],
    ) -> None:
        owner = type(self).__name__
        given = checks.complete(owner, options, self._options_type, type(self))
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, given)
        for name in ("recurrent_dropout", "weight_dropout"):
            if name in given:
                setattr(self, name, given[name])
        self.cells = nn.ModuleList()
        for k in range(self._num_states):
            layer = k // self._num_directions
            made = make(layer, self._in_size(layer))
            if nest.structure(state_size(owner, made)) != nest.structure(self._state_nest):
                raise ValueError(f"{owner}: the cells of all layers must have states of one structure.")
            if getattr(made, "output_size", None) is not None:
                checks.check_size(owner, f"output_size of {type(made).__name__}", made.output_size, 1)
            self.cells.append(made)
        self.hidden_sizes = tuple(self._state_shapes(layer)[0][0] for layer in range(self.num_layers))
        self.hidden_size = self.hidden_sizes[-1]
        if next(self.parameters(), None) is None:
            # Dtype and device of a layer without parameters; it follows `to` and the like.
            self.register_buffer("_sample", torch.empty(0), persistent=False)
        weight = self._sample_weight()
        self._make_stack_parameters(weight.device, weight.dtype)
        self._reset_stack_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters of the stack and of each cell that has a `reset_parameters` of its own."""
        for cell in self.cells:
            draw = getattr(cell, "reset_parameters", None)
            if callable(draw):
                draw()
        self._reset_stack_parameters()

    def _state_shapes(self, layer: int) -> tuple[tuple[int, ...], ...]:
        size = state_size(self._owner, self.cells[layer * self._num_directions])
        return tuple(shape_of_size(leaf) for _, leaf in nest.leaves(size))

    def _state_form_for(self, x_TBI: Tensor) -> StateForm:
        own = self._state_form
        if self._num_features == 1:
            return own
        spatial = tuple(x_TBI.shape[3:])
        shapes = tuple(
            # 1 stands for the size that the input has.
            tuple((shape[0], *spatial) if shape[1:] == (1,) * len(spatial) else shape for shape in parts)
            for parts in own.shapes
        )
        return StateForm(own.owner, own.names, shapes, own.copies, own.batch_first)

    def _width(self, layer: int) -> int:
        size = getattr(self.cells[layer * self._num_directions], "output_size", None)
        return super()._width(layer) if size is None else int(size)

    def _skipped(self, layer: int, x_TBO: Tensor, y_TBO: Tensor) -> Tensor:
        if self._num_features == 1:
            return super()._skipped(layer, x_TBO, y_TBO)
        return super()._skipped(layer, x_TBO.movedim(2, -1), y_TBO.movedim(2, -1)).movedim(-1, 2)

    @property
    def _step_shape(self) -> str:
        places = {2: ", L", 3: ", H, W", 4: ", D, H, W"}
        return f"{self.input_size}{places.get(self._num_features, '')}"

    def _outer(self, parts: tuple[Any, ...]) -> Any:
        return nest.rebuilt(self._state_nest, parts)

    def _inner(self, hx: Any, state_form: StateForm) -> tuple[Any, ...]:
        # Where layers differ, each leaf of the state is a tuple over layers and directions.
        return nest.leaves_above(self._state_nest, hx, lambda: self._wrong_nest(hx))

    def _wrong_nest(self, hx: Any) -> TypeError:
        wanted = nest.rebuilt(self._state_nest, [f"{name}_0" for name in self._state_names])
        return TypeError(
            f"{self._owner}: hx must have the structure {nest.shown(wanted)}, but is {nest.shown(nest.structure(hx))}."
        )

    def _run_one(self, x_TBI: Tensor, asked: Asked) -> Result:
        k, state, lengths, reset, anew, reverse, records = asked
        cell, wanted = self.cells[k], nest.structure(self._state_nest)
        more: dict[str, Any] = {"return_all": True} if records and isinstance(cell, ModuleCell | GatedCell) else {}

        if self.training and isinstance(cell, ModuleCell) and (self.recurrent_dropout or self.weight_dropout):
            dilation = self.dilations[k // self._num_directions]
            more["noise"] = cell.drawn(state[0], self.recurrent_dropout, self.weight_dropout, dilation)

        def step(t: int, x_BI: Tensor, parts: State) -> tuple[Tensor, State, dict[str, Tensor]]:
            found = cell(x_BI, nest.rebuilt(self._state_nest, parts), **more)
            output, new, record = _told(self._owner, found, wanted)
            # By name: a dictionary may come back in another order.
            leaves = nest.leaves_above(self._state_nest, new, AssertionError)
            output = leaves[0] if output is None else output
            self._check_step(cell, output, leaves, parts)
            return output, leaves, dict(record)

        num_steps = x_TBI.shape[0]
        shares = zip(state, self.zoneout, strict=True)
        kept = tuple(zoneout_mask(part, share, num_steps, self.training) for part, share in shares)
        # A parametrized weight, such as a normalised one, is computed once for all steps. Whoever compiles the steps
        # finds that out, and may not change a global variable such as whether weights are kept.
        with nullcontext() if torch.compiler.is_compiling() else parametrize.cached(), self._telling(k, x_TBI):
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
            )

    @contextmanager
    def _telling(self, k: int, x_TBI: Tensor) -> Iterator[None]:
        """Say of an error in the middle of a cell which one it is, and what it got."""
        try:
            yield
        except RuntimeError as error:
            shape = tuple(x_TBI.shape[1:])
            error.add_note(f"{self._owner}: this came from cells[{k}], {self.cells[k]}, for x_t of shape {shape}.")
            raise

    def _check_step(self, cell: nn.Module, output: Any, new: State, old: State) -> None:
        for name, after, before in zip(self._state_names, new, old, strict=True):
            if not isinstance(after, Tensor):
                raise TypeError(
                    f"{self._owner}: the cell returned a state {name} that is {type(after).__name__}, not a tensor."
                )
            if after.shape != before.shape:
                raise ValueError(
                    f"{self._owner}: the cell returned a state {name} of shape {tuple(after.shape)}, but its "
                    f"state_size says {tuple(before.shape)}."
                )
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{self._owner}: the cell returned an output that is {type(output).__name__}, not a tensor."
            )
        size = getattr(cell, "output_size", None)
        wanted = (old[0].shape[0], old[0].shape[1] if size is None else int(size))
        if output.shape[:2] != wanted:
            hint = "output_size says" if size is not None else "state_size, without an output_size of its own, says"
            raise ValueError(
                f"{self._owner}: the cell returned an output of shape {tuple(output.shape)}, but its {hint} {wanted}."
            )

    def extra_repr(self) -> str:
        """Return the arguments of the stack as written, those at their default left out; the cells tell theirs."""
        sizes = set(self.hidden_sizes)
        parts = [str(self.input_size), str(self.hidden_size if len(sizes) == 1 else list(self.hidden_sizes))]
        # `Recurrent` need not be told its input size, so it counts as an option there.
        return ", ".join([*parts, *[text for text in changed_arguments(self) if not text.startswith("input_size=")]])


def state_size(owner: str, cell: nn.Module) -> Any:
    """Return the nest of sizes that a cell says its state has.

    Raises:
        TypeError: It says nothing, or something else.
    """
    size = getattr(cell, "state_size", None)
    if size is None and isinstance(cell, nn.RNNCellBase):
        # Torch's own say no more than this.
        size = LSTMState(cell.hidden_size, cell.hidden_size) if isinstance(cell, nn.LSTMCell) else cell.hidden_size
    if size is None:
        raise TypeError(
            f"{owner}: {type(cell).__name__} does not say what its state looks like; set self.state_size to its size, "
            "or to a tuple or dictionary of sizes."
        )
    for name, leaf in nest.leaves(size):
        if isinstance(leaf, bool) or not isinstance(leaf, int | torch.Size) or not shape_of_size(leaf):
            raise TypeError(
                f"{owner}: state_size{f'.{name}' if name else ''} must be an int or a torch.Size, but is {leaf!r}."
            )
    if not list(nest.leaves(size)):
        raise TypeError(f"{owner}: state_size of {type(cell).__name__} is empty; a state has at least one tensor.")
    return size


def shape_of_size(size: int | torch.Size) -> tuple[int, ...]:
    """Return the shape that a leaf of a `state_size` stands for."""
    return (size,) if isinstance(size, int) else tuple(size)


def _told(owner: str, found: Any, wanted: Any) -> tuple[Any, Any, Mapping[str, Tensor]]:
    """Return output (None: the state's first tensor), state and record from what a cell returned."""
    if nest.structure(found) == wanted:
        return None, found, {}
    is_told = isinstance(found, tuple) and len(found) in (2, 3) and nest.structure(found[1]) == wanted
    if is_told and len(found) == 2:
        return found[0], found[1], {}
    if is_told and isinstance(found[2], Mapping):
        return found[0], found[1], found[2]
    raise TypeError(
        f"{owner}: the cell must return its next state, shaped {nest.shown(wanted)} with the tuples and lists of its "
        "state_size, or (output, state), or (output, state, dictionary of what else is to be seen), but returned "
        f"{nest.shown(nest.structure(found))}."
    )
