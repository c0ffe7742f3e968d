"""What a stream needs of a trained model, whatever it tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recur.data.series import SeriesBatch
from recur.errors import OptionError
from recur.streaming.answers import Answers
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_setup import SeriesSetup
from recur.wording import option

SomeAnswers = TypeVar("SomeAnswers", bound=Answers)

Columns = dict[str, NDArray[Any]]
"""What is said of some steps, a row for each; by name."""


class Streamed(ABC, Generic[SomeAnswers]):
    """A trained model as a stream reads it: batches of steps, something said after some of them, a state.

    Args:
        network: In evaluation mode.
        setup: How data become what it reads.
        history: Steps by which a series is scaled that training had not, where each has its own scale.
        horizon: Steps ahead that are told of, and of which is read what is known.
        window: Steps that are read anew to tell of one; 0 where the state is carried.
        tells_between: Whether a batch can be answered for at any of its steps, or only at the last of each row.
        tells_unscaled: Whether something is told of a series that is shorter than the history by which it is scaled.

    Attributes:
        network: As given, like all others.
    """

    def __init__(
        self,
        network: nn.Module,
        setup: SeriesSetup,
        *,
        history: int,
        horizon: int = 0,
        window: int = 0,
        tells_between: bool = True,
        tells_unscaled: bool = True,
    ) -> None:
        self.network, self.setup = network, setup
        self.history, self.horizon, self.window = history, horizon, window
        self.tells_between, self.tells_unscaled = tells_between, tells_unscaled

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    @abstractmethod
    def begin(self, ids: Sequence[str]) -> Any:
        """Return the state of series before their first step: a nest of tensors with a dimension for the series."""

    @abstractmethod
    def read(self, batch: SeriesBatch, state: Any) -> Any:
        """Return the state after each row's last step."""

    @abstractmethod
    def tell(self, batch: SeriesBatch, state: Any, row: Tensor, step: Tensor) -> tuple[Columns, Any]:
        """Return what is said after `step` (M,) steps of `row` (M,), and the state after each row's last step."""

    @abstractmethod
    def blank(self, count: int) -> Columns:
        """Return what is said where nothing is known, of so many steps."""

    @abstractmethod
    def answers(self, said: Columns, ahead: NDArray[Any], **common: Any) -> SomeAnswers:
        """Return the answers.

        Args:
            said: Of each, A rows.
            ahead: The times of the steps after each, (A, horizon).
            common: What all answers have.
        """


def check_grid(setup: ForecastSetup) -> None:
    """Raise unless the steps of a run are equally far apart.

    Raises:
        OptionError: They are not.
    """
    if setup.time_unit is not None:
        raise OptionError(
            "stream: the run's steps are not equally far apart, as its series keep their gaps; train on series with "
            f"{option('gaps', 'grid')} to stream."
        )


def as_json(values: NDArray[Any]) -> list[Any]:
    """Return numbers (N,) as JSON can hold them: None where they are NaN."""
    return [None if value != value else value for value in values.astype(np.float64).tolist()]
