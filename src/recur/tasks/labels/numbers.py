"""How good numbers told of series are: figures, beside always telling the training part's mean, and in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from recur.errors import DataError
from recur.score import mae, nasa_score, rmse
from recur.tasks.labels.outcomes import SeriesOutcomes, p_of_gain
from recur.tasks.noise import SURE, doubt, verdict
from recur.wording import part_name, quantity


@dataclass(frozen=True, kw_only=True)
class RegressorFigures:
    """Figures of a regressor on one part, in the unit of the labels; labels that are only bounds do not count.

    Attributes:
        num_told: How many labels count.
        num_bounds: How many do not, because they are only lower bounds.
        bounds_broken: Share of the bounds that the told number lies below; None if there is none.
        rmse: Root mean squared error, weighted.
        mae: Mean absolute error, weighted.
        bias: Mean of what was told minus what is true, weighted.
        explained: One minus the mean squared error over that of the mean of these labels (R²); None if they are all
            the same.
        nasa: NASA's score, see `recur.score.nasa_score`; None unless the labels are remaining lives.
        baseline_rmse: Error of always telling the mean of the training part's labels.
        p: As of `recur.tasks.labels.outcomes.p_of_gain`, of the difference of the two squared errors.
    """

    num_told: int
    num_bounds: int
    bounds_broken: float | None
    rmse: float
    mae: float
    bias: float
    explained: float | None
    nasa: float | None
    baseline_rmse: float
    p: float | None

    @property
    def is_better(self) -> bool:
        """Whether it beats always telling that mean, by more than noise."""
        return self.rmse < self.baseline_rmse and self.p is not None and self.p < SURE

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them."""
        return asdict(self)


def judge_numbers(
    outcomes: SeriesOutcomes, train_mean: float, *, is_life: bool = False, window: int = 0
) -> RegressorFigures:
    """Return the figures of a regressor.

    Args:
        outcomes: What it told, of the part to judge on.
        train_mean: Mean of the labels of the training part, a regressor's `centre`.
        is_life: Whether the labels are remaining lives, in cycles, of which there is NASA's score.
        window: As of `recur.tasks.labels.outcomes.p_of_gain`.

    Raises:
        DataError: No label counts.
    """
    is_there = outcomes.weight > 0
    counts, is_bound = is_there & ~outcomes.is_bound, is_there & outcomes.is_bound
    target, told = outcomes.target[counts].double(), outcomes.output[counts].double()
    weight = outcomes.weight[counts].double()
    if not len(target):
        raise DataError("no label counts, so that there is nothing to judge the regressor by.")
    error = rmse(target, told, weight=weight)
    mean = (target * weight).sum() / weight.sum()
    spread = rmse(target, mean.expand_as(target), weight=weight)
    return RegressorFigures(
        num_told=len(target),
        num_bounds=int(is_bound.sum()),
        bounds_broken=_share(outcomes.output[is_bound] < outcomes.target[is_bound]),
        rmse=float(error),
        mae=float(mae(target, told, weight=weight)),
        bias=float(((told - target) * weight).sum() / weight.sum()),
        explained=float(1 - (error / spread) ** 2) if spread > 0 else None,
        nasa=float(nasa_score(target, told, weight=weight)) if is_life else None,
        baseline_rmse=float(rmse(target, torch.full_like(target, train_mean), weight=weight)),
        p=p_of_gain(
            weight * ((target - train_mean).square() - (target - told).square()),
            outcomes.of(counts),
            window=window,
        ),
    )


def number_verdict(part: str, figures: RegressorFigures) -> str:
    """Return whether always telling the training part's mean was beaten by more than noise; where not, that first.

    Args:
        part: What was judged on: valid, test or given.
        figures: Of the regressor there.
    """
    nasa = "" if figures.nasa is None else f" (NASA's score {figures.nasa:.4g})"
    said = (
        f"RMSE {figures.rmse:.4g}{nasa} on {quantity(figures.num_told, 'label')} of {part_name(part)}, against "
        f"{figures.baseline_rmse:.4g} by always telling the training part's mean: "
        f"{doubt(figures.p, 'independent labels')}"
    )
    return verdict(said, figures.baseline_rmse - figures.rmse, is_sure=figures.is_better)


def _share(which: torch.Tensor) -> float | None:
    return float(which.double().mean()) if len(which) else None
