"""What detector options leave open, chosen for the series."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from recur.models.detector_options import DetectorOptions
from recur.models.lead_network import LeadNetwork
from recur.models.series_autoencoder import SeriesAutoencoder
from recur.models.series_shape import SeriesShape

LONGEST_HISTORY = 288
_LEAST_HISTORY = 64
_FEW_VALUES = 2_000


def choose_detector(
    options: DetectorOptions, *, num_values: int, longest: int, season: int = 1
) -> tuple[DetectorOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, one sentence by name.

    That of `quiet` stays.

    Args:
        options: As the user gave them.
        num_values: Values that the training part has.
        longest: Steps of the longest series in the training part.
        season: Steps after which the series repeat; 1 where they do not.

    Example:
        >>> chosen, why = choose_detector(DetectorOptions(), num_values=9000, longest=9000, season=24)
        >>> chosen.history, chosen.hidden_size, why["hidden_size"]
        (64, 64, 'there are 9,000 values to learn from')
    """
    why: dict[str, str] = {}
    found: dict[str, object] = {}

    def choose(name: str, value: object, reason: str) -> None:
        if getattr(options, name) is None:
            found[name], why[name] = value, reason

    wanted, reason = max(_LEAST_HISTORY, 2 * season), f"at least {_LEAST_HISTORY} steps, and two seasons"
    if wanted > LONGEST_HISTORY:
        wanted, reason = LONGEST_HISTORY, f"no more than {LONGEST_HISTORY} steps"
    if options.leads[-1] > wanted:
        wanted, reason = options.leads[-1], f"as far as the longest lead, of {options.leads[-1]}"
    room = max(2, longest // 2)
    choose("history", min(wanted, room), reason if wanted <= room else f"half of the longest series, of {longest}")
    few = num_values < _FEW_VALUES
    choose("hidden_size", 32 if few else 64, f"there are {'only ' if few else ''}{num_values:,} values to learn from")
    choose("level", False, "what comes may lie at levels that were never seen")
    return replace(options, **found), why  # type: ignore[arg-type]


def build_detector(options: DetectorOptions, shape: SeriesShape) -> nn.Module:
    """Return the network that the options name, with fresh weights.

    Raises:
        OptionError: Options are incomplete, or the shape has no target or another horizon than 1.
    """
    return (LeadNetwork if options.way == "forecast" else SeriesAutoencoder)(options, shape)
