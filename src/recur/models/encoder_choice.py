"""What the options of an encoder leave open, chosen for the series. No torch here."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from recur.models.series_options import TIMED_CELLS, SeriesEncoderOptions

Options = TypeVar("Options", bound=SeriesEncoderOptions)


def choose_encoder(options: Options, *, is_irregular: bool) -> tuple[Options, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, one sentence by name.

    Args:
        options: As the user gave them.
        is_irregular: Whether the time between steps differs, as in a panel where not all series have a frequency.

    Example:
        >>> chosen, why = choose_encoder(SeriesEncoderOptions(), is_irregular=True)
        >>> chosen.time_input, why["time_input"]
        (True, 'the time between steps differs')
    """
    if options.time_input is not None:
        return options, {}
    if options.cell in TIMED_CELLS:
        value, reason = False, f"the cell {options.cell} is told the times"
    elif is_irregular:
        value, reason = True, "the time between steps differs"
    else:
        value, reason = False, "all steps are as far apart"
    return replace(options, time_input=value), {"time_input": reason}
