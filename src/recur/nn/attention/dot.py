"""Dot attention."""

from __future__ import annotations

from recur.nn.attention.contract import Attention


class DotAttention(Attention):
    """Scores by the product of query and memory: score(q, h) = q · h.

    The weights are the softmax of the scores over the steps of the memory. There are no parameters, so both have to be
    of one size; where they are not, or should not be compared number by number, see `GeneralAttention`.

    Source: Luong, Pham and Manning (2015), section 3.1, "dot".

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H; equal to Q.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1, or the two differ.

    Example:
        >>> import torch
        >>> attention = DotAttention(2, 2)
        >>> memory = attention.prepare(torch.tensor([[[9.0, 0.0]], [[0.0, 9.0]]]))
        >>> context, weights, _ = attention(torch.tensor([[0.0, 1.0]]), memory)
        >>> weights
        tensor([[1.2339e-04, 9.9988e-01]])
    """

    def __init__(self, query_size: int, memory_size: int, *, batch_first: bool = False) -> None:
        super().__init__(query_size, memory_size, batch_first)
        if query_size != memory_size:
            raise ValueError(
                f"{self._owner}: query_size is {query_size} and memory_size {memory_size}, but a product needs them "
                "equal. Take GeneralAttention, which has a matrix between them."
            )
