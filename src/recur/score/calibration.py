"""Whether a classifier is right as often as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from recur.kinds import is_whole
from recur.score.counting import floating, weights

Bins: TypeAlias = Literal["width", "mass"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """A reliability table: predictions by their confidence, and how often they were right.

    Source: Guo et al. (2017), section 2, over the bins of Naeini et al. (2015).

    Attributes:
        edges: Of the bins, (M + 1,), growing from 0 to 1. A bin holds its upper edge; the first also holds 0.
        weight: Of the predictions in each bin, (M,); their number where none was weighted.
        confidence: Their mean, (M,); NaN in an empty bin.
        accuracy: Share of them that were right, (M,); NaN in an empty bin.
    """

    edges: Tensor
    weight: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def expected_error(self) -> Tensor:
        """Expected calibration error (ECE), (): the mean gap of confidence and accuracy (their equation 3)."""
        return (self._gap * self.weight).sum() / self.weight.sum()

    @property
    def largest_error(self) -> Tensor:
        """Maximum calibration error (MCE), (): the largest gap of any bin (their equation 5); NaN if all are empty."""
        return self._gap.max() if bool((self.weight > 0).any()) else self.weight.new_tensor(torch.nan)

    @property
    def _gap(self) -> Tensor:
        """Distance of confidence and accuracy, (M,), 0 in an empty bin."""
        return torch.where(self.weight > 0, (self.confidence - self.accuracy).abs(), 0)


def reliability(
    probabilities: Tensor,
    target: Tensor,
    *,
    num_bins: int = 15,
    bins: Bins = "width",
    weight: Tensor | None = None,
) -> Reliability:
    """Return how often a classifier's likeliest class was right, by how sure it was.

    Args:
        probabilities: Of each class, (..., C), floating; they sum to 1 where a prediction counts.
        target: True classes, (...), int64; negative ones are missing and do not count.
        num_bins: M, at least 1.
        bins: "width" cuts 0 to 1 into equal parts; "mass" puts the same number of predictions into each, as far as
            equal confidences allow (adaptive calibration error, Nixon et al. 2019), so that no bin hangs on few.
        weight: How much each prediction counts, broadcast to `target`, floating or bool; None counts each as 1.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: Shapes do not agree, or a probability, class, weight or option is out of range.

    Example:
        >>> table = reliability(torch.tensor([[0.9, 0.1], [0.7, 0.3]]), torch.tensor([0, 1]), num_bins=5)
        >>> table.weight, table.expected_error
        (tensor([0., 0., 0., 1., 1.]), tensor(0.4000))
    """
    if not is_whole(num_bins):
        raise TypeError(f"reliability: num_bins must be an int, but is {type(num_bins).__name__}.")
    if num_bins < 1:
        raise ValueError(f"reliability: num_bins is {num_bins}, but must be at least 1.")
    if bins not in ("width", "mass"):
        raise ValueError(f"reliability: bins must be 'width' or 'mass', but is {bins!r}.")
    chosen, target, weight = counted_classes("reliability", "probabilities", probabilities, target, weight)
    if not bool(((chosen >= 0) & (chosen <= 1)).all()):
        raise ValueError("reliability: a probability is not between 0 and 1. Give probabilities, not logits.")
    if target.numel() == 0:
        confidence, is_right = weight, weight
    else:
        confidence, predicted = chosen.max(-1)
        is_right = (predicted == target).to(weight.dtype)
    edges = _edges(confidence, num_bins, bins)
    place = torch.bucketize(confidence, edges[1:-1])
    mass, sure, right = (
        edges.new_zeros(num_bins).index_add(0, place, each) for each in (weight, weight * confidence, weight * is_right)
    )
    return Reliability(edges=edges, weight=mass, confidence=sure / mass, accuracy=right / mass)


def _edges(confidence: Tensor, num_bins: int, bins: Bins) -> Tensor:
    """Return the edges of the bins, (M + 1,), from 0 to 1."""
    even = torch.linspace(0, 1, num_bins + 1, dtype=confidence.dtype, device=confidence.device)
    if bins == "width" or confidence.numel() == 0:
        return even
    # Each edge is one of the confidences, which belongs to the bin below.
    ranks = torch.arange(1, num_bins, device=confidence.device) * confidence.numel() // num_bins - 1
    return torch.cat([even[:1], confidence.sort().values[ranks.clamp(min=0)], even[-1:]])


def counted_classes(
    owner: str, name: str, scores: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores (N, C), targets (N,) and weights (N,) of the predictions that count.

    Args:
        owner: Who asks, for errors.
        name: What the scores are, for errors.
        scores: Of each class, (..., C), floating.
        target: True classes, (...), int64; negative ones are missing.
        weight: How much each counts, broadcast to `target`; None counts each as 1.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: Shapes do not agree, or a class does not exist, or a weight is out of range.
    """
    floating(owner, name, scores)
    if not isinstance(target, Tensor) or target.dtype != torch.int64:
        found = target.dtype if isinstance(target, Tensor) else type(target).__name__
        raise TypeError(f"{owner}: target must be a torch.int64 tensor, but is {found}.")
    if scores.dim() == 0 or scores.shape[:-1] != target.shape:
        raise ValueError(
            f"{owner}: {name} have shape {tuple(scores.shape)}, but must have that of the target, "
            f"{tuple(target.shape)}, and one more dimension for the classes."
        )
    weight = weights(owner, torch.where(target >= 0, 0.0, torch.nan).to(scores.dtype), weight)
    counts = weight > 0
    scores, target = scores[counts], target[counts]
    if len(target) and int(target.max()) >= scores.shape[-1]:
        raise ValueError(f"{owner}: a target is class {int(target.max())}, but there are {scores.shape[-1]} classes.")
    return scores, target, weight[counts]
