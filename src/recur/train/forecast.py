"""Training a forecaster from a table to a run folder, and going on with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from recur.data.series import Split, Windows
from recur.data.series.options import SeriesOptions
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.tasks.forecast.evaluation import finish_forecaster
from recur.tasks.forecast.season_choice import Season
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.train import processes
from recur.train.display import Display
from recur.train.forecast_preparation import prepare, training_windows
from recur.train.job import Judged, given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import device_kind
from recur.train.series import SeriesJob
from recur.train.series_preparation import one_source

VALIDATION_WINDOWS = 4_000
"""Windows of the validation part that are judged while training; all of them at the end."""

_BATCH_SIZE = 512
"""Windows that are judged at once."""


def train_forecaster(
    data: Any,
    *,
    out: str | Path | None = None,
    series: SeriesOptions | None = None,
    model: ForecasterOptions | None = None,
    training: SeriesTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a forecaster on series and return its run folder, with the best weights, figures and report.

    Args:
        data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe, arrays, a panel; or a list
            of one of the first two. A training on data that are not in a file cannot be resumed.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        series: How the data become series and parts.
        model: Form and size of the network.
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
        given_or_default(series, SeriesOptions),
        given_or_default(model, ForecasterOptions),
        given_or_default(training, SeriesTrainingOptions),
    )
    display = processes.first_shows(console)
    splits: list[Split] = []

    def prepared() -> RunFolder:
        run, split = prepare(source, None if out is None else Path(out), *chosen, overwrite, display)
        splits.append(split)
        return run

    run = processes.first_prepares(prepared)
    setup = ForecastSetup.load(run)
    if not splits:
        splits.append(setup.parts(setup.reading.first(source)))
    return run_job(_job(run, setup, splits[0]), display, resume=False)


def open_job(run: RunFolder, display: Display) -> SeriesJob:
    """Return the job of a run folder, its series read.

    Raises:
        RunError: The folder is damaged, or its data have changed or were not in a file.
    """
    display.start("reading the series")
    try:
        setup = ForecastSetup.load(run)
        split = setup.own_data()
    finally:
        display.stop()
    return _job(run, setup, split)


def _job(run: RunFolder, setup: ForecastSetup, split: Split) -> SeriesJob:
    training = stored_options(run, "training", SeriesTrainingOptions)
    options = stored_options(run, "model", ForecasterOptions.from_json)
    valid = setup.windows(split.valid, batch_size=_BATCH_SIZE)
    items = validation_items(valid, setup.season)
    return SeriesJob(
        run=run,
        training=training,
        build=lambda: ForecastNetwork(options, setup.shape),
        batches=training_windows(setup, split, batch_size=training.batch_size or 1, seed=training.seed),
        judge=lambda network: _judged(network, valid, items),
        judge_best=lambda display: _judge_best(run, split, device_kind(training), display),
    )


def validation_items(windows: Windows, season: Season) -> NDArray[np.int64]:
    """Return which windows are judged while training: every so many-th of all series, at all places of the season.

    Args:
        windows: Of the validation part.
        season: Of the series.
    """
    stride = season.stride(math.ceil(windows.num_windows / VALIDATION_WINDOWS))
    return np.arange(0, windows.num_windows, stride)


def _judged(network: ForecastNetwork, windows: Windows, items: NDArray[np.int64]) -> Judged:
    """Return the mean loss of the forecasts of some windows over the targets that count."""
    device = next(network.parameters()).device
    total = weight = 0.0
    for begin in range(0, len(items), _BATCH_SIZE):
        batch = windows.batch(items[begin : begin + _BATCH_SIZE])
        counted = float(batch.weight.sum())
        if counted:
            total += counted * float(network.forecast_loss(batch.to(device)))
            weight += counted
    return Judged(loss=total / weight)


def _judge_best(run: RunFolder, split: Split, device: str, display: Display) -> None:
    trained = TrainedForecaster.load(run, device=device)
    display.start("judging")
    finish_forecaster(
        run,
        trained,
        split,
        progress=lambda done, total: display.advance(done / max(total, 1), f"{done:,} of {total:,} windows"),
    )
    display.stop()
