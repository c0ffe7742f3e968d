"""What forecaster options leave open, chosen for the series. No torch here."""

from __future__ import annotations

from dataclasses import replace

from recur.errors import DataError
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_shape import SeriesShape

LONGEST_HISTORY = 336
LONGEST_SEGMENT = 48

_LONG_HORIZON = 96
_LEAST_HISTORY = 48
_FEW_VALUES = 2_000


def choose_forecaster(
    options: ForecasterOptions, shape: SeriesShape, *, num_values: int, longest: int, season: int = 1
) -> tuple[ForecasterOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, one sentence by name.

    Args:
        options: As the user gave them.
        shape: Of the batches.
        num_values: Values of the targets that the training part has.
        longest: Steps of the longest series in the training part.
        season: Steps after which the series repeat, such as of `find_season`; 1 where they do not.

    Raises:
        DataError: No series of the training part is longer than the horizon.

    Example:
        >>> shape = SeriesShape(num_targets=1, num_features=1, horizon=24)
        >>> chosen, why = choose_forecaster(ForecasterOptions(), shape, num_values=9000, longest=9000, season=24)
        >>> chosen.history, why["history"]
        (72, 'the horizon of 24 three times')
    """
    horizon = shape.horizon
    if longest <= horizon:
        raise DataError(
            f"the longest series of the training part has {longest} steps, but the horizon is {horizon}; choose a "
            "shorter horizon or a larger part."
        )
    why: dict[str, str] = {}
    found: dict[str, object] = {}

    def choose(name: str, value: object, reason: str) -> None:
        if getattr(options, name) is None and name not in found:
            found[name], why[name] = value, reason

    is_long = horizon >= _LONG_HORIZON or options.segment is not None
    choose(
        "kind",
        "segments" if is_long else "encoder-decoder",
        f"a horizon of {horizon} is {'long' if is_long else 'short'} enough to be told "
        f"{'in segments' if is_long else 'step by step'}",
    )
    kind = options.kind or found["kind"]
    if kind == "segments":
        choose("segment", max(2, min(LONGEST_SEGMENT, horizon // 4)), f"a quarter of the horizon of {horizon}")
    choose("history", *_history(horizon, season, longest))
    few = num_values < _FEW_VALUES
    choose("hidden_size", 32 if few else 64, f"there are {'only ' if few else ''}{num_values:,} values to learn from")
    choose("head", "gaussian", "its mean, and how sure it is of that")
    if options.head == "negative-binomial":
        choose("normalize", "series", "counts cannot be moved")
    choose("normalize", "last", "a forecast begins where the series is")
    return replace(options, **found), why  # type: ignore[arg-type]


def _history(horizon: int, season: int, longest: int) -> tuple[int, str]:
    """Return how many steps to read, and why."""
    wanted, reason = _LEAST_HISTORY, f"at least {_LEAST_HISTORY} steps"
    if season > 1 and 2 * season > wanted:
        wanted, reason = 2 * season, f"two seasons of {season}"
    if 3 * horizon > wanted:
        wanted, reason = 3 * horizon, f"the horizon of {horizon} three times"
    if wanted > LONGEST_HISTORY:
        wanted, reason = LONGEST_HISTORY, f"no more than {LONGEST_HISTORY} steps"
    # Half of what the longest series has beside a horizon, so that there are windows to learn from.
    room = max(1, (longest - horizon) // 2)
    return (room, f"half of the longest series, of {longest}") if room < wanted else (wanted, reason)
