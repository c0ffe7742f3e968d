"""The picture of a forecast: what was, what is told, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recur.data.series.moments import on_the_clock
from recur.data.series.places import place_of
from recur.data.series.split import last_targets
from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.report import forecast_figure
from recur.tasks.forecast.trained import TrainedForecaster

_PAST_TO_AHEAD = 4
"""Times as many steps as are told are shown of what was, and at least the steps that are read."""


def plot_forecast(
    trained: TrainedForecaster,
    data: Any,
    *,
    series: str | None = None,
    target: str | None = None,
    horizon: int | None = None,
    shares: Sequence[float] = (0.5, 0.8, 0.95),
    past: int | None = None,
    use_calibration: bool = True,
) -> Any:
    """Return a picture of what comes after the last target of a series, with intervals, as a plotly figure.

    Args:
        trained: The forecaster.
        data: As of `TrainedForecaster.predict`.
        series: Which of several series; the first where None.
        target: Which of several targets; the first where None.
        horizon: Steps to tell, as many as the model was trained for or fewer.
        shares: What the central intervals shall hold, between 0 and 1; none for the forecast alone.
        past: Steps that are shown of what was; by default the steps read, or four times as many as are told.
        use_calibration: As of `TrainedForecaster.predict`.

    Raises:
        DataError: The data cannot be read, have no such series or target, or a series has nothing to go on from.
        OptionError: A number is out of range.
    """
    panel = trained.setup.read(data)
    number = place_of("series", series, panel.ids)
    channel = place_of("target", target, panel.schema.targets)
    if past is not None and not is_whole(past, 1):
        raise OptionError(f"past: expected a number of steps from 1 on, got {past!r}.")
    for share in shares:
        if not (is_number(share) and 0 < share < 1):
            raise OptionError(f"shares: expected numbers between 0 and 1, got {share!r}.")
    ordered = sorted(set(shares))
    levels = [*((1 - share) / 2 for share in reversed(ordered)), 0.5, *((1 + share) / 2 for share in ordered)]
    frame = trained.predict(panel, horizon=horizon, levels=levels, use_calibration=use_calibration)
    names = panel.schema.targets
    frame = frame.filter((frame["series_id"] == panel.ids[number]) & (frame["target"] == names[channel]))
    told = frame[:, 4:].to_numpy()
    ahead = frame["time"].to_numpy()
    zone = panel.schema.zone
    end = int(last_targets(panel)[number])
    shown = past or max(trained.setup.history, _PAST_TO_AHEAD * len(frame))
    begin = max(int(panel.offsets[number]), end - shown)
    middle = len(ordered)
    return forecast_figure(
        title=panel.ids[number] if len(panel) > 1 else "",
        name=names[channel],
        times=on_the_clock(panel.times[begin:end], zone),
        values=panel.values[begin:end, channel],
        times_ahead=on_the_clock(ahead, zone),
        median=told[:, middle],
        intervals={
            share: (told[:, middle - 1 - place], told[:, middle + 1 + place]) for place, share in enumerate(ordered)
        },
    )
