"""A run that goes on with new data, as a new run beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recur.data.series import Panel
from recur.errors import DataError, OptionError, RunError
from recur.run import FORMAT, RunFolder
from recur.streaming.answers import written
from recur.streaming.learning import Adaptation, LearningOptions, adapt, learnt_series
from recur.streaming.replay import REPLAY, Replay
from recur.tasks.forecast.trained import TrainedForecaster
from recur.wording import option

ADAPTATIONS = "adaptations.json"
"""File of a run with the records of all times it learnt on, the newest last."""

_OF_BOTH = ("model.json", "env.json")
"""Files that say of a run what is true of the one that goes on, too."""


def continue_run(
    run: str | Path | RunFolder,
    data: Any,
    *,
    out: str | Path | None = None,
    options: LearningOptions | None = None,
    overwrite: bool = False,
) -> tuple[RunFolder, Adaptation]:
    """Let a forecaster learn on from new data, and return its new run folder and the record.

    The run itself stays as it is. The new one has the adapted weights, the same setup, a calibration of its own, the
    reservoir of older windows, and `adaptations.json`. It is written when all is done, its `config.json` last, so that
    a kill leaves nothing that is taken for a run; the same command then does the same again.

    Args:
        run: Which one.
        data: New rows, as `recur.data.series.read_series` takes them, read as those of the run were. Of a table that
            has grown only those count that come after the last of each series that the run has, or learnt on from.
        out: Where; by default beside the run, with the next free number.
        options: How.
        overwrite: Whether a run that stands at `out` is replaced.

    Returns:
        The new run, or the old one where the new weights were not kept.

    Raises:
        RunError: The run is of another task, has no older windows and its data cannot be read again, or the new one
            cannot be written.
        DataError: The data cannot be read, or are too few.
        OptionError: The network is of another kind.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    trained = TrainedForecaster.load(folder)
    options = options or LearningOptions()
    path = _beside(folder.path) if out is None else Path(out)
    if path.resolve() == folder.path.resolve():
        raise OptionError(f"out: {path} is the run that goes on; give another folder.")
    RunFolder.check_free(path, overwrite=overwrite)
    replay = Replay.of_run(folder, trained.setup, seed=options.seed)
    told = folder.read_json(ADAPTATIONS) if folder.has(ADAPTATIONS) else {"adaptations": []}
    last = told.get("last")
    if last is None:
        last = {} if folder.has(REPLAY) else _last(trained.setup.own_panel())
    panel = _after(trained.setup.read(data), last)
    made, record = adapt(trained, panel, replay, options)
    records = [*told["adaptations"], record.to_json()]
    if not record.is_kept:
        folder.write_json(ADAPTATIONS, {**told, "adaptations": records})
        return folder, record
    learnt = panel.select(learnt_series(panel, made.setup, options))
    next_run = RunFolder.create(path, overwrite=overwrite)
    made.setup.save(next_run)
    next_run.save_weights(made.network.state_dict())
    made.save_calibration(next_run)
    made.yardstick.save(next_run)
    for name in _OF_BOTH:
        if folder.has(name):
            next_run.write_json(name, folder.read_json(name))
    replay.save(next_run)
    next_run.write_json(ADAPTATIONS, {"adaptations": records, "last": {**last, **_last(learnt)}})
    config = folder.config()
    next_run.write_json("config.json", {**config, "format": FORMAT, "continues": str(folder.path.resolve())})
    return next_run, record


def _last(panel: Panel) -> dict[str, Any]:
    """Return the time of the last target of each series, as JSON can hold it; nothing where rows have no times."""
    if panel.schema.roles is None or not panel.schema.roles.time:
        return {}
    present = np.flatnonzero(~np.isnan(panel.values[:, : len(panel.schema.targets)]).all(axis=1))
    series = panel.series_of_rows[present]
    ends = present[np.diff(series, append=len(panel)) > 0]
    names = [panel.ids[number] for number in panel.series_of_rows[ends].tolist()]
    return dict(zip(names, written(panel.times[ends], None), strict=True))


def _after(panel: Panel, last: Mapping[str, Any]) -> Panel:
    """Return the rows of a panel that come after the last ones.

    Raises:
        DataError: There are none.
    """
    if not last:
        return panel
    known = np.array([name in last for name in panel.ids])
    ends = np.array([last.get(name, panel.times[0]) for name in panel.ids], panel.times.dtype)
    series = panel.series_of_rows
    is_new = ~known[series] | (panel.times > ends[series])
    count = np.bincount(series[is_new], minlength=len(panel))
    if not count.any():
        raise DataError(f"there are no new rows: the run has those of every series until {max(last.values())} already.")
    kept = replace(
        panel,
        rows=panel.rows.take(np.flatnonzero(is_new)),
        offsets=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
    )
    return kept if count.all() else kept.select(np.flatnonzero(count))


def _beside(path: Path) -> Path:
    """Return the first free name after that of a run: run-2, run-3 and so on."""
    stem, _, number = path.name.rpartition("-")
    name, first = (stem, int(number) + 1) if stem and number.isdigit() else (path.name, 2)
    for count in range(first, first + 10_000):
        found = path.with_name(f"{name}-{count}")
        if not found.exists():
            return found
    raise RunError(f"{path}: there are too many runs beside it; name one with {option('out')}.")
