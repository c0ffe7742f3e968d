"""What comes before training a detector: reading the series, choosing what was left open, the run folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recur.data.epochs import check_sharing
from recur.data.series import Columns, Panel, Split
from recur.data.series.labels import holds_marks, is_called_fault
from recur.data.series.options import DetectionOptions
from recur.errors import DataError, OptionError
from recur.models.detector_choice import build_detector, choose_detector
from recur.models.detector_options import DetectorOptions
from recur.models.layer_back_ends import explain_layers
from recur.run import RunFolder
from recur.tasks.detect.marked_steps import left_out_note, marked_steps, without_marked
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.detect.truth import check_truth, unnamed_marks_note
from recur.tasks.forecast.season_choice import choose_season, season_of_calendar
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_reading import SeriesReading
from recur.train import processes, series_choice
from recur.train.display import Display
from recur.train.forecast_preparation import training_windows
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import NewRun
from recur.train.series_preparation import reading_of, say_what_was_read
from recur.wording import cell_name, enumerated, option, quantity

_FEW_ROWS, _FEW_OF_SERIES = 2_000, 100
"""With fewer rows, and so many more of each series, it is tried out whether a threshold can be fitted."""


def prepare_detector(
    data: Any,
    out: Path | None,
    series: DetectionOptions,
    options: DetectorOptions,
    training: SeriesTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, Split]:
    """Read the series, choose what was left open, and return a new run folder and the parts; otherwise as of training.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    path = str(data) if isinstance(data, str | os.PathLike) else None
    new = NewRun.at(out, [] if path is None else [path], training, what="series", overwrite=overwrite)
    with display.phase("reading the series"):
        reading = reading_of(series, data)
        # What says which steps are anomalies may say it in the data to judge on alone.
        reading = replace(reading, assembly=replace(reading.assembly, labels="mark"))
        reading, panel = read_channels(data, reading)
    panel = replace(panel, notes=(*panel.notes, *unnamed_marks_note(panel)))
    say_what_was_read(panel, display)
    setup, split, options, reasons = fit_detector_setup(
        panel, series, options, reading=reading, path=path, seed=training.seed
    )
    count = processes.count(training.devices)
    num_windows = training_windows(setup, without_marked(split), batch_size=1).num_windows
    chosen = series_choice.choose(replace(training, devices=count), num_items=num_windows, has_gpu=new.device != "cpu")
    training = replace(chosen, devices=training.devices)
    assert training.batch_size is not None
    # Before a folder is made.
    check_sharing(training.batch_size, count)
    torch.manual_seed(training.seed)
    network = build_detector(options, setup.shape)
    _check_can_be_fitted(setup, split, options, network)
    run = new.write(
        "detect",
        {"data": series, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=explain_layers(network.to(new.device), training.batch_size, setup.history),
        tensors=setup.tensors(),
    )
    _describe(setup, split, options, reasons, training, num_windows, run, display)
    return run, split


def _check_can_be_fitted(setup: ForecastSetup, split: Split, options: DetectorOptions, network: nn.Module) -> None:
    """Raise where too few steps could be scored for a threshold, which does not depend on what is learned.

    Raises:
        DataError: They are too few.
    """
    # Steps that are marked are not learned from.
    rows = (split.train.has_row | split.valid.has_row) & ~marked_steps(split)
    if np.count_nonzero(rows) < _FEW_ROWS + _FEW_OF_SERIES * len(split.train.panel):
        TrainedDetector(network, setup, options).fitted(split)
        network.train()


def read_channels(data: Any, reading: SeriesReading) -> tuple[SeriesReading, Panel]:
    """Return how data are read with every column of numbers a target, unless targets were named, and the panel.

    A number that would only help to forecast another can be strange itself. Text may say how the steps are, such as
    "failure", so that none that changes from step to step is read unless it was named. A number that is called as what
    is strange, and marks few steps, is the label where none is given.
    """
    columns = reading.columns or Columns()
    # Who names some text that helps does not mean that numbers are left out.
    has_named = reading.form == "long" and bool(columns.past_only)
    panel = (replace(reading, columns=replace(columns, past_only=None)) if has_named else reading).first(data)
    roles = panel.schema.roles
    if roles is None or reading.form != "long":
        return reading, reading.first(data) if has_named else panel
    given = {name for names in columns.given().values() for name in names}
    mark = None if roles.label or columns.label is not None else _mark_among(panel, given)
    if mark is not None:
        reading, panel = read_channels(data, replace(reading, columns=replace(columns, label=mark)))
        return reading, _with_reason(panel, mark, "named like what is strange, holds 0 and 1")
    channels = roles.targets
    if columns.targets is None:
        numbers = (name for name in (*roles.targets, *roles.past_only) if name not in roles.categorical)
        channels = tuple(name for name in numbers if name not in given)
    if not channels:
        raise DataError(f"no column of numbers is left to look for anomalies in; name some with {option('targets')}.")
    past = tuple(name for name in (*roles.targets, *roles.past_only) if name not in channels)
    text = tuple(name for name in (*roles.known_future, *past) if name in roles.categorical and name not in given)
    past = tuple(name for name in past if name not in text)
    if channels == roles.targets and not (text or has_named):
        return reading, panel
    columns = replace(columns, targets=channels, past_only=past, ignored=(*roles.ignored, *text))
    reading = replace(reading, columns=columns)
    panel = reading.first(data)
    again = panel.schema.roles
    assert again is not None
    # What was found out here was not given.
    why = dict.fromkeys(channels, "a column of numbers")
    why |= dict.fromkeys(text, "text, which may say how the steps are; name it to have it read")
    why |= dict.fromkeys(given, "given")
    reasons = {name: why.get(name) or roles.reasons.get(name, said) for name, said in again.reasons.items()}
    return reading, replace(panel, schema=replace(panel.schema, roles=replace(again, reasons=reasons)))


def _mark_among(panel: Panel, given: Collection[str]) -> str | None:
    """Return the channel that is called as what is strange and marks few steps, of those that were not given.

    Where it is the only one it is what there is to look at.
    """
    channels = panel.schema.channels
    named = [number for number, name in enumerate(channels) if name not in given and is_called_fault(name)]
    marks = (channels[number] for number in named if holds_marks(panel.values[:, number]))
    return next(marks, None) if len(channels) > 1 else None


def _with_reason(panel: Panel, name: str, reason: str) -> Panel:
    """Return a panel with another reason for what a column is for."""
    roles = panel.schema.roles
    assert roles is not None
    roles = replace(roles, reasons={**roles.reasons, name: reason})
    return replace(panel, schema=replace(panel.schema, roles=roles))


def fit_detector_setup(
    panel: Panel,
    series: DetectionOptions,
    options: DetectorOptions,
    *,
    reading: SeriesReading,
    path: str | None,
    seed: int,
) -> tuple[ForecastSetup, Split, DetectorOptions, dict[str, str]]:
    """Return how the data become windows, the parts, the options without a None, and why each was chosen.

    Raises:
        DataError: There are no targets, they are too few, or a label does not say which steps are anomalies.
        OptionError: An option makes no sense for these data.
    """
    if not panel.schema.targets:
        if panel.schema.roles is None:
            raise DataError(
                "the series come with labels of their own, as those of a .ts file do, and have no targets to look for "
                "anomalies in; give a table, or an array without labels."
            )
        raise DataError(f"the series have no numbers to look for anomalies in; name some with {option('targets')}.")
    check_truth(panel)
    partition = series.partition(has_parts=panel.rows.part is not None, seed=seed)
    split = partition.of(panel)
    if not len(split.valid):
        raise OptionError("valid: a detector needs a validation part, by which the best weights are chosen.")
    own = _ordinary(split)
    season = choose_season(own.train)
    longest = int((own.train.stop - own.train.start).max())
    seasons = [season.steps]
    if panel.frequency is None:
        # Series of different steps repeat by the clock.
        seasons = [season_of_calendar(one) for one in set(panel.frequencies) if one is not None] or seasons
    num_targets = len(panel.schema.targets)
    num_values = int(np.count_nonzero(~np.isnan(own.train.panel.values[own.train.has_row, :num_targets])))
    options, reasons = choose_detector(options, num_values=num_values, longest=longest, season=max(seasons))
    assert options.history is not None
    setup, split = ForecastSetup.fit(
        panel,
        history=options.history,
        horizon=1,
        # Series that are shorter than the history are learned from too.
        least_history=max(1, options.history // 4),
        partition=partition,
        scaling=series.scaling or "standard",
        per_series=not series.scale_together,
        calendar=series.features,
        season=season,
        reading=reading,
        path=path,
        learned=without_marked,
    )
    return setup, split, options, reasons


def _ordinary(split: Split) -> Split:
    """Return the parts as they are learned from.

    Raises:
        DataError: All of the training or of the validation part is marked.
    """
    marked = marked_steps(split)
    for part in (split.train, split.valid):
        if marked[part.has_row].all():
            raise DataError(
                f"column {part.panel.schema.label!r} marks all {quantity(len(part), 'step')} of the {part.name} part "
                "as anomalies, so that nothing ordinary is left to learn from; turn the marks round if they are of "
                f"ordinary steps, or leave the column out with {option('ignored', part.panel.schema.label)}."
            )
    return without_marked(split)


def _describe(
    setup: ForecastSetup,
    split: Split,
    options: DetectorOptions,
    reasons: dict[str, str],
    training: SeriesTrainingOptions,
    num_windows: int,
    run: RunFolder,
    display: Display,
) -> None:
    panel, names = split.train.panel, setup.schema.targets
    step = "no common step" if setup.frequency is None else f"a step of {setup.frequency}"
    display.say(
        f"series   {len(panel):,} with {step}: {len(split.train):,} rows to train on, {len(split.valid):,} to "
        f"validate, {len(split.test):,} to test; channel{'s' if len(names) > 1 else ''} "
        f"{enumerated(list(names[:5]))}{' and more' if len(names) > 5 else ''}"
    )
    num_marked = int(marked_steps(split).sum())
    if num_marked:
        display.say(f"note     {left_out_note(num_marked)}")
    if options.way == "forecast":
        steps = "step" if options.leads == (1,) else "steps"
        told = f"tells values {enumerated([str(lead) for lead in options.leads])} {steps} before"
    else:
        size = options.code_size * len(names)
        told = f"describes {options.window} steps by {quantity(size, 'number')}"
    read = f"reads {quantity(setup.history, 'step')}"
    if "history" in reasons:
        read += f" ({reasons['history']})"
    display.say(f"windows  {told}, {read}; {num_windows:,} to train on")
    display.say(
        f"model    {options.way}, {cell_name(str(options.cell))} {options.num_layers} x {options.hidden_size}, "
        f"{run.read_json('model.json')['parameters']:,} parameters"
    )
    display.say(
        f"training {quantity(training.batch_size or 0, 'window')} a step, learning rate {training.learning_rate:.2g}, "
        f"at most {' or '.join(training.bounds)}"
    )
    display.say(f"alarms   {per_day(options.false_alarms, setup)}")


def per_day(rate: float, setup: ForecastSetup) -> str:
    """Return what a rate of false alarms means on these series."""
    seconds = None if setup.frequency is None else setup.frequency.seconds
    said = f"one ordinary step in {1 / rate:,.0f} may raise a false one"
    if seconds is None:
        return said
    days = seconds / rate / 86_400
    often = f"one in {days:,.1f} days" if days >= 1 else f"{1 / days:,.1f} a day"
    return f"{said}: {often} in each series"
