"""From a run folder to one self-contained HTML file and PNGs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.report.alarm_drawing import alarm_figure as alarm_figure
    from recur.report.forecast_drawing import forecast_figure as forecast_figure
    from recur.report.inspection_page import inspection_figures as inspection_figures
    from recur.report.inspection_page import write_inspection as write_inspection
    from recur.report.label_drawing import label_figure as label_figure
    from recur.report.page import figures as figures
    from recur.report.page import write_report as write_report

__all__ = [
    "alarm_figure",
    "figures",
    "forecast_figure",
    "inspection_figures",
    "label_figure",
    "write_inspection",
    "write_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "alarm_figure": ".alarm_drawing",
        "figures": ".page",
        "forecast_figure": ".forecast_drawing",
        "inspection_figures": ".inspection_page",
        "label_figure": ".label_drawing",
        "write_inspection": ".inspection_page",
        "write_report": ".page",
    },
)


def __dir__() -> list[str]:
    return list(__all__)
