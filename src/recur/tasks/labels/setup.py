"""All but the network that telling labels needs: which label, how data are read, scaled, cut into parts and batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recur.data.series import (
    LabelWindows,
    Panel,
    Part,
    Scaler,
    Split,
    WholeSeries,
    remaining_life,
    seen_categories,
)
from recur.data.series.batches import SeriesBatches
from recur.data.series.label_windows import Which
from recur.data.series.partition import Partition
from recur.data.series.scaling import Method
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_finite, with_tuples
from recur.models.series_shape import SeriesShape
from recur.tasks.forecast.season_choice import Season, season_of_calendar
from recur.tasks.series_reading import SeriesReading
from recur.tasks.series_setup import SeriesSetup, Source, checked_whole
from recur.wording import option

LIFE = "remaining_life"
"""What the label is called that says how long a series will go on."""

LONGEST = 1_000
"""Steps of the longest series that is read as a whole to tell of its steps."""

WINDOW = 100
"""Steps that are read to tell of one of them, of longer series."""

MOST_WINDOWS = 20_000
"""Of the training part; where there are more, they begin some steps apart, for neighbours say much the same."""

Way = Literal["series", "steps", "windows"]
"""What has a label and from what it is told: a series; a step, from its series so far; a step, from the last ones."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is trained on, chosen by and judged on; the last may be of other data.

    Attributes:
        train: Of the run's own data.
        valid: Likewise; may be empty.
        test: Of these, or of the run's test data; may be empty.
    """

    train: Part
    valid: Part
    test: Part


@dataclass(frozen=True, kw_only=True)
class Life:
    """The label is how long a series will go on, see `recur.data.series.remaining_life`.

    Attributes:
        cap: Longest life that is told, or None.
        left_path: File with the life that was left after the last row of each series of the test data, or None.
        left: What it said when the run was made, by which the test data are judged whatever becomes of it.
    """

    cap: float | None = None
    left_path: str | None = None
    left: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSetup(SeriesSetup):
    """How a run's data become what its network reads: saved with it, it does the same with other data.

    The attributes that it does not name are those of `SeriesSetup`.

    Attributes:
        label: What is told.
        way: What has a label, and from what it is told.
        window: Steps that are read, where `way` is "windows"; else 0.
        life: Where the label is remaining life.
        counts: How much the labels of each class count together in the training part, (K,); empty for numbers.
        test_source: Where the test data lie, if they are apart.

    Example:
        >>> from recur.data.series import panel_of_array
        >>> panel = panel_of_array([[[0.0], [1.0]], [[1.0], [0.0]]] * 10, ["up", "down"] * 10)
        >>> setup, parts = LabelSetup.fit(panel, partition=Partition(by="label", valid=1, test=2))
        >>> setup.way, setup.schema.classes, setup.counts, len(parts.test.series)
        ('series', ('down', 'up'), (7.0, 7.0), 4)
    """

    label: str
    way: Way
    window: int = 0
    life: Life | None = None
    counts: tuple[float, ...] = ()
    test_source: Source | None = None

    @classmethod
    def fit(
        cls,
        panel: Panel,
        *,
        test: Panel | None = None,
        test_path: str | None = None,
        partition: Partition | None = None,
        per_step: bool = False,
        window: int | None = None,
        life: Life | None = None,
        scaling: Method = "standard",
        per_series: bool = False,
        calendar: tuple[str, ...] = (),
        reading: SeriesReading | None = None,
        path: str | None = None,
    ) -> tuple[Self, Parts]:
        """Return the setup for a panel, and its parts; everything is fitted on the training part alone.

        Args:
            panel: The series, with labels unless `life` is to be told.
            test: Series to judge on, read under the schema of `panel`; None for a part of that.
            test_path: The file or folder that they were read from.
            partition: How the panel is cut.
            per_step: Each series is read from its beginning, however long.
            window: Steps that are read to tell of one of them; None where that is left open.
            life: Where the label is remaining life.
            scaling: The scaler's method.
            per_series: As of `Scaler`.
            calendar: As of `WholeSeries`.
            reading: How the panel was read.
            path: The file or folder that it was read from.

        Raises:
            OptionError: An option goes against the data.
            DataError: There are no labels, or too few series.
        """
        partition = partition or Partition(by="series")
        reading = reading or SeriesReading()
        source = Source.of(panel, path)
        # What is judged on by all that are compared does not grow.
        test_source = None if test is None else Source.of(test, test_path, can_grow=False)
        schema = panel.schema
        if life is not None and life.left_path is not None and test is not None:
            life = replace(life, left=tuple(read_lives(life.left_path, len(test))))
        told = panel if life is None else remaining_life(panel, cap=life.cap, label=LIFE)
        if told.labels is None and told.rows.labels is None:
            raise DataError(f"no column was recognised as the label; name it with {option('label')}.")
        way = _way(told, partition, per_step=per_step, window=window)
        if per_series and way == "steps" and told.schema.classes is None:
            raise OptionError(
                "scale_apart: a number is told of each step from its series so far, but a scale of its own would come "
                f"from all of the series; leave it out, or give {option('window')}, whose steps then scale what "
                "is read."
            )
        if way == "series":
            for one in (told, *([] if test is None else [test])):
                _check_weights(one)
            if partition.by == "time":
                raise OptionError(
                    f"split: the label {told.schema.label!r} belongs to whole series, so that with parts cut in time "
                    f"each series would be trained on and judged by the same label; say {option('split', 'series')}."
                )
        split = partition.of(told)
        seen = seen_categories(split.train)
        recoded = told.recoded(seen)
        split = partition.of(recoded)
        scaler = Scaler.fit(split.train, scaling, per_series=per_series)
        setup = cls(
            schema=panel.recoded(seen).schema,
            scaler=scaler,
            calendar=calendar,
            frequency=panel.frequency,
            reading=reading,
            partition=partition,
            source=source,
            label=str(told.schema.label),
            way=way,
            window=min(window or WINDOW, int(told.lengths.max())) if way == "windows" else 0,
            life=life,
            counts=_counts(split.train) if schema.classes is not None and life is None else (),
            test_source=test_source,
        )
        return setup, setup._with_test(split, test)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are told; none where numbers are."""
        return () if self.life is not None else self.schema.classes or ()

    @property
    def shape(self) -> SeriesShape:
        """What a network has to be built for to read the batches."""
        return SeriesShape.of(self.schema, self.channels)

    # --- data ---

    def read(self, data: Any, *, with_labels: bool = True) -> Panel:
        """Return data read as those of the run were: the same columns, categories, step and clock.

        Where series have labels, those of their rows become theirs: of one series alone a table does not say whose they
        are. Arguments and errors are those of `SeriesReading.again`.

        Raises:
            DataError: As of it, or the label changes within a series, but is of whole ones.
        """
        panel = super().read(data, with_labels=with_labels)
        labels = panel.rows.labels
        if self.way != "series" or labels is None:
            return panel
        is_known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
        known, series = labels[is_known], panel.series_of_rows[is_known]
        found = np.full(len(panel), np.nan if labels.dtype.kind == "f" else -1, labels.dtype)
        found[series] = known
        wrong = series[known != found[series]]
        if len(wrong):
            raise DataError(
                f"the label {self.label!r} changes within series {panel.ids[int(wrong[0])]!r}, but the model was "
                "trained on labels of whole series; give each series one."
            )
        return replace(panel, labels=found, rows=replace(panel.rows, labels=None))

    def labelled(self, panel: Panel, *, at_end: ArrayLike | Mapping[str, float] = 0.0) -> Panel:
        """Return a panel as `read` returns it with what is to be told, where rows say it: their remaining life.

        Args:
            panel: The series.
            at_end: As of `recur.data.series.remaining_life`.
        """
        if self.life is None:
            return panel
        return remaining_life(panel, cap=self.life.cap, at_end=at_end, label=LIFE)

    def own_parts(self, data: Any = None) -> Parts:
        """Return the parts of the run's own data, read again.

        Args:
            data: As of `own_panel`.

        Raises:
            OptionError: Data are given, but the run knows where they lie.
            RunError: They, or the test data, were not in a file, or have changed since.
            DataError: They cannot be read any more.
        """
        return self.parts(self.own_panel(data), None if self.test_source is None else self._own_test())

    def parts(self, panel: Panel, test: Panel | None = None) -> Parts:
        """Return the parts of the run's own data, as they were first read, and of its test data if they are apart."""
        return self._with_test(self.partition.of(self.labelled(panel).recoded(self.schema.categories)), test)

    def _own_test(self) -> Panel:
        source = self.test_source
        assert source is not None
        if source.path is None:
            raise RunError(
                "the run's test data were not in a file, so they cannot be read again; give data to judge on, or train "
                "anew with test data in a file."
            )
        return source.own(self.read(source.path))

    def _with_test(self, split: Split, test: Panel | None) -> Parts:
        if test is None:
            return Parts(train=split.train, valid=split.valid, test=split.test)
        left: ArrayLike = 0.0 if self.life is None or self.life.left is None else self.life.left
        return Parts(train=split.train, valid=split.valid, test=Part.whole(self.labelled(test, at_end=left), "test"))

    def batches(
        self, part: Part, *, batch_size: int, seed: int | None = None, which: Which = "labelled", stride: int = 1
    ) -> SeriesBatches:
        """Return the batches of a part.

        Args:
            part: Of a panel as `read` or `parts` returns it.
            batch_size: Series or windows a batch has.
            seed: Of their order.
            which: Where windows end, as of `LabelWindows`; whole series are read whole in any case.
            stride: Of windows.
        """
        if self.way == "windows":
            return LabelWindows(
                part,
                history=self.window,
                batch_size=batch_size,
                which=which,
                scaler=self.scaler,
                stride=stride,
                calendar=self.calendar,
                seed=seed,
            )
        return WholeSeries(part, batch_size=batch_size, scaler=self.scaler, calendar=self.calendar, seed=seed)

    def training_batches(self, part: Part, *, batch_size: int, seed: int | None = None) -> SeriesBatches:
        """Return what is trained on: of very many windows those some steps apart."""
        found = self.batches(part, batch_size=batch_size, seed=seed)
        stride = -(-found.num_items // MOST_WINDOWS) if self.way == "windows" else 1
        if stride > 1 and self.frequency is not None:
            stride = Season(steps=season_of_calendar(self.frequency), why="").stride(stride)
        return found if stride == 1 else self.batches(part, batch_size=batch_size, seed=seed, stride=stride)

    # --- files ---

    def _own_entries(self) -> dict[str, Any]:
        life, source = self.life, self.test_source
        return {
            "label": self.label,
            "way": self.way,
            "window": self.window,
            "life": None if life is None else asdict(life),
            "counts": list(self.counts),
            "test_source": None if source is None else source.to_json(),
        }

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        life, source, way = content["life"], content["test_source"], content["way"]
        window = checked_whole("window", content["window"])
        if way not in get_args(Way) or (way == "windows") != (window > 0):
            raise ValueError(f"way is {way!r} and window {window}, which do not go together")
        counts = tuple(content["counts"])
        if not all(is_finite(count) and count >= 0 for count in counts):
            raise ValueError("counts must be numbers from 0 on")
        return {
            "label": str(content["label"]),
            "way": way,
            "window": window,
            "life": None if life is None else Life(**with_tuples(life)),
            "counts": counts,
            "test_source": None if source is None else Source(**source),
        }


def read_lives(path: str | Path, num_series: int) -> list[float]:
    """Return the numbers of a file, one a line: the life that was left after the last row of each series.

    Args:
        path: The file.
        num_series: How many there must be.

    Raises:
        DataError: The file is missing, or holds something else.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a file with a number a line.") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(float(line))
        except ValueError:
            raise DataError(f"{path}: entry {number}, {line[:40]!r}, is no number; give a number a line.") from None
        if not 0 <= found[-1] < math.inf:
            raise DataError(f"{path}: entry {number}, {line[:40]!r}, is no life that is left; give numbers from 0 on.")
    if len(found) != num_series:
        raise DataError(f"{path}: has {len(found)} numbers, but there are {num_series} series; give one for each.")
    return found


def _way(panel: Panel, partition: Partition, *, per_step: bool, window: int | None) -> Way:
    """Return what has a label, and from what it is told."""
    if panel.rows.labels is None:
        for name, value in (("per_step", per_step), ("window", window)):
            if value:
                raise OptionError(f"{name}: is of labels of steps, but {panel.schema.label!r} belongs to whole series.")
        return "series"
    if per_step and window is not None:
        raise OptionError("per_step: reads each series from its beginning, window the last steps; leave one out.")
    is_long = int(panel.lengths.max(initial=0)) > LONGEST
    return "windows" if window or (not per_step and (is_long or partition.by == "time")) else "steps"


def _check_weights(panel: Panel) -> None:
    """Raise where weights change within series that have one label each."""
    weight = panel.rows.weight
    if weight is None:
        return
    series = panel.series_of_rows
    # Steps that the table lacked have no weight.
    is_there = ~np.isnan(panel.values).all(1) | (panel.rows.codes > 0).any(1)
    other = np.flatnonzero(is_there & (weight != weight[panel.offsets[:-1][series]]))
    if len(other):
        row = int(other[0])
        roles = panel.schema.roles
        which = "the weight" if roles is None or not roles.weight else f"column {roles.weight[0]!r}, the weight,"
        raise DataError(
            f"{which} changes within series {panel.ids[int(series[row])]!r}, but the label {panel.schema.label!r} "
            "belongs to the whole of it; give all rows of a series one weight."
        )


def has_labels(part: Part, *, with_bounds: bool = True) -> bool:
    """Return whether any label of a part is there and counts.

    Args:
        part: Of a panel with labels.
        with_bounds: Whether lower bounds do, by which nothing can be judged.
    """
    labels, weight = _labels(part)
    is_known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    censored = part.panel.rows.censored
    if censored is not None and not with_bounds:
        is_known &= ~censored[part.has_row if part.panel.rows.labels is not None else part.start[part.series]]
    return bool((is_known & (weight > 0)).any())


def check_labels(parts: Parts) -> None:
    """Raise where the parts cannot be trained on, or not be judged in the end: better told before than after.

    Raises:
        DataError: No label of the training part counts, or none of what is judged on but lower bounds.
    """
    if not has_labels(parts.train):
        raise DataError(
            "no label of the training part counts: all are missing, or of weight 0; there is none to learn."
        )
    judged = parts.test if len(parts.test) else parts.valid
    if len(judged) and not has_labels(judged, with_bounds=False):
        raise DataError(
            f"no label of the part {judged.name!r} counts, so that there is nothing to judge by: all are missing, of "
            "weight 0, or lower bounds; draw other parts with another seed, or make the part larger."
        )


def _counts(part: Part) -> tuple[float, ...]:
    """Return how much the labels of each class count together in a part, (K,)."""
    labels, weight = _labels(part)
    is_known = labels >= 0
    found = np.bincount(labels[is_known], weight[is_known], minlength=len(part.panel.schema.classes or ()))
    return tuple(found.tolist())


def _labels(part: Part) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the labels of a part, of its steps or its series, and how much each counts, both (N,)."""
    panel = part.panel
    if panel.rows.labels is not None:
        rows = part.has_row
        labels: NDArray[Any] = panel.rows.labels[rows]
        return labels, np.ones(len(labels)) if panel.rows.weight is None else panel.rows.weight[rows]
    assert panel.labels is not None
    labels, begin = panel.labels[part.series], part.start[part.series]
    return labels, np.ones(len(labels)) if panel.rows.weight is None else panel.rows.weight[begin]
