"""A series of numbers as it was given, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recur.errors import DataError
from recur.inspection_format import MAX_CHANNELS, MAX_SYMBOLS
from recur.kinds import is_finite
from recur.tasks.inspection.unit_search import Property
from recur.tasks.inspection.user_labels import Label, label_properties, shown
from recur.wording import quantity

Times = Sequence[str | float | date | np.generic] | NDArray[Any] | Tensor
"""What each step is called: numbers, dates or texts."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Series:
    """The first N steps of a series of C channels.

    Attributes:
        title: What it is.
        values: (N, C) float64, finite, and no larger than float32 holds.
        channels: C names.
        times: What each step is called, N.
        total: Steps of the whole series.
    """

    title: str
    values: NDArray[np.float64]
    channels: list[str]
    times: list[str | float]
    total: int

    @property
    def cut(self) -> str:
        """What of a longer series it is; empty where it is all."""
        return f"the first {MAX_SYMBOLS:,} of {self.total:,} steps" if len(self.values) < self.total else ""

    def properties(self, labels: Sequence[Label] | NDArray[Any] | None) -> list[Property]:
        """Return the properties to search units for: the first channels, and labels, one a step.

        Raises:
            DataError: There are not as many labels as steps, or they make no property.
        """
        found = [
            Property(key=f"channel_{number}", name=f"value of {name}", kind="number", values=self.values[:, number])
            for number, name in enumerate(self.channels[:MAX_CHANNELS])
        ]
        if labels is None:
            return found
        listed = list(labels)
        if len(listed) not in (len(self.values), self.total):
            raise DataError(
                f"{self.title}: there are {quantity(len(listed), 'label')} for {quantity(self.total, 'step')}."
            )
        return found + label_properties(listed[: len(self.values)])


def series_of(
    values: ArrayLike | Tensor,
    channels: Sequence[str] | None = None,
    times: Times | None = None,
    title: str = "your series",
) -> Series:
    """Return a series, checked, of which the first `MAX_SYMBOLS` steps are kept.

    Args:
        values: (N, C), or (N,) for one channel.
        channels: C names; numbered if not given.
        times: What to call each step, N numbers, dates or texts; numbers from 0 if not given.
        title: What to call the series.

    Raises:
        DataError: The values are no numbers, not finite, too large or of another shape, there are not as many names or
            times, a name is no text, or a time is something else.
    """
    try:
        every = np.asarray(values.detach().cpu().double() if isinstance(values, Tensor) else values)
        if every.dtype.kind == "c":
            raise TypeError("complex numbers")
        every = every.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{title}: must be numbers of shape (N, C) or (N,), all rows as long: {error}.") from error
    every = every[:, None] if every.ndim == 1 else every
    if every.ndim != 2 or every.size == 0:
        raise DataError(f"{title}: must be numbers of shape (N, C) or (N,), at least one, but is {every.shape}.")
    total, num_channels = every.shape
    names = [f"channel {number}" for number in range(num_channels)] if channels is None else list(channels)
    called = list(range(total)) if times is None else list(times.tolist() if isinstance(times, Tensor) else times)
    for what, given, wanted in (("channels", names, num_channels), ("times", called, total)):
        if len(given) != wanted:
            raise DataError(f"{title}: there are {len(given)} {what}, expected {wanted}.")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise DataError(f"{title}, channel {number}: its name is {shown(name)}, expected text.")
    bad = np.argwhere(~(np.abs(every) <= _LARGEST))
    if len(bad):
        row, channel = bad[0].tolist()
        value = float(every[row, channel])
        reason = "which float32 cannot hold; scale the series" if np.isfinite(value) else "expected a finite number"
        more = f" ({len(bad) - 1:,} more)" if len(bad) > 1 else ""
        raise DataError(f"{title}, row {row}, {names[channel]}: is {value:g}, {reason}{more}.")
    kept = every[:MAX_SYMBOLS]
    known = [_time(time, row, title) for row, time in enumerate(called[: len(kept)])]
    return Series(title=title, values=kept, channels=names, times=known, total=total)


def _time(time: object, row: int, title: str) -> str | float:
    """Return what a step is called, as JSON has it: a date as text."""
    # What is not a time is not even itself.
    if isinstance(time, np.datetime64 | np.timedelta64 | date) and time == time:
        return str(time)
    plain = time.item() if isinstance(time, np.generic) else time
    if isinstance(plain, str) or is_finite(plain):
        return plain
    raise DataError(f"{title}, row {row}: its time is {shown(time)}, expected a finite number, a date or text.")
