"""What the user may choose about series of which classes or numbers are told. Neither polars nor torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from recur.data.series.columns import Columns
from recur.data.series.options import TEST, TableOptions, check_split
from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.wording import option

if TYPE_CHECKING:
    from recur.data.series.partition import Partition


@dataclass(frozen=True, kw_only=True)
class LabelOptions(TableOptions):
    """How a table becomes series with labels, and these a training, a validation and a test part.

    What columns are for is guessed where nothing is said. Several columns are named with commas between them; an empty
    text says that there is none.

    Raises:
        OptionError: A value makes no sense.

    Example:
        >>> columns = LabelOptions(label="gesture", series_id="case").columns
        >>> columns.label, columns.series_id, columns.targets
        ('gesture', ('case',), ())
    """

    label: str | None = field(default=None, metadata={"after": "series_id"})
    """Column of what is to be told: of each series, or of each step where it changes within one; guessed if not given,
    as are all roles of columns."""

    form: Literal["long", "rows"] | None = None
    """Form of the table: long has a row for each step of a series, rows a row for each series. If not given, it is rows
    where nothing names their time or their series, and ten columns or more are numbered one after the other, such as t0
    to t59, of which neighbours are alike; else long."""

    split: Literal["label", "series", "time", "column"] | None = field(default=None, metadata={"after": "time_format"})
    """Parts are whole series drawn from each class alike, whole series drawn at random, are cut from the end of each
    series, or are named by the column of part. If not given, the first of these that goes: column, label, series."""

    valid: float | str = 0.1
    """What the best weights are chosen by and probabilities are calibrated on: a share, a number of series (of each
    class, with split label), with split time of rows, or the time at which the part begins. Of what is trained on,
    where the data have a test part and none to choose by."""

    test_data: str | None = field(default=None, metadata={"after": "test"})
    """File or folder that is judged on in the end, instead of a part of DATA; read as DATA is."""

    window: int | None = None
    """Steps that are read to tell of one of them, where each step has a label; if not given, each series is read from
    its beginning, and the last 100 steps are of series with more than 1,000 or with split time."""

    scaling: Literal["standard", "robust", "mean_abs", "none"] | None = None
    """How numbers are scaled: by mean and deviation, by median and quartiles, by the mean size, or not at all; standard
    if not given."""

    scale_apart: bool = field(default=False, metadata={"after": "scaling"})
    """Each series has a scale of its own, where its size says nothing of its label; not where numbers are told of each
    step from its series so far."""

    calendar: str | None = None
    """Calendar features: some of minute, hour, weekday, monthday and month; none if not given."""

    def __post_init__(self) -> None:
        if self.window is not None and not is_whole(self.window, 1):
            raise OptionError(f"window must be a whole number from 1 on, not {self.window!r}.")
        if self.test_data is not None and self.test not in (TEST, 0):
            raise OptionError(
                "test: says which part of DATA is judged on, but test_data names other data; leave one out."
            )
        if self.form not in (None, "long", "rows"):
            raise OptionError(f"form must be long or rows, not {self.form!r}: in other tables series have no label.")
        check_split(self.split, self)
        # So that what makes no sense is said before any data are read.
        self.columns.given()

    @property
    def columns(self) -> Columns:
        """What is said about the columns; none is a target, for nothing is forecast."""
        return replace(super().columns, targets=())

    def partition(self, *, has_parts: bool, has_classes: bool, seed: int) -> Partition:
        """Return how the series are cut into parts.

        Args:
            has_parts: Whether the data say which part a row is of.
            has_classes: Whether each series has a class.
            seed: Of series that are drawn.
        """
        from recur.data.series.partition import Partition

        by = self.split or ("column" if has_parts else "label" if has_classes else "series")
        # A column names what is judged on itself; nothing is drawn for that where there are other data.
        test = 0 if self.test_data is not None and by != "column" else self.test
        return Partition(by=by, valid=self.valid, test=test, seed=seed)


@dataclass(frozen=True, kw_only=True)
class NumberOptions(LabelOptions):
    """How a table becomes series with a number each, or of which it is told how long they will go on.

    Raises:
        OptionError: A value makes no sense.
    """

    censored: str | None = field(default=None, metadata={"after": "label"})
    """Column that says, by 1, that a label is only a lower bound, as the life of what has not failed yet; with
    remaining_life its last row in a series counts."""

    remaining_life: bool = field(default=False, metadata={"after": "censored"})
    """Tell how long each series will go on after each of its steps: nothing is left after its last row, unless censored
    says that it has not ended."""

    life_cap: float | None = field(default=None, metadata={"after": "remaining_life"})
    """Longest remaining life that is told, such as 125 cycles: far from the end nothing shows how far."""

    life_left: str | None = field(default=None, metadata={"after": "test_data"})
    """File with the life that was left after the last row of each series of test_data, a number a line, in their
    order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.life_cap is not None and not (is_number(self.life_cap) and 0 < self.life_cap < math.inf):
            raise OptionError(f"life_cap must be a number above 0, not {self.life_cap!r}.")
        if not self.remaining_life and (self.life_cap is not None or self.life_left is not None):
            name = "life_cap" if self.life_cap is not None else "life_left"
            raise OptionError(
                f"{name}: is of remaining lives; give {option('remaining_life', True)} too, or leave it out."
            )
        if self.remaining_life and self.label:
            raise OptionError(
                f"label: with {option('remaining_life', True)} the rows that follow are the label; leave one out."
            )
        if self.life_left is not None and self.test_data is None:
            raise OptionError(f"life_left: is of the series of {option('test_data')}; name these too.")
