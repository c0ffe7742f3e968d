"""What every recurrent layer has in common: parameters, stacking, directions, padding, states."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recur.nn.dropout import drop_locked
from recur.ops import _dispatch
from recur.ops._call import Call, State, Weights
from recur.ops._checks import check_lengths, check_like, check_reset, check_steps, has_values, shape_of
from recur.ops._library import flatten_weights

Lengths: TypeAlias = Tensor | Sequence[int]


class RecurrentLayer(nn.Module):
    """A stack of recurrent layers of one kind, in one or two directions; the base of `RNN`, `GRU` and `LSTM`.

    A kind of layer says what `_num_gates`, `_state_names` and `_backends` are and wraps `_forward` in a `forward` with
    its own types. The arguments are those of `torch.nn` and, by keyword only, `initial_state`, `locked_dropout` and
    `backend`, as `LSTM` describes them.
    """

    _num_gates: ClassVar[int]
    _state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        initial_state: Literal["zeros", "learned"] = "zeros",
        locked_dropout: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self._owner = type(self).__name__
        for name, size, least in (
            ("input_size", input_size, 1),
            ("hidden_size", hidden_size, 1),
            ("num_layers", num_layers, 1),
            ("proj_size", proj_size, 0),
        ):
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"{self._owner}: {name} must be an int, but is {type(size).__name__}.")
            if size < least:
                raise ValueError(f"{self._owner}: {name} is {size}, but must be at least {least}.")
        for name, flag in (
            ("bias", bias),
            ("batch_first", batch_first),
            ("bidirectional", bidirectional),
            ("locked_dropout", locked_dropout),
        ):
            if not isinstance(flag, bool):
                raise TypeError(f"{self._owner}: {name} must be a bool, but is {type(flag).__name__}.")
        if isinstance(dropout, bool) or not isinstance(dropout, int | float):
            raise TypeError(f"{self._owner}: dropout must be a number, but is {type(dropout).__name__}.")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{self._owner}: dropout is {dropout}, but must be from 0 to 1.")
        if proj_size >= hidden_size:
            raise ValueError(f"{self._owner}: proj_size is {proj_size}, but must be below hidden_size {hidden_size}.")
        if initial_state not in ("zeros", "learned"):
            raise ValueError(f"{self._owner}: initial_state is {initial_state!r}, but must be 'zeros' or 'learned'.")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{self._owner}: dropout={dropout} does nothing, because it acts between layers and num_layers is 1.",
                stacklevel=3,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.initial_state = initial_state
        self.locked_dropout = locked_dropout
        self.backend = backend
        _dispatch.check_name(self._owner, self._backends, backend)

        # One entry for each layer and direction, in torch's order.
        self._weight_names: list[tuple[str | None, ...]] = []
        self._make_parameters(device, dtype)
        self.reset_parameters()
        self.flatten_parameters()

    @property
    def _backends(self) -> Sequence[_dispatch.Backend]:
        """The back ends of this kind of layer, fastest first."""
        raise NotImplementedError

    @property
    def _mode(self) -> str:
        """The name cuDNN has for this kind of layer."""
        return self._owner

    @property
    def _num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        """Width of each part of the state; the first is the output's."""
        return (self.proj_size or self.hidden_size, self.hidden_size)[: len(self._state_names)]

    def _make_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        rows, out_size = self._num_gates * self.hidden_size, self._state_sizes[0]
        for layer in range(self.num_layers):
            in_size = self.input_size if layer == 0 else out_size * self._num_directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, in_size), "weight_hh": (rows, out_size)}
            if self.bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if self.proj_size:
                shapes["weight_hr"] = (self.proj_size, self.hidden_size)
            for direction in range(self._num_directions):
                suffix = f"_l{layer}{'_reverse' if direction else ''}"
                for name, shape in shapes.items():
                    self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
                slots = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
                slots += [name for name in shapes if name not in slots]
                self._weight_names.append(tuple(s + suffix if s in shapes else None for s in slots))
        if self.initial_state == "learned":
            for state, size in zip(self._state_names, self._state_sizes, strict=True):
                start = torch.empty(len(self._weight_names), size, device=device, dtype=dtype)
                self.register_parameter(f"{state}_0", nn.Parameter(start))

    def reset_parameters(self) -> None:
        """Draw the weights as torch does, uniform within 1 / sqrt(hidden_size), and a learned initial state zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        learned = {f"{state}_0" for state in self._state_names}
        for name, parameter in self.named_parameters():
            if name in learned:
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, as in `torch.nn`."""
        return [self._weights(k).given() for k in range(len(self._weight_names))]

    def flatten_parameters(self) -> None:
        """Lay the weights on CUDA out as cuDNN wants them; done whenever the layer moves. Elsewhere it does nothing."""
        for weights in self.all_weights:
            flatten_weights(self._mode, weights)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    def _weights(self, k: int) -> Weights:
        """Return the weights of layer and direction `k`."""
        parameters = self._parameters
        # Module.__getattr__ costs ten times a look-up, and a step of one character has eight; a parametrized weight
        # is not among the parameters, so it takes the long way.
        weights: list[Any] = [
            None if name is None else parameters[name] if name in parameters else getattr(self, name)
            for name in self._weight_names[k]
        ]
        weight_ih, weight_hh, bias_ih, bias_hh, *more = weights
        return Weights(weight_ih, weight_hh, bias_ih, bias_hh, tuple(more))

    def _forward(
        self,
        x: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, ...] | None,
        lengths: Lengths | None,
        reset: Tensor | None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run the stack.

        Returns:
            The output in the form of `x`, and the parts of the final state, each (L*D, B, H), or (L*D, H) unbatched.
        """
        packed = None
        if isinstance(x, PackedSequence):
            packed = x
            if lengths is not None:
                raise ValueError(f"{self._owner}: a PackedSequence has its own lengths; leave lengths out.")
            x, lengths = pad_packed_sequence(x, batch_first=self.batch_first)
        x_TBI, states, lengths, reset = self._prepare(x, hx, lengths, reset)
        # A given state may be carried on from before; a sequence that begins here knows nothing of it.
        anew = None if hx is None or reset is None else self._initial(x_TBI.shape[1], x_TBI, self._weights(0).weight_ih)
        y_TBO, finals = self._stack(x_TBI, states, lengths, reset, anew)
        if len(finals) == 1:
            final = tuple([part[None] for part in finals[0]])
        else:
            final = tuple([torch.stack(parts) for parts in zip(*finals, strict=True)])
        if packed is not None:
            return _pack_like(packed, y_TBO), final
        if x.dim() == 2:
            return y_TBO[:, 0], tuple(part[:, 0] for part in final)
        return (y_TBO.transpose(0, 1) if self.batch_first else y_TBO), final

    def _stack(
        self,
        x_TBI: Tensor,
        states: list[State],
        lengths: Tensor | None,
        reset: Tensor | None,
        anew: list[State] | None,
    ) -> tuple[Tensor, list[State]]:
        backends, finals = self._backends, []
        for layer in range(self.num_layers):
            if not self.bidirectional:
                first = None if anew is None else anew[layer]
                call = Call(self._owner, x_TBI, states[layer], self._weights(layer), lengths, reset, False, first)
                x_TBI, final = _dispatch.run(backends, call, self.backend)
                finals.append(final)
            else:
                outputs = []
                for k, reverse in ((2 * layer, False), (2 * layer + 1, True)):
                    cut = _turn_reset(reset) if reverse else reset
                    first = None if anew is None else anew[k]
                    call = Call(self._owner, x_TBI, states[k], self._weights(k), lengths, cut, reverse, first)
                    output, final = _dispatch.run(backends, call, self.backend)
                    outputs.append(output)
                    finals.append(final)
                x_TBI = torch.cat(outputs, dim=2)
            if self.training and self.dropout > 0 and layer < self.num_layers - 1:
                drop = drop_locked if self.locked_dropout else nn.functional.dropout
                x_TBI = drop(x_TBI, self.dropout)
        return x_TBI, finals

    def explain(
        self, x: Tensor | PackedSequence | None = None, *, lengths: Lengths | None = None, reset: Tensor | None = None
    ) -> _dispatch.Explanation:
        """Return which back end runs, and why each other one does not; print it to read it.

        Args:
            x: An input as of `forward`; without one, a single step of zeros.
            lengths: As of `forward`.
            reset: As of `forward`.
        """
        if x is None:
            x = self._weights(0).weight_ih.new_zeros(1, 1, self.input_size)
        if isinstance(x, PackedSequence):
            x, lengths = pad_packed_sequence(x, batch_first=self.batch_first)
        x_TBI, states, lengths, reset = self._prepare(x, None, lengths, reset)
        call = Call(self._owner, x_TBI, states[0], self._weights(0), lengths, reset)
        return _dispatch.explain(self._backends, call, self.backend)

    @property
    def _input_shape(self) -> str:
        return f"({'B, T' if self.batch_first else 'T, B'}, {self.input_size})"

    def _prepare(
        self, x: Tensor, hx: Tensor | tuple[Tensor, ...] | None, lengths: Lengths | None, reset: Tensor | None
    ) -> tuple[Tensor, list[State], Tensor | None, Tensor | None]:
        """Check the input and bring it to time first and to one state for each layer and direction."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{self._owner}: x must be a torch.Tensor or PackedSequence, but is {type(x).__name__}.")
        if x.dim() not in (2, 3):
            raise ValueError(
                f"{self._owner}: x has {x.dim()} dimensions, {shape_of(x)}. "
                f"Give {self._input_shape}, or (T, {self.input_size}) for one sequence."
            )
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self._owner}: x has {x.shape[-1]} features but input_size is {self.input_size}. "
                f"Pass input_size={x.shape[-1]}, or give x of shape {self._input_shape}."
            )
        weight = self._weights(0).weight_ih
        check_like(self._owner, "x", x, weight, "the layer")
        is_batched = x.dim() == 3
        x_TBI = x[:, None] if not is_batched else x.transpose(0, 1) if self.batch_first else x
        check_steps(self._owner, x_TBI)
        num_steps, batch = x_TBI.shape[:2]
        if lengths is not None:
            lengths = self._lengths(lengths, num_steps, batch, x.device)
        if reset is not None:
            letters = "(T,)" if not is_batched else "(B, T)" if self.batch_first else "(T, B)"
            check_reset(self._owner, reset, tuple(x.shape[:-1]), letters)
            reset = reset.to(x.device)
            reset = reset[:, None] if not is_batched else reset.T if self.batch_first else reset
        states = self._initial(batch, x, weight) if hx is None else self._given(hx, batch, is_batched, weight)
        return x_TBI, states, lengths, reset

    def _lengths(self, lengths: Lengths, num_steps: int, batch: int, device: torch.device) -> Tensor | None:
        try:
            lengths = torch.as_tensor(lengths)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{self._owner}: lengths must be a tensor or a list of whole numbers: {error}") from None
        check_lengths(self._owner, lengths, num_steps, batch)
        if has_values(lengths) and bool((lengths == num_steps).all()):
            return None
        return lengths.to(device, torch.int64)

    def _initial(self, batch: int, x: Tensor, weight: Tensor) -> list[State]:
        """Return the initial states when none are given."""
        num_states = len(self._weight_names)
        parts = []
        for name, size in zip(self._state_names, self._state_sizes, strict=True):
            if self.initial_state == "learned":
                part: Tensor = getattr(self, f"{name}_0")
                parts.append(part[:, None].expand(num_states, batch, size).unbind(0))
            else:
                parts.append((x.new_zeros(batch, size, dtype=weight.dtype),) * num_states)
        return list(zip(*parts, strict=True))

    def _given(self, hx: Tensor | tuple[Tensor, ...], batch: int, is_batched: bool, weight: Tensor) -> list[State]:
        """Check a given initial state and return it for each layer and direction."""
        names = self._state_names
        if len(names) == 1:
            if not isinstance(hx, Tensor):
                raise TypeError(f"{self._owner}: hx must be the tensor h_0, but is {type(hx).__name__}.")
            hx = (hx,)
        elif not isinstance(hx, tuple | list) or len(hx) != len(names):
            pair = ", ".join(f"{n}_0" for n in names)
            raise TypeError(f"{self._owner}: hx must be the pair ({pair}), but is {type(hx).__name__}.")
        num_states, parts = len(self._weight_names), []
        for name, size, part in zip(names, self._state_sizes, hx, strict=True):
            if not isinstance(part, Tensor):
                raise TypeError(f"{self._owner}: {name}_0 must be a torch.Tensor, but is {type(part).__name__}.")
            expected = (num_states, batch, size) if is_batched else (num_states, size)
            if part.shape != expected:
                letters = "(L*D, B, H)" if is_batched else "(L*D, H)"
                raise ValueError(
                    f"{self._owner}: {name}_0 must have shape {letters} = {expected}, but has {shape_of(part)}."
                )
            check_like(self._owner, f"{name}_0", part, weight, "the layer")
            parts.append((part if is_batched else part[:, None]).unbind(0))
        return list(zip(*parts, strict=True))

    def extra_repr(self) -> str:
        """Return the arguments as written, those at their default left out."""
        parts = [str(self.input_size), str(self.hidden_size)]
        for name, default in (
            ("num_layers", 1),
            ("nonlinearity", "tanh"),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
            ("proj_size", 0),
            ("initial_state", "zeros"),
            ("locked_dropout", False),
            ("backend", "auto"),
        ):
            value: Any = getattr(self, name, default)
            if value != default:
                parts.append(f"{name}={value!r}")
        return ", ".join(parts)


def _turn_reset(reset: Tensor | None) -> Tensor | None:
    """Return where the reverse direction is reset, (T, B): between the same two steps as the forward one."""
    if reset is None:
        return None
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])])


def _pack_like(packed: PackedSequence, y_TBO: Tensor) -> PackedSequence:
    """Pack (T, B, O) with the order of rows that `packed` has."""
    if packed.sorted_indices is not None:
        y_TBO = y_TBO.index_select(1, packed.sorted_indices)
    steps = torch.arange(y_TBO.shape[1])[:, None]
    lengths = (steps < packed.batch_sizes).sum(1)
    data = pack_padded_sequence(y_TBO, lengths).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
