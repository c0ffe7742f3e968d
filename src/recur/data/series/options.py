"""What the user may choose about the series a model is trained on. Neither polars nor torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from recur.data.series.columns import Columns
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.wording import option

if TYPE_CHECKING:
    from recur.data.series.assembly import Assembly
    from recur.data.series.delimited import Delimited
    from recur.data.series.partition import Partition

VALID, TEST = 0.1, 0.2
"""Shares that are held out unless others are asked for."""

FROM = "from:"
"""What a time may begin with, so that it is not taken for a number."""

_LISTS = ("series_id", "time", "targets", "known_future", "past_only", "static", "categorical", "ignored")
_SINGLE = ("label", "weight", "censored", "part")


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table becomes series, and these a training, a validation and a test part, whatever is told of them.

    What columns are for is guessed where nothing is said. Several columns are named with commas between them, in Python
    also as a list; an empty one says that there is none.

    Raises:
        OptionError: A value makes no sense.
    """

    time: str | None = None
    """Column of the time; several may be called year, month, day, hour, minute and second."""

    series_id: str | None = None
    """Column that says which series a row belongs to; several together are one name."""

    past_only: str | None = None
    """Columns that help, but are known of the past alone, such as other measurements."""

    static: str | None = None
    """Columns that do not change within a series."""

    categorical: str | None = None
    """Which of known_future, past_only and static hold names of categories and not numbers."""

    weight: str | None = None
    """Column that says how much a row counts in the loss."""

    part: str | None = None
    """Column that says which part a row is of: train, valid or test."""

    ignored: str | None = None
    """Columns that are left out."""

    form: Literal["long", "wide", "rows"] | None = "long"
    """Form of the table: long has a row for each step of a series, wide a column for each series, rows a row for each
    series."""

    separator: str | None = None
    """Character between the cells of a text file, or "whitespace"; found out if not given."""

    decimal_comma: bool | None = None
    """Numbers are written 1,5, where a column does not tell; found out if not given."""

    has_header: bool | None = None
    """Whether the first line of a text file names the columns; found out if not given."""

    encoding: str = "utf-8"
    """Encoding of a text file."""

    missing: str | None = None
    """What a text file has where a value is missing, with commas between several, beside the usual NA, null, k.A.
    and so on."""

    duplicates: Literal["error", "mean", "last", "first"] = "error"
    """What becomes of several rows of one series at one time."""

    frequency: str = "infer"
    """The step, such as 15min, 1h, 1d or 1mo; "infer" for one that all series share, "mixed" for one of each,
    "irregular" for none."""

    gaps: Literal["grid", "keep"] = "grid"
    """Whether steps that are not there get rows, all values missing, or are left out; then the network is told how long
    the step before is ago."""

    zone: str | None = None
    """Time zone of the clock that calendar features are read from, such as Europe/Paris."""

    time_format: str | None = None
    """How times are written, as "%d.%m.%Y %H:%M", or s, ms, us or ns for numbers since 1970."""

    valid: int | float | str = VALID
    """What the best weights are chosen by: a share, a number of rows (of series, with split series), or the time at
    which the part begins, such as 2024-01-01, or from:800 where it could be taken for a number. Where the column of
    part names none, it is the end of what is trained on."""

    test: int | float | str = TEST
    """What is judged on in the end, likewise; the column of part names its own, and 0 cuts off none beside it."""

    scaling: Literal["standard", "robust", "mean_abs", "none"] | None = None
    """How numbers are scaled: by mean and deviation, by median and quartiles, by the mean size, or not at all; standard
    if not given, mean_abs for counts."""

    calendar: str | None = None
    """Calendar features: some of minute, hour, weekday, monthday and month; those that make sense if not given."""

    @property
    def columns(self) -> Columns:
        """What is said about the columns."""
        found: dict[str, Any] = {name: _names(name, getattr(self, name)) for name in _LISTS if hasattr(self, name)}
        for name in _SINGLE:
            value = getattr(self, name, None)
            found[name] = () if value == "" else value
        return Columns(**found)

    @property
    def features(self) -> tuple[str, ...] | None:
        """The calendar features that are asked for; None where that is left open."""
        return _names("calendar", self.calendar)

    def text(self) -> Delimited:
        """Return how a text file is cut into cells."""
        from recur.data.series.delimited import MISSING, Delimited

        return Delimited(
            separator=self.separator,
            decimal_comma=self.decimal_comma,
            has_header=self.has_header,
            encoding=self.encoding,
            missing=(*MISSING, *(_names("missing", self.missing) or ())),
        )

    def assembly(self) -> Assembly:
        """Return what becomes of rows that are not as they should be."""
        from recur.data.series.assembly import Assembly

        return Assembly(
            duplicates=self.duplicates,
            frequency=_step(self.frequency),
            gaps=self.gaps,
            zone=self.zone,
            time_format=self.time_format,
        )


@dataclass(frozen=True, kw_only=True)
class SeriesOptions(TableOptions):
    """How a table becomes series that are to be forecast, and these a training, a validation and a test part.

    What columns are for is guessed where nothing is said. Several columns are named with commas between them, in Python
    also as a list; an empty one says that there is none.

    Raises:
        OptionError: A value makes no sense.

    Example:
        >>> columns = SeriesOptions(targets="load, price", ignored="").columns
        >>> columns.targets, columns.ignored, columns.time
        (('load', 'price'), (), None)
    """

    targets: str | None = field(default=None, metadata={"after": "series_id"})
    """Columns to be forecast, with commas between them; guessed if not given, as are all roles of columns."""

    known_future: str | None = field(default=None, metadata={"after": "targets"})
    """Columns that are known of the future too, such as holidays or prices set in advance."""

    split: Literal["time", "series", "column"] | None = field(default=None, metadata={"after": "time_format"})
    """Parts are cut from the end of each series, are whole series drawn at random, or are named by the column of part;
    time if not given, column where there is such a column."""

    horizon: int | None = None
    """Steps to tell; chosen for the season of the series if not given."""

    scale_together: bool = field(default=False, metadata={"after": "scaling"})
    """All series have one scale, where their size says something."""

    trusted: str | None = field(default=None, metadata={"after": "known_future"})
    """Columns that tell what a target will be and are known in time, as orders are of what is sent; of others that is
    taken for a leak and is an error."""

    non_negative: bool | None = field(default=None, metadata={"after": "scale_together"})
    """Targets are never below 0, so that nothing below is forecast; if not given, those that never are in the training
    part, and are whole numbers there, or often 0."""

    def __post_init__(self) -> None:
        if self.horizon is not None and not is_whole(self.horizon, 1):
            raise OptionError(f"horizon must be a whole number from 1 on, not {self.horizon!r}.")
        check_split(self.split, self)
        # So that what makes no sense is said before any data are read.
        self.columns.given()
        _names("trusted", self.trusted)

    @property
    def trusted_columns(self) -> tuple[str, ...]:
        """The columns that are no leaks."""
        return _names("trusted", self.trusted) or ()

    def partition(self, *, has_parts: bool, seed: int) -> Partition:
        """Return how the series are cut into parts.

        Args:
            has_parts: Whether a column says which part a row is of.
            seed: Of series that are drawn.
        """
        from recur.data.series.partition import Partition

        by = self.split or ("column" if has_parts else "time")
        return Partition(by=by, valid=self.valid, test=self.test, seed=seed)


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(SeriesOptions):
    """How a table becomes series in which anomalies are looked for.

    As of `SeriesOptions`, but all columns of numbers are targets where none are named.

    Raises:
        OptionError: A value makes no sense, or is of forecasts alone.
    """

    label: str | None = field(default=None, metadata={"after": "targets"})
    """Column that says which steps are anomalies, with 0 and 1: what is found is judged by it, and what it marks in the
    training and the validation part is not learned from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("horizon", "non_negative", "trusted"):
            if getattr(self, name) is not None:
                raise OptionError(f"{name} is of forecasts; how far ahead a detector looks, leads says. Leave it out.")


@dataclass(frozen=True, kw_only=True)
class OtherTableOptions:
    """How a table that a trained model is given is written, where not as that of the run was."""

    separator: str | None = None
    """Of a text file: character between the cells; of series also "whitespace", of texts also the word tab; as in the
    run's data if not given."""

    decimal_comma: bool | None = None
    """Whether numbers in text are written 1,5, where a column does not tell; as in the run's data if not given."""

    has_header: bool | None = None
    """Of a text file: whether the first line names the columns; as in the run's data if not given."""

    encoding: str | None = None
    """Encoding of text; as of the run's data if not given."""

    missing: str | None = None
    """Of a text file: what it has where a value is missing, with commas between several, beside what the run's data
    had."""

    duplicates: Literal["error", "mean", "last", "first"] | None = None
    """What becomes of several rows of one series at one time; as with the run's data if not given."""

    time_format: str | None = None
    """How times are written, as "%d.%m.%Y %H:%M"; as in the run's data if not given."""

    @property
    def given(self) -> tuple[str, ...]:
        """The names of those that say something."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)

    def text(self, own: Delimited | None) -> Delimited | None:
        """Return how text is cut into cells, by how that of the run was."""
        from recur.data.series.delimited import Delimited

        text = own or Delimited()
        changes = {name: getattr(self, name) for name in self.given if name not in ("duplicates", "time_format")}
        if not changes:
            return own
        if self.missing is not None:
            changes["missing"] = (*text.missing, *(_names("missing", self.missing) or ()))
        return replace(text, **changes)

    def assembly(self, own: Assembly) -> Assembly:
        """Return what becomes of rows that are not as they should be, by what became of those of the run."""
        return replace(
            own, **{name: getattr(self, name) for name in self.given if name in ("duplicates", "time_format")}
        )


def check_split(split: str | None, options: TableOptions) -> None:
    """Raise where how the parts are cut goes against what says which rows they have.

    Raises:
        OptionError: It does.
    """
    if split not in (None, "column") and options.part:
        raise OptionError(f"part: says which part a row is of, but split is {split}; leave one of them out.")
    if (split == "column" or options.part) and options.test not in (TEST, 0):
        raise OptionError(
            f"test: a column says which rows are judged on; leave one of them out, or say {option('split', 'time')}."
        )


def _names(name: str, given: Any) -> tuple[str, ...] | None:
    """Return the names that an option lists, in a text or one by one."""
    if given is None:
        return None
    if isinstance(given, str):
        return tuple(one.strip() for one in given.split(",") if one.strip())
    if isinstance(given, list | tuple) and all(isinstance(one, str) for one in given):
        return tuple(given)
    raise OptionError(f"{name}: expected names, with commas between them or in a list, got {given!r}.")


def _step(text: str) -> str | float:
    """Return a number as one, for times that are numbers."""
    try:
        return float(text)
    except ValueError:
        return text
