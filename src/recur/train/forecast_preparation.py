"""What comes before training a forecaster: reading the series, choosing what was left open, the run folder."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recur.data.epochs import check_sharing
from recur.data.series import Panel, Split, Windows
from recur.data.series.alike import alike_note
from recur.data.series.leaks import check_leaks
from recur.data.series.options import SeriesOptions
from recur.errors import DataError, OptionError
from recur.models.forecaster_choice import choose_forecaster
from recur.models.forecaster_options import ForecasterOptions
from recur.models.level_shift import find_level_shift
from recur.models.series_shape import SeriesShape
from recur.run import RunFolder
from recur.tasks.forecast.season_choice import Season, choose_season, recent_history
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import build_network
from recur.tasks.series_reading import SeriesReading
from recur.train import processes, series_choice
from recur.train.display import Display
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import NewRun
from recur.train.series_preparation import reading_of, say_what_was_read
from recur.wording import cell_name, enumerated, quantity

LONGEST_HORIZON = 48
"""Steps that are told at most when nobody says how many."""

ENOUGH_WINDOWS = 2_000
"""Of which there are no fewer because windows begin some steps apart."""

_HORIZON = 12
"""Where the series have no season."""


def prepare(
    data: Any,
    out: Path | None,
    series: SeriesOptions,
    options: ForecasterOptions,
    training: SeriesTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, Split]:
    """Read the series, choose what was left open, and return a new run folder and the parts; otherwise as of training.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    path = str(data) if isinstance(data, str | os.PathLike) else None
    new = NewRun.at(out, [] if path is None else [path], training, what="series", overwrite=overwrite)
    if options.members > 1 and training.devices > 1:
        raise OptionError(
            f"devices is {training.devices}, but the {options.members} members are trained one after the "
            "other, each by one process; leave one of them out."
        )
    with display.phase("reading the series"):
        reading = reading_of(series, data)
        panel = reading.first(data)
    panel = replace(panel, notes=(*panel.notes, *alike_note(panel)))
    say_what_was_read(panel, display)
    setup, split, options, reasons = fit_setup(panel, series, options, reading=reading, path=path, seed=training.seed)
    count = processes.count(training.devices)
    windows = training_windows(setup, split, batch_size=1)
    chosen = series_choice.choose(
        replace(training, devices=count),
        num_items=windows.num_windows,
        has_gpu=new.device != "cpu",
        most_passes=series_choice.FEW_PASSES,
    )
    training = replace(chosen, devices=training.devices)
    assert training.batch_size is not None
    # Before a folder is made.
    check_sharing(training.batch_size, count)
    torch.manual_seed(training.seed)
    network = build_network(asdict(options), setup)
    run = new.write(
        "forecast",
        {"data": series, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size, setup.history),
        tensors=setup.tensors(),
    )
    _describe(setup, split, options, reasons, training, windows, run, display)
    return run, split


def fit_setup(
    panel: Panel,
    series: SeriesOptions,
    options: ForecasterOptions,
    *,
    reading: SeriesReading,
    path: str | None,
    seed: int,
) -> tuple[ForecastSetup, Split, ForecasterOptions, dict[str, str]]:
    """Return how the data become windows, the parts, the network's options without a None, and why each was chosen.

    Raises:
        DataError: There are no targets, or they are too few.
        OptionError: An option makes no sense for these data.
    """
    if not panel.schema.targets:
        what = "they are to be classified" if panel.schema.roles is None else "name some with targets"
        raise DataError(f"the series have no targets to forecast; {what}.")
    partition = series.partition(has_parts=panel.rows.part is not None, seed=seed)
    split = partition.of(panel)
    if not len(split.valid):
        raise OptionError("valid: a forecaster needs a validation part, by which the best weights are chosen.")
    season = choose_season(split.train)
    reasons: dict[str, str] = {}
    horizon = series.horizon
    if horizon is None:
        horizon, reasons["horizon"] = choose_horizon(split, season)
    check_leaks(panel, horizon, series.trusted_columns)
    num_targets = len(panel.schema.targets)
    longest = int((split.train.stop - split.train.start).max())
    num_values = int(np.count_nonzero(~np.isnan(panel.values[split.train.has_row, :num_targets])))
    options, chosen = choose_forecaster(
        options,
        SeriesShape(num_targets=num_targets, num_features=num_targets, horizon=horizon),
        num_values=num_values,
        longest=longest,
        season=season.steps,
        level_shift=find_level_shift(recent_history(split.train)),
    )
    assert options.history is not None
    scaling = series.scaling or ("mean_abs" if options.head == "negative-binomial" else "standard")
    if options.head == "negative-binomial":
        _check_counts(panel, scaling)
        if series.non_negative is False:
            raise OptionError("non_negative is false, but head negative-binomial tells counts; leave one of them out.")
    setup, split = ForecastSetup.fit(
        panel,
        history=options.history,
        horizon=horizon,
        partition=partition,
        scaling=scaling,
        per_series=not series.scale_together,
        calendar=series.features,
        season=season,
        non_negative=True if options.head == "negative-binomial" else series.non_negative,
        reading=reading,
        path=path,
    )
    return setup, split, options, reasons | chosen


def _check_counts(panel: Panel, scaling: str) -> None:
    """Raise unless the targets are counts, and stay multiples of one number when they are scaled.

    Raises:
        DataError: A target is negative or not whole.
        OptionError: The scaling moves them.
    """
    if scaling not in ("mean_abs", "none"):
        raise OptionError(
            f"scaling is {scaling}, but head negative-binomial tells counts, which cannot be moved; take mean_abs or "
            "none."
        )
    names = panel.schema.targets
    values = panel.values[:, : len(names)]
    wrong = np.argwhere((values < 0) | (values != np.round(values)) & ~np.isnan(values))
    if len(wrong):
        row, column = wrong[0].tolist()
        series = panel.ids[int(panel.series_of_rows[row])]
        raise DataError(
            f"series {series!r}: {names[column]!r} is {values[row, column]:g} at {panel.times[row]}, but head "
            "negative-binomial tells counts, which are whole and not negative; take another head."
        )


def training_windows(setup: ForecastSetup, split: Split, *, batch_size: int, seed: int | None = None) -> Windows:
    """Return the windows of the training part, as far apart as leaves enough of them.

    A network is trained to tell from the middle of a window too, so that windows which overlap by all but a step would
    say the same many times over.

    Args:
        setup: Of the run.
        split: The parts.
        batch_size: Windows that a batch has.
        seed: Of their order.
    """
    windows = setup.windows(split.train, batch_size=batch_size, seed=seed)
    widest = max(1, min(setup.history // 4, windows.num_windows // ENOUGH_WINDOWS))
    stride = setup.season.stride(widest, most=True)
    return windows if stride == 1 else setup.windows(split.train, batch_size=batch_size, stride=stride, seed=seed)


def choose_horizon(split: Split, season: Season) -> tuple[int, str]:
    """Return how many steps to tell, and why: a season, or some steps, of which two fit into the parts that judge.

    Args:
        split: The parts.
        season: Of the training part.
    """
    parts = [part for part in (split.valid, split.test) if len(part)]
    room = min(int((part.stop - part.start).max()) for part in parts)
    if 1 < season.steps <= LONGEST_HORIZON:
        wanted, why = season.steps, f"the season of {season.steps}"
    elif season.steps > 1:
        wanted, why = LONGEST_HORIZON, f"no more than {LONGEST_HORIZON}, though the season has {season.steps} steps"
    else:
        wanted, why = _HORIZON, "there is no season that would say how many"
    if 2 * wanted > room:
        return max(1, room // 2), f"half of the {quantity(room, 'step')} that a part to judge on has"
    return wanted, why


def _describe(
    setup: ForecastSetup,
    split: Split,
    options: ForecasterOptions,
    reasons: dict[str, str],
    training: SeriesTrainingOptions,
    windows: Windows,
    run: RunFolder,
    display: Display,
) -> None:
    panel = split.train.panel
    step = "no common step" if setup.frequency is None else f"a step of {setup.frequency}"
    display.say(
        f"series   {len(panel):,} with {step}: {len(split.train):,} rows to train on, {len(split.valid):,} to "
        f"validate, {len(split.test):,} to test; target{'s' if len(setup.schema.targets) > 1 else ''} "
        f"{enumerated(list(setup.schema.targets[:5]))}{' and more' if len(setup.schema.targets) > 5 else ''}"
    )
    told = f"tells {quantity(setup.horizon, 'step')}"
    if "horizon" in reasons:
        told += f" ({reasons['horizon']})"
    read = f"reads {quantity(setup.history, 'step')}"
    if "history" in reasons:
        read += f" ({reasons['history']})"
    parameters = run.read_json("model.json")["parameters"]
    display.say(f"windows  {told}, {read}; {windows.num_windows:,} to train on")
    left_out = windows.left_out
    if left_out:
        more = f" and {len(left_out) - 3:,} others" if len(left_out) > 3 else ""
        display.say(
            f"note     nothing is learned from series {enumerated(left_out[:3])}{more}: each window needs "
            f"{setup.least_history} steps to read and {setup.horizon} to tell, with targets that are there"
        )
    several = f"{options.members} networks, each " if options.members > 1 else ""
    display.say(
        f"model    {several}{options.kind}, {cell_name(str(options.cell))} {options.num_layers} x "
        f"{options.hidden_size}, head {options.head}, {parameters // options.members:,} parameters"
    )
    averaged = ", averaged weights" if training.averaging else ""
    display.say(
        f"training {quantity(training.batch_size or 0, 'window')} a step, learning rate {training.learning_rate:.2g}, "
        f"at most {' or '.join(training.bounds)}{averaged}"
    )
