"""General attention."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.nn.attention.contract import Attention
from recur.nn.linear import Linear


class GeneralAttention(Attention):
    """Scores by a bilinear form: score(q, h) = q · W h.

    The weights are the softmax of the scores over the steps of the memory. W h is computed once for all queries.

    Source: Luong, Pham and Manning (2015), section 3.1, "general".

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        memory_projection: W, a linear layer from H to Q without a bias.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1.

    Example:
        >>> attention = GeneralAttention(6, 8)
        >>> memory = attention.prepare(torch.randn(5, 3, 8), lengths=[5, 2, 4])
        >>> contexts, weights, _ = attention(torch.randn(4, 3, 6), memory)
        >>> contexts.shape, weights.shape
        (torch.Size([4, 3, 8]), torch.Size([4, 3, 5]))
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        *,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, batch_first)
        self.memory_projection = Linear(memory_size, query_size, False, device, dtype)

    def reset_parameters(self) -> None:
        """Draw W anew from U(-H^-0.5, H^-0.5)."""
        self.memory_projection.reset_parameters()

    def _keys_and_values(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        return self.memory_projection(h_BSH), h_BSH
