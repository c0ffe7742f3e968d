"""A run that goes on with new data, as a new run beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur.errors import OptionError, RunError
from recur.run import FORMAT, RunFolder
from recur.streaming.learning import Adaptation, LearningOptions, adapt
from recur.streaming.replay import Replay
from recur.tasks.forecast.known_rows import KnownRows
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
    reservoir of older windows, the last rows of each series, and `adaptations.json`. It is written when all is done,
    its `config.json` last, so that a kill leaves nothing that is taken for a run; the same command then does the same
    again.

    Args:
        run: Which one.
        data: New rows, as `recur.data.series.read_series` takes them, read as those of the run were. Of a table that
            has grown only those count that come after the last of each series that the run has, or learnt on from. The
            rows before them that windows read come from the table, or else from what the run knows.
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
    if trained.known is None:
        trained.known = KnownRows.of_own_data(trained.setup)
    newest = trained.known.newest(trained.setup.read(data), trained.setup)
    made, record = adapt(trained, newest, replay, options)
    records = [*adaptations_of(folder), record.to_json()]
    if not record.is_kept:
        folder.write_json(ADAPTATIONS, {"adaptations": records})
        return folder, record
    return write_run(made, path, overwrite=overwrite, before=folder, replay=replay, records=records), record


def adaptations_of(folder: RunFolder | None) -> list[Any]:
    """Return the records of all times that the model of a run learnt on, as JSON has them.

    Raises:
        RunError: The file is damaged.
    """
    if folder is None or not folder.has(ADAPTATIONS):
        return []
    records = folder.read_json(ADAPTATIONS).get("adaptations")
    if not isinstance(records, list):
        raise RunError(f"{folder.path / ADAPTATIONS}: damaged: it has no list of adaptations.")
    return records


def write_run(
    trained: TrainedForecaster,
    path: str | Path,
    *,
    overwrite: bool,
    before: RunFolder | None,
    replay: Replay | None,
    records: list[Any],
) -> RunFolder:
    """Write a run of a forecaster that learnt on; its `config.json` last, so that a kill leaves nothing taken for one.

    Args:
        trained: The forecaster.
        path: Where.
        overwrite: Whether a run that stands there may be replaced.
        before: The run that it was before, if it was one.
        replay: Its older windows; None for those of its own data.
        records: Of all times that it learnt on.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    config: dict[str, Any] = {"task": "forecast", "model": trained.options}
    of_both = {}
    if before is not None:
        # All of it now, for it may be the run that is replaced.
        config = before.config()
        of_both = {name: before.read_json(name) for name in _OF_BOTH if before.has(name)}
        if before.path.resolve() != Path(path).resolve():
            config["continues"] = str(before.path.resolve())
    made = RunFolder.create(path, overwrite=overwrite)
    trained.setup.save(made)
    made.save_weights(trained.network.state_dict())
    trained.save_calibration(made)
    trained.yardstick.save(made)
    for name, content in of_both.items():
        made.write_json(name, content)
    if replay is not None:
        replay.save(made)
    if trained.known is not None:
        trained.known.save(made)
    if records:
        made.write_json(ADAPTATIONS, {"adaptations": records})
    made.write_json("config.json", {**config, "format": FORMAT})
    return made


def _beside(path: Path) -> Path:
    """Return the first free name after that of a run: run-2, run-3 and so on."""
    stem, _, number = path.name.rpartition("-")
    name, first = (stem, int(number) + 1) if stem and number.isdigit() else (path.name, 2)
    for count in range(first, first + 10_000):
        found = path.with_name(f"{name}-{count}")
        if not found.exists():
            return found
    raise RunError(f"{path}: there are too many runs beside it; name one with {option('out')}.")
