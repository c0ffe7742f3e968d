"""From a run of any task on series to a stream of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.errors import OptionError
from recur.run import RunFolder
from recur.streaming.detections import StreamedDetector
from recur.streaming.forecast_stream import ForecastStream
from recur.streaming.live_stream import Stream
from recur.streaming.told_labels import StreamedClassifier, StreamedRegressor
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.labels.trained import TrainedClassifier, TrainedRegressor
from recur.tasks.loading import load

if TYPE_CHECKING:
    import torch

_KINDS = {
    TrainedForecaster: "forecaster",
    TrainedDetector: "detector",
    TrainedClassifier: "classifier",
    TrainedRegressor: "regressor",
}
_OWNERS = {
    "levels": TrainedForecaster,
    "use_calibration": TrainedForecaster,
    "keep": TrainedForecaster,
    "coverage": TrainedRegressor,
}
"""Of which models the options are that not all have."""


def stream(
    run: str | Path | RunFolder | TrainedForecaster | TrainedDetector | TrainedClassifier | TrainedRegressor,
    *,
    state: str | Path | None = None,
    levels: Sequence[float] | None = None,
    use_calibration: bool = True,
    coverage: float | None = None,
    longest_gap: int | None = None,
    keep: int | None = None,
    time_format: str | None = None,
    decimal_comma: bool | None = None,
    device: str | torch.device = "cpu",
) -> Stream[Any]:
    """Return a stream on which a trained model goes on with live series.

    Args:
        run: The run folder, or what was trained, whose weights and calibration `Stream.learn` changes in place.
        state: A file that `Stream.save` wrote; None begins anew.
        levels: Of forecasters: probabilities of the quantiles that are told, between 0 and 1, growing; 0.1, 0.5 and 0.9
            by default.
        use_calibration: Of forecasters: whether quantiles are calibrated, where the run has a calibration.
        coverage: Of regressors: share of true numbers that the intervals should hold, between 0 and 1; 0.9 by default.
        longest_gap: Steps that may be missing between two rows of a series; after more it begins anew. By default as
            many as the model's window is long; 100 where it has none.
        keep: Of forecasters: newest steps of each series that are kept to learn from; by default four times as many as
            the model's window and horizon have.
        time_format: How times are written, where one alone can be read in two ways; as of
            `recur.data.series.Assembly`.
        decimal_comma: Whether numbers in text are written 1,5; if not given, they are written as those of the run were.
        device: Where the network shall compute, if `run` is a folder.

    Raises:
        RunError: The run or the state is missing, damaged, or the state is of another run.
        OptionError: An option is out of range or of other models, or the model cannot be streamed.
    """
    folder = None
    trained: Any = run
    if isinstance(run, str | Path | RunFolder):
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        trained = load(folder, device=device)
    given = {
        "levels": levels,
        "use_calibration": None if use_calibration else False,
        "keep": keep,
        "coverage": coverage,
    }
    _check_owners(trained, [name for name, value in given.items() if value is not None])
    common: dict[str, Any] = {
        "longest_gap": longest_gap,
        "time_format": time_format,
        "decimal_comma": decimal_comma,
    }
    made: Stream[Any]
    match trained:
        case TrainedForecaster():
            told = (0.1, 0.5, 0.9) if levels is None else levels
            made = ForecastStream(
                trained, levels=told, use_calibration=use_calibration, keep=keep, folder=folder, **common
            )
        case TrainedDetector():
            made = Stream(StreamedDetector(trained), **common)
        case TrainedClassifier():
            made = Stream(StreamedClassifier(trained), **common)
        case _:
            made = Stream(StreamedRegressor(trained, 0.9 if coverage is None else coverage), **common)
    if state is not None:
        made.restore(state)
    return made


def _check_owners(trained: Any, given: Sequence[str]) -> None:
    """Raise unless a model can be streamed and has all of the options."""
    kind = next((kind for kind in _KINDS if isinstance(trained, kind)), None)
    if kind is None:
        known = ", ".join(f"a {name}" for name in _KINDS.values())
        raise OptionError(f"stream: expected a trained model of series, {known}, got {type(trained).__name__}.")
    for name in given:
        if kind is not _OWNERS[name]:
            raise OptionError(f"{name}: is of {_KINDS[_OWNERS[name]]}s, and this is a {_KINDS[kind]}; leave it out.")
