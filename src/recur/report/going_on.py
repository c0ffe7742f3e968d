"""How a training can go on, from its run folder: the command that does, and what it is good for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recur.report.curves import rows_of_kind
from recur.report.values import as_object, number
from recur.run import CHECKPOINT, RunFolder
from recur.wording import quantity

_BOUNDS = ("max_minutes", "max_epochs", "max_steps")


def way_on(run: RunFolder, place: str, *, is_done: bool) -> tuple[str, str] | None:
    """Return what to train a run on for, and the command; None where no training of it can go on.

    Args:
        run: The run.
        place: Its folder as a command names it.
        is_done: Whether its training has ended by itself: the command then moves what ended it.
    """
    members = sorted((run.path / "members").glob("*/config.json"))
    config = run.config()
    if run.has("model.safetensors") and not members and not run.has(CHECKPOINT):
        # Saved by an estimator, or continued with new data.
        is_forecaster = config.get("task") == "forecast"
        return ("Let it learn on from new rows", f"recur train --continue {place} new.csv") if is_forecaster else None
    resume = f"recur train --resume {place}"
    if not is_done:
        return "Go on with the training", resume
    training = as_object(config.get("training"))
    patience = int(number(training.get("patience")) or 0)
    histories = [RunFolder(path.parent).metrics() for path in members] or [run.metrics()]
    without = [_validations_without_better(rows) for rows in histories]
    is_early = [0 < patience <= count for count in without]
    why, options = "Train it further", []
    if any(is_early):
        why = (
            f"Train it further, though its validation loss had not fallen for {quantity(max(without), 'validation')}, "
            "which more time alone does not change"
        )
        options.append(f"--patience {2 * max(without)}")
    if not all(is_early):
        options += list(_doubled(training)) or ["--max-minutes 30"]
    return why, " ".join([resume, *options])


def _validations_without_better(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return how many validations at the end of a training found nothing better than before."""
    judged = [bool(row.get("is_best")) for row in rows_of_kind(rows, "valid")]
    return judged[::-1].index(True) if True in judged else len(judged)


def _doubled(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that say how long a training lasts, with twice of what it had."""
    for name in _BOUNDS:
        bound = number(training.get(name))
        if bound is not None:
            yield f"--{name.replace('_', '-')} {2 * bound:.15g}"
