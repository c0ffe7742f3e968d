"""Anomalies on streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import SeriesBatch
from recur.streaming.answers import Answers
from recur.streaming.streamed import Columns, Streamed, as_json, check_grid
from recur.tasks.detect.alarms import alarm_begins
from recur.tasks.detect.scoring import Scores, ScoringState
from recur.tasks.detect.trained import TrainedDetector


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections(Answers):
    """How strange the rows are that were pushed.

    `rows` has of each `score`, `alarm`, `begins` and `because`, a dictionary by channel; `to_polars` has the columns
    of `recur.TrainedDetector.predict`.

    Attributes:
        score: (A,) float64; NaN where nothing can be said.
        alarm: Whether it is above the threshold, (A,).
        begins: Whether that is a new alarm, with none in the last `quiet` steps, (A,).
        channels: What each channel adds to the score, (A, C) float64.
        targets: Names of the channels, C.
    """

    score: NDArray[np.float64]
    alarm: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    channels: NDArray[np.float64]
    targets: tuple[str, ...]

    def _said(self) -> Iterator[dict[str, Any]]:
        because = zip(*(as_json(self.channels[:, place]) for place in range(len(self.targets))), strict=True)
        common = zip(as_json(self.score), self.alarm.tolist(), self.begins.tolist(), because, strict=True)
        for score, alarm, begins, added in common:
            by_channel = dict(zip(self.targets, added, strict=True))
            yield {"score": score, "alarm": alarm, "begins": begins, "because": by_channel}

    def _cells(self) -> Mapping[str, Any]:
        added = {f"because {name}": self.channels[:, place].copy() for place, name in enumerate(self.targets)}
        return {"score": self.score, "alarm": self.alarm, "begins": self.begins, **added}


class StreamedDetector(Streamed[Detections]):
    """Reads steps with a detector, and says how strange they are.

    A series that training had not has no score in the steps by which it is scaled, as in the batch.

    Args:
        detector: Which knows what is ordinary.

    Raises:
        OptionError: The steps of the run are not equally far apart.
        RunError: Nothing is known of what is ordinary.
    """

    def __init__(self, detector: TrainedDetector) -> None:
        setup = detector.setup
        check_grid(setup)
        super().__init__(detector.network, setup, history=setup.history, tells_unscaled=False)
        self.detector, self.threshold = detector, detector.threshold

    def begin(self, ids: Sequence[str]) -> Any:
        """Return the state of series before their first step, to which errors as large as in training are ordinary."""
        state = self.detector.begin(ids)
        scoring = self.detector.scoring
        with torch.no_grad():
            network = scoring.network.begin(len(ids)) if scoring.has_network else None
        return _nest(state._replace(network=network))

    def read(self, batch: SeriesBatch, state: Any) -> Any:
        """Return the state after each row's last step."""
        return self._advanced(batch, state)[1]

    def tell(self, batch: SeriesBatch, state: Any, row: Tensor, step: Tensor) -> tuple[Columns, Any]:
        """Return the scores of the last of `step` (M,) steps of `row` (M,), and the state after each row's last."""
        scores, after = self._advanced(batch, state)
        said = {"score": scores.score, "channels": scores.channels, "highest": scores.highest}
        return {name: values[row, step - 1].numpy() for name, values in said.items()}, after

    def _advanced(self, batch: SeriesBatch, state: Any) -> tuple[Scores, Any]:
        network, season, *rest = state
        scores, after = self.detector.advance(batch, ScoringState(network, season or None, *rest))
        return scores, _nest(after)

    def blank(self, count: int) -> Columns:
        """Return no scores of so many steps: (A,), (A, C) and (A,) float64."""
        num_targets = len(self.setup.schema.targets)
        return {
            "score": np.full(count, np.nan),
            "channels": np.full((count, num_targets), np.nan),
            "highest": np.full(count, -np.inf),
        }

    def answers(self, said: Columns, ahead: NDArray[Any], **common: Any) -> Detections:
        """Return the scores, and which of them are alarms."""
        return Detections(
            score=said["score"],
            alarm=np.greater(said["score"], self.threshold),
            begins=alarm_begins(said["score"], said["highest"], self.threshold),
            channels=said["channels"],
            targets=self.setup.schema.targets,
            **common,
        )


def _nest(state: ScoringState) -> ScoringState:
    """Return a state whose parts are all nests of tensors: what there is not has none."""
    return state._replace(season=state.season or (), network=state.network or ())  # type: ignore[arg-type]
