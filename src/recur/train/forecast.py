"""Training a forecaster from a table to a run folder, and going on with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from recur.data.series import Split
from recur.data.series.options import SeriesOptions
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.tasks.forecast.evaluation import finish_forecaster
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.series_setup import SeriesSetup
from recur.train import checkpoint, processes
from recur.train.display import Display
from recur.train.ensemble import Ensemble, member_folder, train_job
from recur.train.examples_job import ExamplesJob
from recur.train.forecast_judge import BATCH_SIZE, MOST_WINDOWS, ForecastJudge, kept_step, some_items
from recur.train.forecast_preparation import prepare, training_windows
from recur.train.job import Job, given_or_default, stored_options
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import device_kind
from recur.train.series_preparation import one_source

_MOST_NUMBERS = 1 << 20
"""Targets of the training part that a network's beginning is fitted to."""


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
            of one of the first two. A training on data that are not in a file is resumed with the same data.
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
    run, split = processes.first_reads(
        lambda: prepare(source, None if out is None else Path(out), *chosen, overwrite, display),
        lambda run: ForecastSetup.load(run).first_parts(source),
    )
    setup = ForecastSetup.load(run)
    return train_job(_job(run, setup, split), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob | Ensemble:
    """Return the job of a run folder, its series read, of several networks one for each.

    `recur.train.table.Task.open_job` says more.
    """
    with display.phase("reading the series"):
        setup = ForecastSetup.load(run)
        split = setup.own_data(one_source(data))
    return _job(run, setup, split)


def _job(run: RunFolder, setup: ForecastSetup, split: Split) -> ExamplesJob | Ensemble:
    training = stored_options(run, "training", SeriesTrainingOptions)
    options = stored_options(run, "model", ForecasterOptions.from_json)

    def judge_best(display: Display) -> None:
        _judge_best(run, split, device_kind(training), display)

    if options.members == 1:
        return _single(run, setup, split, options, training, judge_best, way_on(run, setup))
    single = replace(options, members=1)

    def opened(number: int) -> ExamplesJob:
        own = replace(training, seed=training.seed + number - 1, no_report=True)
        folder = _open_member(run, setup, number, single, own)
        return _single(folder, setup, split, single, own, lambda display: None, way_on(run, setup))

    def finish(jobs: Sequence[Job], display: Display) -> None:
        weights = [job.run.load_weights() for job in jobs]
        run.save_weights({f"members.{n}.{key}": value for n, own in enumerate(weights) for key, value in own.items()})
        judge_best(display)

    return Ensemble(
        run=run,
        members=[partial(opened, number) for number in range(1, options.members + 1)],
        finish=finish,
        way_on=way_on(run, setup),
        no_report=training.no_report,
    )


def _single(
    run: RunFolder,
    setup: ForecastSetup,
    split: Split,
    options: ForecasterOptions,
    training: SeriesTrainingOptions,
    judge_best: Callable[[Display], None],
    resumed_by: str,
) -> ExamplesJob:
    """Return the job of one network."""
    judge = ForecastJudge(setup.windows(split.valid, batch_size=BATCH_SIZE), setup.season)
    windows = training_windows(setup, split, batch_size=training.batch_size or 1, seed=training.seed)
    # A rule needs less to go on from than a network.
    least = min(setup.least_history, max(2, options.season or 1))
    beginnings = setup.windows(split.train, batch_size=BATCH_SIZE, least_history=least)

    def build() -> ForecastNetwork:
        network = ForecastNetwork(options, setup.shape)
        if network.starts_at_rules:
            most = max(1, _MOST_NUMBERS // (setup.horizon * setup.shape.num_targets))
            items = some_items(beginnings, setup.season, most=min(most, MOST_WINDOWS))
            pieces = range(0, len(items), BATCH_SIZE)
            network.start(beginnings.batch(items[begin : begin + BATCH_SIZE]) for begin in pieces)
            judge.begin(network)
        return network

    def judge_and_say(display: Display) -> None:
        if judge.has_begun and kept_step(run) == 0:
            display.say(
                "note     the network is kept as it began, at a mix of simple rules: nothing that it learned told the "
                "validation part better by more than noise"
            )
        judge_best(display)

    return ExamplesJob(
        run=run,
        training=training,
        build=build,
        batches=windows,
        judge=judge,
        judge_best=judge_and_say,
        resumed_by=resumed_by,
        judges_beginning=options.normalize != "series",
    )


def way_on(run: RunFolder, setup: SeriesSetup) -> str:
    """Return what to do to go on with a training that is interrupted."""
    if setup.source is None or setup.source.path is None:
        return f"recur.train.resumption.resume({str(run.path)!r}, data=...), with the same data"
    return f"recur train --resume {run.path}"


def _open_member(
    run: RunFolder, setup: ForecastSetup, number: int, options: ForecasterOptions, training: SeriesTrainingOptions
) -> RunFolder:
    """Return the run folder of one of several networks, made where it is not there yet."""
    folder = member_folder(run, number)
    if not folder.has("config.json"):
        folder = RunFolder.create(folder.path, overwrite=folder.path.exists())
        setup.save(folder)
    # The bounds of the run that they are members of may have changed.
    config = {**run.config(), "model": asdict(options), "training": asdict(training)}
    folder.write_json("config.json", config)
    folder.forget_metrics_after(checkpoint.step_of(folder))
    return folder


def _judge_best(run: RunFolder, split: Split, device: str, display: Display) -> None:
    trained = TrainedForecaster.load(run, device=device)
    with display.phase("judging"):
        finish_forecaster(
            run,
            trained,
            split,
            progress=lambda done, total: display.advance(done / max(total, 1), f"{done:,} of {total:,} windows"),
        )
