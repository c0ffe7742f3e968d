"""The cross-entropy of a linear layer's logits, some rows at a time, with the gradients made on the way forward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recur.ops.linear_cross_entropy import reference

LEAST_LOGITS = 1 << 22
"""With fewer, all of them fit the caches, and torch's own way is as fast."""

CHUNK = 1 << 21
"""Logits at once: few enough to stay in the caches, rows enough for fast products."""


def refusal(x: Tensor, weight: Tensor) -> str | None:
    """Return why this does not run, as a clause; None when it does."""
    if len(x) * len(weight) < LEAST_LOGITS:
        return "all logits fit the caches"
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return "in a program that is compiled, exported or traced, the products stay visible"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "under torch.func the derivatives are torch's"
    if torch.is_autocast_enabled(x.device.type):
        return "under autocast the product is torch's, in autocast's dtype"
    return None


def linear_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, label_smoothing: float
) -> Tensor:
    """Return the sum of the losses of all rows, (); as of `op.linear_cross_entropy`."""
    loss: Tensor = _Chunked.apply(x, weight, bias, target, label_smoothing)  # type: ignore[no-untyped-call]
    return loss


class _Chunked(torch.autograd.Function):
    """Keeps the gradients of a loss of 1, each as large as what it is of, instead of all logits."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, label_smoothing: float
    ) -> Tensor:
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        needs_any = needs_x or needs_weight or needs_bias
        size = len(weight)
        rows = max(1, CHUNK // size)
        dx = torch.empty_like(x) if needs_x else None
        dweight = torch.zeros_like(weight) if needs_weight else None
        dbias = torch.zeros_like(bias) if needs_bias and bias is not None else None
        loss = x.new_zeros(())
        for begin in range(0, len(x), rows):
            x_NI, target_N = x[begin : begin + rows], target[begin : begin + rows, None]
            logits = x_NI @ weight.t() if bias is None else torch.addmm(bias, x_NI, weight.t())
            told = logits.gather(1, target_N).sum() * (1 - label_smoothing)
            if label_smoothing:
                told = told + logits.sum() * (label_smoothing / size)
            # From here on in place: the probabilities, and then their distance from what they should be.
            highest = logits.amax(1, keepdim=True)
            mass = logits.sub_(highest).exp_().sum(1, keepdim=True)
            loss += (highest + mass.log()).sum() - told
            if not needs_any:
                continue
            dlogits = logits.div_(mass)
            if label_smoothing:
                dlogits -= label_smoothing / size
            dlogits.scatter_add_(1, target_N, dlogits.new_full(target_N.shape, label_smoothing - 1))
            if dx is not None:
                torch.mm(dlogits, weight, out=dx[begin : begin + rows])
            if dweight is not None:
                dweight.addmm_(dlogits.t(), x_NI)
            if dbias is not None:
                dbias += dlogits.sum(0)
        ctx.label_smoothing = label_smoothing
        ctx.save_for_backward(x, weight, bias, target, dx, dweight, dbias)
        return loss

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, target, *gradients = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return *(None if one is None else one * dloss for one in gradients), None, None
        # Asked for a gradient of the gradient: by torch's own derivatives.
        leaves = [one for one, has in zip((x, weight, bias), gradients, strict=True) if has is not None]
        loss = reference.linear_cross_entropy(x, weight, bias, target, ctx.label_smoothing)
        found = iter(torch.autograd.grad(loss, leaves, dloss, create_graph=True))
        return *(None if one is None else next(found) for one in gradients), None, None
