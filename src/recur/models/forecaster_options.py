"""Options of forecast networks, and what is chosen where they leave something open. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole, with_tuples
from recur.models.options import Cell

Kind = Literal["direct", "encoder-decoder", "autoregressive", "segments"]
HeadName = Literal["point", "gaussian", "student-t", "negative-binomial", "mixture", "quantile"]
LossName = Literal["nll", "crps", "pinball", "squared"]
Normalize = Literal["series", "window", "last"]

LEVELS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)
"""The deciles, and what the usual intervals of 90 % and 95 % need."""


@dataclass(frozen=True, kw_only=True)
class ForecasterOptions:
    """Form and size of a `recur.models.ForecastNetwork`.

    A value of None is chosen for the series, see `choose_forecaster`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    kind: Kind | None = None
    """direct reads the past and tells all steps at once; encoder-decoder tells them by a second recurrent layer, which
    goes over the steps to come; autoregressive tells one step and feeds it back; segments reads and tells several steps
    at a time, for long horizons (Lin et al. 2023)."""

    history: int | None = None
    """Steps that are read before a forecast."""

    cell: Cell = "gru"
    """Recurrent cell."""

    num_layers: int = 1
    """Recurrent layers that read, one on top of the other."""

    hidden_size: int | None = None
    """Units of each recurrent layer."""

    dropout: float = 0.0
    """Locked dropout (one mask over time) on each layer's output, 0 to below 1."""

    segment: int | None = None
    """Steps of a segment, with kind segments."""

    head: HeadName | None = None
    """What is said of each value: a point, a distribution, or quantiles."""

    loss: LossName | None = None
    """What training makes small; by default the head's own."""

    levels: tuple[float, ...] = LEVELS
    """Probabilities of the quantiles, with head quantile, and of those of an autoregressive network's paths."""

    num_components: int = 3
    """Normal distributions, with head mixture."""

    num_paths: int = 200
    """Paths that an autoregressive network's forecast is made of."""

    normalize: Normalize | None = None
    """What forecasts start from: the series as it was scaled, mean and spread of the steps read, or the last value."""

    level: bool | None = None
    """Whether the value as it was scaled is read too, which helps where series come back to the same levels, and
    misleads where they reach others; with normalize series it always is."""

    rules: bool | None = None
    """Whether forecasts start from a mix of simple rules, and what training adds is kept only where it is surely
    better on the validation part: for series of which there are few values."""

    season: int | None = None
    """Steps after which the series repeat, with rules, which then have values a season ago too; 1 for none."""

    members: int = 1
    """Networks, trained one after the other from as many seeds, whose forecasts are put together; the bounds of the
    training are those of each."""

    def __post_init__(self) -> None:
        for name, kinds in (("kind", Kind), ("head", HeadName), ("loss", LossName), ("normalize", Normalize)):
            if getattr(self, name) not in (None, *get_args(kinds)):
                raise OptionError(f"{name} must be one of {', '.join(get_args(kinds))}, not {getattr(self, name)!r}.")
        if self.cell not in get_args(Cell):
            raise OptionError(f"cell must be one of {', '.join(get_args(Cell))}, not {self.cell!r}.")
        for name, least in (("history", 1), ("num_layers", 1), ("hidden_size", 1), ("segment", 2), ("season", 1)):
            value = getattr(self, name)
            if value is not None and not is_whole(value, least):
                raise OptionError(f"{name} must be a whole number from {least} on, not {value!r}.")
        for name, least in (("num_components", 1), ("num_paths", 2), ("members", 1)):
            if not is_whole(getattr(self, name), least):
                raise OptionError(f"{name} must be a whole number from {least} on, not {getattr(self, name)!r}.")
        if not (is_number(self.dropout) and 0 <= self.dropout < 1):
            raise OptionError(f"dropout must be a number from 0 to below 1, not {self.dropout!r}.")
        levels = self.levels
        is_levels = isinstance(levels, tuple) and all(is_number(level) and 0 < level < 1 for level in levels)
        if not is_levels or len(levels) < 2 or sorted(set(levels)) != list(levels):
            raise OptionError(f"levels must be at least two numbers between 0 and 1, growing, not {levels!r}.")
        if not (self.level is None or isinstance(self.level, bool)):
            raise OptionError(f"level must be true or false, not {self.level!r}.")
        self._check_together()

    def _check_together(self) -> None:
        if self.segment is not None and self.kind not in (None, "segments"):
            raise OptionError(f"segment is {self.segment}, but only kind segments has segments, not {self.kind}.")
        for name, default, which, needed in (
            ("num_components", 3, "head", ("mixture",)),
            ("num_paths", 200, "kind", ("autoregressive",)),
        ):
            if getattr(self, name) != default and getattr(self, which) not in (None, *needed):
                raise OptionError(
                    f"{name} is {getattr(self, name)}, but {which} is {getattr(self, which)}, which has none; leave it "
                    f"out, or take {which} {needed[0]}."
                )
        if self.levels != LEVELS and self.head not in (None, "quantile") and self.kind not in (None, "autoregressive"):
            raise OptionError(
                f"levels are given, but neither head {self.head} nor kind {self.kind} has any; leave them out, or take "
                "head quantile."
            )
        if self.normalize == "series" and self.level is False:
            raise OptionError("level is false, but with normalize series the value as it was scaled is all there is.")
        if not (self.rules is None or isinstance(self.rules, bool)):
            raise OptionError(f"rules must be true or false, not {self.rules!r}.")
        if self.rules is False and self.season not in (None, 1):
            raise OptionError(f"season is {self.season}, but without rules nothing looks at it; leave one of them out.")
        if self.normalize == "series" and self.rules:
            raise OptionError("rules is true, but with normalize series forecasts start from nothing that was.")
        if self.normalize == "series" and self.season not in (None, 1):
            raise OptionError(
                f"season is {self.season}, but with normalize series forecasts start from nothing that was; leave it "
                "out, or take normalize window."
            )
        if self.head == "point" and self.loss == "nll":
            raise OptionError("loss is nll, but a point has no likelihood; take squared or crps.")
        if self.head == "negative-binomial":
            if self.loss == "pinball":
                raise OptionError("loss is pinball, but quantiles of counts have no gradient; take nll or crps.")
            if self.normalize not in (None, "series"):
                raise OptionError(
                    f"normalize is {self.normalize}, but counts cannot be moved; with head negative-binomial it must "
                    "be series."
                )
            given = "rules is true" if self.rules else f"season is {self.season}"
            if self.rules or self.season not in (None, 1):
                raise OptionError(
                    f"{given}, but the rules that forecasts start from move them, which counts cannot be; with head "
                    "negative-binomial leave it out."
                )

    @classmethod
    def from_json(cls, **content: Any) -> Self:
        """Return the options that were written as JSON, which knows lists alone.

        Raises:
            OptionError: As of the class.
            TypeError: An entry is unknown.
        """
        return cls(**with_tuples(content))

    @property
    def is_complete(self) -> bool:
        """Whether every value is chosen, so that a network can be built."""
        needed = (self.kind, self.history, self.hidden_size, self.head, self.normalize, self.level)
        return None not in needed and (self.kind != "segments" or self.segment is not None)
