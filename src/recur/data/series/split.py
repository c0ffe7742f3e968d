"""Which rows are to be learned from, which to choose by, and which to judge on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.moments import instants
from recur.data.series.panel import Panel
from recur.data.series.rows import PARTS
from recur.errors import DataError, OptionError
from recur.kinds import is_number, is_whole
from recur.wording import option

Share = int | float
"""A number of rows or series, or a share of them below one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The rows of one part: in each series those from `start` up to `stop`.

    What comes before `start` in a series may be read as history by windows, never as a target.

    Attributes:
        panel: All rows.
        start: The first row in each series, (N,) int64, counted over all rows of the panel.
        stop: The row after the last one, (N,) int64; `start` where a series has none.
        name: train, valid, test, or another.
    """

    panel: Panel
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    name: str = "all"

    def __post_init__(self) -> None:
        begins, ends = self.panel.offsets[:-1], self.panel.offsets[1:]
        if self.start.shape != begins.shape or self.stop.shape != begins.shape:
            raise DataError(
                f"the part {self.name!r} must have a start and a stop for each of the {len(begins)} series."
            )
        if not bool(((begins <= self.start) & (self.start <= self.stop) & (self.stop <= ends)).all()):
            raise DataError(f"the part {self.name!r} has rows outside of their series.")

    @classmethod
    def whole(cls, panel: Panel, name: str = "all") -> Part:
        """Return all rows of a panel as one part."""
        return cls(panel=panel, start=panel.offsets[:-1].copy(), stop=panel.offsets[1:].copy(), name=name)

    def __len__(self) -> int:
        """Number of rows."""
        return int((self.stop - self.start).sum())

    @property
    def series(self) -> NDArray[np.int64]:
        """Which series have rows in it, ascending."""
        return np.flatnonzero(self.stop > self.start)

    @property
    def has_row(self) -> NDArray[np.bool_]:
        """Which rows of the panel belong to it, (R,)."""
        mark = np.zeros(len(self.panel.rows) + 1, np.int64)
        np.add.at(mark, self.start, 1)
        np.add.at(mark, self.stop, -1)
        return np.cumsum(mark[:-1]) > 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The three parts of a panel; no row is in two, and within a series train comes before valid before test.

    Attributes:
        train: What scalers, categories and weights are fitted to.
        valid: What says when to stop, and which model is best; may be empty.
        test: What is judged on at the very end; may be empty.

    Raises:
        DataError: Parts overlap or are out of order, or there is nothing to train on.

    Example:
        >>> panel = Panel.of_rows(["a"], [10], [[float(step)] for step in range(10)])
        >>> split = Split.by_time(panel, valid=0.2, test=3)
        >>> len(split.train), len(split.valid), len(split.test)
        (5, 2, 3)
    """

    train: Part
    valid: Part
    test: Part

    def __post_init__(self) -> None:
        parts = (self.train, self.valid, self.test)
        if any(part.panel is not self.train.panel for part in parts):
            raise DataError("the parts are of different panels.")
        for one, other in ((0, 1), (1, 2), (0, 2)):
            both = (parts[one].start < parts[one].stop) & (parts[other].start < parts[other].stop)
            wrong = np.flatnonzero(both & (parts[one].stop > parts[other].start))
            if len(wrong):
                name = self.train.panel.ids[int(wrong[0])]
                raise DataError(
                    f"series {name!r}: rows of {parts[one].name!r} come after or among those of "
                    f"{parts[other].name!r}; within a series training rows must be the earliest and test rows the last."
                )
        if not len(self.train):
            raise DataError("no row is left to train on; make the other parts smaller.")

    @classmethod
    def by_time(cls, panel: Panel, *, valid: Share = 0.1, test: Share = 0.2) -> Split:
        """Return the last rows of each series as test, those before as valid, and the first as train.

        Rows at the end of a series where every target is missing, such as those for which only the future is known,
        belong to no part.

        Args:
            panel: The series.
            valid: How many rows of each series, or which share of them.
            test: Likewise; of a share of a row and more at least one.

        Raises:
            OptionError: A share is out of range.
            DataError: A series is too short to have a row in each part.
        """
        begins = panel.offsets[:-1]
        ends = last_targets(panel)
        lengths = ends - begins
        num_valid, num_test = _counts("valid", valid, lengths), _counts("test", test, lengths)
        short = np.flatnonzero((num_valid + num_test >= lengths) & (lengths > 0))
        if len(short):
            one = int(short[0])
            raise DataError(
                f"series {panel.ids[one]!r} has {lengths[one]} rows, too few for {num_valid[one]} of valid, "
                f"{num_test[one]} of test and some to train on; make the parts smaller, or split by series."
            )
        return cls._of_bounds(panel, begins, ends - num_test - num_valid, ends - num_test, ends)

    @classmethod
    def at(cls, panel: Panel, *, test: Any, valid: Any = None) -> Split:
        """Return what happened before an instant as train and valid, and from then on as test, in all series alike.

        Args:
            panel: The series.
            test: The first time of the test part: a date, a datetime or its text by the clock of the panel's zone, or a
                number where times are numbers.
            valid: The first time of the valid part; None for none.

        Raises:
            OptionError: A time is of the wrong kind, or valid does not begin before test.
            DataError: No row is left to train on.
        """
        test_from = _time("test", test, panel)
        valid_from = test_from if valid is None else _time("valid", valid, panel)
        if valid_from > test_from:
            raise OptionError(f"valid: begins at {valid}, but must begin before test, which begins at {test}.")
        bounds = [
            panel.offsets[:-1]
            + np.add.reduceat(np.append(panel.times < moment, False), panel.offsets[:-1], dtype=np.int64)
            for moment in (valid_from, test_from)
        ]
        # reduceat gives an empty series its neighbour's first.
        bounds = [np.minimum(bound, panel.offsets[1:]) for bound in bounds]
        return cls._of_bounds(panel, panel.offsets[:-1], bounds[0], bounds[1], panel.offsets[1:])

    @classmethod
    def by_series(cls, panel: Panel, *, valid: Share = 0.1, test: Share = 0.2, seed: int = 0) -> Split:
        """Return whole series as train, valid and test, drawn at random.

        Where series have labels and no targets, valid and test are of those with a label that counts and is more than a
        lower bound, and train has the others; nothing could be said of these.

        Args:
            panel: The series.
            valid: How many series, or which share of them.
            test: Likewise.
            seed: Which ones; the same always gives the same.

        Raises:
            OptionError: A share is out of range.
            DataError: There are too few series.
        """
        return cls._by_strata(panel, [np.flatnonzero(_can_be_judged(panel))], valid, test, seed)

    @classmethod
    def by_label(cls, panel: Panel, *, valid: Share = 0.1, test: Share = 0.2, seed: int = 0) -> Split:
        """Return whole series as train, valid and test, drawn at random from each class alike; train has those without.

        Args:
            panel: The series, which have classes.
            valid: How many series of each class, or which share of them.
            test: Likewise.
            seed: Which ones; the same always gives the same.

        Raises:
            OptionError: A share is out of range.
            DataError: The series have no classes, or there are too few of one.
        """
        labels, classes = panel.labels, panel.schema.classes
        if labels is None or classes is None:
            raise DataError("the series have no classes to draw from alike; split by series, or name the label.")
        strata = [np.flatnonzero(labels == code) for code in range(len(classes))]
        return cls._by_strata(panel, [stratum for stratum in strata if len(stratum)], valid, test, seed)

    @classmethod
    def by_column(cls, panel: Panel) -> Split:
        """Return the parts that a column of the table names; rows without a name belong to none.

        Raises:
            DataError: There is no such column, or the parts of a series are not in one piece each, in the order of
                time.
        """
        codes = panel.rows.part
        if codes is None:
            raise DataError(
                f"no column says which part a row is of; name one with {option('part')}, or split by time or series."
            )
        series = panel.series_of_rows
        parts = []
        for code, name in enumerate(PARTS):
            start, stop = panel.offsets[:-1].copy(), panel.offsets[:-1].copy()
            rows = np.flatnonzero(codes == code)
            own = series[rows]
            start[own[::-1]] = rows[::-1]
            stop[own] = rows + 1
            torn = np.flatnonzero(stop - start != np.bincount(own, minlength=len(panel)))
            if len(torn):
                raise DataError(
                    f"series {panel.ids[int(torn[0])]!r}: the rows of {name!r} are not in one piece in the order of "
                    "time; give each part one span of time in each series."
                )
            parts.append(Part(panel=panel, start=start, stop=stop, name=name))
        return cls(train=parts[0], valid=parts[1], test=parts[2])

    def with_last_rows_as_valid(self, valid: Share = 0.1) -> Split:
        """Return the split with the last rows of train in each series as valid; what is judged on stays as it is.

        Args:
            valid: How many rows of each series, or which share of those to train on.

        Raises:
            OptionError: A share is out of range.
            DataError: There is a part to choose by already, or a series is too short.
        """
        self._check_has_no_valid()
        panel, start, stop = self.train.panel, self.train.start, self.train.stop
        lengths = stop - start
        count = _counts("valid", valid, lengths)
        short = np.flatnonzero((count >= lengths) & (lengths > 0))
        if len(short):
            number = int(short[0])
            raise DataError(
                f"series {panel.ids[number]!r} has {lengths[number]} rows before its test part, too few for "
                f"{count[number]} of valid and some to train on; make valid smaller, or let test begin later."
            )
        train = Part(panel=panel, start=start, stop=stop - count, name="train")
        return Split(train=train, valid=Part(panel=panel, start=stop - count, stop=stop, name="valid"), test=self.test)

    def _check_has_no_valid(self) -> None:
        if len(self.valid):
            raise DataError("the split has a part 'valid' already.")

    def with_valid(self, valid: Share = 0.2, *, seed: int = 0) -> Split:
        """Return the split with some of the series of train as valid, drawn at random, from each class alike.

        So parts that were given without one to choose by, such as those of the archives, get one; what is judged on
        stays as it is.

        Args:
            valid: How many series (of each class, where series have classes), or which share of them.
            seed: Which ones; the same always gives the same.

        Raises:
            OptionError: A share is out of range.
            DataError: There is a part to choose by already, or there are too few series to train on, or of one class.
        """
        self._check_has_no_valid()
        panel, series = self.train.panel, self.train.series
        strata = [series[_can_be_judged(panel)[series]]]
        if panel.labels is not None and panel.schema.classes is not None:
            own = panel.labels[series]
            strata = [series[own == code] for code in np.unique(own[own >= 0]).tolist()]
        code = _drawn(len(panel), strata, {1: valid}, seed)
        begin, end = self.train.start, self.train.stop
        train, held = (
            Part(panel=panel, start=begin.copy(), stop=np.where(code == part, end, begin), name=name)
            for part, name in enumerate(PARTS[:2])
        )
        return Split(train=train, valid=held, test=self.test)

    @classmethod
    def _by_strata(cls, panel: Panel, strata: list[NDArray[np.int64]], valid: Share, test: Share, seed: int) -> Split:
        code = _drawn(len(panel), strata, {1: valid, 2: test}, seed)
        begins, ends = panel.offsets[:-1], panel.offsets[1:]
        train, held, judged = (
            Part(panel=panel, start=begins.copy(), stop=np.where(code == part, ends, begins), name=name)
            for part, name in enumerate(PARTS)
        )
        return cls(train=train, valid=held, test=judged)

    @classmethod
    def _of_bounds(cls, panel: Panel, *bounds: NDArray[np.int64]) -> Split:
        train, valid, test = (
            Part(panel=panel, start=bounds[number].copy(), stop=bounds[number + 1].copy(), name=name)
            for number, name in enumerate(PARTS)
        )
        return cls(train=train, valid=valid, test=test)


def _can_be_judged(panel: Panel) -> NDArray[np.bool_]:
    """Return which series have a label that something told of them can be compared with, (N,); all where none has."""
    everything = np.ones(len(panel), np.bool_)
    if panel.schema.targets or (panel.labels is None and panel.rows.labels is None):
        return everything
    labels = panel.rows.labels
    if labels is None:
        assert panel.labels is not None
        labels = panel.labels[panel.series_of_rows]
    counts = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    if panel.rows.weight is not None:
        counts &= panel.rows.weight > 0
    if panel.rows.censored is not None:
        counts &= ~panel.rows.censored
    found = np.zeros(len(panel), np.bool_)
    found[panel.series_of_rows[counts]] = True
    return found if found.any() else everything


def _drawn(num_series: int, strata: list[NDArray[np.int64]], shares: dict[int, Share], seed: int) -> NDArray[np.int64]:
    """Return the code of each series, (N,): 0, or that of a part in `shares`, drawn from each stratum alike."""
    code = np.zeros(num_series, np.int64)
    generator = np.random.default_rng(seed)
    for stratum in strata:
        size = np.array([len(stratum)])
        counts = [int(_counts(PARTS[part], share, size)[0]) for part, share in shares.items()]
        if sum(counts) >= len(stratum):
            what = f"{len(stratum)} series" if len(strata) == 1 else f"a class of {len(stratum)} series"
            if len(strata) == 1 and len(stratum) < num_series:
                what += " whose labels are known"
            asked = ", ".join(f"{count} to {PARTS[part]}" for count, part in zip(counts, shares, strict=True))
            raise DataError(f"{what} cannot give {asked} and some to train on; make the parts smaller.")
        drawn = generator.permutation(stratum)
        for count, part in zip(counts, shares, strict=True):
            code[drawn[:count]] = part
            drawn = drawn[count:]
    return code


def seen_categories(part: Part) -> dict[str, tuple[str, ...]]:
    """Return which categories the rows of a part have, by column, for `Panel.recoded`."""
    panel, schema = part.panel, part.panel.schema
    rows, series = part.has_row, part.series
    found = {}
    for codes, names in (
        (panel.rows.codes[rows], schema.categorical),
        (panel.static_codes[series], schema.static_categorical),
    ):
        for column, name in enumerate(names):
            seen = np.unique(codes[:, column])
            found[name] = tuple(schema.categories[name][code - 1] for code in seen.tolist() if code)
    return found


def _counts(name: str, share: Share, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    if is_whole(share, 0):
        return np.where(sizes > 0, share, 0).astype(np.int64)
    if not is_number(share) or not 0 <= share < 1:
        raise OptionError(f"{name}: expected a number from 0 on, or a share from 0 to below 1, got {share!r}.")
    counts = np.rint(sizes * share).astype(np.int64)
    return np.asarray(np.maximum(counts, (sizes > 0) & (share > 0)))


def last_targets(panel: Panel) -> NDArray[np.int64]:
    """Return the row after the last one of each series that has a target, (N,); the end where there are no targets."""
    num_targets = len(panel.schema.targets)
    if not num_targets:
        return panel.offsets[1:]
    has_target = ~np.isnan(panel.values[:, :num_targets]).all(axis=1)
    rows = np.flatnonzero(has_target)
    ends = panel.offsets[:-1].copy()
    ends[panel.series_of_rows[rows]] = rows + 1
    return ends


def _time(name: str, value: Any, panel: Panel) -> Any:
    if panel.times.dtype.kind != "M":
        if not is_number(value):
            raise OptionError(f"{name}: the times are numbers, so expected one, got {value!r}.")
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise OptionError(f"{name}: {value} has a time zone; give the time by the clock of the series, without one.")
    if not isinstance(value, str | date | np.datetime64):
        raise OptionError(f"{name}: the times are dates, so expected one such as '2024-01-01', got {value!r}.")
    try:
        moment = np.array([value], panel.times.dtype)
    except ValueError:
        raise OptionError(
            f"{name}: {value!r} is no date; write one such as '2024-01-01' or '2024-01-01T12:00'."
        ) from None
    return instants(moment, panel.schema.zone)[0]
