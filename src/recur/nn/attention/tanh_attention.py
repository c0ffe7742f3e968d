"""What all attentions share that score by a hidden layer of tanh units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.nn.attention.contract import Attention, Memory
from recur.nn.attention.tanh_scores import tanh_scores
from recur.nn.linear import Linear
from recur.nn.options import check_flag, check_size


class TanhAttention(Attention):
    """Base of the kinds whose score is v · tanh(what the query gives + what the memory gives).

    Attributes:
        attention_size: Units of the hidden layer, A.
        v: (A,).
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None,
        batch_first: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(query_size, memory_size, batch_first)
        self.attention_size = query_size if attention_size is None else attention_size
        check_size(self._owner, "attention_size", self.attention_size, 1)
        self.v = nn.Parameter(torch.empty(self.attention_size, device=device, dtype=dtype))
        self._draw_v()

    def extra_repr(self) -> str:
        """Return the sizes as written."""
        rest = ", batch_first=True" if self.batch_first else ""
        return f"{self.query_size}, {self.memory_size}, attention_size={self.attention_size}{rest}"

    def reset_parameters(self) -> None:
        """Draw all parameters anew: from U(-n^-0.5, n^-0.5), n being the numbers that a product sums over."""
        for layer in self.children():
            layer.reset_parameters()  # type: ignore[operator]
        self._draw_v()

    def _draw_v(self) -> None:
        bound = self.attention_size**-0.5
        nn.init.uniform_(self.v, -bound, bound)

    def _projected(self, queries_BTQ: Tensor) -> Tensor:
        """Return what the queries give to the hidden layer, (B, T, A)."""
        raise NotImplementedError

    def _ahead(self, queries_BTQ: Tensor, memory: Memory) -> Tensor:
        return tanh_scores(self._projected(queries_BTQ), memory.keys, self.v)


class ProjectedAttention(TanhAttention):
    """Base of the kinds whose score is v · tanh(W q + U h + b), or begins with it.

    Attributes:
        query_projection: W, a linear layer from Q to A without a bias.
        memory_projection: U and b, a linear layer from H to A.
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None,
        bias: bool,
        batch_first: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(query_size, memory_size, attention_size, batch_first, device, dtype)
        check_flag(self._owner, "bias", bias)
        self.query_projection = Linear(query_size, self.attention_size, False, device, dtype)
        self.memory_projection = Linear(memory_size, self.attention_size, bias, device, dtype)

    def _keys_and_values(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        return self.memory_projection(h_BSH), h_BSH

    def _projected(self, queries_BTQ: Tensor) -> Tensor:
        projected: Tensor = self.query_projection(queries_BTQ)
        return projected
