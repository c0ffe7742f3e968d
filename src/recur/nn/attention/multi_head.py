"""Multi-head attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.nn.attention.contract import Alignment, Attention, Memory, softmax_within
from recur.nn.linear import Linear
from recur.nn.options import check_flag, check_size
from recur.ops.linear.op import linear


class MultiHeadAttention(Attention):
    """Several attentions side by side, each on a part of projected queries, keys and values.

    ```text
    head_i = softmax((W_q q)_i · (W_k h)_i / sqrt(E / N)) (W_v h)_i        E = Q
    context = W_o [head_1; ...; head_N] + b_o
    ```

    The parameters are those of `torch.nn.MultiheadAttention(query_size, num_heads, kdim=memory_size,
    vdim=memory_size)`, by the same names and drawn alike, and `load_state_dict` works both ways; so are the results.
    Contexts have Q features. The weights are the mean over the heads.

    Source: Vaswani et al. (2017), section 3.2.2, as "encoder-decoder attention".

    Args:
        query_size: Features of a query and of a context, Q; a multiple of `num_heads`.
        memory_size: Features of a step of the memory, H.
        num_heads: N.
        bias: Whether there are biases.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        in_proj_weight: (3 Q, Q), W_q, W_k and W_v on top of each other; None where H is not Q.
        q_proj_weight: (Q, Q), where H is not Q; else None.
        k_proj_weight: (Q, H), where H is not Q; else None.
        v_proj_weight: (Q, H), where H is not Q; else None.
        in_proj_bias: (3 Q,), or None.
        out_proj: W_o and b_o, a linear layer from Q to Q.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1, or Q no multiple of the heads.

    Example:
        >>> attention = MultiHeadAttention(6, 8, num_heads=2)
        >>> theirs = torch.nn.MultiheadAttention(6, 2, kdim=8, vdim=8)
        >>> attention.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> h, queries = torch.randn(5, 3, 8), torch.randn(4, 3, 6)
        >>> contexts, weights, _ = attention(queries, attention.prepare(h))
        >>> torch.allclose(contexts, theirs(queries, h, h)[0], atol=1e-6)
        True
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        num_heads: int = 4,
        *,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, batch_first)
        check_size(self._owner, "num_heads", num_heads, 1)
        check_flag(self._owner, "bias", bias)
        if query_size % num_heads:
            raise ValueError(
                f"{self._owner}: query_size is {query_size}, which is no multiple of the {num_heads} heads. "
                "Choose num_heads so that each gets as many features."
            )
        self.num_heads = num_heads
        self.context_size = query_size

        def weight(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(rows, columns, device=device, dtype=dtype))

        if memory_size == query_size:
            self.in_proj_weight = weight(3 * query_size, query_size)
            absent = ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
        else:
            self.q_proj_weight = weight(query_size, query_size)
            self.k_proj_weight = weight(query_size, memory_size)
            self.v_proj_weight = weight(query_size, memory_size)
            absent = ["in_proj_weight"]
        for name in absent:
            self.register_parameter(name, None)
        self.in_proj_bias = nn.Parameter(torch.empty(3 * query_size, device=device, dtype=dtype)) if bias else None
        self.out_proj = Linear(query_size, query_size, bias, device, dtype)
        self._draw()

    def reset_parameters(self) -> None:
        """Draw all parameters anew as torch does: Glorot's uniform for what goes in, U(-Q^-0.5, Q^-0.5), no biases."""
        self.out_proj.reset_parameters()
        self._draw()

    def extra_repr(self) -> str:
        """Return the sizes as written."""
        rest = ", batch_first=True" if self.batch_first else ""
        return f"{self.query_size}, {self.memory_size}, num_heads={self.num_heads}{rest}"

    def _draw(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
        if self.out_proj.bias is not None:
            nn.init.zeros_(self.out_proj.bias)

    def _put_in(self, x: Tensor, number: int) -> Tensor:
        """Return the product of x with W_q, W_k or W_v."""
        part = slice(number * self.query_size, (number + 1) * self.query_size)
        weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weight = weights[number] if self.in_proj_weight is None else self.in_proj_weight[part]
        return linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[part])

    def _keys_and_values(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        # As they are multiplied, so that no step has to copy them.
        return self._heads(self._put_in(h_BSH, 1)).contiguous(), self._heads(self._put_in(h_BSH, 2)).contiguous()

    def _attend(
        self, queries_BTQ: Tensor, memory: Memory, state: Alignment | None
    ) -> tuple[Tensor, Tensor, Alignment | None]:
        queries = self._heads(self._put_in(queries_BTQ, 0)) * (self.query_size / self.num_heads) ** -0.5
        weights = softmax_within(queries @ memory.keys.mT, memory.mask[:, None, None])
        mixed = weights.to(memory.values.dtype) @ memory.values
        contexts_BTQ = self.out_proj(mixed.transpose(1, 2).flatten(2))
        # A row without steps has no weights and no context, not even the bias.
        weights_BTS = weights.mean(1).masked_fill(~memory.mask[:, None], 0)
        return contexts_BTQ * memory.mask.any(1)[:, None, None], weights_BTS, None

    def _heads(self, x: Tensor) -> Tensor:
        """Return (B, T, Q) as (B, N, T, Q / N)."""
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
