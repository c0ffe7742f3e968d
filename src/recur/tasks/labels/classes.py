"""How good a classifier of series is: figures, beside always telling the most frequent class, and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from recur.calibration import Temperature
from recur.errors import DataError
from recur.score import reliability
from recur.tasks.labels.outcomes import SeriesOutcomes, p_of_gain
from recur.tasks.noise import SURE, doubt, verdict
from recur.wording import part_name, quantity

_MOST_CONFUSED = 500
"""Classes of which it is counted which was told for which: of more there would be millions of counts."""


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of some of K classes of which one is true.

    Args:
        logits: (N, K).
        classes: Which are asked for, (N, A) int64, from 0 on.

    Returns:
        (N, A) of the dtype of `logits`.
    """
    is_own = torch.arange(logits.shape[1], device=logits.device) == classes.unsqueeze(2)
    others = logits.unsqueeze(1).masked_fill(is_own, -torch.inf)
    return logits.gather(1, classes) - others.logsumexp(2)


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Figures of one class.

    Attributes:
        name: Of the class.
        support: How many are of the class.
        precision: Share of those told to be of the class that are; None if none was.
        recall: Share of those of the class that were told to be; None if there is none.
        f1: Harmonic mean of the two; None if the class neither is there nor was told.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class ClassifierFigures:
    """Figures of a classifier on one part; each label with a weight above zero counts once.

    Attributes:
        num_told: How many labels count.
        accuracy: Share that was right.
        balanced_accuracy: Mean recall of the classes that are there.
        macro_f1: Mean F1 of the classes that are there or were told.
        log_loss: Mean negative logarithm of the probability of the true class, nats.
        calibration_error: Expected calibration error, see `recur.score.reliability`.
        temperature: What the logits were divided by.
        most_frequent: The most frequent class of the training part.
        baseline_accuracy: Share that would be right if that were always told.
        p: As of `recur.tasks.labels.outcomes.p_of_gain`, of the difference of the two shares.
        baseline_log_loss: Log loss of the classes' shares in the training part, each class counted once more there.
        classes: Figures of each class.
        confusion: How many of each class (rows) were told to be of each (columns); nothing of more than 500 classes.
    """

    num_told: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    temperature: float
    most_frequent: str
    baseline_accuracy: float
    p: float | None
    baseline_log_loss: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def is_better(self) -> bool:
        """Whether it beats always telling the most frequent class, by more than noise."""
        return self.accuracy > self.baseline_accuracy and self.p is not None and self.p < SURE

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them."""
        return asdict(self)


def calibrate(outcomes: SeriesOutcomes) -> Temperature:
    """Return the temperature that makes a classifier's probabilities fit held-out outcomes.

    Where all of few outcomes were right, the likeliest temperature would make every probability a certainty. So each
    outcome counts as the true class with 1 - 1 / (n + 2) and as the others with the rest, n being their number: what
    is expected of the next one (Platt 1999, section 2.2).

    Args:
        outcomes: Of a part that the network was not trained on.

    Raises:
        DataError: No label counts.
    """
    counts = outcomes.weight > 0
    logits, target, weight = outcomes.output[counts], outcomes.target[counts], outcomes.weight[counts]
    if not len(target):
        raise DataError("no label counts, so that probabilities cannot be calibrated.")
    return Temperature().fit(logits, target, weight=weight, smoothing=1 / (len(target) + 2))


def judge_classes(
    outcomes: SeriesOutcomes,
    classes: Sequence[str],
    train_counts: Sequence[float],
    *,
    temperature: Temperature | None = None,
    window: int = 0,
) -> ClassifierFigures:
    """Return the figures of a classifier.

    Args:
        outcomes: What it told, of the part to judge on.
        classes: Names of the classes, K.
        train_counts: How many labels of each class the training part has, K.
        temperature: As `calibrate` returns it, of another part; None for the logits as they are.
        window: As of `recur.tasks.labels.outcomes.p_of_gain`.

    Raises:
        DataError: No label counts.
    """
    temperature = temperature or Temperature()
    counts = outcomes.weight > 0
    target, logits = outcomes.target[counts], temperature(outcomes.output[counts].double())
    if not len(target):
        raise DataError("no label counts, so that there is nothing to judge the classifier by.")
    names, log_probabilities = tuple(classes), logits.log_softmax(-1)
    told = logits.argmax(-1)
    is_shown = len(names) <= _MOST_CONFUSED
    confusion = multiclass_confusion_matrix(told, target, len(names)).tolist() if is_shown else []
    precision, recall, f1 = (
        figure(told, target, len(names), average="none").tolist()
        for figure in (multiclass_precision, multiclass_recall, multiclass_f1_score)
    )
    support, claimed = (torch.bincount(one, minlength=len(names)).tolist() for one in (target, told))
    own = tuple(
        ClassFigures(
            name=name,
            support=support[k],
            precision=precision[k] if claimed[k] else None,
            recall=recall[k] if support[k] else None,
            f1=f1[k] if support[k] or claimed[k] else None,
        )
        for k, name in enumerate(names)
    )
    known = torch.tensor(train_counts, dtype=torch.float64)
    most = int(known.argmax())
    shares = (known + 1) / (known + 1).sum()
    return ClassifierFigures(
        num_told=len(target),
        accuracy=float((told == target).double().mean()),
        balanced_accuracy=_mean([one.recall for one in own]),
        macro_f1=_mean([one.f1 for one in own]),
        log_loss=float(-log_probabilities.gather(1, target[:, None]).mean()),
        calibration_error=float(reliability(log_probabilities.exp(), target).expected_error),
        temperature=temperature.value,
        most_frequent=names[most],
        baseline_accuracy=float((target == most).double().mean()),
        p=p_of_gain((told == target).long() - (target == most).long(), outcomes.of(counts), window=window),
        baseline_log_loss=float(-shares.log()[target].mean()),
        classes=own,
        confusion=tuple(tuple(row) for row in confusion),
    )


def class_verdict(part: str, figures: ClassifierFigures) -> str:
    """Return whether always telling the most frequent class was beaten by more than noise; where not, that first.

    Args:
        part: What was judged on: valid, test or given.
        figures: Of the classifier there.
    """
    said = (
        f"accuracy {figures.accuracy:.1%} on {quantity(figures.num_told, 'label')} of {part_name(part)}, against "
        f"{figures.baseline_accuracy:.1%} by always telling {figures.most_frequent!r}: "
        f"{doubt(figures.p, 'independent labels')}"
    )
    gain = figures.accuracy - figures.baseline_accuracy
    if not figures.is_better:
        return verdict(said, gain, is_sure=False)
    worst = min((one for one in figures.classes if one.recall is not None), key=lambda one: one.recall or 0.0)
    missed = (
        "" if worst.recall == 1 else f"; least often right is {worst.name!r}, {worst.recall:.1%} of {worst.support}"
    )
    return f"{said[:1].upper()}{said[1:]}{missed}."


def _mean(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there)
