"""Layers whose cells are ops: parameters named as torch names them, noise, initialisation, back ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from recur.nn import initialization
from recur.nn import options as checks
from recur.nn.asked import Asked
from recur.nn.cell import CELLS
from recur.nn.form import Checked, GatedForm, changed_arguments
from recur.nn.gated_cell import GatedCell
from recur.nn.layer import RecurrentLayer
from recur.nn.sequences import Lengths, Sequences
from recur.ops import _dispatch
from recur.ops._call import TORCH_WEIGHTS, Call, Result, State, Weights
from recur.ops._kept import Kept
from recur.ops._library import flatten_weights
from recur.ops._random import lasting_dropout


class GatedLayer(GatedForm, RecurrentLayer):
    """A stack of layers that run the op `_op`; the base of `RNN`, `GRU`, `LSTM`, `IndRNN`, `MGU` and `LiGRU`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        bias: Whether there are bias_ih and bias_hh.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        proj_size: Width of the output when it is projected, 0 for none; any size.
        device: Where the parameters lie.
        dtype: Their dtype.
        form_options: Fields of `recur.ops.Options` that the kind of layer sets.
        options: Options by keyword, `GatedOptions` or more.
    """

    weight_dropout: Any = Checked()
    recompute: Any = Checked()

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        form_options: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        owner = type(self).__name__
        given = checks.complete(owner, options, self._options_type, type(self))
        checks.check_dtype(owner, dtype)
        # The base asks for what this sets.
        self._choose_form(bias, proj_size, form_options, given)
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, given)
        self.bias = bias
        for name, value in form_options.items():
            setattr(self, name, value)
        # One entry for each layer and direction, in torch's order.
        self._weight_names: list[tuple[tuple[str | None, ...], tuple[tuple[str, str], ...]]] = []
        self._kept = tuple([Kept() for _ in range(self._num_states)])
        for k in range(self._num_states):
            self._make_weights(k, device, dtype)
        self._make_stack_parameters(device, dtype)
        self.reset_parameters()
        self.flatten_parameters()

    # --- parameters ---------------------------------------------------------------------------------------------

    def _state_shapes(self, layer: int) -> tuple[tuple[int, ...], ...]:
        return tuple((size,) for size in self._cell.state_sizes(self.hidden_sizes[layer], self.proj_size))

    def _make_weights(self, k: int, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        layer, suffix = k // self._num_directions, self._suffix(k)
        shapes = self._cell.shapes(self._in_size(layer), self.hidden_sizes[layer], self.proj_size, self.bias)
        for name, shape in shapes.items():
            self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        four = tuple(f"{name}_{suffix}" if name in shapes else None for name in TORCH_WEIGHTS)
        more = tuple((name, f"{name}_{suffix}") for name in shapes if name not in TORCH_WEIGHTS)
        self._weight_names.append((four, more))

    def reset_parameters(self) -> None:
        """Draw the weights as `init` says; torch draws all of them uniformly within 1 / sqrt(hidden_size)."""
        for k, (four, more) in enumerate(self._weight_names):
            hidden_size = self.hidden_sizes[k // self._num_directions]
            pairs = (*zip(TORCH_WEIGHTS, four, strict=True), *more)
            named = {name: full for name, full in pairs if full is not None}
            with initialization.drawing(self, named.values()) as tensors:
                weights = {name: tensors[full] for name, full in named.items()}
                initialization.draw(weights, self._cell, hidden_size, self.init, self.chrono_steps, self.forget_bias)
        self._reset_stack_parameters()

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, as in `torch.nn`."""
        return [self._weights(k).given() for k in range(self._num_states)]

    def flatten_parameters(self) -> None:
        """Lay the weights on CUDA out as cuDNN wants them; done whenever the layer moves. Elsewhere it does nothing."""
        if self._cudnn_mode is not None and self._sample_weight().is_cuda and not self._cell.norms:
            for weights in self.all_weights:
                flatten_weights(self._cudnn_mode, weights)

    @property
    def _cudnn_mode(self) -> str | None:
        """The name that cuDNN has for this kind of layer, or None."""
        return None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    def _sample_weight(self) -> Tensor:
        found = self._parameters.get("weight_ih_l0")
        return getattr(self, "weight_ih_l0") if found is None else found  # noqa: B009 - a parametrized one, typed as any

    def _weights(self, k: int) -> Weights:
        """Return the weights of layer and direction `k`."""
        four, more = self._weight_names[k]
        parameters = self._parameters
        # Module.__getattr__ costs ten times a look-up, and a step of one character has eight; a parametrized weight
        # is not among the parameters, so it takes the long way.
        values: list[Any] = [
            None if name is None else parameters[name] if name in parameters else getattr(self, name) for name in four
        ]
        if more:
            values.append({name: getattr(self, full) for name, full in more})
        return Weights(*values)

    # --- running ------------------------------------------------------------------------------------------------

    def _stack(
        self,
        x_TBI: Tensor,
        states: list[State],
        lengths: Tensor | None,
        reset: Tensor | None,
        anew: list[State] | None,
        records: bool,
        extras: Tensor | None,
    ) -> tuple[Tensor | tuple[Tensor, Tensor], list[State], list[Result]]:
        if records or extras is not None or torch.compiler.is_compiling() or not self._is_plain_stack():
            return super()._stack(x_TBI, states, lengths, reset, anew, records, extras)
        calls = []
        for k in range(self.num_layers):
            begin = None if anew is None else anew[k]
            calls.append(self._call(x_TBI, Asked(k, states[k], lengths, reset, begin, reverse=False, records=False)))
        return *_dispatch.run_stack(self._cell.backends, calls, self.backend), []

    def _is_plain_stack(self) -> bool:
        """Whether the outputs of each layer are the input of the next, and nothing is drawn."""
        has_noise = self.training and (self.dropout > 0 or self.recurrent_dropout > 0 or self.weight_dropout > 0)
        return (
            self.num_layers > 1
            and not (self.bidirectional or has_noise or any(self._zoneout))
            and self.skip is None
            and set(self.dilations) == {1}
        )

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        if self._op not in initialization.HOLDS:
            return None
        gate, sign = initialization.HOLDS[self._op]
        return values[gate] if sign > 0 else 1 - values[gate]

    def _run_one(self, x_TBI: Tensor, asked: Asked) -> Result:
        return _dispatch.run(self._cell.backends, self._call(x_TBI, asked), self.backend)

    def _run_directions(self, x_TBI: Tensor, asked: Sequence[Asked], are_apart: bool) -> list[Result]:
        is_dilated = self.dilations[asked[0].k // self._num_directions] != 1
        if len(asked) == 1 or is_dilated or (are_apart and torch.is_grad_enabled()):
            return super()._run_directions(x_TBI, asked, are_apart)
        one, other = [self._call(x_TBI, each) for each in asked]
        return list(_dispatch.run_both(self._cell.backends, one, other, self.backend))

    def _call(self, x_TBI: Tensor, asked: Asked) -> Call:
        """Return what the op is asked for, with the noise of this run."""
        k, state, lengths, reset, anew, reverse, records = asked
        weights = self._weights(k)
        if self.training and self.weight_dropout > 0:
            weights = weights._replace(weight_hh=lasting_dropout(weights.weight_hh, self.weight_dropout))
        noise = self._noise(x_TBI, state, self.dilations[k // self._num_directions])
        form = self._form_now()
        return Call(
            self._owner,
            x_TBI,
            state,
            weights,
            lengths,
            reset,
            reverse,
            anew,
            form,
            noise,
            records,
            self.recompute,
            kept=self._kept[k],
        )

    def explain(
        self, x: Sequences | None = None, *, lengths: Lengths | None = None, reset: Tensor | None = None
    ) -> _dispatch.Explanation:
        """Return which back end runs, and why each other one does not; print it to read it.

        Where the layers of the stack differ in that, it tells of the one with the slowest.

        Args:
            x: An input as of `forward`; without one, a single step of zeros.
            lengths: As of `forward`.
            reset: As of `forward`.
        """
        if x is None:
            x = self._sample_weight().new_zeros(1, 1, self.input_size)
        x_TBI, lengths, reset, _ = self._prepare(x, lengths, reset)
        found, form = [], self._form_now()
        for layer in range(self.num_layers):
            if layer > 0:
                x_TBI = x_TBI.new_zeros(1, 1, 1).expand(*x_TBI.shape[:2], self._in_size(layer))
            state = tuple([x_TBI.new_zeros(x_TBI.shape[1], *shape) for shape in self._state_shapes(layer)])
            noise = self._noise(x_TBI, state, is_drawn=False)
            weights = self._weights(layer * self._num_directions)
            call = Call(self._owner, x_TBI, state, weights, lengths, reset, options=form, noise=noise)
            found.append(_dispatch.explain(self._cell.backends, call, self.backend))
        order = [*[backend.name for backend in self._cell.backends], None]
        slowest = max(range(self.num_layers), key=lambda layer: order.index(found[layer].backend))
        if len({explanation.backend for explanation in found}) == 1:
            return found[0]
        return replace(found[slowest], situation=f"{found[slowest].situation}, layers[{slowest}]")

    def cell(self, layer: int = 0, direction: Literal["forward", "backward"] = "forward") -> GatedCell:
        """Return the single cell of one layer and direction, which shares this layer's parameters.

        It looks the weights up here at each step, so it stays right when the layer moves, is loaded or gets other
        parameters, and gradients of its steps land here. What a stack has between its layers (dropout, skips, merges)
        is the caller's, and in a dilated layer `hx` is the state from `dilation` steps back.

        Args:
            layer: Number of the layer, from 0.
            direction: "forward" or "backward".

        Returns:
            `LSTMCell` for an `LSTM`, and so on.

        Raises:
            ValueError: There is no such layer or direction.

        Example:
            >>> from recur.nn import GRU
            >>> layer = GRU(8, 16)
            >>> x = torch.randn(5, 2, 8)
            >>> h = None
            >>> for x_t in x:
            ...     h = layer.cell()(x_t, h)
            >>> torch.allclose(h, layer(x)[1][0], atol=1e-6)
            True
        """
        checks.check_size(self._owner, "layer", layer, 0)
        if layer >= self.num_layers:
            raise ValueError(f"{self._owner}: there is no layer {layer}; num_layers is {self.num_layers}.")
        known = ("forward", "backward")[: self._num_directions]
        if direction not in known:
            raise ValueError(f"{self._owner}: direction is {direction!r}, but must be {' or '.join(map(repr, known))}.")
        return CELLS[self._op]._of_layer(self, layer * self._num_directions + known.index(direction))

    def extra_repr(self) -> str:
        """Return the arguments as written, those at their default left out."""
        sizes = set(self.hidden_sizes)
        parts = [str(self.input_size), str(self.hidden_size if len(sizes) == 1 else list(self.hidden_sizes))]
        return ", ".join([*parts, *changed_arguments(self)])
