"""How good a classifier is where a text is of any number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.errors import DataError
from recur.tasks.noise import SURE, bootstrap_gain, doubt, verdict
from recur.wording import part_name, quantity, sentence


@dataclass(frozen=True, kw_only=True)
class OwnFigures:
    """Figures of one class.

    Attributes:
        name: Of the class.
        support: Texts that are of it.
        precision: Share of the texts told to be of it that are; None if none was.
        recall: Share of its texts that were told to be; None if there is none.
        f1: Harmonic mean of the two; None if the class neither is there nor was told.
        average_precision: Mean precision over the ranks of its texts; None if there is none.
        threshold: From which probability on it is told.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    threshold: float


@dataclass(frozen=True, kw_only=True)
class MultiFigures:
    """Figures of a classifier of any number of classes on one part.

    Attributes:
        num_told: Texts.
        macro_f1: Mean over all classes of F1; 0 of one that neither is there nor was told.
        micro_f1: F1 of all decisions together.
        exact: Share of the texts all of whose classes were told, and no other.
        average_precision: Mean over the classes that are there.
        log_loss: Mean negative logarithm of the probability of each decision, nats.
        baseline_macro_f1: Macro-F1 of the bag of n-grams; None where there is none.
        baseline_micro_f1: Likewise micro-F1.
        baseline_exact: Likewise the share of the texts all of whose classes it told, and no other.
        baseline_average_precision: Likewise, by its log-odds; None where these are not known.
        baseline_log_loss: Likewise, nats.
        p: Probability of so large a difference in macro-F1 where there is none, by drawing texts anew; None without a
            bag of n-grams.
        classes: Figures of each class.
    """

    num_told: int
    macro_f1: float
    micro_f1: float
    exact: float
    average_precision: float
    log_loss: float
    baseline_macro_f1: float | None
    baseline_micro_f1: float | None
    baseline_exact: float | None
    baseline_average_precision: float | None
    baseline_log_loss: float | None
    p: float | None
    classes: tuple[OwnFigures, ...]

    @property
    def is_better(self) -> bool:
        """Whether it beats the bag of n-grams by more than noise."""
        return (
            self.baseline_macro_f1 is not None
            and self.macro_f1 > self.baseline_macro_f1
            and self.p is not None
            and self.p < SURE
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them."""
        return asdict(self)


def judge_multi(
    probability: Tensor,
    target: Tensor,
    classes: Sequence[str],
    thresholds: Tensor,
    *,
    rule: Tensor | None = None,
    evidence: Tensor | None = None,
) -> MultiFigures:
    """Return the figures of a classifier.

    Args:
        probability: (N, K) floating.
        target: (N, K), 1 or 0.
        classes: Names, K.
        thresholds: (K,).
        rule: What the bag of n-grams told, (N, K) bool.
        evidence: Its log-odds, (N, K).

    Raises:
        DataError: There is no text.
    """
    if not len(target):
        raise DataError("no text has labels, so that there is nothing to judge the classifier by.")
    told, true = probability >= thresholds, target > 0
    hits, claimed, support = (each.sum(0).double() for each in (told & true, told, true))
    f1 = _f1(hits, claimed, support)
    p = None
    baseline: tuple[float | None, float | None, float | None] = (None, None, None)
    if rule is not None:
        rule_hits, rule_claimed = ((rule & true).sum(0).double(), rule.sum(0).double())
        baseline = (
            float(_f1(rule_hits, rule_claimed, support).mean()),
            float(_f1(rule_hits.sum(), rule_claimed.sum(), support.sum())),
            float((rule == true).all(1).double().mean()),
        )
        p = _p_of_gain(told, rule, true)
    precision = average_precision(probability, true)
    own = tuple(
        OwnFigures(
            name=name,
            support=int(support[k]),
            precision=float(hits[k] / claimed[k]) if claimed[k] else None,
            recall=float(hits[k] / support[k]) if support[k] else None,
            f1=float(f1[k]) if support[k] or claimed[k] else None,
            average_precision=float(precision[k]) if support[k] else None,
            threshold=float(thresholds[k]),
        )
        for k, name in enumerate(classes)
    )
    return MultiFigures(
        num_told=len(target),
        macro_f1=float(f1.mean()),
        micro_f1=float(_f1(hits.sum(), claimed.sum(), support.sum())),
        exact=float((told == true).all(1).double().mean()),
        average_precision=_of_those_there(precision, support),
        log_loss=_log_loss(probability, true),
        baseline_macro_f1=baseline[0],
        baseline_micro_f1=baseline[1],
        baseline_exact=baseline[2],
        baseline_average_precision=(
            None if evidence is None else _of_those_there(average_precision(evidence, true), support)
        ),
        baseline_log_loss=None if evidence is None else _log_loss(evidence.double().sigmoid(), true),
        p=p,
        classes=own,
    )


def average_precision(probability: Tensor, true: Tensor) -> Tensor:
    """Return the average precision of each class, (K,) float64: sum over ranks of precision, where recall grows.

    Texts of one probability share a rank. Of a class without texts it is 0.

    Args:
        probability: (N, K) floating.
        true: (N, K) bool.

    Example:
        >>> average_precision(torch.tensor([[0.9], [0.8], [0.7]]), torch.tensor([[True], [False], [True]]))
        tensor([0.8333], dtype=torch.float64)
    """
    ordered, order = probability.sort(stable=True, dim=0, descending=True)
    hits = true.gather(0, order).double().cumsum(0)
    ranks = torch.arange(1, len(true) + 1, dtype=torch.float64)[:, None].expand_as(hits)
    is_last = torch.ones_like(ordered, dtype=torch.bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    found = torch.zeros(true.shape[1], dtype=torch.float64)
    for k in range(true.shape[1]):
        own, rank = hits[is_last[:, k], k], ranks[is_last[:, k], k]
        gained = torch.diff(own, prepend=own.new_zeros(1))
        found[k] = (gained * own / rank).sum() / own[-1].clamp(min=1)
    return found


def multi_verdict(part: str, figures: MultiFigures, *, is_fitted: bool = False) -> str:
    """Return whether the bag of n-grams was beaten by more than noise; where not, that first.

    Args:
        part: What was judged on: train, valid, test or given.
        figures: Of the classifier there.
        is_fitted: Whether the thresholds of the classifier, which the bag of n-grams has none of, were fitted to what
            was judged on; then it is not said to be better.
    """
    said = f"macro-F1 {figures.macro_f1:.3f} on {quantity(figures.num_told, 'text')} of {part_name(part)}"
    if figures.baseline_macro_f1 is None:
        return sentence(f"{said}.")
    is_higher = figures.macro_f1 > figures.baseline_macro_f1
    shows_nothing = is_fitted and is_higher
    sure = "thresholds that were fitted to this part show nothing" if shows_nothing else doubt(figures.p, "texts")
    said += f", against {figures.baseline_macro_f1:.3f} by a linear model of n-grams: {sure}"
    said += f". Micro-F1 {figures.micro_f1:.3f} against {figures.baseline_micro_f1:.3f}"
    gain = figures.macro_f1 - figures.baseline_macro_f1
    return verdict(said, gain, is_sure=figures.is_better and not is_fitted)


def _of_those_there(each: Tensor, support: Tensor) -> float:
    """Return the mean over the classes that are there; 0 where none is."""
    return float(each[support > 0].mean()) if bool((support > 0).any()) else 0.0


def _log_loss(probability: Tensor, true: Tensor) -> float:
    """Return the mean negative logarithm of the probability of each decision, nats."""
    chance = probability.double().clamp(1e-12, 1 - 1e-12)
    return float(-torch.where(true, chance, 1 - chance).log().mean())


def _f1(hits: Tensor, claimed: Tensor, support: Tensor) -> Tensor:
    """Return 2 hits / (claimed + support); 0 where there is neither."""
    return 2 * hits / (claimed + support).clamp(min=1)


def _p_of_gain(told: Tensor, rule: Tensor, true: Tensor) -> float:
    """Return how likely so large a difference in macro-F1 is where there is none: the bootstrap over texts."""

    def macro_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        hits, claimed, support = torch.from_numpy(sums).view(len(sums), 3, -1).unbind(1)
        found: NDArray[np.float64] = _f1(hits, claimed, support).mean(1).numpy()
        return found

    own, other = (torch.cat([answer & true, answer, true], 1).double().numpy() for answer in (told, rule))
    return bootstrap_gain(own, other, macro_f1).p
