"""What forecaster options leave open, chosen for the series. No torch here."""

from __future__ import annotations

import math
from dataclasses import replace

from recur.errors import DataError, OptionError
from recur.models.forecaster_options import ForecasterOptions, LossName
from recur.models.series_shape import SeriesShape

LONGEST_HISTORY = 336
LONGEST_SEGMENT = 48

_LONG_HORIZON = 96
_LEAST_HISTORY = 48
_FEW_VALUES = 2_000
_MANY_VALUES = 10_000
_LARGE_SHIFT = 0.5

_LOSSES: dict[str, LossName] = {
    "point": "squared",
    "gaussian": "crps",
    "student-t": "nll",
    "negative-binomial": "nll",
    "mixture": "nll",
    "quantile": "pinball",
}
_LOSS_REASONS = {"gaussian": "single outliers sway it less than they do the likelihood, and the mean is better for it"}


def choose_forecaster(
    options: ForecasterOptions,
    shape: SeriesShape,
    *,
    num_values: int,
    longest: int,
    season: int = 1,
    level_shift: float | None = None,
) -> tuple[ForecasterOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, one sentence by name.

    Args:
        options: As the user gave them.
        shape: Of the batches.
        num_values: Values of the targets that the training part has.
        longest: Steps of the longest series in the training part.
        season: Steps after which the series repeat, such as of `find_season`; 1 where they do not.
        level_shift: How far the series of the training part have moved, such as of `find_level_shift`; None if unknown.

    Raises:
        DataError: No series of the training part is longer than the horizon.
        OptionError: An option would be ignored.

    Example:
        >>> shape = SeriesShape(num_targets=1, num_features=1, horizon=24)
        >>> chosen, why = choose_forecaster(
        ...     ForecasterOptions(), shape, num_values=9000, longest=9000, season=24, level_shift=2.3
        ... )
        >>> chosen.history, why["history"]
        (72, 'the horizon of 24 three times')
        >>> chosen.level, why["level"]
        (False, 'the series moved by 2.3 standard deviations, so what comes may lie at levels that were never seen')
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
        "segments" if is_long else "direct",
        f"a horizon of {horizon} is {'long' if is_long else 'short'} enough to be told "
        f"{'in segments' if is_long else 'at once'}",
    )
    kind = options.kind or found["kind"]
    if kind == "segments":
        choose("segment", *_segment(horizon))
    choose("history", *_history(horizon, season, longest))
    few = num_values < _FEW_VALUES
    choose("hidden_size", 32 if few else 64, f"there are {'only ' if few else ''}{num_values:,} values to learn from")
    choose("head", "gaussian", "it tells a mean, and how sure it is of that")
    head = options.head or "gaussian"
    choose("loss", _LOSSES[head], _LOSS_REASONS.get(head, f"it is that of head {head}"))
    moved = _moved(level_shift)
    comes_back = level_shift is not None and level_shift < _LARGE_SHIFT
    if head == "negative-binomial":
        choose("normalize", "series", "counts cannot be moved")
    choose(
        "normalize",
        "last" if comes_back else "window",
        f"{moved}; between the last value and the level it came from there is a gate to learn"
        if comes_back
        else f"{moved}; the mean and spread of what is read go along",
    )
    is_all = (options.normalize or found["normalize"]) == "series"
    choose("level", is_all or comes_back, "with normalize series it is all there is" if is_all else moved)
    history = options.history or found["history"]
    assert isinstance(history, int)
    if is_all:
        choose("rules", False, "with normalize series forecasts start from nothing that was")
    else:
        if options.season not in (None, 1):
            choose("rules", True, f"a season of {options.season} is given, which the rules look at")
        choose("rules", num_values < _MANY_VALUES, f"there are {num_values:,} values to learn from")
    if not (found["rules"] if options.rules is None else options.rules):
        choose("season", 1, "there are no rules that would look at it")
    elif season < history:
        choose("season", season, "that of the series" if season > 1 else "the series have none")
    else:
        choose("season", 1, f"a season of {season} does not fit into the {history} steps that are read")
    chosen = replace(options, **found)  # type: ignore[arg-type]
    if chosen.kind == "autoregressive" and horizon == 1 and chosen.num_paths != ForecasterOptions.num_paths:
        raise OptionError(f"num_paths is {chosen.num_paths}, but a horizon of 1 is told without paths; leave it out.")
    return chosen, why


def _segment(horizon: int) -> tuple[int, str]:
    """Return how many steps a segment has, and why."""
    quarter = horizon // 4
    if quarter > LONGEST_SEGMENT:
        return LONGEST_SEGMENT, f"no more than {LONGEST_SEGMENT} steps"
    return (quarter, f"a quarter of the horizon of {horizon}") if quarter > 1 else (2, "the fewest there can be")


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


def _moved(level_shift: float | None) -> str:
    """Return what is known of the levels to come."""
    if level_shift is None:
        return "it is not known whether the series come back to the levels that were seen"
    if math.isinf(level_shift):
        return "series that were constant have moved, so what comes may lie at levels that were never seen"
    moved = f"the series moved by {level_shift:.1f} standard deviations"
    if level_shift < _LARGE_SHIFT:
        return f"{moved}, so what comes lies mostly at levels that were seen"
    return f"{moved}, so what comes may lie at levels that were never seen"
