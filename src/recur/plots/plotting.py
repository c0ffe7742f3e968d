"""From anything trained, and data, to the picture that tells most of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur._lazy import function_of
from recur.run import RunFolder
from recur.tasks.loading import load

PICTURES = {
    "TrainedDetector": "recur.plots.alarms:plot_alarms",
    "TrainedForecaster": "recur.plots.forecast:plot_forecast",
    "TrainedLabels": "recur.plots.labels:plot_labels",
}
"""What draws what a class of trained models says, "module:function": (trained, data, **options) -> figure."""


def plot(trained: Any, data: Any, **options: Any) -> Any:
    """Return a picture of what a trained model says of data, as a plotly figure.

    Args:
        trained: What `recur.load` returns, or the run folder itself.
        data: Whatever the model's `predict` takes; with labels where it tells labels.
        options: Of the function for this kind of model: `recur.plots.plot_forecast`, `plot_labels` or
            `plot_alarms`.

    Returns:
        A `plotly.graph_objects.Figure`; notebooks show it, and its `write_html` and `write_image` save it.

    Raises:
        TypeError: There is no picture of such an object.
        RunError: A run folder is missing, damaged, or of another kind.
        DataError: The data cannot be used.
        OptionError: An option makes no sense.
    """
    model = load(trained) if isinstance(trained, str | Path | RunFolder) else trained
    found = [PICTURES[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in PICTURES]
    if not found:
        raise TypeError(f"plot: there is no picture of a {type(model).__name__}; give one of {', '.join(PICTURES)}.")
    return function_of(found[0])(model, data, **options)
