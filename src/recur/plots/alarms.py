"""The picture of alarms: a series, and where it is strange."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.data.series.moments import on_the_clock
from recur.data.series.places import place_of
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.report import alarm_figure
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.detect.truth import true_anomalies


def plot_alarms(
    trained: TrainedDetector,
    data: Any,
    *,
    series: str | None = None,
    channel: str | None = None,
    steps: int | None = None,
) -> Any:
    """Return a picture of a series with its alarms, and with the anomalies that the data tell, as a plotly figure.

    Args:
        trained: The detector.
        data: As of `TrainedDetector.predict`.
        series: Which of several series; the one with the highest score where None.
        channel: Which of several channels; the one that adds most to the highest score where None.
        steps: How many steps are shown: those around the highest score; all where None.

    Raises:
        DataError: The data cannot be read, or have no such series or channel.
        RunError: The training did not come to its end, so that there is no threshold.
        OptionError: `steps` is out of range.
    """
    if steps is not None and not is_whole(steps, 2):
        raise OptionError(f"steps: expected a whole number from 2 on, got {steps!r}.")
    panel = trained.setup.read(data)
    threshold = trained.threshold
    scored = trained.scored(panel)
    truth = true_anomalies(panel)
    scores = np.nan_to_num(scored.score, nan=-np.inf)
    # The first series that has steps stands where nothing can be scored.
    chosen = int(panel.series_of_rows[scores.argmax()])
    number = chosen if series is None else place_of("series", series, panel.ids)
    begin, end = (int(place) for place in panel.offsets[number : number + 2])
    names = panel.schema.targets
    top = begin + int(scores[begin:end].argmax()) if end > begin else begin
    blamed = int(np.nan_to_num(scored.channels[top]).argmax()) if end > begin else 0
    place = blamed if channel is None else place_of("channel", channel, names)
    if steps is not None:
        begin = max(begin, min(top - steps // 2, end - steps))
        end = min(end, begin + steps)
    rows = slice(begin, end)
    return alarm_figure(
        title=panel.ids[number] if len(panel) > 1 else "",
        name=names[place],
        times=on_the_clock(panel.times[rows], panel.schema.zone),
        values=panel.values[rows, place],
        alarms=np.flatnonzero(scored.score[rows] > threshold),
        anomalies=None if truth is None else np.flatnonzero(truth[0][rows]),
    )
