"""From probabilities to classes, where a text is of any number of them: a threshold for each class."""

from __future__ import annotations

import torch
from torch import Tensor

_NEIGHBOURS = 5
"""Neighbouring thresholds whose F1 is averaged, for that of a single one is a matter of luck; fewer of few texts."""


def best_thresholds(probability: Tensor, target: Tensor) -> Tensor:
    """Return the threshold of each class that tells held-out texts best, by F1.

    Of each class the F1 at every threshold is averaged over its neighbours; the highest wins. The threshold lies half
    way to the next probability below it. A class of which there is no held-out text has a half.

    Args:
        probability: (N, K) floating.
        target: Of which classes each is, (N, K), 1 or 0.

    Returns:
        (K,) of the dtype of `probability`; a class is told from its threshold on.

    Example:
        >>> best_thresholds(torch.tensor([[0.1], [0.2], [0.3], [0.4]]), torch.tensor([[0], [0], [1], [1]]))
        tensor([0.2500])
    """
    num, classes = probability.shape
    found = probability.new_full((classes,), 0.5)
    if not num:
        return found
    ordered, order = probability.sort(stable=True, dim=0, descending=True)
    hits = target.to(torch.float64).gather(0, order).cumsum(0)
    told = torch.arange(1, num + 1, dtype=torch.float64)[:, None]
    f1 = 2 * hits / (told + hits[-1])
    width = min(_NEIGHBOURS, 1 + 2 * (num // 20))
    # At the ends the mean is over fewer.
    inside = torch.nn.functional.avg_pool1d(f1.t(), width, stride=1, padding=width // 2, count_include_pad=False)
    best = inside.argmax(1)
    below = torch.cat([ordered[1:], ordered[-1:] / 2])
    middle = (ordered + below).gather(0, best[None])[0] / 2
    return torch.where(hits[-1] > 0, middle, found)
