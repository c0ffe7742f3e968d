"""What the loop asks of a task: a job, what one process does of it, and how that is counted and judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import nn

from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.tasks.gradient_task import GradientOptions, GradientTask
from recur.train.checkpoint import Carried
from recur.train.display import Display
from recur.train.options import TrainingOptions

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from recur.train.pace import Pace

Options = TypeVar("Options")


class Batches(Protocol):
    """Epochs of batches whose order the number of the epoch decides, so that they can begin anywhere."""

    def __len__(self) -> int:
        """Number of batches of an epoch."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of an epoch, the first time after `load_state_dict` from where that says."""

    def state_dict(self) -> dict[str, Any]:
        """Return "epoch" and "position", and what they count on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin there."""


class EndlessBatches:
    """The batches of all epochs in a row; one endless epoch to Lightning, so that a step is all there is to resume.

    Args:
        batches: Of an epoch.
        start: The step whose batch comes first.
    """

    def __init__(self, batches: Batches, start: int) -> None:
        self._batches = batches
        epoch, position = divmod(start, len(batches))
        batches.load_state_dict({**batches.state_dict(), "epoch": epoch, "position": position})

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield from self._batches


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What validation found.

    Attributes:
        loss: What the best weights have the least of, where there is no score.
        score: What they have the most of, the later ones of several; None where the loss decides.
        figures: What else its row in `metrics.jsonl` tells.
        is_kept: Whether these weights may be kept at all, such as only where they are surely better than a rule. Those
            before the first step are kept in any case.
    """

    loss: float
    figures: Mapping[str, float] = field(default_factory=dict)
    is_kept: bool = True
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What the speed of a training is counted in.

    Args:
        unit: What a batch has so many of, such as "tokens".
        count: Returns how many.
        shown_unit: What people are told, such as "characters"; `unit` when None.
        shown_per_unit: How many of those one of `unit` is.

    Example:
        >>> speed = Throughput(unit="tokens", count=len, shown_unit="characters", shown_per_unit=4.0)
        >>> speed.figures(250.0), speed.shown(250.0)
        ({'tokens_per_second': 250.0, 'characters_per_second': 1000.0}, '1,000 characters/s')
    """

    unit: str
    count: Callable[[Any], int]
    shown_unit: str | None = None
    shown_per_unit: float = 1.0

    def figures(self, speed: float) -> dict[str, float]:
        """Return what a row of metrics tells of `speed`, in units a second."""
        shown = {} if self.shown_unit is None else {f"{self.shown_unit}_per_second": speed * self.shown_per_unit}
        return {f"{self.unit}_per_second": speed, **shown}

    def shown(self, speed: float) -> str:
        """Return `speed`, in units a second, for people."""
        return f"{speed * self.shown_per_unit:,.0f} {self.shown_unit or self.unit}/s"


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """What one process does of a job.

    Attributes:
        task: Trains the network.
        batches: What this process learns from.
        carried: What a checkpoint holds of the task beside weights and optimiser.
        judge: Judges the network on the validation part, in the first process.
        throughput: What speed is counted in.
        sample: Returns the row of a sample for `metrics.jsonl` at each validation, or None.
        has_unused_parameters: Whether some parameters take no part in some steps.
        watchers: Returns further callbacks of the training.
    """

    task: GradientTask
    batches: Batches
    carried: Carried
    judge: Callable[[], Judged]
    throughput: Throughput
    sample: Callable[[], dict[str, Any] | None] = lambda: None
    has_unused_parameters: bool = False
    watchers: Callable[[Pace, Display], Sequence[Callback]] = lambda pace, display: ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(ABC):
    """A run that is to be trained: its data read, every option chosen.

    Attributes:
        run: The run folder, with its `config.json`.
        training: With every value chosen.
        keeps_newest: Whether the newest weights are saved and not those that validation found best.
        judges_beginning: Whether the weights before the first step are judged, and kept where none is better.
    """

    run: RunFolder
    training: TrainingOptions
    keeps_newest: bool = False
    judges_beginning: bool = False

    @property
    def way_on(self) -> str:
        """What to do to go on with the training when it is interrupted."""
        return f"recur train --resume {self.run.path}"

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network with freshly drawn weights; the seed was set just before."""

    @abstractmethod
    def share(self, network: Any, rank: int, count: int) -> Share:
        """Return what the process of number `rank` of `count` does, with the network that `network` returned."""

    @abstractmethod
    def finish(self, display: Display) -> None:
        """Judge the best weights on the held-out parts, write `evaluation.json`; in one process.

        Raises:
            TrainingError: The figures are not finite.
        """


def given_or_default(given: object, options: type[Options]) -> Options:
    """Return the options that a user gave, or where there are none the defaults.

    Raises:
        TypeError: They are options of something else, such as of another task, be they derived from these.
    """
    if given is None:
        return options()
    # No others that these are derived to: a run whose `config.json` has their fields too could not be read again.
    if type(given) is not options:
        raise TypeError(f"expected {options.__name__}, got {type(given).__name__}; give options of this kind, or none.")
    return given


def stored_options(run: RunFolder, section: str, options: Callable[..., Options]) -> Options:
    """Return the options that a section of `config.json` holds.

    Raises:
        RunError: They are damaged.
    """
    try:
        return options(**run.config()[section])
    except (KeyError, TypeError, OptionError) as error:
        raise RunError(f"{run.path / 'config.json'}: damaged: {section}: {error}.") from error


def gradient_options(training: TrainingOptions) -> GradientOptions:
    """Return what the options of a training say to its `GradientTask`."""
    assert training.learning_rate is not None
    return {
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,
        "max_norm": training.clip_norm,
        "max_value": training.clip_value,
        "max_layer_norm": training.clip_layer_norm,
        "max_ratio": training.clip_ratio,
        "skip_nonfinite": training.skip_nonfinite,
    }
