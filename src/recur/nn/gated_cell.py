"""What every single cell that runs an op has in common: one step, with weights of its own or with those of a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypedDict

import torch
from torch import Tensor, nn

from recur.nn import initialization
from recur.nn import options as checks
from recur.nn.form import OWN, GatedForm, changed_arguments
from recur.nn.options import Initializer, LSTMOptions
from recur.nn.sequences import Form
from recur.ops import _dispatch
from recur.ops._call import TORCH_WEIGHTS, Call, State, Weights
from recur.ops._checks import check_like, shape_of
from recur.ops._kept import Kept

if TYPE_CHECKING:
    from recur.nn.gated import GatedLayer


class CellOptions(TypedDict, total=False):
    """What every cell takes, by keyword only: the options of layers that make sense for one step."""

    zoneout: float | tuple[float, ...]
    """Probability with which a unit of the state keeps its old value in training; one, or one for each of h and c."""
    gradient_clip: float | None
    """Bound on each element of the gradient that a step passes back to the state before it."""
    layer_norm: bool
    """Normalise the pre-activations, and an LSTM's cell state on its way out."""
    recurrent_dropout: float
    """Probability with which units of the candidate are dropped in training, anew at each step."""
    recurrent_dropout_kind: Literal["candidate"]
    """To be given with `recurrent_dropout`. The layers' kind "state" has one mask for all steps; a cell sees one."""
    output_clip: float | None
    """Bound on each element of the output."""
    init: Literal["torch", "orthogonal", "identity", "chrono"] | Mapping[str, Initializer]
    """How the weights are drawn, as in the layers."""
    chrono_steps: int | None
    """Longest dependency in steps, with init="chrono"."""
    forget_bias: float | None
    """Sum of the two biases of the forget gate (of a GRU's update gate) when drawn."""
    backend: str
    """"auto" for the fastest that can, or the name of one."""


class LSTMCellOptions(CellOptions, total=False):
    """What `LSTMCell` takes beside `CellOptions`."""

    peephole: bool
    """Let the gates see the cell state."""
    coupled: bool
    """One minus the forget gate in place of the input gate; the weights then have three blocks, f, g, o."""
    cell_clip: float | None
    """Bound on each element of the cell state."""


class LSTMState(NamedTuple):
    """The two parts of an LSTM's state, in torch's order; their sizes in `state_size`.

    Attributes:
        h: Hidden state.
        c: Cell state.
    """

    h: Any
    c: Any


class LayerParameters(MutableMapping[str, "nn.Parameter | None"]):
    """The parameters of one layer and direction of a stack, by the names that a cell has for them.

    It looks them up in the stack each time, so whatever becomes of them there, the cell has them too. A parametrized
    weight can be looked up, but is not among the names, because it is not itself a parameter.

    Args:
        layer: The stack.
        k: Layer and direction, as torch counts them.
    """

    def __init__(self, layer: GatedLayer, k: int) -> None:
        self.layer = layer
        self.k = k
        four, more = layer._weight_names[k]
        named: list[tuple[str, str | None]] = [*zip(TORCH_WEIGHTS, four, strict=True), *more]
        self._names = dict(named)

    def __getitem__(self, name: str) -> Any:
        full = self._names[name]
        return None if full is None else getattr(self.layer, full)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __setitem__(self, name: str, value: nn.Parameter | None) -> None:
        self.layer._parameters[self._full(name)] = value

    def __delitem__(self, name: str) -> None:
        del self.layer._parameters[self._full(name)]

    def __iter__(self) -> Iterator[str]:
        return (name for name, full in self._names.items() if full is None or full in self.layer._parameters)

    def _full(self, name: str) -> str:
        full = self._names.get(name)
        if full is None:
            raise KeyError(f"{type(self.layer).__name__}: the layer has no {name}, so its cell cannot have one.")
        return full

    def __len__(self) -> int:
        return sum(1 for _ in self)


class GatedCell(GatedForm, nn.Module):
    """One step of the op `_op`; the base of `RNNCell`, `GRUCell`, `LSTMCell`, `IndRNNCell`, `MGUCell` and `LiGRUCell`.

    Parameters are weight_ih, weight_hh, bias_ih and bias_hh, and what options add, as in one layer of a stack without
    the suffix. It has `state_size`, so `recur.nn.Recurrent` makes a layer of it.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        proj_size: Width of the output when it is projected, 0 for none.
        device: Where the parameters lie.
        dtype: Their dtype.
        form_options: Fields of `recur.ops.Options` that the kind of cell sets.
        options: Options by keyword.
    """

    _options_type: ClassVar[Any] = CellOptions

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        proj_size: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        form_options: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._owner = owner = type(self).__name__
        for name in options:
            if name in LSTMOptions.__annotations__ and name not in LSTMCellOptions.__annotations__:
                raise TypeError(
                    f"{owner}: {name} is an option of whole layers and means nothing for one step. Leave it out, or "
                    f"give it to {owner.removesuffix('Cell')}, or to Recurrent around this cell."
                )
        given = checks.complete(owner, options, self._options_type, type(self))
        checks.check_dtype(owner, dtype)
        self._check_kind(given["recurrent_dropout"], given["recurrent_dropout_kind"])
        checks.check_size(owner, "input_size", input_size, 1)
        checks.check_size(owner, "hidden_size", hidden_size, 1)
        self._choose_form(bias, proj_size, form_options, given)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.zoneout = given["zoneout"]
        for name, value in form_options.items():
            setattr(self, name, value)
        shapes = self._cell.shapes(input_size, hidden_size, proj_size, bias)
        self._more = tuple([name for name in shapes if name not in TORCH_WEIGHTS])
        self._kept = Kept()
        for name in dict.fromkeys((*TORCH_WEIGHTS, *shapes)):
            shape = shapes.get(name)
            empty = None if shape is None else nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, empty)
        self.reset_parameters()

    @classmethod
    def _of_layer(cls, layer: GatedLayer, k: int) -> Self:
        """Return the cell of layer and direction `k` of a stack, with the parameters of the stack."""
        cell = cls.__new__(cls)
        nn.Module.__init__(cell)
        cell._owner = cls.__name__
        number = k // layer._num_directions
        names = ("_cell", "_form", "_state_names", "proj_size", "bias", "zoneout", "training", "nonlinearity", *OWN)
        for name in names:
            # These are about all steps of a layer.
            if name not in ("weight_dropout", "recompute"):
                setattr(cell, name, getattr(layer, name))
        cell.input_size, cell.hidden_size = layer._in_size(number), layer.hidden_sizes[number]
        cell._more = tuple([name for name, _ in layer._weight_names[k][1]])
        cell.__dict__["_parameters"] = LayerParameters(layer, k)
        cell._kept = layer._kept[k]
        return cell

    def reset_parameters(self) -> None:
        """Draw the weights as `init` says; torch draws all of them uniformly within 1 / sqrt(hidden_size)."""
        with initialization.drawing(self, self._weights().named()) as weights:
            initialization.draw(weights, self._cell, self.hidden_size, self.init, self.chrono_steps, self.forget_bias)

    @property
    def state_size(self) -> Any:
        """The width of the state; of an LSTM's the pair of widths."""
        sizes = self._cell.state_sizes(self.hidden_size, self.proj_size)
        return sizes[0] if len(sizes) == 1 else LSTMState(*sizes) if self._op == "lstm" else sizes

    def _weights(self) -> Weights:
        parameters = self._parameters
        # A parametrized weight is not among the parameters.
        values: list[Any] = [parameters[name] if name in parameters else getattr(self, name) for name in TORCH_WEIGHTS]
        values.append({name: getattr(self, name) for name in self._more})
        return Weights(*values)

    def forward(self, x: Tensor, hx: Any = None, *, return_all: bool = False) -> Any:
        """Return the state after one step; its first part is the output.

        Args:
            x: (B, I), or (I,) for one row; in the cell's dtype.
            hx: State before the step: h (B, H), for an LSTM the pair (h, c); (H,) for one row. h has P instead of H
                features with a projection. None for zeros; in a cell of a layer, for that layer's initial state.
            return_all: Whether to return the gates too.

        Returns:
            The next state, as `hx`; with `return_all` the triple of output, next state and gates by name.

        Raises:
            TypeError: x or hx is of the wrong kind or dtype.
            ValueError: A shape or a device is wrong; or the cell is of a layer whose dropout has one mask for all
                steps, and is in training.
            BackendError: The back end asked for cannot run this call.
        """
        call, is_batched = self._call(x, hx)
        result = _dispatch.run(self._cell.backends, call._replace(records=return_all), self.backend)
        state = result.state if is_batched else tuple([part[0] for part in result.state])
        after = state if len(state) > 1 else state[0]
        if not return_all:
            return after
        gates = {name: value[0] for name, value in result.record.items() if name not in self._state_names}
        return state[0], after, gates if is_batched else {name: gate[0] for name, gate in gates.items()}

    def explain(self, x: Tensor | None = None) -> _dispatch.Explanation:
        """Return which back end runs, and why each other one does not; print it to read it.

        Args:
            x: As of `forward`; by default one row of zeros.
        """
        call, _ = self._call(self._sample_weight().new_zeros(1, self.input_size) if x is None else x, None, False)
        return _dispatch.explain(self._cell.backends, call, self.backend)

    def _call(self, x: Tensor, hx: Any, is_drawn: bool = True) -> tuple[Call, bool]:
        """Check the arguments and return the op's call, and whether there is a batch."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{self._owner}: x must be a torch.Tensor, but is {type(x).__name__}.")
        if x.dim() not in (1, 2):
            raise ValueError(
                f"{self._owner}: x has {x.dim()} dimensions, {shape_of(x)}. "
                f"Give (B, {self.input_size}), or ({self.input_size},) for one row."
            )
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self._owner}: x has {x.shape[-1]} features but input_size is {self.input_size}. "
                f"Pass input_size={x.shape[-1]}, or give x of shape (B, {self.input_size})."
            )
        weight = self._sample_weight()
        check_like(self._owner, "x", x, weight, "the cell")
        is_batched = x.dim() == 2
        x_TBI = (x if is_batched else x[None])[None]
        if x_TBI.shape[1] == 0:
            raise ValueError(f"{self._owner}: x has no rows; give at least one.")
        self._check_masks()
        state = self._start(x_TBI, weight) if hx is None else self._given(hx, x_TBI.shape[1], weight, is_batched)
        noise = self._noise(x_TBI, state, is_drawn=is_drawn)
        form, weights = self._form_now(), self._weights()
        return Call(self._owner, x_TBI, state, weights, options=form, noise=noise, kept=self._kept), is_batched

    def _sample_weight(self) -> Tensor:
        weight: Tensor = getattr(self, "weight_ih")  # noqa: B009 - typed as any
        return weight

    def _check_masks(self) -> None:
        source: Any = self._parameters
        if self.training and self.recurrent_dropout > 0 and not isinstance(source, LayerParameters):
            self._check_kind(self.recurrent_dropout, self.recurrent_dropout_kind)
        if not (self.training and isinstance(source, LayerParameters)):
            return
        layer = source.layer
        has_state_mask = layer.recurrent_dropout > 0 and layer.recurrent_dropout_kind == "state"
        for name, is_on in (("recurrent_dropout", has_state_mask), ("weight_dropout", layer.weight_dropout > 0)):
            if is_on:
                raise ValueError(
                    f"{self._owner}: {name} of the layer has one mask for all steps, and a cell sees one step. "
                    "Run the layer in training, or call eval() on the cell."
                )

    def _check_kind(self, recurrent_dropout: float, kind: str) -> None:
        if recurrent_dropout > 0 and kind == "state":
            raise ValueError(
                f"{self._owner}: recurrent_dropout of the kind 'state' has one mask for all steps, and a cell sees one "
                f"step. Pass recurrent_dropout_kind='candidate', or use {self._owner.removesuffix('Cell')}."
            )

    def _start(self, x_TBI: Tensor, weight: Tensor) -> State:
        """Return the initial state."""
        source: Any = self._parameters
        if not isinstance(source, LayerParameters) or source.layer.initial_state == "zeros":
            sizes = self._cell.state_sizes(self.hidden_size, self.proj_size)
            return tuple([x_TBI.new_zeros(x_TBI.shape[1], size, dtype=weight.dtype) for size in sizes])
        layer, k = source.layer, source.k
        if layer.initial_state == "context":
            raise ValueError(f"{self._owner}: the layer's initial state comes from a context; give hx.")
        own = layer._own_states(x_TBI, None, Form(), layer._state_form)[k]
        is_dilated = layer.dilations[k // layer._num_directions] > 1
        return tuple([part[0] for part in own]) if is_dilated else own

    def _given(self, hx: Any, batch: int, weight: Tensor, is_batched: bool) -> State:
        """Check a given state."""
        names = self._state_names
        if len(names) > 1 and (not isinstance(hx, tuple | list) or len(hx) != len(names)):
            raise TypeError(f"{self._owner}: hx must be the pair ({', '.join(names)}), but is {type(hx).__name__}.")
        parts = tuple(hx) if len(names) > 1 else (hx,)
        sizes = self._cell.state_sizes(self.hidden_size, self.proj_size)
        for name, part, size in zip(names, parts, sizes, strict=True):
            if not isinstance(part, Tensor):
                raise TypeError(f"{self._owner}: {name} must be a torch.Tensor, but is {type(part).__name__}.")
            expected = (batch, size) if is_batched else (size,)
            if part.shape != expected:
                letters = "(B, H)" if is_batched else "(H,)"
                raise ValueError(
                    f"{self._owner}: {name} must have shape {letters} = {expected}, but has {shape_of(part)}."
                )
            check_like(self._owner, name, part, weight, "the cell")
        return parts if is_batched else tuple([part[None] for part in parts])

    def extra_repr(self) -> str:
        """Return the arguments as written, those at their default left out."""
        return ", ".join([str(self.input_size), str(self.hidden_size), *changed_arguments(self)])
