"""Concat attention."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.nn.attention.tanh_attention import TanhAttention
from recur.nn.linear import Linear
from recur.ops.linear.op import linear


class ConcatAttention(TanhAttention):
    """Scores by a hidden layer on query and memory side by side: score(q, h) = v · tanh(W [q; h]).

    The weights are the softmax of the scores over the steps of the memory. It is the function of `AdditiveAttention`
    without a bias; its two matrices are one, so weights come over from code that is written as the paper is.

    Source: Luong, Pham and Manning (2015), section 3.1, "concat".

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        attention_size: Units of the hidden layer, A; Q by default.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        projection: W, a linear layer from Q + H, the query first, to A without a bias.
        v: (A,).

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1.

    Example:
        >>> attention = ConcatAttention(6, 8, attention_size=16)
        >>> memory = attention.prepare(torch.randn(5, 3, 8), lengths=[5, 2, 4])
        >>> context, weights, _ = attention(torch.randn(3, 6), memory)
        >>> context.shape, weights.shape
        (torch.Size([3, 8]), torch.Size([3, 5]))
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, attention_size, batch_first, device, dtype)
        self.projection = Linear(query_size + memory_size, self.attention_size, False, device, dtype)

    def _keys_and_values(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        return linear(h_BSH, self.projection.weight[:, self.query_size :], None), h_BSH

    def _projected(self, queries_BTQ: Tensor) -> Tensor:
        return linear(queries_BTQ, self.projection.weight[:, : self.query_size], None)
