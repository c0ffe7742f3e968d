"""How the training of a run went of late, as the diagnosis takes it: as it goes, or found again from its run folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from recur.gradients import Training
from recur.kinds import is_number, is_whole
from recur.run import RunFolder

_STRETCH = 100
"""Steps over which means are taken where the run had no probes."""


class TrainedSteps(NamedTuple):
    """What some steps of a training came to, those left out that were not finite.

    Attributes:
        number: How many they are.
        loss: Their mean loss.
        clipped: Share of them whose gradient was clipped.
        removed: Mean share of the gradient's norm that clipping removed.
    """

    number: int
    loss: float
    clipped: float
    removed: float


def late_training(
    steps: Sequence[TrainedSteps],
    *,
    best_loss: float | None = None,
    window: int | None = None,
    update: float | None = None,
) -> Training:
    """Return what the latest steps say of a training.

    Args:
        steps: The latest steps; where there are none, nothing is known of loss and clipping.
        best_loss: Lowest mean loss over as many steps before.
        window: Steps that the gradient may go back.
        update: Norm of one step's change of the weights, by the norm of the weights.

    Example:
        >>> late_training([TrainedSteps(1, 3.0, 1.0, 0.5), TrainedSteps(3, 2.0, 0.0, 0.0)], best_loss=2.0).loss
        2.25
    """
    total = sum(each.number for each in steps)
    if not total:
        return Training(window=window, update=update, best_loss=best_loss)
    loss, clipped, removed = (
        sum(each.number * value for each, value in zip(steps, column, strict=True)) / total
        for column in list(zip(*steps, strict=True))[1:]
    )
    best_loss = loss if best_loss is None else min(best_loss, loss)
    return Training(window=window, clipped=clipped, removed=removed, update=update, loss=loss, best_loss=best_loss)


def training_of_run(folder: RunFolder) -> Training:
    """Return how the training of a run went in the end, as its `metrics.jsonl` has it; None for what it does not say.

    Means are over as many steps as lie between two probes of the training, the last ones of the run.

    Raises:
        RunError: The configuration or the metrics are damaged.
    """
    config = folder.config().get("training")
    options = config if isinstance(config, dict) else {}
    # Without a reach of its own the gradient goes back as far as a window.
    window = next((steps for steps in (options.get("reach"), options.get("window")) if is_whole(steps, 1)), None)
    every = options.get("probe_every")
    stretch = every if is_whole(every, 1) else _STRETCH
    rows = [row for row in folder.metrics() if row.get("kind") == "train" and is_whole(row.get("step"), 1)]
    stretches: dict[int, list[TrainedSteps]] = defaultdict(list)
    before = 0
    for row in rows:
        step, skipped = row["step"], row.get("skipped", 0)
        count, before = step - before, step
        # The loss is null where all steps were left out.
        figures = [value for name in ("loss", "clipped", "removed") if is_number(value := row.get(name))]
        if len(figures) == 3 and is_whole(skipped, 0) and count > skipped:
            stretches[(rows[-1]["step"] - step) // stretch].append(TrainedSteps(count - skipped, *figures))
    best_loss: float | None = None
    for number in sorted(stretches, reverse=True):
        best_loss = late_training(stretches[number], best_loss=best_loss).best_loss
    return late_training(stretches.get(0, []), best_loss=best_loss, window=window)
