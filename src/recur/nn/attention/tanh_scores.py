"""Scores v · tanh(q + k) of every query with every key, without a tensor of all their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur.ops._checks import is_looked_into

CHUNK_BYTES = {"cpu": 2**19}
"""How much is computed at once on a type of device: on a CPU what its second cache holds, see `_OTHER_CHUNK_BYTES`."""

_OTHER_CHUNK_BYTES = 2**28


def tanh_scores(queries_BTA: Tensor, keys_BSA: Tensor, v_A: Tensor) -> Tensor:
    """Return v · tanh(q_t + k_s) for each query and key of each row.

    The sums, B * T * S * A numbers, are computed a chunk at a time and again in the backward pass, so that the memory
    is that of the arguments and the result. Compiled, under `torch.func` and in second derivatives they are kept.

    Args:
        queries_BTA: Floating.
        keys_BSA: Of the same device.
        v_A: Of the same device.

    Returns:
        (B, T, S), of the dtype of the keys.
    """
    queries_BTA, v_A = queries_BTA.to(keys_BSA.dtype), v_A.to(keys_BSA.dtype)
    if (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or is_looked_into()
        or forward_ad._current_level >= 0
        or keys_BSA.is_meta
    ):
        return _at_once(queries_BTA, keys_BSA, v_A)
    scores: Tensor = _TanhScores.apply(queries_BTA, keys_BSA, v_A)  # type: ignore[no-untyped-call]
    return scores


def _at_once(queries_BTA: Tensor, keys_BSA: Tensor, v_A: Tensor) -> Tensor:
    return torch.tanh(queries_BTA.unsqueeze(2) + keys_BSA.unsqueeze(1)) @ v_A


class _TanhScores(torch.autograd.Function):
    """`tanh_scores` in chunks, forward and backward."""

    @staticmethod
    def forward(ctx: Any, queries_BTA: Tensor, keys_BSA: Tensor, v_A: Tensor) -> Tensor:
        ctx.save_for_backward(queries_BTA, keys_BSA, v_A)
        scores_BTS = keys_BSA.new_empty(*queries_BTA.shape[:2], keys_BSA.shape[1])
        for rows, steps in _chunks(queries_BTA, keys_BSA):
            sums = queries_BTA[rows, steps, None] + keys_BSA[rows, None]
            scores_BTS[rows, steps] = sums.tanh_() @ v_A
        return scores_BTS

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, ...]:
        (dscores_BTS,) = upstream
        queries_BTA, keys_BSA, v_A = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, dscores_BTS)
        summed = torch.promote_types(keys_BSA.dtype, torch.float32)
        dqueries_BTA = torch.empty_like(queries_BTA, dtype=summed)
        dkeys_BSA = torch.empty_like(keys_BSA, dtype=summed)
        dv_A = torch.zeros_like(v_A, dtype=summed)
        for rows, steps in _chunks(queries_BTA, keys_BSA):
            chunk = (queries_BTA[rows, steps, None] + keys_BSA[rows, None]).tanh_()
            dchunk = dscores_BTS[rows, steps]
            dv_A += dchunk.reshape(-1) @ chunk.flatten(0, 2)
            # The slope of tanh is 1 - tanh squared; v is multiplied with what is summed.
            chunk.mul_(chunk).neg_().add_(1).mul_(dchunk.unsqueeze(3))
            torch.sum(chunk, 2, dtype=summed, out=dqueries_BTA[rows, steps])
            # A sum over one query would copy.
            of_keys = chunk.squeeze(1) if chunk.shape[1] == 1 else chunk.sum(1, dtype=summed)
            if steps.start == 0:
                torch.mul(of_keys, v_A, out=dkeys_BSA[rows])
            else:
                dkeys_BSA[rows].addcmul_(of_keys, v_A)
        return dqueries_BTA.mul_(v_A).to(queries_BTA.dtype), dkeys_BSA.to(keys_BSA.dtype), dv_A.to(v_A.dtype)


def _differentiable_backward(ctx: Any, dscores_BTS: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients as a graph, for second derivatives."""
    # Views, or what one argument owes to another would be counted twice.
    given = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
    wanted = [tensor for tensor, is_wanted in zip(given, ctx.needs_input_grad, strict=True) if is_wanted]
    found = iter(torch.autograd.grad(_at_once(*given), wanted, dscores_BTS, create_graph=True))
    return tuple(next(found) if is_wanted else None for is_wanted in ctx.needs_input_grad)


def _chunks(queries_BTA: Tensor, keys_BSA: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield which rows and which steps of the queries to compute together."""
    (batch, num_steps, _), key_bytes = queries_BTA.shape, keys_BSA[0].numel() * keys_BSA.element_size()
    most = max(1, CHUNK_BYTES.get(keys_BSA.device.type, _OTHER_CHUNK_BYTES) // key_bytes)
    num_rows, num_queries = max(1, most // num_steps), min(most, num_steps)
    for row in range(0, batch, num_rows):
        for step in range(0, num_steps, num_queries):
            yield slice(row, row + num_rows), slice(step, step + num_queries)
