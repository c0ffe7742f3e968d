"""How wide everything is that a network for series reads and tells. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from recur.errors import OptionError, RunError
from recur.kinds import is_whole, with_tuples

if TYPE_CHECKING:
    from recur.data.series import Schema

_LISTS = ("past_sizes", "known_sizes", "static_sizes")


@dataclass(frozen=True, kw_only=True)
class SeriesShape:
    """The sizes of a `SeriesBatch` that no batch changes: what a network for series has to be built for.

    Raises:
        OptionError: A size is out of range, or two do not go together.

    Example:
        >>> shape = SeriesShape(num_targets=1, num_features=4, num_calendar=2, num_future=2, horizon=24)
        >>> shape.num_past_only, SeriesShape.from_json(shape.to_json()) == shape
        (1, True)
    """

    num_features: int
    """F, the numbers of `x`: targets, past-only, known-future, calendar, in that order."""

    num_targets: int = 0
    """C, the first of them, which are to be forecast; 0 where something else is to be told."""

    num_future: int = 0
    """K, the last of them, which are known of the future too: the numbers of `future`."""

    num_calendar: int = 0
    """The last of all, and of those, calendar features, which are never missing."""

    past_sizes: tuple[int, ...] = ()
    """For each of the categories known of the past alone, how many codes there are, with 0 for missing or unseen."""

    known_sizes: tuple[int, ...] = ()
    """Likewise for those known of the future too."""

    static_sizes: tuple[int, ...] = ()
    """Likewise for those of a whole series."""

    num_static: int = 0
    """S, the numbers of a whole series."""

    horizon: int = 0
    """P, steps to be told; 0 where something else is to be told."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _LISTS:
                if not (isinstance(value, tuple) and all(is_whole(size, 1) for size in value)):
                    raise OptionError(f"{one.name} must be a tuple of whole numbers from 1 on, not {value!r}.")
            elif not is_whole(value, 0):
                raise OptionError(f"{one.name} must be a whole number from 0 on, not {value!r}.")
        least = self.num_targets + max(self.num_future, self.num_calendar)
        if least > self.num_features or (self.horizon and self.num_calendar > self.num_future):
            raise OptionError(
                f"num_targets, {self.num_targets}, and num_future, {self.num_future}, must fit into num_features, "
                f"{self.num_features}, and num_calendar, {self.num_calendar}, into num_future."
            )
        if bool(self.horizon) != bool(self.num_targets):
            raise OptionError(
                f"num_targets and horizon go together, but are {self.num_targets} and {self.horizon}; both are 0 "
                "where nothing is to be forecast."
            )

    @classmethod
    def of(
        cls, schema: Schema, channels: Sequence[str], future_channels: Sequence[str] = (), horizon: int = 0
    ) -> SeriesShape:
        """Return the shape of the batches of windows or of whole series.

        Args:
            schema: Of the panel.
            channels: Names of the features of `x`, an attribute of `Windows` and `WholeSeries`.
            future_channels: Names of the features of `future`, an attribute of `Windows`.
            horizon: Steps to be told; 0 for whole series, whose numbers then are no targets.
        """
        sizes = {name: len(names) + 1 for name, names in schema.categories.items()}
        return cls(
            num_features=len(channels),
            num_targets=len(schema.targets) if horizon else 0,
            num_future=len(future_channels),
            num_calendar=len(channels) - len(schema.channels),
            past_sizes=tuple(sizes[name] for name in schema.past_categorical),
            known_sizes=tuple(sizes[name] for name in schema.known_categorical),
            static_sizes=tuple(sizes[name] for name in schema.static_categorical),
            num_static=len(schema.static),
            horizon=horizon,
        )

    @property
    def num_past_only(self) -> int:
        """The numbers of `x` that are neither targets nor known of the future."""
        return self.num_features - self.num_targets - self.num_future

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeriesShape:
        """Return the shape that `to_json` wrote.

        Raises:
            RunError: It did not write this.
        """
        names = {one.name for one in fields(cls)}
        odd = sorted(set(data) ^ names)
        if odd:
            what = "has the unknown" if odd[0] in data else "lacks the"
            raise RunError(f"the saved shape of the series {what} entry {odd[0]!r}; it is of another version.")
        try:
            return cls(**with_tuples(data))
        except OptionError as error:
            raise RunError(f"the saved shape of the series is damaged: {error}") from None
