"""The labellings of a chain that score best, by dynamic programming (Viterbi 1967)."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.nn.crf.recursion import Chain


def best_paths(chain: Chain, count: int) -> tuple[Tensor, Tensor]:
    """Return the best labellings of each row, best first; of equal ones first the one with the lower label.

    The recursion runs from the end, so that of equal labellings the one comes first that has the lower label at the
    first step where they differ.

    Args:
        chain: The scores.
        count: How many, N; at least 1.

    Returns:
        (T, B, N) int64, where past a row's end anything stands; and (B, N) bool, false where there are not so many.
    """
    emissions_TBK, transitions_KK, start_K, end_K, is_step_TB = chain
    num_steps, batch, num_labels = emissions_TBK.shape
    lowest = torch.finfo(emissions_TBK.dtype).min
    # Score of the best labellings of what follows a label, less an offset; only one follows the last.
    after_BKN = emissions_TBK.new_full((batch, num_labels, count), -torch.inf)
    after_BKN[:, :, 0] = end_K
    choices = []
    for t in range(num_steps - 1, 0, -1):
        value_BKN = emissions_TBK[t].unsqueeze(2) + after_BKN
        scores = transitions_KK.unsqueeze(2) + value_BKN.unsqueeze(1)
        best_BKN, choice_BKN = _highest(scores.flatten(2), count)
        choices.append(choice_BKN)
        best_BKN = best_BKN - best_BKN.amax((1, 2), keepdim=True).clamp_min(lowest)
        after_BKN = best_BKN if is_step_TB is None else torch.where(is_step_TB[t].view(-1, 1, 1), best_BKN, after_BKN)
    scores = (start_K + emissions_TBK[0]).unsqueeze(2) + after_BKN
    best_BN, choice_BN = _highest(scores.flatten(1), count)
    labels = [choice_BN // count]
    for t, choice_BKN in enumerate(reversed(choices), 1):
        next_BN = choice_BKN.flatten(1).gather(1, choice_BN)
        choice_BN = next_BN if is_step_TB is None else torch.where(is_step_TB[t].unsqueeze(1), next_BN, choice_BN)
        labels.append(choice_BN // count)
    return torch.stack(labels), best_BN > -torch.inf


def _highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the highest of the last dimension and their places, the first of equal ones first."""
    if count == 1:
        best, place = scores.max(-1, keepdim=True)
        return best, place
    best, place = torch.sort(scores, dim=-1, descending=True, stable=True)
    return best[..., :count], place[..., :count]
