"""A run that goes on with new data, as a new run beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur.errors import OptionError, RunError
from recur.run import FORMAT, RunFolder
from recur.streaming.learning import Adaptation, LearningOptions, adapt
from recur.streaming.replay import Replay
from recur.tasks.forecast.trained import TrainedForecaster

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
        data: New rows, as `recur.data.series.read_series` takes them, read as those of the run were.
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
    made, record = adapt(trained, trained.setup.read(data), replay, options)
    records = [*(folder.read_json(ADAPTATIONS)["adaptations"] if folder.has(ADAPTATIONS) else []), record.to_json()]
    if not record.is_kept:
        folder.write_json(ADAPTATIONS, {"adaptations": records})
        return folder, record
    written = RunFolder.create(path, overwrite=overwrite)
    made.setup.save(written)
    written.save_weights(made.network.state_dict())
    made.save_calibration(written)
    made.yardstick.save(written)
    for name in _OF_BOTH:
        if folder.has(name):
            written.write_json(name, folder.read_json(name))
    replay.save(written)
    written.write_json(ADAPTATIONS, {"adaptations": records})
    config = folder.config()
    written.write_json("config.json", {**config, "format": FORMAT, "continues": str(folder.path.resolve())})
    return written, record


def _beside(path: Path) -> Path:
    """Return the first free name after that of a run: run-2, run-3 and so on."""
    stem, _, number = path.name.rpartition("-")
    name, first = (stem, int(number) + 1) if stem and number.isdigit() else (path.name, 2)
    for count in range(first, first + 10_000):
        found = path.with_name(f"{name}-{count}")
        if not found.exists():
            return found
    raise RunError(f"{path}: there are too many runs beside it; name one with --out.")
