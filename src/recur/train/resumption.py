"""Going on with a training, whatever its task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.train import checkpoint, processes
from recur.train.ensemble import MEMBERS, train_job
from recur.train.job import stored_options
from recur.train.options import ENDINGS
from recur.train.table import TASKS, Task


def resume(
    run: str | Path,
    *,
    data: Any = None,
    bounds: dict[str, Any] | None = None,
    console: Console | None = None,
    expected: str | None = None,
) -> RunFolder:
    """Go on with a training that was interrupted, killed, or is to last longer; bit for bit as if it had not stopped.

    Args:
        run: The run folder.
        data: What the run was trained on, where that was not in a file that it can read again; None for all others.
        bounds: New values of max_minutes, max_epochs, max_steps or patience.
        console: Where progress is shown; standard error by default.
        expected: The task that the run must be of; None for any.

    Raises:
        RunError: The run is missing, damaged, its data have changed, it is of another task, or it is done and its
            checkpoint is not there, as where it was saved by an estimator or continued with new data.
        OptionError: A bound is out of range, or the run reads its data itself.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
    """
    display = processes.first_shows(console)

    def reopened() -> RunFolder:
        folder = RunFolder.open(run)
        task = _task_of(folder, expected)
        _check_goes_on(folder)
        # Without a checkpoint, the run was stopped before its first one: it begins anew, from the same seed.
        step = checkpoint.step_of(folder)
        if bounds:
            _change_bounds(folder, task, bounds)
        folder.forget_metrics_after(step)
        return folder

    folder = processes.first_prepares(reopened)
    job = _task_of(folder, expected).open_job(folder, display, data)
    return train_job(job, display, resume=True)


def _task_of(folder: RunFolder, expected: str | None) -> Task:
    name = folder.config().get("task")
    known = list(TASKS) if expected is None else [expected]
    if name not in known:
        raise RunError(f"{folder.path}: is a run of task {name!r}, expected {' or '.join(map(repr, known))}.")
    return TASKS[name]


def _check_goes_on(folder: RunFolder) -> None:
    """Raise where a run has weights that no training here would come to again.

    Raises:
        RunError: It has.
    """
    if checkpoint.exists(folder) or (folder.path / MEMBERS).is_dir() or not folder.has("model.safetensors"):
        return
    # What every task writes last has its own name, but this ending.
    if "continues" in folder.config() or any(folder.path.glob("*evaluation.json")):
        raise RunError(
            f"{folder.path}: has weights, but no checkpoint of the training that made them, which would begin anew "
            f"over them; let a forecaster learn on from new data with: recur train --continue {folder.path} DATA"
        )


def _change_bounds(folder: RunFolder, task: Task, bounds: dict[str, Any]) -> None:
    unknown = set(bounds) - set(ENDINGS)
    if unknown:
        raise OptionError(f"only {', '.join(ENDINGS)} can change when a run is resumed, not {sorted(unknown)}.")
    replace(stored_options(folder, "training", task.options["training"]), **bounds)
    config = folder.config()
    config["training"].update(bounds)
    folder.write_json("config.json", config)
