"""The forward and backward recursion of a linear chain: the probability of a labelling, and marginals.

The score of a labelling y of T steps is start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_T].
All functions take float32 or float64, time first. There are two ways: here with logarithms throughout, which is always
exact and as differentiable as torch is; and `scaled.py`, several times as fast where no probability is too small.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Chain(NamedTuple):
    """The scores of a batch of chains.

    Attributes:
        emissions: (T, B, K), finite; zero past a row's end.
        transitions: (K, K), from the first label to the second; -inf where that is forbidden.
        start: (K,), -inf where forbidden.
        end: (K,), -inf where forbidden.
        is_step: (T, B) bool, true where a row has a step; None where all have all.
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    is_step: Tensor | None


def partition_steps(chain: Chain) -> Tensor:
    """Return what each step adds to the log-partition, (T + 1, B); zero past a row's end.

    The last adds what the row's end does, -inf where a row has no labelling at all. Taken from the scores of a
    labelling step by step, and summed then, they do not lose the digits that a difference of two large sums does.
    """
    return forward_scores(chain)[1]


def marginals(chain: Chain) -> Tensor:
    """Return the probability of each label at each step, (T, B, K); zero past a row's end, NaN without a labelling."""
    is_step_TB = chain.is_step
    filtered, _ = forward_scores(chain)
    lowest = torch.finfo(chain.emissions.dtype).min
    marginal_BK = (filtered[-1] + chain.end).softmax(1)
    found = []
    for t in range(len(filtered) - 1, 0, -1):
        found.append(marginal_BK if is_step_TB is None else torch.where(is_step_TB[t].unsqueeze(1), marginal_BK, 0))
        # The probability of the label before, given a label. Where nothing leads to that one it would be NaN; times its
        # marginal, which is zero, anything is zero.
        before_BKK = (filtered[t - 1].unsqueeze(2) + chain.transitions).clamp_min(lowest).softmax(1)
        earlier_BK = (before_BKK * marginal_BK.unsqueeze(1)).sum(2)
        marginal_BK = earlier_BK if is_step_TB is None else torch.where(is_step_TB[t, :, None], earlier_BK, marginal_BK)
    found.append(marginal_BK if is_step_TB is None else torch.where(is_step_TB[0].unsqueeze(1), marginal_BK, 0))
    return torch.stack(found[::-1])


def forward_scores(chain: Chain) -> tuple[list[Tensor], Tensor]:
    """Return the forward scores of each step, less an offset, and the offsets.

    Returns:
        T tensors (B, K): the log of the sum of exp of the scores of all labellings so far that end with a label, less
        the largest such. From a row's last step on they stay as they are. And (T + 1, B): what was taken off at each
        step, zero past a row's end; and what is left, so that they sum to the log-partition.
    """
    emissions_TBK, transitions_KK, start_K, end_K, is_step_TB = chain
    lowest = torch.finfo(emissions_TBK.dtype).min
    filtered: list[Tensor] = []
    offsets: list[Tensor] = []
    for t, emission_BK in enumerate(emissions_TBK.unbind(0)):
        before_BK = _logsumexp(filtered[-1].unsqueeze(2) + transitions_KK) if t else start_K
        forward_BK = before_BK + emission_BK
        # A row without any labelling has -inf throughout; its end tells.
        offset_B = forward_BK.amax(1).clamp_min(lowest)
        forward_BK = forward_BK - offset_B.unsqueeze(1)
        if is_step_TB is not None:
            offset_B = torch.where(is_step_TB[t], offset_B, 0)
            forward_BK = torch.where(is_step_TB[t].unsqueeze(1), forward_BK, filtered[-1] if t else 0)
        filtered.append(forward_BK)
        offsets.append(offset_B)
    rest_B = _logsumexp(filtered[-1] + end_K)
    offsets.append(rest_B if is_step_TB is None else torch.where(is_step_TB[0], rest_B, 0))
    return filtered, torch.stack(offsets)


def _logsumexp(x: Tensor) -> Tensor:
    """Return torch.logsumexp over dimension 1, with gradients of zero, not NaN, where all of it is -inf."""
    is_none = x.detach().amax(1).isneginf()
    # What is clamped has no gradient, and adds nothing to what is not.
    found = torch.logsumexp(x.clamp_min(torch.finfo(x.dtype).min), 1)
    return found.masked_fill(is_none, -torch.inf)
