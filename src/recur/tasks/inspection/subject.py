"""What of a series a trained model is looked at on: what it reads there, and what it says that is to be explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from recur.data.series import Panel, SeriesBatch
from recur.errors import DataError

Floats = NDArray[np.float64]

_WITH_OFFSET = re.compile(r"T.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One thing that a model says, for which the steps and channels that it read are to account.

    Attributes:
        name: What is said: a target and how many steps ahead it is, a class, a label, an error.
        said: What the model says of it, in words.
        came: What was true, in words; empty where that is not known.
    """

    name: str
    said: str
    came: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ahead:
    """What is told of the steps after those that were read, P of them, on the original scale.

    Attributes:
        targets: C names.
        median: (P, C).
        low: Lower ends of the 80 % intervals, (P, C).
        high: Upper ends, (P, C).
        came: What came, (P, C); NaN where that is not known.
    """

    targets: tuple[str, ...]
    median: Floats
    low: Floats
    high: Floats
    came: Floats

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in `inspect.json`, lists by step of lists by target."""
        names = ("median", "low", "high", "came")
        return {"targets": list(self.targets)} | {name: _listed(getattr(self, name)) for name in names}


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A stretch of N steps of one series that a model reads, and what it says there.

    Attributes:
        title: Which series of which data.
        cut: Which of its steps; empty for all.
        asked: What the answers are of, a phrase.
        unit: What contributions to the answers are in.
        notes: What a reader has to know.
        network: What is looked into: of an ensemble the first member.
        model: What answers: the network, or all of the ensemble.
        channels: Names of what is read at each step, F: numbers, features of the calendar.
        times: What each step is called, N.
        values: (N, F), on the original scale; NaN where missing.
        read: Runs the recurrent layers of `network` over the N steps, in order, from the state before the first.
        window: The steps, at most N, that the answers are told from, as a batch of one row.
        begin: Which of the N steps it begins with.
        outputs: What `model` says, (R, A), of R rows that are like `window` but for `x` and `future`; with a
            gradient.
        answers: A of them.
        elsewhere: Like `window`, of R other places, at which the first answer is explained too, to see whether
            explanations can be believed; None for none.
        unchecked: Why there are none.
        said: What is said at each step, (N,), by name; NaN where nothing is.
        predictions: (N, F): what had been predicted of each step before it came; NaN where nothing was. None for none.
        ahead: What is told of the steps to come; None where nothing is.
    """

    title: str
    cut: str
    asked: str
    unit: str
    notes: tuple[str, ...] = ()
    network: nn.Module
    model: nn.Module
    channels: tuple[str, ...]
    times: list[str | float]
    values: Floats
    read: Callable[[], object]
    window: SeriesBatch
    begin: int
    outputs: Callable[[SeriesBatch], Tensor]
    answers: tuple[Answer, ...]
    elsewhere: SeriesBatch | None = None
    unchecked: str = "there are too few other places of the same length"
    said: Mapping[str, Floats] = field(default_factory=dict)
    predictions: Floats | None = None
    ahead: Ahead | None = None


def varied(batch: SeriesBatch, x: Tensor, future: Tensor | None) -> SeriesBatch:
    """Return R rows that are like the only one of a batch, but for what is read.

    Args:
        batch: Of one row.
        x: (R, T, F).
        future: (R, P, K), or None where the batch has none.
    """
    count = len(x)
    given = {one.name: getattr(batch, one.name) for one in fields(batch)}
    rows = {name: each.expand(count, *each.shape[1:]) for name, each in given.items() if each is not None}
    return replace(batch, **(rows | {"x": x, "future": future}))


def rows_of(batch: SeriesBatch, rows: Tensor) -> SeriesBatch:
    """Return some rows of a batch.

    Args:
        batch: The batch.
        rows: Which ones, (R,) int64.
    """
    given = {one.name: getattr(batch, one.name) for one in fields(batch)}
    return replace(batch, **{name: each[rows] for name, each in given.items() if each is not None})


def of_first_member(count: int) -> str:
    """Return a note on what is of all of an ensemble of `count`, and what of its first member."""
    return (
        f"the run is an ensemble of {count}: what is said, and what contributes to it, is of all; states, gates and "
        "units are of the first member"
    )


def row_at(panel: Panel, number: int, at: object) -> int:
    """Return the row of a series at some time.

    Args:
        panel: The series.
        number: Which of them.
        at: Its time: a date, or what numpy takes as one, or a number, as the times of the data are; also as text. With
            an offset to UTC, or a zone, it is that instant, else what the clock of the data shows.

    Raises:
        DataError: It is no time, or the series has no row there; or it has an offset and the data have no zone.
    """
    times, wanted = times_and_asked(panel, number, at)
    found = np.flatnonzero(times == wanted)
    if not len(found):
        own = panel.clock[slice(*panel.offsets[number : number + 2].tolist())]
        raise DataError(
            f"at: series {panel.ids[number]!r} has no row at {at}; it goes from {time_name(own[0])} to "
            f"{time_name(own[-1])}."
        )
    return int(panel.offsets[number]) + int(found[0])


def times_and_asked(panel: Panel, number: int, at: object) -> tuple[NDArray[Any], Any]:
    """Return the times of the rows of a series, and the one that is asked for, to be compared with these.

    Args:
        panel: The series.
        number: Which of them.
        at: As of `row_at`.

    Raises:
        DataError: It is no time, or it has an offset and the data have no zone.
    """
    rows = slice(*panel.offsets[number : number + 2].tolist())
    own = panel.clock[rows]
    like = time_name(own[0])
    is_instant = False
    try:
        if own.dtype.kind == "M":
            wanted, is_instant = _moment(at)
        else:
            wanted = float(at)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(f"at: {at!r} is no time of these data; give one such as {like!r}.") from None
    if is_instant and panel.schema.zone is None:
        raise DataError(
            f"at: {at} has an offset to UTC, but the times of these data have no zone; give it as they are written, "
            f"such as {like!r}."
        )
    return (panel.times[rows] if is_instant else own), wanted


def _moment(at: object) -> tuple[Any, bool]:
    """Return a time as numpy has it, and whether it is an instant, in UTC, and not what some clock shows."""
    if isinstance(at, str):
        at = at.strip().replace(" ", "T")
        if _WITH_OFFSET.search(at):
            at = datetime.fromisoformat(at)
    if isinstance(at, datetime) and at.tzinfo is not None:
        return np.datetime64(at.astimezone(UTC).replace(tzinfo=None)), True
    return np.datetime64(at), False


def time_name(time: Any) -> str | float:
    """Return what a step is called: a date to the minute where that tells it, or a number.

    Example:
        >>> time_name(np.datetime64("2014-06-01T05:00:00.000000")), time_name(np.int64(3))
        ('2014-06-01 05:00', 3)
    """
    if isinstance(time, np.datetime64):
        for unit in ("m", "s"):
            if time.astype(f"datetime64[{unit}]") == time:
                return str(np.datetime_as_string(time, unit=unit)).replace("T", " ")
        return str(time).replace("T", " ")
    plain: float = time.item()
    return plain


def original_values(panel: Panel, rows: NDArray[np.int64], batch: SeriesBatch) -> Floats:
    """Return what is read at some rows of a panel as it was given, (N, F): its numbers, then features of the calendar.

    Args:
        panel: The series.
        rows: (N,).
        batch: Of one row, whose steps they are.
    """
    numbers = panel.values[rows].astype(np.float64)
    calendar = batch.x[0, : len(rows), numbers.shape[1] :].cpu().double().numpy()
    found: Floats = np.concatenate([numbers, calendar], 1)
    return found


def interpolated(steps: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Return values known at some steps as one of each of `count` steps, straight between them, NaN outside."""
    return np.interp(np.arange(count), steps, values, left=np.nan, right=np.nan)


def one_row(values: Tensor) -> Floats:
    """Return the only row of a batch in float64."""
    found: Floats = values[0].detach().cpu().double().numpy()
    return found


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` of `count` places, evenly spread, the last one among them."""
    return np.unique(np.linspace(count - 1, 0, min(count, most)).round().astype(np.int64))


def _listed(values: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]
