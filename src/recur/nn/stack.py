"""What a stack of recurrent layers is made of: sizes, options, and the parameters that belong to no cell."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recur.nn import options as checks
from recur.nn.form import WithZoneout
from recur.nn.initialization import drawing
from recur.nn.options import StackOptions
from recur.nn.states import StateForm


class Stack(WithZoneout, nn.Module):
    """Sizes, options and own parameters of a stack, as yet without a way to run; the base of `RecurrentLayer`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        options: `StackOptions`, complete.
    """

    _state_names: tuple[str, ...] = ("h",)
    _num_features = 1

    # Set from the options.
    initial_state: str
    context_size: int | None
    locked_dropout: bool
    skip: str | None
    merge: str | None
    gradient_clip: float | None
    state_batch_first: bool

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._owner = owner = type(self).__name__
        checks.check_size(owner, "input_size", input_size, 1)
        checks.check_size(owner, "num_layers", num_layers, 1)
        if isinstance(hidden_size, list | tuple) and num_layers == 1:
            num_layers = max(len(hidden_size), 1)
        for name, flag in (("batch_first", batch_first), ("bidirectional", bidirectional)):
            if not isinstance(flag, bool):
                raise TypeError(f"{owner}: {name} must be a bool, but is {type(flag).__name__}.")
        checks.check_share(owner, "dropout", dropout)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{owner}: dropout={dropout} does nothing, because it acts between layers and num_layers is 1.",
                stacklevel=4,
            )
        self.input_size = input_size
        self.hidden_sizes = checks.per_layer(owner, "hidden_size", hidden_size, num_layers)
        self.hidden_size = hidden_size if isinstance(hidden_size, int) else self.hidden_sizes[-1]
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self._num_directions = 2 if bidirectional else 1
        self._num_states = num_layers * self._num_directions
        for name in StackOptions.__annotations__:
            setattr(self, name, options[name])
        self.zoneout = options["zoneout"]
        self.dilations = checks.per_layer(owner, "dilation", options["dilation"], num_layers)
        if self.merge != "concat" and not bidirectional:
            raise ValueError(f"{owner}: merge is {self.merge!r}, but there is one direction; pass bidirectional=True.")
        if self.skip is not None and num_layers == 1:
            raise ValueError(f"{owner}: skip={self.skip!r} acts between layers, but num_layers is 1.")
        if self.locked_dropout and (dropout == 0 or num_layers == 1):
            raise ValueError(
                f"{owner}: locked_dropout says how dropout between layers acts, but dropout is {dropout} and "
                f"num_layers is {num_layers}. Raise them, or leave locked_dropout out."
            )
        if self.merge is None and self.skip in ("residual", "highway"):
            raise ValueError(f"{owner}: skip={self.skip!r} needs the two directions in one; choose a merge.")
        if (self.initial_state == "context") != (self.context_size is not None):
            raise ValueError(f"{owner}: initial_state='context' and context_size go together; give both or neither.")

    # --- what a kind of layer says -----------------------------------------------------------------------------

    def _state_shapes(self, layer: int) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each part of a layer's state, for one row."""
        raise NotImplementedError

    def _sample_weight(self) -> Tensor:
        """Return a parameter, which tells dtype and device; without any, a buffer."""
        for tensor in itertools.chain(self.parameters(), self.buffers()):
            return tensor
        raise AssertionError("a layer without parameters has a buffer")

    def _width(self, layer: int) -> int:
        """Return the features that one direction of a layer gives."""
        return self._state_shapes(layer)[0][0]

    # --- making -------------------------------------------------------------------------------------------------

    def _out_size(self, layer: int) -> int:
        """Return the features that a layer gives to the next, before skips."""
        size = self._width(layer)
        return size * 2 if self.bidirectional and self.merge in ("concat", None) else size

    def _in_size(self, layer: int) -> int:
        """Return the features that a layer gets."""
        if layer == 0:
            return self.input_size
        if self.skip == "dense":
            return self.input_size + sum(self._out_size(below) for below in range(layer))
        return self._out_size(layer - 1)

    def _make_stack_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Make the parameters that belong to the stack and not to the cells, after those."""
        before = set(self._parameters)
        shapes = [self._state_shapes(k // self._num_directions) for k in range(self._num_states)]
        copies = tuple(self.dilations[k // self._num_directions] for k in range(self._num_states))
        self._state_form = StateForm(self._owner, self._state_names, tuple(shapes), copies, self.state_batch_first)
        if self.skip in ("residual", "highway"):
            for layer in range(1, self.num_layers):
                if self._in_size(layer) != self._out_size(layer):
                    raise ValueError(
                        f"{self._owner}: skip={self.skip!r} needs layers of one size, but layer {layer} gets "
                        f"{self._in_size(layer)} features and gives {self._out_size(layer)}."
                    )
        if self.skip == "highway":
            for layer in range(1, self.num_layers):
                size = self._out_size(layer)
                for name, shape in ((f"weight_skip_l{layer}", (size, size)), (f"bias_skip_l{layer}", (size,))):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        if self.initial_state == "learned":
            for number, name in enumerate(self._state_names):
                if name in self._fixed_states:
                    continue
                parts = [shape[number] for shape in shapes]
                if self._state_form.is_stacked:
                    start = torch.empty(self._num_states, *parts[0], device=device, dtype=dtype)
                    self.register_parameter(self._learned_name(name), nn.Parameter(start))
                    continue
                for k, part in enumerate(parts):
                    start = torch.empty(part, device=device, dtype=dtype)
                    self.register_parameter(f"{self._learned_name(name)}_{self._suffix(k)}", nn.Parameter(start))
        if self.initial_state == "context":
            named = [pair for shape in shapes for pair in zip(self._state_names, shape, strict=True)]
            total = sum(torch.Size(part).numel() for name, part in named if name not in self._fixed_states)
            assert self.context_size is not None
            self.context_to_state = nn.Linear(self.context_size, total, device=device, dtype=dtype)
        self._stack_names = tuple([name for name in self._parameters if name not in before])

    def _learned_name(self, name: str) -> str:
        """Return the name of the parameter that a part of the state begins with; h_0 for h."""
        return f"{name.replace('.', '_')}_0"

    def _suffix(self, k: int) -> str:
        """Return what torch puts behind the names of the weights of layer and direction `k`."""
        layer, direction = divmod(k, self._num_directions)
        return f"l{layer}{'_reverse' if direction else ''}"

    def _reset_stack_parameters(self) -> None:
        """Draw the parameters of the stack: a learned initial state zero, highway gates half closed."""
        with drawing(self, self._stack_names) as tensors:
            for name, tensor in tensors.items():
                if name.startswith("weight_skip"):
                    bound = tensor.shape[1] ** -0.5
                    nn.init.uniform_(tensor, -bound, bound)
                elif name.startswith("bias_skip"):
                    # At first the layer's input passes rather than its output (Srivastava et al. 2015, section 2.2).
                    nn.init.constant_(tensor, -1.0)
                else:
                    nn.init.zeros_(tensor)
        if self.initial_state == "context":
            self.context_to_state.reset_parameters()
