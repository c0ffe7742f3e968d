"""Which role each column plays, judged by its name and what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import polars as pl

from recur.data.absent import no_column
from recur.data.series.columns import Columns, Roles
from recur.data.series.moments import PARTS, YEAR_NAMES, epoch_unit, mostly_writes_times, time_format_of
from recur.data.series.table import Table
from recur.data.series.writing import writes_numbers
from recur.errors import DataError, OptionError
from recur.wording import option

_TIME = (
    f"time timestamp datetime date ds day month {' '.join(YEAR_NAMES)} week period step cycle t index epoch unix hour "
    "zeit datum zeitpunkt zeitstempel monat fecha fecha_hora horodatage mois"
)
_SERIES = (
    "series series_id id unique_id ts_id item item_id sku product product_id store store_id shop unit unit_id "
    "unit_number engine engine_id machine machine_id sensor sensor_id device device_id meter meter_id station "
    "station_id site site_id customer customer_id patient patient_id user user_id entity entity_id key symbol ticker "
    "seq sequence sequence_id case case_id dim region country location"
)
_RECORDING = (
    "recording record recording_id record_id take trial trial_id session session_id run run_id sample sample_id "
    "episode utterance experiment subject subject_id participant file filename file_name path clip track name"
)
_TARGET = (
    "target targets y value values demand sales load consumption count counts quantity qty volume price close ot "
    "power energy output total"
)
_LABEL = "label labels class classes category rul is_anomaly anomaly activity diagnosis outcome"
_WEIGHT = "weight weights sample_weight"
_CENSORED = "censored is_censored right_censored"
_PART = "part split subset set fold"
_KNOWN = (
    "holiday holidays holiday_name is_holiday promo promotion on_promotion onpromotion weekend is_weekend weekday "
    "workingday working_day day_of_week dayofweek day_of_year dayofyear week_of_year month_of_year hour_of_day season "
    "school_holiday state_holiday event event_name event_type planned scheduled forecast"
)
_PART_VALUES = {"train", "training", "valid", "validation", "val", "dev", "test", "testing"}
_COUNTERS = ("no", "nr", "row", "row_number", "unnamed_0", "index", "")
_LEAST_COUNTED = 6
_SAMPLE = 10_000
_LEAST_BLOCKS, _LEAST_OF_BLOCK = 10, 5
"""Blocks of rows that have a text each, and rows of one on the mean, from which on the texts are names of series."""
_CALENDAR = set(PARTS) | {"weekday", "week", "quarter"}


def guess_columns(table: Table, columns: Columns | None = None) -> Roles:
    """Return the role of every column of a table in long form, each with its reason.

    Names come first (`time`, `series_id`, `y`, `label`, `holiday`, …), then what a column holds: a text that reads as
    times is one, a column that is the same throughout each series is static, text is categorical. Without a telling
    name the first column of numbers is the target. Other numbers are taken as known of the past alone, which at worst
    wastes something; taking them as known of the future would leak.

    Args:
        table: The table.
        columns: What is not to be guessed.

    Raises:
        DataError: A column that was named is not there, or no column can be the target.
        OptionError: A column has two roles that exclude each other.
    """
    guess = _Guess(table, columns or Columns())
    guess.take_given()
    # In this order: what is taken is not asked again.
    guess.find("time", guess.times())
    guess.find("series_id", guess.series())
    guess.find("label", guess.named(_LABEL, "label", is_number=False))
    guess.find("weight", guess.named(_WEIGHT, "weight", is_number=True))
    guess.find("censored", guess.named(_CENSORED, "censoring", is_number=True))
    guess.find("part", guess.parts())
    guess.find("ignored", guess.counters())
    guess.find("targets", guess.targets())
    guess.find_covariates()
    return guess.roles()


class _Guess:
    def __init__(self, table: Table, columns: Columns) -> None:
        self.table, self.frame = table, table.frame
        self.given = columns.given()
        self.found: dict[str, list[str]] = {}
        self.reasons: dict[str, str] = {}
        self.head = self.frame.head(_SAMPLE)

    # --- what is known already ---

    def take_given(self) -> None:
        taken: dict[str, str] = {}
        for role, names in self.given.items():
            self.found[role] = list(names)
            for name in names:
                self._check_is_there(role, name)
                if role == "categorical":
                    continue
                if name in taken:
                    raise OptionError(_two_roles(name, taken[name], role))
                taken[name], self.reasons[name] = role, "given"
        if self.given.get("targets") == () and not self.given.get("label") and "label" in self.given:
            raise OptionError("targets: there is neither a target nor a label, so nothing could be learned; name one.")

    def _check_is_there(self, role: str, name: str) -> None:
        if name in self.frame.columns:
            return
        raise no_column(self.table.name, name, role, self.frame.columns)

    def _is_open(self, role: str) -> bool:
        return role not in self.given

    def _take(self, role: str, name: str, reason: str) -> None:
        self.found.setdefault(role, []).append(name)
        self.reasons[name] = reason

    def _free(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.reasons]

    def _named(self, words: str) -> list[str]:
        """Return the free columns whose name is one of `words`, the first words first."""
        order = {word: number for number, word in enumerate(words.split())}
        found = [name for name in self._free() if _plain(name) in order]
        return sorted(found, key=lambda name: order[_plain(name)])

    # --- one role after the other ---

    def find(self, role: str, chosen: Iterable[tuple[str, str]]) -> None:
        """Take columns, each with the reason, for a role that is not given."""
        if self._is_open(role):
            self.found[role] = []
            for name, reason in chosen:
                self._take(role, name, reason)

    def times(self) -> Iterator[tuple[str, str]]:
        dates = [name for name in self._free() if self.frame.schema[name] in (pl.Date, pl.Datetime)]
        if dates:
            yield dates[0], "holds dates"
            return
        named = self._named(_TIME)
        texts = [name for name in (*named, *self._free()) if self._is_text(name) and self._reads_as_time(name)]
        if texts:
            yield texts[0], "holds text that reads as times"
            return
        for name in named:
            # A column of times must not pass for categories. Which cell is none is told when all are read.
            if self._is_text(name) and mostly_writes_times(self.head[name].cast(pl.String)):
                yield name, "named like a time, most of its text reads as times"
                return
        parts = {_plain(name): name for name in named if _plain(name) in PARTS and self._is_whole(name)}
        if "year" in parts and "month" in parts:
            for part in PARTS:
                if part in parts:
                    yield parts[part], f"the {part} of the time"
            return
        for name in named:
            if self._is_number(name) and not self.frame[name].null_count() and self._could_order(name):
                unit = epoch_unit(self.frame[name])
                yield name, f"named like a time, holds {f'{unit} since 1970' if unit else 'numbers'}"
                return
        for name in self._free():
            if _plain(name) not in _COUNTERS and self._rises_by_one(name):
                yield name, "rises by one in each row"
                return

    def _rises_by_one(self, name: str) -> bool:
        """Return whether a column counts, in each row one more, over enough rows that this is no chance."""
        if self.frame.height < _LEAST_COUNTED or not self._is_whole(name) or self.frame[name].null_count():
            return False
        return bool((self.frame[name].diff().drop_nulls() == 1).all())

    def _could_order(self, name: str) -> bool:
        """Return whether a column has enough different values to say when a row was."""
        return len(self.head) == 1 or self.head[name].n_unique() > 1

    def series(self) -> Iterator[tuple[str, str]]:
        by_file = [name for name in self.table.per_source if name in self._free()]
        if by_file:
            yield by_file[0], "each file is a series"
            return
        named = [name for name in self._named(_SERIES) if self._could_name(name)]
        if named:
            yield named[0], "named like the name of a series"
            return
        time = self.found.get("time")
        if not time:
            yield from self._blocks()
            return
        # Of several series most times come more than once; a few that do are more likely a fault of the data.
        if self.frame.select(time).n_unique() > self.frame.height // 2:
            return
        could_name = [name for name in self._free() if _plain(name) not in _TARGET.split() and self._could_name(name)]
        # Rows that are repeated whole say nothing of which series they are of.
        num_rows = self.frame.n_unique() if could_name else 0
        for name in could_name:
            if self.frame.select([*time, name]).n_unique() == num_rows:
                again = "" if num_rows == self.frame.height else ", but for rows that are repeated whole"
                yield name, f"with it every time comes once{again}"
                return

    def _blocks(self) -> Iterator[tuple[str, str]]:
        """Yield text called as what is recorded at once, whose values come in blocks of many rows, one after the other.

        Days, versions or people on duty come in blocks too, and say nothing of which series a row is of.
        """
        for name in self._named(_RECORDING):
            if not self._is_text(name) or not self._could_name(name):
                continue
            count = self.frame[name].n_unique()
            is_many = count >= _LEAST_BLOCKS and self.frame.height >= _LEAST_OF_BLOCK * count
            if is_many and int(self.frame[name].rle_id()[-1]) + 1 == count and not self._is_number_with_errors(name):
                yield name, f"its {count:,} values come in blocks of rows; name another with {option('series_id')}"
                return

    def _could_name(self, name: str) -> bool:
        is_name = self._is_text(name) or self._is_whole(name)
        return is_name and not self.frame[name].null_count() and self.frame[name].n_unique() < self.frame.height

    def named(self, words: str, role: str, *, is_number: bool) -> Iterator[tuple[str, str]]:
        for name in self._named(words):
            if self._is_number(name) or not is_number:
                yield name, f"named like a {role}"
                return

    def parts(self) -> Iterator[tuple[str, str]]:
        for name in self._named(_PART):
            if self._is_text(name) and {str(v).lower() for v in self.frame[name].unique()} <= _PART_VALUES:
                yield name, "says train, valid or test"
                return

    def counters(self) -> Iterator[tuple[str, str]]:
        """Yield what only counts the rows, or is empty."""
        for name in self._free():
            may_count = _plain(name) in _COUNTERS and self._is_whole(name) and self.frame.height > 1
            if may_count and bool((self.frame[name].diff().drop_nulls() == 1).all()):
                yield name, "counts the rows"
            elif self.frame[name].null_count() == self.frame.height:
                yield name, "is empty"

    def targets(self) -> Iterator[tuple[str, str]]:
        numbers = [name for name in self._free() if self._is_number(name) or self._is_number_with_errors(name)]
        named = [name for name in self._named(_TARGET) if name in numbers]
        if named:
            yield named[0], "named like a target"
            return
        if self.found.get("label"):
            # Then the label is what is learned.
            return
        plain = [name for name in numbers if not _is_known_ahead(name)]
        if numbers:
            yield (plain or numbers)[0], f"the first column of numbers; name others with {option('targets')}"
            return
        raise DataError(
            f"{self.table.name}: no column of numbers is left to be the target or the label; name one with "
            f"{option('targets')} or {option('label')}."
        )

    def find_covariates(self) -> None:
        is_static = self._static() if self._is_open("static") else set()
        is_forecast = bool(self.found.get("targets"))
        for name in self._free():
            if name in is_static and self.frame[name].n_unique() == 1:
                self._take("ignored", name, "is the same everywhere")
                continue
            is_number = self._is_number(name) or self._is_number_with_errors(name)
            kind = "" if is_number else ", text is categorical"
            if not is_number and not self._is_text(name):
                self._take("ignored", name, f"of type {str(self.frame.schema[name]).lower()}, which is no covariate")
                continue
            if name in is_static:
                self._take("static", name, f"is the same throughout each series{kind}")
            elif _is_known_ahead(name) and self._is_open("known_future"):
                why = "named like what is known ahead" if is_forecast else "read to tell from"
                self._take("known_future", name, f"{why}{kind}")
            elif self._is_open("past_only"):
                why = "not known to be known ahead" if is_forecast else "read to tell from"
                self._take("past_only", name, f"{why}{kind}")
            else:
                self._take("ignored", name, "not among the columns given")
                continue
            if not is_number and self._is_open("categorical"):
                self._take_category(name)

        if self._is_open("categorical"):
            for role in ("known_future", "past_only", "static"):
                for name in self.given.get(role, ()):
                    if self._is_text(name) and not self._is_number_with_errors(name):
                        self._take_category(name)

    def _take_category(self, name: str) -> None:
        self.found.setdefault("categorical", []).append(name)

    def _static(self) -> set[str]:
        keys = self.found.get("series_id")
        free = self._free()
        if not keys or not free or self.frame.select(keys).n_unique() < 2:
            return set()
        most = self.frame.group_by(keys).agg(pl.col(free).n_unique()).select(pl.col(free).max())
        lengths = self.frame.group_by(keys).len()["len"].max()
        if lengths == 1:
            return set()
        return {name for name in free if most[name][0] == 1}

    def roles(self) -> Roles:
        covariates = {n for role in ("known_future", "past_only", "static") for n in self.found.get(role, [])}
        stray = [name for name in self.found.get("categorical", []) if name not in covariates]
        if stray:
            raise OptionError(
                f"categorical: {stray[0]!r} is neither in known_future, past_only nor static; name it in one of them "
                "too."
            )
        return Roles(**{role: tuple(names) for role, names in self.found.items()}, reasons=self.reasons)

    # --- what a column holds ---

    def _is_number(self, name: str) -> bool:
        dtype = self.frame.schema[name]
        return dtype.is_numeric() or dtype == pl.Boolean

    def _is_whole(self, name: str) -> bool:
        return self.frame.schema[name].is_integer()

    def _is_text(self, name: str) -> bool:
        return self.frame.schema[name] in (pl.String, pl.Categorical, pl.Enum)

    def _is_number_with_errors(self, name: str) -> bool:
        """Return whether a text column mostly holds numbers; its other cells are then reported, and no categories."""
        if not self._is_text(name):
            return False
        return writes_numbers(self.head[name].cast(pl.String))

    def _reads_as_time(self, name: str) -> bool:
        return time_format_of(self.head[name].cast(pl.String)) is not None


def _is_known_ahead(name: str) -> bool:
    return _plain(name) in _KNOWN.split() or _plain(name) in _CALENDAR


def _plain(name: str) -> str:
    """Return a name in small letters with underscores.

    Example:
        >>> _plain("Series ID"), _plain("seriesId")
        ('series_id', 'series_id')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")


def _two_roles(name: str, one: str, other: str) -> str:
    if {one, other} == {"targets", "known_future"}:
        return f"known_future: {name!r} is a target too, so the model would be told the answer; leave it out there."
    if {one, other} == {"targets", "past_only"}:
        return f"past_only: {name!r} is a target too, whose past is always given; leave it out of past_only."
    return f"{other}: {name!r} is also in {one}; a column has one role."
