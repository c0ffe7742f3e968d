"""What the arrays of a panel mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from recur.data.series.columns import Roles
from recur.data.series.writing import Writing
from recur.errors import DataError
from recur.kinds import with_tuples


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What the arrays of a panel mean; saved with a model, it reads other data in the same way.

    Attributes:
        targets: Channels of numbers to be forecast.
        past_only: Channels of numbers that are known of the past alone.
        known_future: Channels of numbers that are known of the future too.
        past_categorical: Channels of categories that are known of the past alone.
        known_categorical: Channels of categories that are known of the future too.
        static: Numbers that belong to a series.
        static_categorical: Categories that belong to a series.
        categories: The categories of each column that has some; code k is the one at k - 1, and 0 is none of them.
        label: What is to be told from a series or a step, or None.
        classes: What the codes of the labels mean, from 0 on; None where labels are numbers, or there are none.
        zone: Zone of the clock that calendar features are read from; None for that which the times were written in.
        roles: Which columns all this was read from, or None where there was no table.
        names: How the names of series and categories were written in each of their columns, as `written_as` says, so
            that a cell means the same whichever others come with it.
        writing: How numbers and times were written in text.
    """

    targets: tuple[str, ...] = ()
    past_only: tuple[str, ...] = ()
    known_future: tuple[str, ...] = ()
    past_categorical: tuple[str, ...] = ()
    known_categorical: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    static_categorical: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label: str | None = None
    classes: tuple[str, ...] | None = None
    zone: str | None = None
    roles: Roles | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    writing: Writing = field(default_factory=Writing)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of numbers, in the order of `Rows.values`."""
        return (*self.targets, *self.past_only, *self.known_future)

    @property
    def categorical(self) -> tuple[str, ...]:
        """The channels of categories, in the order of `Rows.codes`."""
        return (*self.past_categorical, *self.known_categorical)

    def without_labels(self) -> Schema:
        """Return the schema without what only training and judging ask for: label, weight, lower bounds and parts."""
        roles = None if self.roles is None else replace(self.roles, label=(), weight=(), censored=(), part=())
        return replace(self, label=None, classes=None, roles=roles)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        found: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        found["categories"] = {name: list(names) for name, names in self.categories.items()}
        found["names"] = dict(self.names)
        found["writing"] = self.writing.to_json()
        found["roles"] = None if self.roles is None else self.roles.to_json()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_json` wrote.

        Raises:
            DataError: It did not write this.
        """
        unknown = sorted(set(data) - {one.name for one in fields(cls)})
        if unknown:
            raise DataError(f"the schema of the series has the unknown entry {unknown[0]!r}; it is of another version.")
        found = with_tuples(data)
        found["categories"] = {name: tuple(names) for name, names in data.get("categories", {}).items()}
        if "writing" in data:
            found["writing"] = Writing.from_json(data["writing"])
        if found.get("roles") is not None:
            found["roles"] = Roles.from_json(found["roles"])
        return cls(**found)
