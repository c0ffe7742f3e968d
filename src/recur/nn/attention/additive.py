"""Additive attention."""

from __future__ import annotations

import torch

from recur.nn.attention.tanh_attention import ProjectedAttention


class AdditiveAttention(ProjectedAttention):
    """Scores by a hidden layer: score(q, h) = v · tanh(W q + U h + b).

    The weights are the softmax of the scores over the steps of the memory. Scores of all steps are computed a chunk at
    a time, forward and backward, so that long sequences need no tensor of T * S * A numbers.

    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2, whose equations leave out biases for brevity.

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        attention_size: Units of the hidden layer, A; Q by default.
        bias: Whether there is b.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        query_projection: W, a linear layer from Q to A without a bias.
        memory_projection: U and b, a linear layer from H to A.
        v: (A,).

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1.

    Example:
        >>> attention = AdditiveAttention(6, 8, attention_size=16)
        >>> memory = attention.prepare(torch.randn(5, 3, 8), lengths=[5, 2, 0])
        >>> context, weights, _ = attention(torch.randn(3, 6), memory)
        >>> context.shape, weights.sum(1).detach().round(decimals=4)
        (torch.Size([3, 8]), tensor([1., 1., 0.]))
        >>> attention(torch.randn(4, 3, 6), memory)[0].shape
        torch.Size([4, 3, 8])
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, attention_size, bias, batch_first, device, dtype)
