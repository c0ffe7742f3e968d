"""How a panel is cut into its parts, as an option that is saved with a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from recur.data.series.panel import Panel
from recur.data.series.split import Part, Split
from recur.errors import DataError, OptionError
from recur.kinds import is_number, is_whole


@dataclass(frozen=True, kw_only=True)
class Partition:
    """What is held out of the data to choose by and to judge on.

    Example:
        >>> panel = Panel.of_rows(["a"], [10], [[float(step)] for step in range(10)])
        >>> split = Partition(valid=0.2, test=0.3).of(panel)
        >>> len(split.train), len(split.valid), len(split.test)
        (5, 2, 3)
    """

    by: Literal["time", "series", "label", "column"] = "time"
    """Cut every series in time, draw whole series at random, draw them from each class alike, or take the parts that a
    column of the table names."""
    valid: float | str = 0.1
    """What the best weights are chosen by: a share of each series (or of the series), a number of rows (or series), or
    the time at which the part begins."""
    test: float | str = 0.2
    """What is judged on in the end, likewise; in each series the last rows, or those from a time on."""
    seed: int = 0
    """Of the series that are drawn."""

    def of(self, panel: Panel) -> Split:
        """Return the parts of a panel.

        Raises:
            OptionError: A value makes no sense.
            DataError: The series are too short or too few.
        """
        if self.by == "column":
            return Split.by_column(panel)
        if self.by == "time" and isinstance(self.test, str):
            return self._from(panel, self.test)
        for name in ("valid", "test"):
            if isinstance(getattr(self, name), str):
                what = "test is not one, too" if self.by == "time" else f"the parts are cut by {self.by}"
                raise OptionError(f"{name}: {getattr(self, name)!r} is a time, but {what}; give a share or a number.")
        valid, test = _share(self.valid), _share(self.test)
        if self.by == "time":
            return Split.by_time(panel, valid=valid, test=test)
        if self.by == "series":
            return Split.by_series(panel, valid=valid, test=test, seed=self.seed)
        if self.by == "label":
            return Split.by_label(panel, valid=valid, test=test, seed=self.seed)
        raise OptionError(f"by: expected 'time', 'series', 'label' or 'column', got {self.by!r}.")

    def _from(self, panel: Panel, test: str) -> Split:
        """Return the parts where the test part begins at a time."""
        test_from = _moment(panel, test)
        if isinstance(self.valid, str):
            return Split.at(panel, test=test_from, valid=_moment(panel, self.valid))
        whole = Split.at(panel, test=test_from)
        before = whole.train.stop - whole.train.start
        share = _share(self.valid)
        if not is_number(share) or share < 0 or (not is_whole(share) and share >= 1):
            raise OptionError(f"valid: expected a number from 0 on, or a share from 0 to below 1, got {share!r}.")
        count = np.full_like(before, share) if is_whole(share) else np.rint(before * share).astype(np.int64)
        cut = whole.train.stop - np.where(before > 0, count, 0)
        short = np.flatnonzero((cut <= whole.train.start) & (before > 0))
        if len(short):
            number = int(short[0])
            raise DataError(
                f"series {panel.ids[number]!r} has {before[number]} rows before {test}, too few for {count[number]} of "
                "valid and some to train on; make valid smaller, or let test begin later."
            )
        return Split(
            train=Part(panel=panel, start=whole.train.start, stop=cut, name="train"),
            valid=Part(panel=panel, start=cut, stop=whole.train.stop, name="valid"),
            test=whole.test,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Partition:
        """Return the options that `to_json` wrote."""
        return cls(**data)


def _share(value: float | str) -> Any:
    # A command line has 24 and 0.2 alike as floats.
    return int(value) if isinstance(value, float) and value >= 1 and value.is_integer() else value


def _moment(panel: Panel, text: str) -> Any:
    """Return a time as `Split.at` takes it: a number where times are numbers."""
    if panel.times.dtype.kind == "M":
        return text
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"test, valid: the times are numbers, so expected one, got {text!r}.") from None
