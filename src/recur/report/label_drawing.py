"""The picture of labels that were told, for whoever has a judgement of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recur.report.labels_charts import label_charts


def label_figure(evaluation: Mapping[str, Any]) -> Any:
    """Return what was told of what, a confusion matrix or numbers beside the true ones, as a plotly figure.

    Args:
        evaluation: What `label_evaluation.json` holds.

    Returns:
        The figure; None where there is nothing to draw.
    """
    from recur.report.interactive import figure

    drawn = label_charts(evaluation)["told"]
    return figure(drawn[0]) if drawn else None
