"""What every attention has in common: the memory, the state, one step and all steps at once."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from recur.nn.options import check_flag, check_size
from recur.nn.sequences import Lengths, lengths_of
from recur.ops._checks import check_like, shape_of


class Memory(NamedTuple):
    """What an attention computes once of the steps that it looks at, for all steps of the queries.

    Attributes:
        keys: (B, S, A), what queries are compared with; of several heads (B, N, S, A).
        values: (B, S, H), what contexts are means of; of several heads (B, N, S, H).
        mask: (B, S) bool, true where a row has a step.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> Memory:
        """Return the memory of chosen rows, as beam search needs it.

        Args:
            index: (M,) int64, from 0 to B - 1; repeats and any order are fine.

        Returns:
            The same with M rows.

        Example:
            >>> from recur.nn import DotAttention
            >>> memory = DotAttention(4, 4).prepare(torch.randn(5, 2, 4), [5, 3])
            >>> memory.rows(torch.tensor([1, 1, 0])).mask.sum(1)
            tensor([3, 3, 5])
        """
        values = self.values.index_select(0, index)
        keys = values if self.keys is self.values else self.keys.index_select(0, index)
        return Memory(keys, values, self.mask.index_select(0, index))


class Alignment(NamedTuple):
    """The state of an attention that looks at where it looked before.

    Attributes:
        weights: (B, S), those of the step before; with `cumulative` the sum of those of all steps before.
    """

    weights: Tensor

    def rows(self, index: Tensor) -> Alignment:
        """Return the state of chosen rows.

        Args:
            index: (M,) int64, from 0 to B - 1; repeats and any order are fine.

        Returns:
            The same with M rows.
        """
        return Alignment(self.weights.index_select(0, index))


class Attention(nn.Module):
    """Base of the kinds of attention: a weighted mean, the context, of an encoder's outputs for each query.

    `prepare` computes once what does not depend on the queries. A call then takes one query of each row, or those of
    all steps. An attention whose weights do not depend on earlier ones answers all steps in one pass (`needs_steps` is
    False, its state is None); the others go from step to step, and take and return an `Alignment`.

    Where a row of the memory has no step, its contexts and weights are zero.

    Attributes:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        context_size: Features of a context, C.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        needs_steps: Whether a step needs the weights of the step before.
    """

    needs_steps: ClassVar[bool] = False

    def __init__(self, query_size: int, memory_size: int, batch_first: bool) -> None:
        super().__init__()
        for name, size in (("query_size", query_size), ("memory_size", memory_size)):
            check_size(self._owner, name, size, 1)
        check_flag(self._owner, "batch_first", batch_first)
        self.query_size = query_size
        self.memory_size = memory_size
        self.context_size = memory_size
        self.batch_first = batch_first

    @property
    def _owner(self) -> str:
        """Who complains."""
        return type(self).__name__

    def prepare(self, h: Tensor, lengths: Lengths | None = None) -> Memory:
        """Return what is computed once of the steps that are looked at.

        Args:
            h: (S, B, H), or (B, S, H) with `batch_first`, of the parameters' dtype: an encoder's outputs. Past the
                `lengths` it may hold anything.
            lengths: True steps of each row, a tensor or a list of B whole numbers from 0 to S; None is all.

        Returns:
            The memory, whose tensors have the rows first.

        Raises:
            TypeError: `h` is no tensor, or something has the wrong dtype.
            ValueError: A shape, a device or a length does not fit.
        """
        self._check(h, "h", ("B", "S") if self.batch_first else ("S", "B"), self.memory_size)
        h_BSH = h if self.batch_first else h.transpose(0, 1)
        batch, num_steps = h_BSH.shape[:2]
        if lengths is None:
            mask_BS = torch.ones(batch, num_steps, dtype=torch.bool, device=h.device)
            h_BSH = h_BSH.contiguous()
        else:
            lengths_B = lengths_of(self._owner, lengths, num_steps, batch, "h").to(h.device)
            mask_BS = torch.arange(num_steps, device=h.device) < lengths_B[:, None]
            # Zero times NaN is NaN, so weights of zero would not do.
            h_BSH = torch.where(mask_BS[..., None], h_BSH, 0).contiguous()
        keys, values = self._keys_and_values(h_BSH)
        return Memory(keys, values, mask_BS)

    def begin(self, memory: Memory) -> Alignment | None:
        """Return the state before the first step; None where steps do not depend on one another."""
        return None

    def forward(
        self, query: Tensor, memory: Memory, state: Alignment | None = None
    ) -> tuple[Tensor, Tensor, Alignment | None]:
        """Return the contexts of one step or of all, where they come from, and the state after.

        Args:
            query: (B, Q) for one step, or (T, B, Q) for T, (B, T, Q) with `batch_first`; of the parameters' dtype.
            memory: Of `prepare`.
            state: That of the step before; None at the beginning, and where `needs_steps` is False.

        Returns:
            The contexts, (B, C), (T, B, C) or (B, T, C); the weights, with S in place of C, which are at least zero and
            sum to 1 over the true steps of each row unless the class says otherwise; and the state.

        Raises:
            TypeError: The query is no tensor or has another dtype, or the memory is none.
            ValueError: A shape or a device does not fit, or a state is given to a kind that has none.
        """
        if not isinstance(memory, Memory):
            raise TypeError(f"{self._owner}: memory must be what prepare returns, but is {type(memory).__name__}.")
        is_step = isinstance(query, Tensor) and query.dim() == 2
        letters = ("B",) if is_step else ("B", "T") if self.batch_first else ("T", "B")
        self._check(query, "query", letters, self.query_size)
        if query.dtype != memory.values.dtype:
            check_like(self._owner, "query", query, memory.values, "memory")
        queries_BTQ = query.unsqueeze(1) if is_step else query if self.batch_first else query.transpose(0, 1)
        if len(queries_BTQ) != len(memory.mask):
            raise ValueError(
                f"{self._owner}: query has {len(queries_BTQ)} rows, but memory has {len(memory.mask)}. "
                "Choose those of the memory with memory.rows(index)."
            )
        if state is None:
            state = self.begin(memory)
        elif not self.needs_steps:
            raise ValueError(f"{self._owner}: this kind has no state; leave state out.")
        elif state.weights.shape != memory.mask.shape:
            raise ValueError(
                f"{self._owner}: the state is {shape_of(state.weights)}, but the memory {shape_of(memory.mask)}. "
                "Choose the rows of both with rows(index)."
            )
        contexts_BTC, weights_BTS, state = self._attend(queries_BTQ, memory, state)
        if is_step:
            return contexts_BTC.squeeze(1), weights_BTS.squeeze(1), state
        if self.batch_first:
            return contexts_BTC, weights_BTS, state
        return contexts_BTC.transpose(0, 1), weights_BTS.transpose(0, 1), state

    def extra_repr(self) -> str:
        """Return the sizes as written."""
        return f"{self.query_size}, {self.memory_size}" + (", batch_first=True" if self.batch_first else "")

    def _keys_and_values(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        """Return what queries are compared with, and what contexts are means of."""
        return h_BSH, h_BSH

    def _ahead(self, queries_BTQ: Tensor, memory: Memory) -> Tensor:
        """Return what can be said of all queries without a state: their scores (B, T, S), where these need none.

        Here they are products.
        """
        return queries_BTQ @ memory.keys.mT

    def _align(self, ahead: Tensor, memory: Memory, state: Alignment | None) -> tuple[Tensor, Alignment | None]:
        """Return the weights (B, T, S), from what was said ahead, and the state after; T is 1 where `needs_steps`."""
        return softmax_over(ahead, memory.mask[:, None]), None

    def _attend(
        self, queries_BTQ: Tensor, memory: Memory, state: Alignment | None
    ) -> tuple[Tensor, Tensor, Alignment | None]:
        """Return contexts (B, T, C), weights (B, T, S) and the state after the last step."""
        ahead = self._ahead(queries_BTQ, memory)
        if self.needs_steps:
            found = []
            for of_step in ahead.unsqueeze(2).unbind(1):
                weights_B1S, state = self._align(of_step, memory, state)
                found.append(weights_B1S)
            weights_BTS = torch.cat(found, dim=1)
        else:
            weights_BTS, state = self._align(ahead, memory, state)
        return weights_BTS.to(memory.values.dtype) @ memory.values, weights_BTS, state

    def _check(self, tensor: Tensor, name: str, letters: tuple[str, ...], num_features: int) -> None:
        """Raise unless it is a tensor of that many features, with such dimensions before, as the parameters are."""
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{self._owner}: {name} must be a torch.Tensor, but is {type(tensor).__name__}.")
        if tensor.dim() != len(letters) + 1 or tensor.shape[-1] != num_features:
            wanted = f"({', '.join(letters)}, {num_features})"
            raise ValueError(f"{self._owner}: {name} must have shape {wanted}, but has {shape_of(tensor)}.")
        if 0 in tensor.shape:
            raise ValueError(f"{self._owner}: {name} is empty, {shape_of(tensor)}; give at least one row and one step.")
        # One without parameters takes any dtype.
        weight_name, weight = next(iter(self.named_parameters()), (name, tensor))
        check_like(self._owner, name, tensor, weight, weight_name)


def softmax_over(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax of scores over the last dimension where the mask is true, zero elsewhere.

    Where nothing is true all is zero, and so is the gradient.

    Args:
        scores: (..., S).
        mask: bool, broadcast to them.
    """
    return softmax_within(scores, mask).masked_fill(~mask, 0)


def softmax_within(scores: Tensor, mask: Tensor) -> Tensor:
    """Return what `softmax_over` does, but the same weight everywhere where the mask is true nowhere."""
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
