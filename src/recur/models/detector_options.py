"""Options of anomaly detectors. No torch here: the command line reads these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.models.options import Cell

Way = Literal["forecast", "autoencoder"]

LARGEST_RATE = 0.01
"""Of false alarms; the tail that a threshold comes from is the highest 2 % of scores."""


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """Form and size of a detector's network, and when it raises an alarm.

    A value of None is chosen for the series; that of `quiet` stays, and says half a season of each.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    way: Way = "forecast"
    """What is surprising: forecast, values that differ from what was told of them some steps before; autoencoder, steps
    that a few numbers do not describe as well as they describe others (Malhotra et al. 2016)."""

    false_alarms: float = 1e-4
    """Share of ordinary steps that may raise an alarm, such as 0.0001: one in 10,000, which with a step every minute is
    one a week, and every 5 minutes one in five weeks."""

    quiet: int | None = None
    """Steps without an alarm before one is taken for new, however high it is; half a season of the series, such as half
    a day, or a hundred steps where there is none."""

    memory: int = 10_000
    """Steps over which a detector forgets what errors were ordinary."""

    no_rules: bool = False
    """Leave out how far a value is from what is usual at its place in the season, such as a day, which otherwise counts
    beside what the network says."""

    history: int | None = None
    """Steps of a window that the network is trained on."""

    leads: tuple[int, ...] = (1,)
    """How many steps before a value it is told, with way forecast; of several, the mean surprise counts."""

    window: int = 16
    """Steps that the autoencoder describes at once."""

    code_size: int = 4
    """Numbers for each channel by which the autoencoder describes them."""

    cell: Cell = "gru"
    """Recurrent cell."""

    num_layers: int = 1
    """Recurrent layers that read, one on top of the other."""

    hidden_size: int | None = None
    """Units of each recurrent layer."""

    dropout: float = 0.0
    """Locked dropout (one mask over time) on each layer's output, 0 to below 1."""

    level: bool | None = None
    """Whether the value as it was scaled is read too, which helps where series come back to the same levels, and
    misleads where they reach others."""

    def __post_init__(self) -> None:
        for name, known in (("way", get_args(Way)), ("cell", get_args(Cell))):
            if getattr(self, name) not in known:
                raise OptionError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        if not (is_number(self.false_alarms) and 0 < self.false_alarms <= LARGEST_RATE):
            raise OptionError(
                f"false_alarms must be a number above 0 and up to {LARGEST_RATE}, for the tail that a threshold comes "
                f"from is the highest 2 % of scores, not {self.false_alarms!r}."
            )
        for name, least in (("quiet", 1), ("history", 2), ("hidden_size", 1)):
            value = getattr(self, name)
            if value is not None and not is_whole(value, least):
                raise OptionError(f"{name} must be a whole number from {least} on, not {value!r}.")
        for name, least in (("memory", 100), ("window", 2), ("code_size", 1), ("num_layers", 1)):
            if not is_whole(getattr(self, name), least):
                raise OptionError(f"{name} must be a whole number from {least} on, not {getattr(self, name)!r}.")
        if not (is_number(self.dropout) and 0 <= self.dropout < 1):
            raise OptionError(f"dropout must be a number from 0 to below 1, not {self.dropout!r}.")
        for name in ("no_rules", "level"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (name == "no_rules" or value is not None):
                raise OptionError(f"{name} must be true or false, not {value!r}.")
        self._check_together()

    def _check_together(self) -> None:
        leads = self.leads
        is_steps = isinstance(leads, tuple) and leads and all(is_whole(lead, 1) for lead in leads)
        if not is_steps or sorted(set(leads)) != list(leads):
            raise OptionError(f"leads must be whole numbers from 1 on, growing, such as (1, 4, 16), not {leads!r}.")
        if self.way != "forecast" and leads != (1,):
            raise OptionError(f"leads are of way forecast, not {self.way}; leave them out.")
        if self.history is not None and leads[-1] > self.history:
            raise OptionError(
                f"leads: {leads[-1]} is longer than the history of {self.history}; give shorter ones, or a "
                "longer history if the series are long enough."
            )
        defaults = {"window": 16, "code_size": 4}
        given = [name for name, value in defaults.items() if getattr(self, name) != value]
        if given and self.way != "autoencoder":
            raise OptionError(f"{given[0]} is of way autoencoder, not {self.way}; leave it out.")

    @classmethod
    def from_json(cls, **content: Any) -> Self:
        """Return the options that were written as JSON, which knows lists alone.

        Raises:
            OptionError: As of the class.
            TypeError: An entry is unknown.
        """
        found: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        return cls(**found)

    @property
    def is_complete(self) -> bool:
        """Whether every value is chosen, so that a network can be built."""
        return None not in (self.history, self.hidden_size, self.level)
