"""One step of a recurrent layer as a module: what the library's own module cells have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Size, Tensor, nn

from recur.nn import options as checks
from recur.nn.form import state_mask
from recur.nn.initialization import drawing
from recur.ops._call import State
from recur.ops._checks import check_like, shape_of
from recur.ops._random import lasting_dropout


class StepNoise(NamedTuple):
    """What a layer in training drops in one of its cells, the same at all steps.

    Attributes:
        state: Factor of h before the recurrent products (Gal and Ghahramani 2016), (B, H, 1, ...), or None.
        weights: Recurrent weights with elements dropped (Wan et al. 2013), by name.
    """

    state: Tensor | None = None
    weights: Mapping[str, Tensor] = MappingProxyType({})

    def on(self, h: Tensor) -> Tensor:
        """Return h as the recurrent products see it."""
        return h if self.state is None else h * self.state


SILENT = StepNoise()
"""Nothing dropped."""


class ModuleCell(nn.Module):
    """One step of one layer in one direction, as torch's cells; the base of `RHNCell`, `ConvLSTMCell` and others.

    A kind of cell makes its parameters with `_make` and computes in `_step`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        num_features: Dimensions of one row of the input: 1 for (I,), 3 for an image (I, H, W).
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the parts of the state; the first is the output."""
    fixed_states: ClassVar[tuple[str, ...]] = ()
    """Those that begin with zeros whatever a layer's `initial_state` says, and that zoneout leaves alone: clocks, and
    memories of the input."""
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    """Names of the weights of which `weight_dropout` drops elements."""
    is_timed: ClassVar[bool] = False
    """Whether the input may have a time stamp as one feature more, the last."""

    def __init__(self, input_size: int, hidden_size: int, num_features: int = 1) -> None:
        super().__init__()
        self._owner = type(self).__name__
        checks.check_size(self._owner, "input_size", input_size, 1)
        checks.check_size(self._owner, "hidden_size", hidden_size, 1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_features = num_features

    @property
    def state_size(self) -> Any:
        """The shape of each part of the state for one row; of an image 1 stands for a size that the input has."""
        sizes = self._state_sizes()
        return sizes if len(sizes) > 1 else sizes[0]

    def _state_sizes(self) -> tuple[Size, ...]:
        spatial = (1,) * (self.num_features - 1)
        return (Size((self.hidden_size, *spatial)),) * len(self.state_names)

    def _make(
        self, shapes: Mapping[str, tuple[int, ...]], device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        """Make parameters of these shapes and draw them."""
        checks.check_dtype(self._owner, dtype)
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly within 1 / sqrt(hidden_size), as torch's cells; gains are ones."""
        bound = self.hidden_size**-0.5
        with drawing(self, self._names) as weights:
            for name, weight in weights.items():
                if name in ("norm_ih", "norm_hh", "norm_c"):
                    nn.init.ones_(weight)
                else:
                    nn.init.uniform_(weight, -bound, bound)
            with torch.no_grad():
                self._draw(weights)

    def _draw(self, weights: Mapping[str, Tensor]) -> None:
        """Fill those weights that are drawn otherwise in this kind of cell; all are drawn as torch's by now."""

    def _weight(self, name: str, noise: StepNoise = SILENT) -> Tensor:
        """Return a parameter, parametrized or not, with what is dropped of it."""
        weight: Tensor = noise.weights[name] if name in noise.weights else getattr(self, name)
        return weight

    def drawn(self, h: Tensor, recurrent_dropout: float, weight_dropout: float, dilation: int) -> StepNoise:
        """Return noise for a sequence of steps that begin with the output state h, of which `dilation` are one row."""
        mask = state_mask(h, recurrent_dropout, dilation) if recurrent_dropout > 0 else None
        if weight_dropout == 0:
            return StepNoise(mask)
        dropped = {name: lasting_dropout(self._weight(name), weight_dropout) for name in self.recurrent_weights}
        return StepNoise(mask, dropped)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        """Return the next state and the gates; the input and each part of the state have rows first."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Any = None, *, return_all: bool = False, noise: StepNoise = SILENT) -> Any:
        """Return the state after one step; its first part is the output.

        Args:
            x: Input (B, I), or (I,) for one row; where a row has more dimensions, (B, I, ...). A cell that knows of
                time takes (B, I + 1) too, the time stamp last.
            state: The state before, a tensor (B, H) or the tuple of its parts; zeros by default.
            return_all: Whether to return the gates too.
            noise: What a layer drops; a cell alone drops nothing.

        Returns:
            The next state, as `state`; with `return_all` the triple of output, next state and gates by name.

        Raises:
            TypeError: `x` or a part of the state is of the wrong kind or dtype.
            ValueError: A shape or a device is wrong.
        """
        is_batched = self._check_input(x)
        if not is_batched:
            x = x[None]
        sizes = [self._filled(size, x.shape[2:]) for size in self._state_sizes()]
        if state is None:
            dtype = next(self.parameters()).dtype
            parts = tuple([x.new_zeros(x.shape[0], *size, dtype=dtype) for size in sizes])
        else:
            # Not len, which takes the batch of an exported program for a constant.
            parts = self._given(state, sizes, x.shape[0] if is_batched else None)
        new, gates = self._step(x, parts, noise)
        if not is_batched:
            new = tuple([part[0] for part in new])
            gates = {name: gate[0] for name, gate in gates.items()}
        after = new if len(new) > 1 else new[0]
        return (new[0], after, gates) if return_all else after

    def _given(self, state: Any, sizes: list[tuple[int, ...]], batch: int | None) -> State:
        """Check a state and return its parts, rows first."""
        given = state if isinstance(state, tuple | list) else (state,)
        if len(given) != len(self.state_names):
            names = ", ".join(self.state_names)
            raise TypeError(f"{self._owner}: state must be ({names}), but has {len(given)} parts.")
        parts: list[Tensor] = []
        for name, part, size in zip(self.state_names, given, sizes, strict=True):
            if not isinstance(part, Tensor):
                raise TypeError(f"{self._owner}: {name} must be a torch.Tensor, but is {type(part).__name__}.")
            wanted = size if batch is None else (batch, *size)
            if part.shape != wanted:
                raise ValueError(f"{self._owner}: {name} must have shape {wanted}, but has {shape_of(part)}.")
            check_like(self._owner, name, part, next(self.parameters()), "the cell")
            parts.append(part[None] if batch is None else part)
        return tuple(parts)

    def _check_input(self, x: Tensor) -> bool:
        """Return whether x has a batch, or raise where it does not fit."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{self._owner}: x must be a torch.Tensor, but is {type(x).__name__}.")
        if x.dim() not in (self.num_features, self.num_features + 1):
            raise ValueError(
                f"{self._owner}: x must have {self.num_features + 1} dimensions, or {self.num_features} for one row, "
                f"but has shape {shape_of(x)}."
            )
        is_batched = x.dim() > self.num_features
        size = x.shape[-self.num_features]
        if size != self.input_size and not (self.is_timed and size == self.input_size + 1):
            raise ValueError(f"{self._owner}: x has {size} features but input_size is {self.input_size}.")
        if is_batched and x.shape[0] == 0:
            raise ValueError(f"{self._owner}: x has no rows; give at least one.")
        check_like(self._owner, "x", x, next(self.parameters()), "the cell")
        return is_batched

    @staticmethod
    def _filled(size: Size, spatial: Size) -> tuple[int, ...]:
        return (size[0], *spatial) if spatial else tuple(size)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.input_size}, {self.hidden_size}"


def lstm_update(
    a_BG: Tensor,
    c_BH: Tensor,
    peephole: Tensor | None = None,
    normalise: Callable[[Tensor], Tensor] | None = None,
) -> tuple[State, dict[str, Tensor]]:
    """Return (h, c) of an LSTM from its pre-activations, and the gates.

    Args:
        a_BG: Pre-activations of i, f, g, o, (B, 4H, ...).
        c_BH: Cell state before the step, (B, H, ...).
        peephole: What i, f and o see the cell state through, (3, H, ...), or None.
        normalise: Applied to the new cell state on its way out.

    Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000) and the peepholes of Gers and
    Schmidhuber (2000).
    """
    a_i, a_f, a_g, a_o = a_BG.chunk(4, 1)
    if peephole is not None:
        w_i, w_f, w_o = peephole.unbind(0)
        a_i, a_f = a_i + w_i * c_BH, a_f + w_f * c_BH
    i, f, g = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g)
    c_BH = f * c_BH + i * g
    o = torch.sigmoid(a_o if peephole is None else a_o + w_o * c_BH)
    h_BH = o * torch.tanh(c_BH if normalise is None else normalise(c_BH))
    return (h_BH, c_BH), {"i": i, "f": f, "g": g, "o": o}
