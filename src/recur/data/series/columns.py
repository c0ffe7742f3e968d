"""What each column of a table is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Any

from recur.errors import OptionError
from recur.wording import in_columns

Names = str | Sequence[str] | None
"""One column, several, none with `()`, or None for what is found out."""


_LEAST_FOLDED = 5
"""Numbered names from which on the first and the last stand for all."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the user says about the columns; a field that is None is guessed, `()` means that there is none."""

    series_id: Names = None
    """Which series a row belongs to; several columns together are one name."""
    time: Names = None
    """When a row happened; several columns may be called year, month, day, hour, minute and second."""
    targets: Names = None
    """What is to be forecast."""
    known_future: Names = None
    """What is known of the future too: holidays, prices set in advance."""
    past_only: Names = None
    """What helps, but is known of the past alone: other measurements."""
    static: Names = None
    """What does not change within a series."""
    categorical: Names = None
    """Which of known_future, past_only and static are names of categories and not numbers."""
    label: str | tuple[()] | None = None
    """A class or a number to be told from a series, or from each step if it changes within one."""
    weight: str | tuple[()] | None = None
    """How much a row counts in the loss."""
    censored: str | tuple[()] | None = None
    """Whether a label that is a number is only a lower bound of the true one, as the life of what has not failed yet: 1
    or true, 0 or false."""
    part: str | tuple[()] | None = None
    """Which part a row is of: train, valid or test."""
    ignored: Names = None
    """Columns to be left out."""

    def given(self) -> dict[str, tuple[str, ...]]:
        """Return the fields that are not to be guessed, each as a tuple.

        Raises:
            OptionError: A field is no name, or names a column twice.
        """
        found: dict[str, tuple[str, ...]] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            names = (value,) if isinstance(value, str) else tuple(value)
            wrong = [name for name in names if not isinstance(name, str)]
            if wrong:
                raise OptionError(f"{one.name}: expected the names of columns, got {wrong[0]!r}.")
            if len(set(names)) < len(names):
                raise OptionError(f"{one.name}: a column is named twice in {', '.join(map(repr, names))}.")
            if one.name in ("label", "weight", "censored", "part") and len(names) > 1:
                raise OptionError(f"{one.name}: expected one column, got {', '.join(map(repr, names))}.")
            found[one.name] = names
        return found


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What each column is for, decided.

    Attributes:
        series_id: As of `Columns`, like all others up to `ignored`; those of one column at most are tuples too.
        reasons: Why each column has its role, by its name.

    Example:
        >>> print(Roles(time=("day",), targets=("sales",), reasons={"day": "named so", "sales": "given"}))
        time     day    named so
        targets  sales  given
    """

    series_id: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    known_future: tuple[str, ...] = ()
    past_only: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    weight: tuple[str, ...] = ()
    censored: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        # Where nothing is forecast, it says nothing to the reader whether a column is known ahead.
        channels = () if self.targets else ("known_future", "past_only")
        rows = _folded(
            ("channel" if role in channels else role.replace("_", " "), name, self.reasons.get(name, ""))
            for role, names in self.by_role().items()
            if role != "categorical"
            for name in names
        )
        return in_columns(rows)

    def by_role(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of every role."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "reasons"}

    def as_columns(self) -> Columns:
        """Return what makes these roles again of the same columns, with nothing to be guessed."""
        found: dict[str, Any] = self.by_role()
        for role in ("label", "weight", "censored", "part"):
            found[role] = next(iter(found[role]), ())
        return Columns(**found)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {role: list(names) for role, names in self.by_role().items()} | {"reasons": dict(self.reasons)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Roles:
        """Return the roles that `to_json` wrote."""
        found: dict[str, Any] = {name: dict(v) if name == "reasons" else tuple(v) for name, v in data.items()}
        return cls(**found)


def _folded(rows: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return roles, names and reasons, with names that are numbered one after the other in one row."""
    found = []
    for (role, why), own in groupby(rows, key=lambda row: (row[0], row[2])):
        for run in numbered([name for _, name, _ in own]):
            short = [f"{run[0]} to {run[-1]}"] if len(run) >= _LEAST_FOLDED else run
            found += [(role, name, why) for name in short]
    return found


def numbered(names: Iterable[str]) -> list[list[str]]:
    """Return names in runs of those that are numbered one after the other.

    Example:
        >>> numbered(["load", "t8", "t9", "t10", "t12"])
        [['load'], ['t8', 't9', 't10'], ['t12']]
    """
    runs: list[list[str]] = []
    for name in names:
        if runs and _next(runs[-1][-1]) == name:
            runs[-1].append(name)
        else:
            runs.append([name])
    return runs


def _next(name: str) -> str | None:
    """Return the name that would be numbered after a name; None where that has no number."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return f"{stem}{int(digits) + 1:0{len(digits)}}" if digits else None
