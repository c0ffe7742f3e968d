"""From probabilities to classes, where a text is of any number of them: a threshold for each class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NEIGHBOURS = 5
"""Neighbouring thresholds whose F1 is averaged, for that of a single one is a matter of luck; fewer of few texts."""

_PRIOR = 1.0
"""Texts that all classes together count as: a prior worth one observation (Kass & Wasserman 1995)."""


def best_thresholds(probability: Tensor, target: Tensor) -> Tensor:
    """Return the threshold of each class that tells held-out texts best, by F1.

    Of each class the F1 at every threshold is averaged over its neighbours; the highest wins. The threshold lies half
    way to the next probability below it. As few texts of a class say little, and the F1 of one that can hardly be told
    is highest where it is told of nearly all, each class counts one text more, which at any threshold is told, and
    brings wrong answers with it, as often as the texts of all classes do in the mean. So a class with few held-out
    texts, or none, has the best threshold of all decisions together, and one with many its own.

    Args:
        probability: (N, K) floating.
        target: Of which classes each is, (N, K), 1 or 0.

    Returns:
        (K,) of the dtype of `probability`; a class is told from its threshold on. A half, where no text is of any.

    Example:
        >>> best_thresholds(torch.tensor([[0.1], [0.2], [0.3], [0.4]]), torch.tensor([[0], [0], [1], [1]]))
        tensor([0.2500])
    """
    num, classes = probability.shape
    true = target.to(torch.float64)
    support = true.sum(0)
    if not bool(support.any()):
        return probability.new_full((classes,), 0.5)
    common = _Ranks.of(probability.reshape(-1, 1), true.reshape(-1, 1))
    shared = common.middle[(2 * common.hits / (common.told + support.sum())).argmax()]
    own = _Ranks.of(probability, true)
    # At the ends the mean is over fewer.
    width = min(_NEIGHBOURS, 1 + 2 * (num // 20))
    f1 = _f1(own.hits, own.told, support, common, own.middle)
    inside = torch.nn.functional.avg_pool1d(f1.t(), width, stride=1, padding=width // 2, count_include_pad=False)
    highest, best = inside.max(1)
    # It may lie above all probabilities of a class.
    is_told = probability >= shared
    at_shared = _f1((true * is_told).sum(0), is_told.sum(0), support, common, shared.expand(classes))
    return torch.where(at_shared >= highest, shared, own.middle.gather(0, best[None])[0])


@dataclass(frozen=True)
class _Ranks:
    """What is told down to each rank of decisions by their probability, (N, K).

    Attributes:
        middle: Half way to the next probability below.
        hits: Decisions that are right to be told, float64.
        told: All that are told, float64, (N, 1).
    """

    middle: Tensor
    hits: Tensor
    told: Tensor

    @classmethod
    def of(cls, probability: Tensor, true: Tensor) -> _Ranks:
        ordered, order = probability.sort(stable=True, dim=0, descending=True)
        below = torch.cat([ordered[1:], ordered[-1:] / 2])
        told = torch.arange(1, len(ordered) + 1, dtype=torch.float64)[:, None]
        return cls((ordered + below) / 2, true.gather(0, order).cumsum(0), told)


def _f1(hits: Tensor, told: Tensor, support: Tensor, common: _Ranks, threshold: Tensor) -> Tensor:
    """Return the F1 of classes at thresholds, with what the texts of all classes say of these."""
    # Middles are in descending order, and a decision is told where its own is not below the threshold.
    ranks = torch.searchsorted(-common.middle[:, 0], -threshold.contiguous(), right=True)
    total = common.hits[-1, 0]
    zero = total.new_zeros(1)
    common_hits, common_told = (torch.cat([zero, one[:, 0]])[ranks] for one in (common.hits, common.told))
    hits, told = hits + _PRIOR * common_hits / total, told + _PRIOR * common_told / total
    return 2 * hits / (told + support + _PRIOR)
