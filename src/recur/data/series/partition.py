"""How a panel is cut into its parts, as an option that is saved with a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from recur.data.series.options import FROM, TEST, VALID
from recur.data.series.panel import Panel
from recur.data.series.split import Split
from recur.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Partition:
    """What is held out of the data to choose by and to judge on.

    Example:
        >>> panel = Panel.of_rows(["a"], [10], [[float(step)] for step in range(10)])
        >>> split = Partition(valid=0.2, test=3).of(panel)
        >>> len(split.train), len(split.valid), len(split.test)
        (5, 2, 3)
    """

    by: Literal["time", "series", "label", "column"] = "time"
    """Cut every series in time, draw whole series at random, draw them from each class alike, or take the parts that a
    column of the table names."""
    valid: int | float | str = VALID
    """What the best weights are chosen by: a share of each series (or of the series), a number of rows (or series), or
    the time at which the part begins, "from:800" or, where that is no number, "2024-01-01" alone. Where a column names
    the parts, but none to choose by, it is taken from train: the end of each series, or where there are no targets
    whole series."""
    test: int | float | str = TEST
    """What is judged on in the end, likewise; in each series the last rows, or those from a time on. Where a column
    names the parts, 0 cuts off none beside those it names."""
    seed: int = 0
    """Of the series that are drawn."""

    def of(self, panel: Panel) -> Split:
        """Return the parts of a panel.

        Raises:
            OptionError: A value makes no sense.
            DataError: The series are too short or too few.
        """
        if self.by == "column":
            return self._of_column(panel)
        if self.by == "time" and isinstance(self.test, str):
            return self._from(panel, self.test)
        valid, test = self._share("valid"), self._share("test")
        if self.by == "time":
            return Split.by_time(panel, valid=valid, test=test)
        if self.by == "series":
            return Split.by_series(panel, valid=valid, test=test, seed=self.seed)
        if self.by == "label":
            return Split.by_label(panel, valid=valid, test=test, seed=self.seed)
        raise OptionError(f"by: expected 'time', 'series', 'label' or 'column', got {self.by!r}.")

    def _of_column(self, panel: Panel) -> Split:
        """Return the parts that a column names, and one to choose by where it names none."""
        split = Split.by_column(panel)
        instead = "leave it out, or cut by time instead"
        if self.test not in (TEST, 0):
            raise OptionError(f"test: is {self.test}, but a column says which rows are judged on; {instead}.")
        if len(split.valid):
            if self.valid != VALID:
                raise OptionError(f"valid: is {self.valid}, but a column says which rows are chosen by; {instead}.")
            return split
        valid = self._share("valid")
        if valid == 0:
            return split
        if panel.schema.targets:
            return split.with_last_rows_as_valid(valid)
        return split.with_valid(valid, seed=self.seed)

    def _from(self, panel: Panel, test: str) -> Split:
        """Return the parts where the test part begins at a time."""
        test_from = _moment(panel, test)
        if isinstance(self.valid, str):
            return Split.at(panel, test=test_from, valid=_moment(panel, self.valid))
        return Split.at(panel, test=test_from).with_last_rows_as_valid(self.valid)

    def _share(self, name: str) -> int | float:
        """Return a share or a number, which must be no time."""
        value: int | float | str = getattr(self, name)
        if isinstance(value, str):
            what = {"time": "test is not one, too", "column": "the parts are named by a column"}
            why = what.get(self.by, f"the parts are cut by {self.by}")
            raise OptionError(f"{name}: {value!r} is a time, but {why}; give a share or a number.")
        return value

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Partition:
        """Return the options that `to_json` wrote."""
        return cls(**data)


def _moment(panel: Panel, text: str) -> Any:
    """Return a time as `Split.at` takes it: a number where times are numbers."""
    text = text.removeprefix(FROM)
    if panel.times.dtype.kind == "M":
        return text
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"test, valid: the times are numbers, so expected one, got {text!r}.") from None
