"""Location-sensitive attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.nn.attention.contract import Alignment, Memory, softmax_over
from recur.nn.attention.tanh_attention import ProjectedAttention
from recur.nn.attention.tanh_scores import tanh_scores
from recur.nn.linear import Linear
from recur.nn.options import check_flag, check_size


class LocationAttention(ProjectedAttention):
    """Additive attention that sees where it looked before: score(q, h_s) = v · tanh(W q + U h_s + F f_s + b).

    f = K * α is a convolution over the weights α of the step before (zeros before the first), so that the attention can
    learn to move on and not to look twice. Each step needs the one before, so queries of all steps are answered one by
    one.

    Source: Chorowski et al. (2015), section 2.2, equations 8 and 9. With `cumulative`, α is the sum of the weights of
    all steps before, as in Shen et al. (2018); with `kernel_size=1` and `num_filters=1` that is attention with the
    coverage vector of See et al. (2017), equation 11.

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        attention_size: Units of the hidden layer, A; Q by default.
        num_filters: Features of f.
        kernel_size: Steps of the memory that a filter sees; odd.
        cumulative: Whether the convolution is over the sum of all weights before.
        bias: Whether there is b.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        query_projection: W, a linear layer from Q to A without a bias.
        memory_projection: U and b, a linear layer from H to A.
        filters: K, a convolution from 1 to `num_filters` without a bias.
        filter_projection: F, a linear layer from `num_filters` to A without a bias.
        v: (A,).

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1, or the kernel even.

    Example:
        >>> attention = LocationAttention(6, 8, attention_size=16, kernel_size=5)
        >>> memory = attention.prepare(torch.randn(5, 3, 8), lengths=[5, 2, 4])
        >>> state = attention.begin(memory)
        >>> for query in torch.randn(4, 3, 6):
        ...     context, weights, state = attention(query, memory, state)
        >>> torch.equal(state.weights, weights)
        True
    """

    needs_steps = True

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        num_filters: int = 10,
        kernel_size: int = 31,
        cumulative: bool = False,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, attention_size, bias, batch_first, device, dtype)
        check_size(self._owner, "num_filters", num_filters, 1)
        check_size(self._owner, "kernel_size", kernel_size, 1)
        if kernel_size % 2 == 0:
            raise ValueError(f"{self._owner}: kernel_size is {kernel_size}, but must be odd, so that it has a middle.")
        check_flag(self._owner, "cumulative", cumulative)
        self.cumulative = cumulative
        self.filters = nn.Conv1d(
            1, num_filters, kernel_size, padding=kernel_size // 2, bias=False, device=device, dtype=dtype
        )
        self.filter_projection = Linear(num_filters, self.attention_size, False, device, dtype)

    def begin(self, memory: Memory) -> Alignment:
        """Return the state before the first step: no weight anywhere."""
        return Alignment(torch.zeros(memory.mask.shape, dtype=memory.values.dtype, device=memory.values.device))

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        return super().extra_repr() + (", cumulative=True" if self.cumulative else "")

    def _ahead(self, queries_BTQ: Tensor, memory: Memory) -> Tensor:
        return self._projected(queries_BTQ)

    def _align(self, ahead: Tensor, memory: Memory, state: Alignment | None) -> tuple[Tensor, Alignment | None]:
        assert state is not None
        seen_BSF = self.filters(state.weights.unsqueeze(1)).transpose(1, 2)
        # Product and sum in one go: these are the largest tensors of a step.
        weight_FA = self.filter_projection.weight.t()
        keys_BSA = torch.addmm(memory.keys.flatten(0, 1), seen_BSF.flatten(0, 1), weight_FA).view_as(memory.keys)
        weights_B1S = softmax_over(tanh_scores(ahead, keys_BSA, self.v), memory.mask[:, None])
        weights_BS = weights_B1S.squeeze(1)
        return weights_B1S, Alignment(state.weights + weights_BS if self.cumulative else weights_BS)
