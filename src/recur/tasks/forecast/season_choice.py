"""After how many steps series are taken to repeat, by the rules that a forecast has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recur.data.series import Frequency, Part
from recur.models.season import find_season

_MOST_NUMBERS = 2_000_000
"""Of the training part that the season is looked for in, the latest rows of series that lie evenly."""

_OF_UNITS = {"b": 5, "w": 52, "mo": 12, "q": 4}
_DAY, _WEEK = 86_400, 7


@dataclass(frozen=True, kw_only=True)
class Season:
    """Steps after which series repeat, 1 for none, and why."""

    steps: int
    why: str

    def stride(self, near: int, *, most: bool = False) -> int:
        """Return how many steps to go from one origin to the next so that they come to all places of the season.

        Strides that share a divisor with the season, such as half a day of hours, would see some hours alone.

        Args:
            near: The least it may be.
            most: Whether it is the most it may be instead.

        Example:
            >>> Season(steps=24, why="").stride(12), Season(steps=24, why="").stride(12, most=True)
            (13, 11)
        """
        stride = near
        while math.gcd(stride, self.steps) > 1:
            stride += -1 if most else 1
        return stride


def recent_history(part: Part) -> Tensor:
    """Return the targets of a part, of so many series and latest rows as can be looked through: (N, C, T) float32.

    A series that is shorter begins with NaN.
    """
    lengths = part.stop - part.start
    longest = int(lengths.max(initial=0))
    num_targets = len(part.panel.schema.targets)
    # A season that is seen four times in so many steps is found; a year of minutes is not looked for.
    width = min(longest, _MOST_NUMBERS // num_targets)
    most = max(1, _MOST_NUMBERS // (width * num_targets))
    series = part.series
    chosen = series[np.linspace(0, len(series) - 1, min(most, len(series))).round().astype(np.int64)]
    history = torch.full((len(chosen), num_targets, width), torch.nan)
    for place, number in enumerate(chosen.tolist()):
        stop = int(part.stop[number])
        start = max(int(part.start[number]), stop - width)
        history[place, :, width - (stop - start) :] = torch.from_numpy(part.panel.values[start:stop, :num_targets].T)
    return history


def choose_season(part: Part) -> Season:
    """Return the season of the series in a training part.

    It is what `recur.models.find_season` finds there. Where it finds none, it is that of the calendar, if two of them
    fit into a series: a day for steps of a minute up to half a day, a week for days, a year for weeks, months and
    quarters.

    Args:
        part: Training rows, and nothing else is looked at.
    """
    longest = int((part.stop - part.start).max(initial=0))
    if not longest or not part.panel.schema.targets:
        return Season(steps=1, why="there is no target to find one in")
    found = find_season(recent_history(part))
    if found > 1:
        return Season(steps=found, why="found in the training part")
    frequency = part.panel.frequency
    steps = 1 if frequency is None else season_of_calendar(frequency)
    if steps > 1 and 2 * steps <= longest:
        return Season(steps=steps, why=f"none was found in the training part; that of the calendar for {frequency}")
    return Season(steps=1, why="none was found in the training part")


def season_of_calendar(frequency: Frequency) -> int:
    """Return after how many steps series of a frequency repeat by the calendar; 1 where that is no whole number."""
    if frequency.unit in _OF_UNITS:
        steps = _OF_UNITS[frequency.unit] / frequency.count
    elif frequency.unit == "d":
        steps = _WEEK / frequency.count
    elif frequency.unit in ("min", "h"):
        assert frequency.seconds is not None
        steps = _DAY / frequency.seconds
    else:
        return 1
    return int(steps) if steps >= 2 and float(steps).is_integer() else 1
