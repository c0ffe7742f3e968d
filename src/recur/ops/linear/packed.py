"""A weight that is packed once for many products."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.ops._kernels import kernels
from recur.ops.linear import cpu


class PackedWeight:
    """y = W x for rows, or y = x W, with a W that stays as it is while this is used.

    The engine packs it once, so that products of few rows, a step of a decoder at a time, are as fast as those of many.
    Elsewhere than where the engine's products were measured to be faster (see `recur.ops.linear`) they are torch's.
    Nothing here has a gradient.

    Args:
        weight: (O, I); (I, O) where `is_across`.
        is_across: Whether x is multiplied by the weight itself, not by its transpose.

    Example:
        >>> weight = torch.randn(3, 2)
        >>> x = torch.randn(5, 2)
        >>> torch.testing.assert_close(PackedWeight(weight).times(x), x @ weight.t())
    """

    def __init__(self, weight: Tensor, *, is_across: bool = False) -> None:
        weight = weight.detach()
        self._by_torch = weight if is_across else weight.t()
        self._packed = None
        if cpu.refusal(weight.new_empty(1, weight.shape[1]), weight, None, is_forced=False, is_packed=True) is None:
            engine = kernels()
            made = engine.PackedLinear32 if weight.dtype is torch.float32 else engine.PackedLinear64
            inputs, outputs = self._by_torch.shape
            dense = weight.contiguous()
            self._packed = made(inputs, outputs, dense.data_ptr(), is_across, torch.get_num_threads())

    def times(self, x_NI: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
        """Return the products, (N, O).

        Args:
            x_NI: (N, I), of the weight's dtype and device, features side by side.
            bias: (O,), added to each.
            out: Where to write them, (N, O), contiguous.
        """
        if self._packed is None:
            if bias is None:
                return torch.mm(x_NI, self._by_torch, out=out)
            return torch.addmm(bias, x_NI, self._by_torch, out=out)
        y = x_NI.new_empty(len(x_NI), self._by_torch.shape[1]) if out is None else out
        self._run(x_NI, bias, y, adds=False)
        return y

    def add_to(self, y_NO: Tensor, x_NI: Tensor) -> Tensor:
        """Add the products to `y_NO`, contiguous, and return it; arguments as of `times`."""
        if self._packed is None:
            return torch.addmm(y_NO, x_NI, self._by_torch, out=y_NO)
        self._run(x_NI, None, y_NO, adds=True)
        return y_NO

    def _run(self, x_NI: Tensor, bias: Tensor | None, y: Tensor, *, adds: bool) -> None:
        assert self._packed is not None
        assert y.is_contiguous()
        assert x_NI.stride(1) == 1 or x_NI.shape[1] == 1
        self._packed.multiply(
            len(x_NI),
            x_NI.data_ptr(),
            x_NI.stride(0),
            0 if bias is None else bias.data_ptr(),
            y.data_ptr(),
            adds,
            torch.get_num_threads(),
        )
