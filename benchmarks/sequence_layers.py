"""Attention and the linear-chain CRF in training, against the same equations in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layers import thread_counts
from recur.measure.layers import Side, checked_race, threads
from recur.nn import Attention, LinearChainCRF, attention_of

BUDGET = 3.0
ATTENTION = ((30, 30, 64, 256), (200, 200, 16, 256))
"""T queries, S steps of the memory, B rows, A units; queries and memory have as many features."""
CRF = ((50, 32, 20), (50, 32, 100))
"""T steps, B rows, K labels."""


def attention() -> Iterator[dict[str, Any]]:
    """Time additive attention, all steps at once and one by one, and torch's multi-head attention beside ours."""
    for count in thread_counts():
        with threads(count):
            for sizes in ATTENTION:
                for is_stepped in (False, True):
                    ours = attention_of("additive", sizes[3], sizes[3])
                    yield _row("additive" + (", step by step" if is_stepped else ""), sizes, ours, _plain, is_stepped)
                ours = attention_of("multi-head", sizes[3], sizes[3])
                yield _row("multi-head", sizes, ours, _torchs, False)


def crf() -> Iterator[dict[str, Any]]:
    """Time the log-likelihood of rows of different length and its gradient."""
    for count in thread_counts():
        with threads(count):
            for num_steps, batch, num_labels in CRF:
                layer = LinearChainCRF(num_labels)
                emissions = torch.randn(num_steps, batch, num_labels)
                labels = torch.randint(num_labels, (num_steps, batch))
                lengths = torch.randint(num_steps // 2, num_steps + 1, (batch,))
                weights, upstream = dict(layer.named_parameters()), torch.randn(batch)

                def ours(x: Tensor, layer=layer, labels=labels, lengths=lengths) -> tuple[Tensor, tuple[()]]:
                    return layer.log_likelihood(x, labels, lengths), ()

                def peer(x: Tensor, layer=layer, labels=labels, lengths=lengths) -> tuple[Tensor, tuple[()]]:
                    return _log_likelihood(layer, x, labels, lengths), ()

                sides = [Side(call, emissions.clone().requires_grad_(), weights, upstream) for call in (ours, peer)]
                yield {
                    "what": f"CRF training, T {num_steps}, B {batch}, K {num_labels}",
                    "work": {"steps": num_steps, "batch_size": batch, "labels": num_labels, "dtype": "float32"},
                    "threads": torch.get_num_threads(),
                    "backend": "scaled",
                    "peer_name": "a loop",
                    **checked_race(*sides, budget=BUDGET),
                }


def _row(
    name: str, sizes: tuple[int, ...], layer: Attention, other: Callable[..., Tensor], is_stepped: bool
) -> dict[str, Any]:
    num_queries, num_steps, batch, units = sizes
    h, queries = torch.randn(num_steps, batch, units), torch.randn(num_queries, batch, units)
    lengths = torch.randint(num_steps // 2, num_steps + 1, (batch,))
    upstream = torch.randn(num_queries, batch, units)

    def ours(x: Tensor, h: Tensor) -> Tensor:
        memory = layer.prepare(h, lengths)
        if is_stepped:
            return torch.stack([layer(query, memory)[0] for query in x.unbind(0)])
        return layer(x, memory)[0]

    def side(call: Callable[[Tensor, Tensor], Tensor]) -> Side:
        mine = h.clone().requires_grad_()
        weights = dict(layer.named_parameters()) | {"h": mine}
        return Side(lambda x: (call(x, mine), ()), queries.clone().requires_grad_(), weights, upstream)

    return {
        "what": f"{name} attention, training, T {num_queries}, S {num_steps}, B {batch}, A {units}",
        "work": dict(zip(("queries", "steps", "batch_size", "units"), sizes, strict=True)) | {"dtype": "float32"},
        "threads": torch.get_num_threads(),
        "backend": "chunks" if name.startswith("additive") else "torch",
        "peer_name": "plain" if other is _plain else "torch",
        **checked_race(side(ours), side(lambda x, h: other(layer, x, h, lengths, is_stepped)), budget=BUDGET),
    }


def _plain(layer: Any, queries: Tensor, h: Tensor, lengths: Tensor, is_stepped: bool) -> Tensor:
    """Return the contexts as one writes them down."""
    keys, values = layer.memory_projection(h).transpose(0, 1), h.transpose(0, 1)
    is_past = torch.arange(len(h)) >= lengths[:, None]

    def contexts(queries: Tensor) -> Tensor:
        sums = torch.tanh(layer.query_projection(queries).transpose(0, 1).unsqueeze(2) + keys.unsqueeze(1))
        weights = (sums @ layer.v).masked_fill(is_past.unsqueeze(1), -torch.inf).softmax(2)
        return (weights @ values).transpose(0, 1)

    return torch.cat([contexts(query[None]) for query in queries.unbind(0)]) if is_stepped else contexts(queries)


def _torchs(layer: Any, queries: Tensor, h: Tensor, lengths: Tensor, is_stepped: bool) -> Tensor:
    """Return the contexts of torch's function, with our parameters, and weights wanted as ours gives them."""
    is_past = torch.arange(len(h)) >= lengths[:, None]
    contexts, _ = nn.functional.multi_head_attention_forward(
        queries,
        h,
        h,
        layer.query_size,
        layer.num_heads,
        layer.in_proj_weight,
        layer.in_proj_bias,
        None,
        None,
        False,
        0.0,
        layer.out_proj.weight,
        layer.out_proj.bias,
        key_padding_mask=is_past,
    )
    return contexts


def _log_likelihood(layer: LinearChainCRF, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Return the log-likelihood by a loop over the steps with torch's own derivatives, the usual way."""
    rows = torch.arange(len(lengths))
    is_step = torch.arange(len(emissions))[:, None] < lengths
    score = layer.start_transitions[labels[0]] + emissions[0, rows, labels[0]]
    forward = layer.start_transitions + emissions[0]
    for t in range(1, len(emissions)):
        step = layer.transitions[labels[t - 1], labels[t]] + emissions[t, rows, labels[t]]
        score = score + step * is_step[t]
        following = torch.logsumexp(forward.unsqueeze(2) + layer.transitions, 1) + emissions[t]
        forward = torch.where(is_step[t].unsqueeze(1), following, forward)
    score = score + layer.end_transitions[labels[lengths - 1, rows]]
    return score - torch.logsumexp(forward + layer.end_transitions, 1)
