"""One call of an op as the compiled kernels for the CPU take it: as pointers and strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from recur.ops._call import PLAIN, SILENCE, Call, Noise

Given: TypeAlias = Sequence[Tensor | None]
"""The differentiable tensors of a call: x, h0, c0, what a reset puts in place of these two, the weights of torch's
layers, and where there are any those of `MORE`; None for what it does not have."""

NUM_COMMON = 9
"""How many come before those of `MORE`."""

MORE = ("weight_hr", "weight_ch", "norm_ih", "norm_hh", "norm_c", "norm_c_bias", "norm")
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *MORE[:-1], "norm_ih")
"""What the kernels call the weights, in the order in which they are handed on; one gain alone is norm_ih to them."""

GATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rnn": (),
        "indrnn": (),
        "gru": ("r", "z", "n"),
        "gru_reset_before": ("r", "z", "n"),
        "lstm": ("i", "f", "g", "o"),
        "lstm_coupled": ("f", "g", "o"),
        "mgu": ("f", "n"),
        "ligru": ("z", "n"),
    }
)
"""The gates that each kind of cell records, in the order of its weights."""

NUM_GATES: Mapping[str, int] = MappingProxyType({kind: len(gates) or 1 for kind, gates in GATES.items()})
"""How many blocks of H rows the weights have."""

SLOTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {kind: (1, 2, 0) if kind == "gru" else tuple(range(len(gates))) for kind, gates in GATES.items()}
)
"""Where among the saved slots of a row each of these gates lies."""

NUM_SLOTS: Mapping[str, int] = MappingProxyType({**NUM_GATES, "gru": 4})
"""How many slots a row has."""

_UNIT_BYTES = 64
"""Slots are whole pieces of so many bytes."""

_NUM_SCALES = 4


DTYPES = (torch.float32, torch.float64)

_FAR = float("inf")


class Saved(NamedTuple):
    """What a forward pass leaves for the backward pass, by the names that the kernels have for it."""

    gates: Tensor | None = None
    cells: Tensor | None = None
    input_hat: Tensor | None = None
    hidden_hat: Tensor | None = None
    scales: Tensor | None = None
    raw_output: Tensor | None = None


_NOT_SAVED = Saved()


class ForwardPass(NamedTuple):
    """A forward pass that is all prepared.

    Attributes:
        kernel: The kernels' description of it.
        found: The outputs and the final state, which the kernels will write.
        saved: What the backward pass needs, which they will write too; empty in inference.
        alive: Other tensors whose memory they read.
        kept: Where they find the weights packed, or None.
    """

    kernel: Any
    found: tuple[Tensor, ...]
    saved: Saved
    alive: tuple[Any, ...]
    kept: Any

    def run(self) -> tuple[Tensor, ...]:
        """Run it by itself, and return the outputs and the final state."""
        self.kernel.forward(torch.get_num_threads(), self.kept)
        return self.found


def forward_pass(
    kind: str, call: Call, given: Given, is_saving: bool = False, output: Tensor | None = None
) -> ForwardPass:
    """Prepare a pass whose outputs are written into `output` if there is one."""
    # What was made dense has to stay until the kernels are done with it.
    kernel, dense, *alive = described(kind, call, given)
    x, h, c = dense[:3]
    num_steps, batch, _ = x.shape
    y = empty(x, (num_steps, batch, h.shape[1])) if output is None else output
    step, row, _ = y.stride()
    h_n, c_n = torch.empty_like(h), None if c is None else torch.empty_like(c)
    kernel.set_outputs(y.data_ptr(), step, row, h_n.data_ptr(), 0 if c_n is None else c_n.data_ptr())
    saved = _NOT_SAVED
    if is_saving:
        saved = Saved(*[empty(x, (count,)) if count else None for count in kernel.saved_sizes().counts])
        kernel.set_saved(*addresses(saved))
    kept = None if call.kept is None else call.kept.of(x.dtype)
    return ForwardPass(kernel, (y, h_n) if c_n is None else (y, h_n, c_n), saved, (dense, alive), kept)


def forward_both(one: ForwardPass, other: ForwardPass) -> None:
    """Run two passes that do not depend on each other, at the same time where that is faster."""
    one.kernel.forward_with(other.kernel, torch.get_num_threads(), one.kept, other.kept)


def padded(hidden_size: int, itemsize: int) -> int:
    """Return the size of a slot, in elements."""
    return -(-hidden_size * itemsize // _UNIT_BYTES) * _UNIT_BYTES // itemsize


def saved_widths(kind: str, given: Given, layer_norm: bool, has_output_clip: bool) -> tuple[int | None, ...]:
    """Return how many elements a forward pass saves for each step of a row, as in `Saved`.

    The kernels say the same in `saved_sizes`, but only of tensors that are there.
    """
    x, h, c, _, _, weight_ih, *_ = given
    assert x is not None
    assert h is not None
    assert weight_ih is not None
    hidden_size = weight_ih.shape[0] // NUM_GATES[kind]
    slot = padded(hidden_size, x.itemsize)
    has_one_norm = not GATES[kind]
    is_projected = given[9] is not None
    return (
        NUM_SLOTS[kind] * slot,
        None if c is None else hidden_size,
        NUM_GATES[kind] * slot if layer_norm else None,
        NUM_GATES[kind] * slot if layer_norm and not has_one_norm else None,
        _NUM_SCALES if layer_norm else None,
        h.shape[1] if is_projected and has_output_clip else None,
    )


def described(kind: str, call: Call, given: Given) -> tuple[Any, list[Any], list[Tensor]]:
    """Return the kernels' description of the call, the given tensors, dense, and what else its pointers point to.

    Of `call` the differentiable tensors are not looked at.
    """
    x: Any
    x, *others = given
    step, row, between = x.stride()
    if between != 1:
        x = x.contiguous()
        step, row, _ = x.stride()
    dense: list[Any] = [x]
    dense += [None if each is None else each.contiguous() for each in others]
    places = addresses(dense)
    options = call.options
    num_steps, batch, input_size = x.shape
    kernel = (kernels().Recurrence32 if x.dtype is torch.float32 else kernels().Recurrence64)(
        cell_kind(kind),
        options.nonlinearity == "relu",
        options.layer_norm,
        call.reverse,
        call.bfloat16,
        num_steps,
        batch,
        input_size,
        dense[5].shape[0] // NUM_GATES[kind],
        dense[1].shape[1],
        step,
        row,
        *places[:NUM_COMMON],
    )
    alive: list[Tensor] = []
    if options is not PLAIN:
        clips = (options.cell_clip, options.output_clip, options.gradient_clip)
        kernel.set_clips(*[_FAR if clip is None else clip for clip in clips])
        set_more(kernel, "set_", places)
    if call.lengths is not None:
        alive.append(call.lengths.contiguous())
        kernel.set_lengths(alive[-1].data_ptr())
    if call.reset is not None:
        alive.append(call.reset)
        kernel.set_reset(call.reset.data_ptr(), *call.reset.stride())
    if call.noise is not SILENCE:
        _set_noise(kernel, call.noise, alive)
    return kernel, dense, alive


def addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    """Return where tensors lie, 0 for None."""
    return [0 if each is None else each.data_ptr() for each in tensors]


def set_more(kernel: Any, prefix: str, places: Sequence[int]) -> None:
    """Hand on the weights of `MORE`, or their gradients, by the addresses of all that is given."""
    for name, place in zip(WEIGHTS[4:], places[NUM_COMMON:], strict=False):
        if place:
            getattr(kernel, f"{prefix}{name}")(place)


def _set_noise(kernel: Any, noise: Noise, alive: list[Tensor]) -> None:
    if noise.state is not None:
        alive.append(noise.state.contiguous())
        kernel.set_state_mask(alive[-1].data_ptr())
    if noise.candidate is not None:
        alive.append(with_features_together(noise.candidate))
        step, row, _ = _steps_between(alive[-1])
        kernel.set_candidate_mask(alive[-1].data_ptr(), step, row)
    for put, keep in zip((kernel.set_zoneout_h, kernel.set_zoneout_c), noise.zoneout, strict=False):
        if keep is not None:
            alive.append(with_features_together(keep))
            put(alive[-1].data_ptr(), *_steps_between(alive[-1]))


def _steps_between(tensor: Tensor) -> list[int]:
    """Return the strides, 0 along what has one element for all."""
    return [stride if size > 1 else 0 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)]


@cache
def kernels() -> ModuleType:
    """Return the compiled module."""
    from recur import _engine

    return _engine


@cache
def cell_kind(kind: str) -> Any:
    """Return what the kernels call a cell."""
    return getattr(kernels().CellKind, kind)


def with_features_together(tensor: Tensor) -> Tensor:
    """Return the tensor, copied where the last dimension is not dense."""
    # A copy also of the imaginary part of a conjugate, whose memory has the other sign.
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a dense tensor whose values the kernels will write."""
    # Sizes one by one take two thirds of the time of a tuple.
    return large(like.new_empty(*shape))


def large(made: Tensor) -> Tensor:
    """Return a dense tensor that has just been allocated, in large pages where it is large."""
    if made.nbytes >= _LARGE:
        kernels().advise_large_pages(made.data_ptr(), made.nbytes)
    return made


_LARGE = 4 << 20


def set_dense(put: Any, tensor: Tensor | None, alive: list[Tensor]) -> None:
    """Hand on a tensor, if there is one, dense; it is added to what has to stay."""
    if tensor is not None:
        alive.append(tensor.contiguous())
        put(alive[-1].data_ptr())
