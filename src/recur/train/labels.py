"""Training a classifier or a regressor of series to a run folder, and going on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from recur.data.series.batches import SeriesBatches
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.models.series_ensemble import SeriesEnsemble
from recur.models.series_labels import SeriesLabelNetwork
from recur.models.series_options import SeriesClassifierOptions, SeriesLabelOptions, SeriesRegressorOptions
from recur.run import RunFolder
from recur.tasks.labels.evaluation import finish_labels
from recur.tasks.labels.setup import LabelSetup, Parts, has_labels
from recur.tasks.labels.trained import TrainedClassifier, TrainedLabels, TrainedRegressor, build_network
from recur.tasks.summed_losses import summed_losses
from recur.train import processes
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.forecast import way_on
from recur.train.job import Judged, given_or_default, stored_options
from recur.train.label_preparation import prepare
from recur.train.loop import run_job
from recur.train.options import LabelTrainingOptions
from recur.train.preparation import device_kind
from recur.train.series_preparation import one_source

_BATCH_SIZE = 64
"""Series that are judged at once."""


def train_classifier(
    data: Any,
    *,
    out: str | Path | None = None,
    series: LabelOptions | None = None,
    model: SeriesClassifierOptions | None = None,
    training: LabelTrainingOptions | None = None,
    test: Any = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a classifier of series and return its run folder, with the weights, figures and report.

    Args:
        data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe, arrays, a panel; or a list
            of one of the first two. A training on data that are not in a file is resumed with the same data,
            unless `test` is not in one either.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        series: How the data become series and parts, and what the label is.
        model: Form and size of the network.
        training: How to train it.
        test: Series to judge on in the end, instead of a part of `data`; as `test_data` of the options, but also a
            dataframe or a panel.
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
    chosen = given_or_default(series, LabelOptions), given_or_default(model, SeriesClassifierOptions)
    return _train("classify", data, test, out, *chosen, training, overwrite, console)


def train_regressor(
    data: Any,
    *,
    out: str | Path | None = None,
    series: NumberOptions | None = None,
    model: SeriesRegressorOptions | None = None,
    training: LabelTrainingOptions | None = None,
    test: Any = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a regressor of series and return its run folder, with the weights, figures and report.

    Args:
        data: As of `train_classifier`.
        out: As of `train_classifier`.
        series: How the data become series and parts, and what the label is: a column, or how long a series will go on.
        model: Form and size of the network.
        training: How to train it.
        test: As of `train_classifier`.
        overwrite: As of `train_classifier`.
        console: As of `train_classifier`.

    Raises:
        DataError: As of `train_classifier`.
        RunError: As of `train_classifier`.
        OptionError: As of `train_classifier`.
        TrainingError: As of `train_classifier`.
        Interrupted: As of `train_classifier`.
        TypeError: As of `train_classifier`.
    """
    chosen = given_or_default(series, NumberOptions), given_or_default(model, SeriesRegressorOptions)
    return _train("regress", data, test, out, *chosen, training, overwrite, console)


def _train(
    task: str,
    data: Any,
    test: Any,
    out: str | Path | None,
    series: LabelOptions,
    model: SeriesLabelOptions,
    training: LabelTrainingOptions | None,
    overwrite: bool,
    console: Console | None,
) -> RunFolder:
    source = one_source(data)
    test = series.test_data if test is None else test
    options = given_or_default(training, LabelTrainingOptions)
    display = processes.first_shows(console)
    place = None if out is None else Path(out)

    def read(run: RunFolder) -> Parts:
        setup = LabelSetup.load(run)
        panel = setup.reading.first(source)
        return setup.parts(panel, None if test is None else setup.read(test))

    run, parts = processes.first_reads(
        lambda: prepare(task, source, test, place, series, model, options, overwrite, display), read
    )
    return run_job(_job(run, LabelSetup.load(run), parts), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its series read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the series"):
        setup = LabelSetup.load(run)
        parts = setup.own_parts(one_source(data))
    return _job(run, setup, parts)


def _job(run: RunFolder, setup: LabelSetup, parts: Parts) -> ExamplesJob:
    training = stored_options(run, "training", LabelTrainingOptions)
    kind = _kind_of(run)
    options = stored_options(run, "model", kind.options_type.from_json)
    batch_size = training.batch_size or 1

    def build() -> SeriesLabelNetwork | SeriesEnsemble:
        network = build_network(options, setup)
        # Of an order of their own, which what is trained on does not move on.
        network.fit_statistics(setup.training_batches(parts.train, batch_size=_BATCH_SIZE))
        return network

    judged = parts.valid if len(parts.valid) and has_labels(parts.valid) else parts.train
    valid = setup.training_batches(judged, batch_size=_BATCH_SIZE if setup.way != "windows" else 8 * _BATCH_SIZE)
    return ExamplesJob(
        run=run,
        training=training,
        keeps_newest=training.keep == "newest",
        build=build,
        batches=setup.training_batches(parts.train, batch_size=batch_size, seed=training.seed),
        judge=lambda network: _judged(network, valid),
        judge_best=lambda display: _judge_best(run, kind, parts, device_kind(training), display),
        unit="windows" if setup.way == "windows" else "series",
        resumed_by=way_on(run, setup),
    )


def _kind_of(run: RunFolder) -> type[TrainedClassifier] | type[TrainedRegressor]:
    return TrainedClassifier if run.config()["task"] == TrainedClassifier.task else TrainedRegressor


def _judged(network: SeriesLabelNetwork | SeriesEnsemble, batches: SeriesBatches) -> Judged:
    """Return the mean loss over the labels that count."""
    total, weight = summed_losses(network, (batch for batch in batches if bool(batch.weight.any())))
    return Judged(loss=total / weight)


def _judge_best(run: RunFolder, kind: type[TrainedLabels], parts: Parts, device: str, display: Display) -> None:
    trained = kind.load(run, device=device)
    with display.phase("judging"):
        finish_labels(run, trained, parts)
