"""Training a detector of anomalies from a table to a run folder, and going on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from recur.data.series import Split, Windows
from recur.data.series.options import DetectionOptions
from recur.models.detector_choice import build_detector
from recur.models.detector_options import DetectorOptions
from recur.run import RunFolder
from recur.tasks.detect.judgement import finish_detector
from recur.tasks.detect.marked_steps import without_marked
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.setup import ForecastSetup
from recur.train import processes
from recur.train.detect_preparation import prepare_detector
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.forecast import way_on
from recur.train.forecast_judge import some_items
from recur.train.forecast_preparation import training_windows
from recur.train.job import Judged, given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import device_kind
from recur.train.series_preparation import one_source

_BATCH_SIZE = 256


def train_detector(
    data: Any,
    *,
    out: str | Path | None = None,
    series: DetectionOptions | None = None,
    model: DetectorOptions | None = None,
    training: SeriesTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a detector of anomalies on series and return its run folder, with best weights, threshold, figures, report.

    Nobody needs to say which steps are anomalies. Where a column does, those that it marks in the training and the
    validation part count as missing, so that they are not taken for ordinary; what the detector finds in the test part
    is judged by it.

    Args:
        data: As of `recur.train_forecaster`.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        series: How the data become series and parts. All columns of numbers are looked for anomalies, unless targets
            are named.
        model: Form and size of the network, and when it raises an alarm.
        training: How to train it.
        overwrite: Whether a run that stands at `out` is replaced.
        console: Where progress is shown; standard error by default.

    Raises:
        DataError: The data cannot be used.
        RunError: The run folder cannot be made or written.
        OptionError: Options make no sense.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
        TypeError: Options are of another kind.
    """
    source = one_source(data)
    chosen = (
        given_or_default(series, DetectionOptions),
        given_or_default(model, DetectorOptions),
        given_or_default(training, SeriesTrainingOptions),
    )
    display = processes.first_shows(console)
    run, split = processes.first_reads(
        lambda: prepare_detector(source, None if out is None else Path(out), *chosen, overwrite, display),
        lambda run: ForecastSetup.load(run).first_parts(source),
    )
    setup = ForecastSetup.load(run)
    return run_job(_job(run, setup, split), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its series read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the series"):
        setup = ForecastSetup.load(run)
        split = setup.own_data(one_source(data))
    return _job(run, setup, split)


def _job(run: RunFolder, setup: ForecastSetup, split: Split) -> ExamplesJob:
    training = stored_options(run, "training", SeriesTrainingOptions)
    options = stored_options(run, "model", DetectorOptions.from_json)
    learned = without_marked(split)
    valid = setup.windows(learned.valid, batch_size=_BATCH_SIZE)
    items = some_items(valid, setup.season)
    return ExamplesJob(
        run=run,
        training=training,
        build=lambda: build_detector(options, setup.shape),
        batches=training_windows(setup, learned, batch_size=training.batch_size or 1, seed=training.seed),
        judge=lambda network: _judged(network, valid, items),
        judge_best=lambda display: _judge_best(run, split, device_kind(training), display),
        resumed_by=way_on(run, setup),
    )


def _judged(network: Any, windows: Windows, items: NDArray[np.int64]) -> Judged:
    """Return the mean absolute error on some windows, over what lies in the part."""
    device = next(nn.Module.parameters(network)).device
    total = weight = 0.0
    for begin in range(0, len(items), _BATCH_SIZE):
        errors, counted = network.absolute_errors(windows.batch(items[begin : begin + _BATCH_SIZE]).to(device))
        total, weight = total + float(errors), weight + float(counted)
    return Judged(loss=total / max(weight, 1e-9))


def _judge_best(run: RunFolder, split: Split, device: str, display: Display) -> None:
    trained = TrainedDetector.load(run, device=device)
    with display.phase("judging"):
        finish_detector(run, trained, split)
