"""Pictures of what trained models say of data, each in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.plots.alarms import plot_alarms as plot_alarms
    from recur.plots.forecast import plot_forecast as plot_forecast
    from recur.plots.labels import plot_labels as plot_labels
    from recur.plots.plotting import plot as plot

__all__ = ["plot", "plot_alarms", "plot_forecast", "plot_labels"]

__getattr__ = lazy_names(
    __name__,
    {
        "plot": ".plotting",
        "plot_alarms": ".alarms",
        "plot_forecast": ".forecast",
        "plot_labels": ".labels",
    },
)


def __dir__() -> list[str]:
    return list(__all__)
