"""What may make the model of a run better than a rule: more training, or more data."""

from __future__ import annotations

from recur.errors import RunError
from recur.kinds import is_whole
from recur.run import RunFolder

TRAIN_ON = "train it for longer"

_MANY_EPOCHS = 20
"""Having read its data so often, a network learns them by heart rather than what they have in common."""


def longer_or_more(run: RunFolder, what: str) -> str:
    """Return which of the two it is, as a sentence without a full stop.

    Args:
        run: The run, whose metrics tell how often its data were read.
        what: What these are, such as text or pairs.
    """
    try:
        rows = run.metrics()
    except RunError:
        # Damaged metrics are no reason not to judge.
        rows = []
    # They are counted from 0.
    epochs = 1 + max((row["epoch"] for row in rows if is_whole(row.get("epoch"), 0)), default=0)
    if epochs >= _MANY_EPOCHS:
        return f"it has read the {what} {epochs} times, so give it more {what} rather than more time"
    return TRAIN_ON
