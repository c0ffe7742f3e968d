"""Classes and numbers on streams: of each step, or of a series so far."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import SeriesBatch
from recur.errors import OptionError
from recur.streaming.answers import Answers
from recur.streaming.streamed import Columns, SomeAnswers, Streamed, as_json
from recur.tasks.labels.setup import WINDOW
from recur.tasks.labels.trained import (
    LabelNetwork,
    TrainedClassifier,
    TrainedLabels,
    TrainedRegressor,
    check_coverage,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ToldClasses(Answers):
    """The classes of the rows that were pushed, or of their series so far.

    `rows` has of each `label`, its `probability`, and `probabilities`, a dictionary by class; `to_polars` has the
    columns of `recur.TrainedClassifier.predict`.

    Attributes:
        probabilities: (A, K) float32.
        classes: K names.
        label: What is told.
    """

    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    label: str

    @property
    def told(self) -> list[str]:
        """The class of each."""
        return [self.classes[code] for code in self.probabilities.argmax(axis=1).tolist()]

    def _said(self) -> Iterator[dict[str, Any]]:
        for name, shares in zip(self.told, self.probabilities.tolist(), strict=True):
            by_class = dict(zip(self.classes, shares, strict=True))
            yield {"label": name, "probability": by_class[name], "probabilities": by_class}

    def _cells(self) -> Mapping[str, Any]:
        shares = {f"p({name})": self.probabilities[:, code].copy() for code, name in enumerate(self.classes)}
        return {self.label: self.told, "probability": self.probabilities.max(axis=1, initial=0.0), **shares}


@dataclass(frozen=True, kw_only=True, eq=False)
class ToldNumbers(Answers):
    """The numbers of the rows that were pushed, or of their series so far.

    `rows` has of each `label`, `lower` and `upper`; `to_polars` has the columns of `recur.TrainedRegressor.predict`.

    Attributes:
        values: The number and the ends of its interval, (A, 3) float32; the latter NaN where too few were held out.
        label: What is told.
    """

    values: NDArray[np.float32]
    label: str

    def _said(self) -> Iterator[dict[str, Any]]:
        for told, lower, upper in zip(*(as_json(self.values[:, place]) for place in range(3)), strict=True):
            yield {"label": told, "lower": lower, "upper": upper}

    def _cells(self) -> Mapping[str, Any]:
        return {name: self.values[:, place].copy() for place, name in enumerate((self.label, "lower", "upper"))}


class StreamedLabels(Streamed[SomeAnswers]):
    """Reads steps with a network that tells labels, of each step or of the series so far.

    Where the run tells a step from the last ones, these are read anew with each, as in the batch.

    Args:
        trained: What tells.

    Raises:
        OptionError: What is told of a step depends on later ones.
    """

    def __init__(self, trained: TrainedLabels) -> None:
        setup = trained.setup
        if setup.way != "windows":
            if trained.options.bidirectional:
                raise OptionError(
                    "stream: the network reads each series from its end too, so that what it says of a step depends on "
                    "later ones; train one without bidirectional."
                )
            if setup.scaler.per_series:
                raise OptionError(
                    "stream: the series of the run are scaled each by all of its rows, so that what is said of a step "
                    "depends on later ones; train one without scale_apart."
                )
        super().__init__(
            trained.network,
            setup,
            history=setup.window or WINDOW,
            window=setup.window,
            tells_between=trained.network.per_step,
        )
        self.network: LabelNetwork = trained.network
        self.label = setup.label

    def begin(self, ids: Sequence[str]) -> Any:
        """Return the state of series before their first step; none where windows are read anew."""
        if self.window:
            return ()
        with torch.no_grad():
            return self.network.begin(len(ids))

    def read(self, batch: SeriesBatch, state: Any) -> Any:
        """Return the state after each row's last step."""
        return self._outputs(batch, state)[1]

    def tell(self, batch: SeriesBatch, state: Any, row: Tensor, step: Tensor) -> tuple[Columns, Any]:
        """Return what is told after `step` (M,) steps of `row` (M,), and the state after each row's last step."""
        output, after = self._outputs(batch, state)
        chosen = output[row, step - 1] if self.network.per_step else output[row]
        return {"told": self._told(chosen.cpu())}, after

    def _outputs(self, batch: SeriesBatch, state: Any) -> tuple[Tensor, Any]:
        with torch.inference_mode():
            output, after = self.network(batch.to(self.device), state or None)
        return output, () if self.window else after

    @abstractmethod
    def _told(self, output: Tensor) -> NDArray[np.float32]:
        """Return what outputs of the network say, (M, ...), as `blank` has it."""


class StreamedClassifier(StreamedLabels[ToldClasses]):
    """As of `StreamedLabels`, classes.

    Args:
        classifier: What tells.

    Raises:
        OptionError: As of `StreamedLabels`.
    """

    def __init__(self, classifier: TrainedClassifier) -> None:
        super().__init__(classifier)
        self.classifier = classifier

    def _told(self, output: Tensor) -> NDArray[np.float32]:
        return self.classifier.probabilities(output).numpy()

    def blank(self, count: int) -> Columns:
        """Return no probabilities of so many steps, (A, K)."""
        return {"told": np.zeros((count, len(self.classifier.classes)), np.float32)}

    def answers(self, said: Columns, ahead: NDArray[Any], **common: Any) -> ToldClasses:
        """Return the classes."""
        return ToldClasses(probabilities=said["told"], classes=self.classifier.classes, label=self.label, **common)


class StreamedRegressor(StreamedLabels[ToldNumbers]):
    """As of `StreamedLabels`, numbers.

    Args:
        regressor: What tells.
        coverage: Share of true numbers that the intervals should hold, between 0 and 1.

    Raises:
        OptionError: As of `StreamedLabels`, or `coverage` is out of range.
    """

    def __init__(self, regressor: TrainedRegressor, coverage: float) -> None:
        check_coverage(coverage)
        super().__init__(regressor)
        self.regressor, self.coverage = regressor, coverage

    def _told(self, output: Tensor) -> NDArray[np.float32]:
        return self.regressor.said(output, self.coverage).numpy()

    def blank(self, count: int) -> Columns:
        """Return no numbers of so many steps, (A, 3)."""
        return {"told": np.full((count, 3), np.nan, np.float32)}

    def answers(self, said: Columns, ahead: NDArray[Any], **common: Any) -> ToldNumbers:
        """Return the numbers."""
        return ToldNumbers(values=said["told"], label=self.label, **common)
