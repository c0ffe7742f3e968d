"""Whether forecasts are better than the best naive rule, and whether that is more than noise; in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.tasks.noise import SURE, MeanTest, doubt, mean_test, verdict
from recur.wording import measured

_LOSS_OF = {"MAE": "mae", "RMSE": "mse", "MASE": "mase"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The model beside the rule that is best by one measure.

    Attributes:
        measure: MAE, RMSE or MASE.
        model: The model's figure.
        rule: The rule's name.
        best: The rule's figure.
        test: Of the difference of their losses; None where there are too few origins.
    """

    measure: str
    model: float
    rule: str
    best: float
    test: MeanTest | None

    @property
    def is_better(self) -> bool:
        """Whether the model's figure is below the rule's."""
        # False for figures that are no numbers.
        return self.model < self.best

    @property
    def is_sure(self) -> bool:
        """Whether the difference is more than noise."""
        return self.test is not None and self.test.p < SURE

    @property
    def gain(self) -> float:
        """By which share the model's figure is below the rule's; 0 where that is 0."""
        return 1 - self.model / self.best if self.best > 0 else 0.0

    @property
    def words(self) -> str:
        """The figures in words, without a full stop."""
        side = "below" if self.is_better else "above"
        if self.model == self.best:
            side = "like"
        elif self.best > 0:
            side = f"{abs(self.gain):.1%} {side}"
        return f"{self.measure} {measured(self.model)}, {side} {self.rule} ({measured(self.best)})"

    @property
    def doubt(self) -> str:
        """How sure the difference is."""
        return doubt(None if self.test is None else self.test.p, "origins")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the model is worth having, in one or two sentences.

    Attributes:
        comparisons: The first is what it hangs on.
        part: What it was judged on.
    """

    comparisons: tuple[Comparison, ...]
    part: str

    @property
    def is_better(self) -> bool:
        """Whether the model beats the best naive rule, by more than noise."""
        return bool(self.comparisons) and self.comparisons[0].is_better and self.comparisons[0].is_sure

    @property
    def text(self) -> str:
        """The verdict; where the model does not beat the best rule, that comes first."""
        if not self.comparisons:
            return f"There is nothing to compare with on the {self.part} part."
        first, others = self.comparisons[0], self.comparisons[1:]
        found = f"{first.words}, on the {self.part} part: {first.doubt}"
        said = verdict(found, first.best - first.model, is_sure=first.is_sure, rule="best naive rule")
        if not first.is_better:
            said += f" As long as that is so, take {first.rule}."
        for other in others:
            contrast = ""
            if other.is_better and not first.is_better and other.is_sure:
                contrast = "By another measure it does: "
            elif first.is_better and not other.is_better:
                contrast = "But by another measure it does NOT: "
            said += f" {contrast}{other.words}; {other.doubt}."
        return said

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as it stands in `forecast_evaluation.json`."""
        return {
            "text": self.text,
            "is_better": self.is_better,
            "comparisons": [
                {
                    **{key: value for key, value in asdict(each).items() if key != "test"},
                    "gain": each.gain,
                    "p": None if each.test is None else each.test.p,
                }
                for each in self.comparisons
            ],
        }


def compare(
    measure: str,
    figures: Mapping[str, Mapping[str, float | None]],
    losses: Mapping[str, Mapping[str, NDArray[np.float64]]],
    overlap: int,
    rules: Sequence[str],
) -> Comparison | None:
    """Return the model beside the best rule by a measure; None where either has no figure.

    Args:
        measure: MAE, RMSE or MASE.
        figures: Of "model" and each rule, by the measure's name in small letters.
        losses: Of "model" and each rule, the sum of the losses at each origin, in the order of time, by loss.
        overlap: As of `mean_test`.
        rules: Names of the rules.
    """
    key = measure.lower()
    known = {rule: value for rule in rules if (value := figures[rule][key]) is not None}
    own = figures["model"][key]
    if own is None or not known:
        return None
    rule = min(known, key=lambda name: known[name])
    loss = _LOSS_OF[measure]
    test = mean_test(losses["model"][loss] - losses[rule][loss], overlap)
    return Comparison(measure=measure, model=own, rule=rule, best=known[rule], test=test)
