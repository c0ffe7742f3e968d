"""Going on with a training, whatever its task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.train import checkpoint, processes
from recur.train.ensemble import train_job
from recur.train.job import stored_options
from recur.train.options import BOUNDS
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
        bounds: New values of max_minutes, max_epochs or max_steps.
        console: Where progress is shown; standard error by default.
        expected: The task that the run must be of; None for any.

    Raises:
        RunError: The run is missing, damaged, its data have changed, or it is of another task.
        OptionError: A bound is out of range, or the run reads its data itself.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
    """
    display = processes.first_shows(console)

    def reopened() -> RunFolder:
        folder = RunFolder.open(run)
        task = _task_of(folder, expected)
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


def _change_bounds(folder: RunFolder, task: Task, bounds: dict[str, Any]) -> None:
    unknown = set(bounds) - set(BOUNDS)
    if unknown:
        raise OptionError(f"only {', '.join(BOUNDS)} can change when a run is resumed, not {sorted(unknown)}.")
    replace(stored_options(folder, "training", task.options["training"]), **bounds)
    config = folder.config()
    config["training"].update(bounds)
    folder.write_json("config.json", config)
