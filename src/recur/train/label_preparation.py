"""What comes before training a classifier or regressor: reading the series, choosing what was left open, the folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recur.data.series import Panel
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.data.series.partition import Partition
from recur.errors import DataError
from recur.models.encoder_choice import choose_label_network
from recur.models.series_options import SeriesLabelOptions
from recur.run import RunFolder
from recur.tasks.labels.setup import LabelSetup, Life, Parts, check_labels
from recur.tasks.labels.trained import build_network
from recur.tasks.series_reading import SeriesReading
from recur.train import label_choice, processes
from recur.train.display import Display
from recur.train.options import LabelTrainingOptions
from recur.train.preparation import NewRun
from recur.train.series_preparation import reading_of, say_what_was_read, with_series_in_rows
from recur.wording import cell_name, enumerated, option, quantity

ENOUGH_SERIES = 100
"""Of the validation part; where it has fewer, the newest weights are as good a choice as what it says is best."""

_FEW_SERIES = 5
"""Where there are fewer, and steps have labels, each series is cut in time."""

_LEAST_OF_CLASS = 3
"""Series that a class needs for one of it to be in each part."""


def prepare(
    task: str,
    data: Any,
    test: Any,
    out: Path | None,
    series: LabelOptions,
    options: SeriesLabelOptions,
    training: LabelTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, Parts]:
    """Read the series, choose what was left open, and return a new run folder and the parts; otherwise as of training.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    path, test_path = (str(one) if isinstance(one, str | os.PathLike) else None for one in (data, test))
    paths = [] if path is None else [path]
    new = NewRun.at(out, paths, training, what="series", others=[test_path], overwrite=overwrite)
    with display.phase("reading the series"):
        reading = reading_of(series, data)
        life = _life(series)
        if life is None:
            assembly = replace(reading.assembly, labels="class" if task == "classify" else "number")
            reading = replace(reading, assembly=assembly)
        panel = reading.first(data)
        if series.form is None:
            if life is None and not isinstance(data, Panel):
                long, reading = reading, with_series_in_rows(reading, panel)
                panel = panel if reading is long else _read_by_rows(reading, data)
            series = replace(series, form=reading.form)  # type: ignore[arg-type]
        check_label(task, panel, life)
        given = None if test is None else reading.again(test, panel.schema, panel.frequency)
    if life is None:
        panel = replace(panel, notes=(*panel.notes, *_without_label(panel)))
    say_what_was_read(panel, display, tells_labels=True)
    setup, parts = LabelSetup.fit(
        panel,
        test=given,
        test_path=test_path,
        partition=_partition(panel, series, life, seed=training.seed),
        per_step=options.per_step,
        window=series.window,
        life=life,
        scaling=series.scaling or "standard",
        per_series=series.scale_apart,
        calendar=series.features or (),
        reading=reading,
        path=path,
    )
    # Before a folder is made.
    check_labels(parts)
    count = processes.count(training.devices)
    options, reasons = choose_label_network(
        replace(options, per_step=setup.way == "steps"),
        is_irregular=panel.frequency is None,
        num_steps=len(parts.train),
    )
    num_items = setup.training_batches(parts.train, batch_size=1).num_items
    chosen = label_choice.choose(replace(training, devices=count), num_items=num_items, way=setup.way)
    if chosen.keep is None:
        is_best = len(parts.valid.series) >= ENOUGH_SERIES or chosen.averaged_checkpoints > 1
        chosen = replace(chosen, keep="best" if is_best else "newest")
    training = replace(chosen, devices=training.devices)
    assert training.batch_size is not None
    # Likewise.
    setup.training_batches(parts.train, batch_size=training.batch_size).shared(0, count)
    torch.manual_seed(training.seed)
    network = build_network(options, setup)
    run = new.write(
        task,
        {"data": series, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size, setup.window or int(panel.lengths.max())),
        tensors=setup.tensors(),
    )
    _describe(setup, parts, options, reasons, training, num_items, run, display)
    return run, parts


def _read_by_rows(reading: SeriesReading, data: Any) -> Panel:
    """Return the series in the rows of a table, of which nothing but its looks says that they are some."""
    panel = reading.first(data)
    note = (
        f"each row is read as a series of up to {int(panel.lengths.max())} steps, for its columns look like steps; "
        f"{option('form', 'long')} takes rows for the steps of one series"
    )
    return replace(panel, notes=(note, *panel.notes))


def check_label(task: str, panel: Panel, life: Life | None) -> None:
    """Raise unless the series have the label that a task tells.

    Raises:
        DataError: They have none, or of the other kind.
    """
    if life is not None:
        return
    if panel.labels is None and panel.rows.labels is None:
        also = (
            ""
            if task == "classify"
            else f", or tell how long each series will go on with {option('remaining_life', True)}"
        )
        raise DataError(f"no column was recognised as the label; name it with {option('label')}{also}.")
    classes = panel.schema.classes
    if task == "regress" and classes is not None:
        raise DataError(f"the label {panel.schema.label!r} is one of {len(classes)} classes; take the task classify.")
    if task == "classify":
        if classes is None:
            raise DataError(f"the label {panel.schema.label!r} is a number; take the task regress.")
        if len(classes) < 2:
            has = f"is always {classes[0]!r}" if classes else "is missing everywhere"
            raise DataError(f"the label {panel.schema.label!r} {has}, so there is nothing to tell apart.")


def _without_label(panel: Panel) -> list[str]:
    """Return a sentence on the series that have no label, where there are some."""
    labels = panel.rows.labels if panel.labels is None else panel.labels[panel.series_of_rows]
    if labels is None:
        return []
    has_label = np.zeros(len(panel), np.bool_)
    has_label[panel.series_of_rows[~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0]] = True
    without = np.flatnonzero(~has_label)
    if not len(without):
        return []
    have, they_are = ("has", "it is") if len(without) == 1 else ("have", "they are")
    return [
        f"{len(without):,} of {len(panel):,} series {have} no {panel.schema.label}, such as "
        f"{panel.ids[int(without[0])]!r}: {they_are} neither learned from nor judged by"
    ]


def _life(series: LabelOptions) -> Life | None:
    if not isinstance(series, NumberOptions) or not series.remaining_life:
        return None
    left = None if series.life_left is None else str(Path(series.life_left).resolve())
    return Life(cap=series.life_cap, left_path=left)


def _partition(panel: Panel, series: LabelOptions, life: Life | None, *, seed: int) -> Partition:
    labels = panel.labels
    has_classes = False
    if labels is not None and panel.schema.classes is not None:
        counts = np.bincount(labels[labels >= 0])
        # Those without one are drawn for no part, and stay in train, where they do not count.
        has_classes = bool(len(counts)) and bool((counts[counts > 0] >= _LEAST_OF_CLASS).all())
    is_few = len(panel) < _FEW_SERIES and life is None and panel.rows.labels is not None
    has_parts = panel.rows.part is not None
    found = series.partition(has_parts=has_parts, has_classes=has_classes, seed=seed)
    if series.split is None and not has_parts and is_few:
        return replace(found, by="time")
    return found


def _describe(
    setup: LabelSetup,
    parts: Parts,
    options: SeriesLabelOptions,
    reasons: dict[str, str],
    training: LabelTrainingOptions,
    num_items: int,
    run: RunFolder,
    display: Display,
) -> None:
    panel = parts.train.panel
    step = "no common step" if setup.frequency is None else f"a step of {setup.frequency}"
    cut = {"label": "drawn from each class alike", "series": "drawn at random", "time": "cut in time"}
    how = cut.get(setup.partition.by, "as the data say")
    display.say(
        f"series   {len(panel):,} with {step}: {len(parts.train.series):,} to train on, {len(parts.valid.series):,} to "
        f"choose by, {len(parts.test.series):,} to test; {how}"
    )
    what = f"one of {quantity(len(setup.classes), 'class', 'classes')}" if setup.classes else "a number"
    of = {
        "series": "of each series",
        "steps": "of each step, from its series so far",
        "windows": f"of each step, from the last {setup.window}",
    }[setup.way]
    classes = f": {enumerated(setup.classes, most=8)}" if setup.classes else ""
    windows = f"; {quantity(num_items, 'window')} to train on" if setup.way == "windows" else ""
    display.say(f"label    {setup.label}, {what} {of}{classes}{windows}")
    members = "" if options.members == 1 else f"{options.members} times "
    parameters = run.read_json("model.json")["parameters"]
    why = f" ({reasons['members']})" if "members" in reasons else ""
    display.say(
        f"model    {members}{cell_name(str(options.cell))} {options.num_layers} x {options.hidden_size}, "
        f"{parameters:,} parameters{why}"
    )
    display.say(
        f"training {training.batch_size:,} {'windows' if setup.way == 'windows' else 'series'} a step, learning rate "
        f"{training.learning_rate:.2g}, at most {' or '.join(training.bounds)}"
    )
