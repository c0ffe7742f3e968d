"""The score of forecasts that are samples."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.score.counting import Axes, floating, weighted_mean, weights


def sample_crps(
    target: Tensor,
    samples: Tensor,
    *,
    is_fair: bool = False,
    weight: Tensor | None = None,
    keep: Axes = (),
) -> Tensor:
    """Return the mean continuous ranked probability score of samples.

    Source: Gneiting & Raftery (2007), equation 21, E|X - y| - E|X - X'| / 2, computed from the sorted sample in
    O(S log S) (Jordan et al. 2019).

    Args:
        target: What came, (...), floating. NaN is missing and does not count.
        samples: (S, ...), S values for each target.
        is_fair: False scores the sample itself as the forecast. True scores the distribution that it was drawn from,
            without the bias of a small sample (Ferro 2014); it needs two values at least.
        weight: How much each target counts, broadcast to `target`, floating or bool; None counts each as 1.
        keep: Dimensions of `target` that are not averaged.

    Returns:
        The kept dimensions, () without, in the target's unit; NaN where nothing counts.

    Raises:
        TypeError: An argument is no floating tensor.
        ValueError: Shapes do not agree, or there are too few samples.

    Example:
        >>> sample_crps(torch.tensor([0.0]), torch.tensor([[-1.0], [1.0]]))
        tensor(0.5000)
    """
    weight = weights("sample_crps", target, weight)
    floating("sample_crps", "samples", samples)
    least = 2 if is_fair else 1
    if samples.shape[1:] != target.shape or samples.shape[0] < least:
        wanted = ", ".join(["S", *(str(size) for size in target.shape)])
        raise ValueError(
            f"sample_crps: samples must have shape ({wanted}) with S at least {least}, but have {tuple(samples.shape)}."
        )
    counts = weight > 0
    y, x = torch.where(counts, target, 0), torch.where(counts, samples, 0).sort(0).values
    num_samples = len(x)
    rank = torch.arange(1, num_samples + 1, dtype=x.dtype, device=x.device).view(-1, *(1 for _ in target.shape))
    # E|X - X'| over all pairs: every gap between neighbours lies between as many pairs as its two sides allow.
    pairs = num_samples * (num_samples - 1 if is_fair else num_samples)
    spread = ((2 * rank - num_samples - 1) * x).sum(0) / pairs
    return weighted_mean("sample_crps", (x - y).abs().mean(0) - spread, weight, keep)
