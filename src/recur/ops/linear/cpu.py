"""The linear layer on the engine's packed products."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur import engine
from recur.ops._checks import is_looked_into
from recur.ops._kernels import DTYPES, empty, kernels, with_features_together
from recur.ops.linear import reference

LEAST_ROWS = 32
"""With fewer rows, packing the weight takes as long as torch's product."""

LEAST_WORK = 1 << 20
"""Multiplications for each thread from which the engine is the faster one."""

LEAST_WORK_LEARNING = 1 << 21
"""The same where there are gradients: torch's own way to the backward pass is some 30 us shorter."""


def refusal(x: Tensor, weight: Tensor, bias: Tensor | None, is_forced: bool, *, is_packed: bool = False) -> str | None:
    """Return why the engine does not run, as a clause; None when it does.

    Args:
        x: (..., I), checked like the others.
        weight: (O, I).
        bias: (O,), or None.
        is_forced: Whether it is asked for by name, however slow.
        is_packed: Whether the weight is packed once for many products, so that few rows are not too few.
    """
    # First what most calls of a network that takes single steps end at.
    if not (is_forced or is_packed) and _is_small(x, weight, bias):
        return "torch is as fast with so little work"
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return "in a program that is compiled, exported or traced, torch's own product stays visible"
    if x.device.type != "cpu":
        return f"its kernels run on a CPU, and x is on {x.device}"
    if x.dtype not in DTYPES:
        return f"its kernels compute in float32 and float64, and x is {x.dtype}"
    if torch.is_autocast_enabled("cpu"):
        return "under autocast the product is torch's, in autocast's dtype"
    for each in (x, weight, bias):
        if type(each) not in _KINDS or (each is not None and each.layout is not torch.strided):
            return "its kernels take plain dense tensors"
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != x.dtype or bias.device != x.device):
        return f"its kernels take a bias of shape ({weight.shape[0]},) in x's dtype and on its device"
    if is_looked_into():
        return "under torch.func, and where torch's dispatcher is looked into, the product is torch's"
    if forward_ad._current_level >= 0:
        return "its kernels have no forward-mode derivative"
    reason = engine.missing_kernels()
    if reason is not None:
        return reason
    if not (is_forced or _is_measured(kernels().chosen_isa())):
        return "that it is faster was only measured with AVX-512 on AMD's processors, beside torch with MKL"
    return None


def _is_small(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    size, (outputs, inputs) = x.numel(), weight.shape
    if size < LEAST_ROWS * inputs:
        return True
    least = LEAST_WORK_LEARNING if _learns(x, weight, bias) else LEAST_WORK
    return size * outputs < least * torch.get_num_threads()


_KINDS = (Tensor, torch.nn.Parameter, type(None))


@cache
def _is_measured(isa: str) -> bool:
    has_mkl = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
    return has_mkl and isa.startswith("avx512") and "AMD" in engine.cpu_features().brand


def _learns(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    )


def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return W x + b for each row, (..., O), where there is no reason against it."""
    if _learns(x, weight, bias):
        return _Through.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return _product(x, weight, bias)


class _Through(torch.autograd.Function):
    """The kernels in autograd; derivatives of derivatives go through torch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        wants_x, wants_weight, _ = ctx.needs_input_grad
        # No more than the gradients take, so that what is not needed may be written over in between.
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.sizes = x.shape, weight.shape
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        # Where several backward passes are made at once, the gradient has no memory of its own.
        has_memory = type(dy) is Tensor and torch._C._has_storage(dy) and not is_looked_into()
        if torch.is_grad_enabled() or not has_memory:
            return reference.gradients(x, weight, dy, ctx.needs_input_grad)
        return _gradients(ctx.sizes, x, weight, dy, ctx.needs_input_grad)


def _rows(tensor: Tensor) -> Tensor:
    """Return (T, B, F) or (N, F), with features side by side, copied where it cannot be seen so."""
    rows = tensor if tensor.dim() in (2, 3) else tensor.reshape(prod(tensor.shape[:-1]), tensor.shape[-1])
    return with_features_together(rows)


def _place(rows: Tensor) -> tuple[int, int, int]:
    """Return where it lies, and how far apart its steps and rows are."""
    strides = rows.stride()
    return (rows.data_ptr(), strides[0], strides[1]) if rows.dim() == 3 else (rows.data_ptr(), 0, strides[0])


def _sizes(x_shape: Sequence[int], weight_shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return T, B, I and O, a T of 1 where the rows have one dimension only."""
    outputs, inputs = weight_shape
    if len(x_shape) == 3:
        return x_shape[0], x_shape[1], inputs, outputs
    return 1, prod(x_shape[:-1]), inputs, outputs


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows, dense = _rows(x), weight.contiguous()
    dense_bias = None if bias is None else bias.contiguous()
    y = empty(x, (*x.shape[:-1], weight.shape[0]))
    engine = kernels()
    multiply = engine.linear_forward32 if x.dtype is torch.float32 else engine.linear_forward64
    multiply(
        *_sizes(x.shape, weight.shape),
        *_place(rows),
        dense.data_ptr(),
        0 if dense_bias is None else dense_bias.data_ptr(),
        y.data_ptr(),
        torch.get_num_threads(),
    )
    return y


def _gradients(
    sizes: tuple[torch.Size, torch.Size], x: Tensor | None, weight: Tensor | None, dy: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    x_shape, weight_shape = sizes
    shapes = (x_shape, weight_shape, weight_shape[:1])
    found = [empty(dy, tuple(shape)) if is_wanted else None for shape, is_wanted in zip(shapes, wanted, strict=True)]
    rows = None if x is None else _rows(x)
    dense, dy_rows = None if weight is None else weight.contiguous(), _rows(dy)
    engine = kernels()
    differentiate = engine.linear_backward32 if dy.dtype is torch.float32 else engine.linear_backward64
    differentiate(
        *_sizes(x_shape, weight_shape),
        *((0, 0, 0) if rows is None else _place(rows)),
        0 if dense is None else dense.data_ptr(),
        *_place(dy_rows),
        *[0 if each is None else each.data_ptr() for each in found],
        torch.get_num_threads(),
    )
    return tuple(found)
