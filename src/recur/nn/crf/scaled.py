"""The recursions of a linear chain on probabilities: products of matrices, and a backward pass of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.nn.crf.recursion import Chain, partition_steps

_SUMMED_AT_ONCE = 256


class Run(NamedTuple):
    """What the forward recursion leaves for the backward one.

    Attributes:
        forward: (T, B, K), the probability of each label given the emissions so far, divided by the largest.
        sums: (T, B, K), what comes to a label from the step before, Σ_i forward[i] factors[i, j]; 1 at the first step
            and past a row's end.
        last: (B, K), the marginals of each row's last step; zero for rows without steps.
        factors: (K, K), exp of the transitions.
        offsets: (T + 1, B), as of `partition_steps`.
    """

    forward: Tensor
    sums: Tensor
    last: Tensor
    factors: Tensor
    offsets: Tensor


def run(chain: Chain) -> Run | None:
    """Return the forward recursion, or None where a probability is too small or a factor too large for it to be exact.

    What is multiplied with the factors is at most 1, and zero where it would be below the least number of the dtype. So
    a sum lacks at most that number times the largest factor, for each label: beyond its digits, if it is large enough.
    """
    emissions_TBK, transitions_KK, start_K, end_K = (part.detach() for part in chain[:4])
    is_step_TB = chain.is_step
    limits = torch.finfo(emissions_TBK.dtype)
    factors_KK, end_factors_K = transitions_KK.exp(), end_K.exp()
    largest = torch.maximum(factors_KK.max(), end_factors_K.max()).clamp_min(1)
    forward: list[Tensor] = []
    sums: list[Tensor] = []
    offsets: list[Tensor] = []
    # Autocast would multiply in bfloat16.
    with torch.autocast(emissions_TBK.device.type, enabled=False):
        for emission_BK in emissions_TBK.unbind(0):
            if forward:
                sums.append(forward[-1] @ factors_KK)
                score_BK = sums[-1].log().add_(emission_BK)
            else:
                score_BK = start_K + emission_BK
            offset_B1 = score_BK.amax(1, keepdim=True)
            forward.append(score_BK.sub_(offset_B1).exp_())
            offsets.append(offset_B1)
    forward_TBK, offsets_TB = torch.stack(forward), torch.cat(offsets, 1).t()
    sums_TBK = torch.stack([torch.ones_like(forward[0]), *sums])
    last_BK = forward[-1]
    if is_step_TB is not None:
        sums_TBK = torch.where(is_step_TB.unsqueeze(2), sums_TBK, 1)
        offsets_TB = torch.where(is_step_TB, offsets_TB, 0)
        last_BK = forward_TBK[_last_steps(is_step_TB)]
    last_BK = last_BK * end_factors_K
    mass_B1 = last_BK.sum(1, keepdim=True)
    smallest = torch.minimum(sums_TBK.amin(), mass_B1.amin())
    # Written so that NaN is refused too.
    if not bool((smallest >= largest * (limits.tiny / limits.eps)) & offsets_TB.isfinite().all()):
        return None
    rest_1B, last_BK = mass_B1.log().t(), last_BK / mass_B1
    if is_step_TB is not None:
        rest_1B = torch.where(is_step_TB[:1], rest_1B, 0)
        last_BK = torch.where(is_step_TB[0].unsqueeze(1), last_BK, 0)
    return Run(forward_TBK, sums_TBK, last_BK, factors_KK, torch.cat([offsets_TB, rest_1B]))


def smoothed(done: Run, weight_B: Tensor | None, is_step_TB: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the marginals (T, B, K) times a weight of each row, and the sums (K, K) of those of pairs of labels."""
    last_BK = done.last if weight_B is None else done.last * weight_B.unsqueeze(1)
    # Where the recursion of a row begins: at its last step.
    ends_TBK = torch.zeros_like(done.forward)
    if is_step_TB is None:
        ends_TBK[-1] = last_BK
    else:
        ends_TBK[_last_steps(is_step_TB)] = last_BK
    back_KK = done.factors.t()
    found = [ends_TBK[-1]]
    shares = []
    for t in range(len(ends_TBK) - 1, 0, -1):
        shares.append(found[-1] / done.sums[t])
        found.append(torch.addcmul(ends_TBK[t - 1], done.forward[t - 1], shares[-1] @ back_KK))
    marginals_TBK = torch.stack(found[::-1])
    if not shares:
        return marginals_TBK, torch.zeros_like(done.factors)
    before_NK, shares_NK = done.forward[:-1].flatten(0, 1), torch.cat(shares[::-1])
    # Summed in parts, since the product of long matrices may add one step after another, with a rounding at each.
    pairs_KK = torch.zeros_like(done.factors)
    for begin in range(0, len(shares_NK), _SUMMED_AT_ONCE):
        part = slice(begin, begin + _SUMMED_AT_ONCE)
        pairs_KK.add_(before_NK[part].t() @ shares_NK[part])
    return marginals_TBK, pairs_KK * done.factors


def _last_steps(is_step_TB: Tensor) -> tuple[Tensor, Tensor]:
    """Return the place of the last step of each row, the first for rows without steps."""
    return (is_step_TB.sum(0) - 1).clamp_min(0), torch.arange(is_step_TB.shape[1], device=is_step_TB.device)


def log_probability(chain: Chain, done: Run, scores_T1B: Tensor) -> Tensor:
    """Return the log-probability (B,) of one labelling of each row, from its scores (T + 1, B); differentiable."""
    found: Tensor = _LogProbability.apply(scores_T1B, done, *chain)  # type: ignore[no-untyped-call]
    return found


class _LogProbability(torch.autograd.Function):
    """`log_probability`, whose backward pass is a recursion too."""

    @staticmethod
    def forward(ctx: Any, scores_T1B: Tensor, done: Run, *chain: Any) -> Tensor:
        ctx.save_for_backward(scores_T1B, *chain, *done)
        return (scores_T1B - done.offsets).sum(0)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, ...]:
        (weight_B,) = upstream
        scores_T1B, *rest = ctx.saved_tensors
        chain, done = Chain(*rest[:5]), Run(*rest[5:])
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, scores_T1B, chain, weight_B)
        marginals_TBK, pairs_KK = smoothed(done, weight_B, chain.is_step)
        last_K = (done.last * weight_B.unsqueeze(1)).sum(0)
        return weight_B.expand_as(scores_T1B), None, -marginals_TBK, -pairs_KK, -marginals_TBK[0].sum(0), -last_K, None


def _differentiable_backward(ctx: Any, scores_T1B: Tensor, chain: Chain, weight_B: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients as a graph, for second derivatives."""
    # Views, or what the scores owe to the emissions would be counted twice.
    given = [tensor.view_as(tensor) for tensor in (scores_T1B, *chain[:-1])]
    seen = Chain(given[1], given[2], given[3], given[4], chain.is_step)
    is_wanted = (ctx.needs_input_grad[0], *ctx.needs_input_grad[2:6])
    wanted = [tensor for tensor, is_asked in zip(given, is_wanted, strict=True) if is_asked]
    found_B = (given[0] - partition_steps(seen)).sum(0)
    found = iter(torch.autograd.grad(found_B, wanted, weight_B, create_graph=True))
    scores, *parts = (next(found) if is_asked else None for is_asked in is_wanted)
    return scores, None, *parts, None
