"""The picture of labels that were told: a confusion matrix of classes, numbers beside the true ones."""

from __future__ import annotations

import json
from typing import Any

from recur.data.series import Part
from recur.errors import DataError
from recur.report import label_figure
from recur.run import json_text
from recur.tasks.labels.evaluation import judge_labels
from recur.tasks.labels.trained import TrainedLabels


def plot_labels(trained: TrainedLabels, data: Any, *, only_last: bool = False) -> Any:
    """Return a picture of what was told of what in series with labels, as a plotly figure.

    Args:
        trained: What tells.
        data: As of its `predict`, with labels.
        only_last: Only what is told of the last step of each series counts.

    Raises:
        DataError: The data cannot be read, or have no labels, or too many classes for a picture.
    """
    found = judge_labels(trained, Part.whole(trained.setup.read(data)), only_last=only_last)
    # As a run has it.
    drawn = label_figure(json.loads(json_text(found)))
    if drawn is None:
        raise DataError("there is nothing to draw: too few labels, or too many classes.")
    return drawn
