"""From the steps of a sequence to one vector, which can be carried on from piece to piece."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from recur.nn import Linear

PoolState = tuple[Tensor, ...]
"""What has been pooled so far."""


class Pool(nn.Module, ABC):
    """Pools the steps of each row, those within its length alone.

    Two pieces, with the state of the first handed to the second, give what the whole does. A row without any step has
    zeros.

    Args:
        num_features: H, of each step.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, h: Tensor, is_step: Tensor, state: PoolState | None = None) -> tuple[Tensor, PoolState]:
        """Return what the steps of each row become, and what has been pooled so far.

        Args:
            h: (T, B, H), floating.
            is_step: (T, B) bool, true for the first steps of each row, up to its length.
            state: As it was returned for the steps before; None if there were none.

        Returns:
            (B, H) of the dtype of `h`; and the state.
        """
        state = self._pooled(h, is_step, self._begin(h) if state is None else state)
        return self._result(state), state

    @abstractmethod
    def _begin(self, h_TBH: Tensor) -> PoolState:
        """Return the state before the first step."""

    @abstractmethod
    def _pooled(self, h_TBH: Tensor, is_step_TB: Tensor, state: PoolState) -> PoolState:
        """Return the state after the steps."""

    def _result(self, state: PoolState) -> Tensor:
        """Return what a state stands for, (B, H)."""
        return state[0]


class LastPool(Pool):
    """The last step of each row; of a direction that reads from the end its last one too, which is step 0.

    Args:
        num_features: H, of each step.
        num_directions: 2 where the second half of the features is of a direction that reads from the end.
    """

    def __init__(self, num_features: int, num_directions: int = 1) -> None:
        super().__init__(num_features)
        self.num_directions = num_directions

    def _begin(self, h_TBH: Tensor) -> PoolState:
        return (h_TBH.new_zeros(h_TBH.shape[1:]),)

    def _pooled(self, h_TBH: Tensor, is_step_TB: Tensor, state: PoolState) -> PoolState:
        lengths_B = is_step_TB.sum(0)
        last_1B = (lengths_B - 1).clamp(min=0).unsqueeze(0)
        last_BH = h_TBH.gather(0, last_1B.unsqueeze(-1).expand(1, -1, h_TBH.shape[2])).squeeze(0)
        if self.num_directions == 2:
            half = self.num_features // 2
            last_BH = torch.cat([last_BH[:, :half], h_TBH[0, :, half:]], 1)
        return (torch.where((lengths_B > 0).unsqueeze(1), last_BH, state[0]),)


class MeanPool(Pool):
    """The mean over the steps of each row."""

    def _begin(self, h_TBH: Tensor) -> PoolState:
        return h_TBH.new_zeros(h_TBH.shape[1:]), h_TBH.new_zeros(h_TBH.shape[1], 1)

    def _pooled(self, h_TBH: Tensor, is_step_TB: Tensor, state: PoolState) -> PoolState:
        is_step_TB1 = is_step_TB.unsqueeze(-1)
        return state[0] + torch.where(is_step_TB1, h_TBH, 0).sum(0), state[1] + is_step_TB1.sum(0)

    def _result(self, state: PoolState) -> Tensor:
        return state[0] / state[1].clamp(min=1)


class MaxPool(Pool):
    """The largest value of each feature over the steps of each row."""

    def _begin(self, h_TBH: Tensor) -> PoolState:
        return (h_TBH.new_full(h_TBH.shape[1:], -torch.inf),)

    def _pooled(self, h_TBH: Tensor, is_step_TB: Tensor, state: PoolState) -> PoolState:
        return (torch.maximum(state[0], torch.where(is_step_TB.unsqueeze(-1), h_TBH, -torch.inf).amax(0)),)

    def _result(self, state: PoolState) -> Tensor:
        return torch.where(state[0] == -torch.inf, 0, state[0])


class AttentionPool(Pool):
    """A mean over the steps of each row with learned weights (Yang et al. 2016, section 2.2, "word attention").

    With u_t = tanh(W h_t + b) the weight of a step is softmax_t(u · u_t).

    Args:
        num_features: H, of each step.

    Attributes:
        projection: W and b, H to H.
        context: u, as a linear layer without bias.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.projection = Linear(num_features, num_features)
        self.context = Linear(num_features, 1, bias=False)

    def weights(self, h: Tensor, is_step: Tensor) -> Tensor:
        """Return the weight of each step in the mean, which add up to 1 over a row's steps; zeros at all others.

        Args:
            h: (T, B, H), floating.
            is_step: As of `forward`.

        Returns:
            (T, B) of the dtype of `h`.
        """
        # A row without any step has no highest score.
        return torch.nan_to_num(self._scores(h, is_step.unsqueeze(-1)).softmax(0)).squeeze(-1)

    def _scores(self, h_TBH: Tensor, is_step_TB1: Tensor) -> Tensor:
        """Return u . u_t of each step, (T, B, 1); minus infinity where there is none."""
        return torch.where(is_step_TB1, self.context(torch.tanh(self.projection(h_TBH))), -torch.inf)

    def _begin(self, h_TBH: Tensor) -> PoolState:
        rows = h_TBH.shape[1]
        return h_TBH.new_zeros(h_TBH.shape[1:]), h_TBH.new_zeros(rows, 1), h_TBH.new_full((rows, 1), -torch.inf)

    def _pooled(self, h_TBH: Tensor, is_step_TB: Tensor, state: PoolState) -> PoolState:
        is_step_TB1 = is_step_TB.unsqueeze(-1)
        scores_TB1 = self._scores(h_TBH, is_step_TB1)
        total_BH, mass_B1, highest_B1 = state
        # What has been summed is relative to the highest score so far, so that no exponential overflows.
        reached_B1 = torch.maximum(highest_B1, scores_TB1.detach().amax(0))
        finite_B1 = torch.where(reached_B1 == -torch.inf, 0, reached_B1)
        weights_TB1 = torch.exp(scores_TB1 - finite_B1)
        before_B1 = torch.exp(highest_B1 - finite_B1)
        summed_BH = (weights_TB1 * torch.where(is_step_TB1, h_TBH, 0)).sum(0)
        return total_BH * before_B1 + summed_BH, mass_B1 * before_B1 + weights_TB1.sum(0), reached_B1

    def _result(self, state: PoolState) -> Tensor:
        return state[0] / torch.where(state[1] > 0, state[1], 1)


def pool_of(pooling: str, num_features: int, num_directions: int) -> Pool:
    """Return the pool of a name: last, mean, max or attention."""
    if pooling == "last":
        return LastPool(num_features, num_directions)
    kinds: dict[str, type[Pool]] = {"mean": MeanPool, "max": MaxPool, "attention": AttentionPool}
    return kinds[pooling](num_features)
