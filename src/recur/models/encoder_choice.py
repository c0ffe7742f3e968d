"""What the options of an encoder, and of networks around it, leave open, chosen for the series. No torch here."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from recur.models.series_options import TIMED_CELLS, SeriesEncoderOptions, SeriesLabelOptions

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


MANY, FEW_STEPS = 3, 50_000
"""Members of an ensemble where the training part has no more steps than this; then all of them take a minute or two."""

LabelOptions = TypeVar("LabelOptions", bound=SeriesLabelOptions)


def choose_label_network(
    options: LabelOptions, *, is_irregular: bool, num_steps: int
) -> tuple[LabelOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, one sentence by name.

    Args:
        options: As the user gave them.
        is_irregular: As of `choose_encoder`.
        num_steps: Of the training part, those of all its series together.

    Example:
        >>> chosen, why = choose_label_network(SeriesLabelOptions(), is_irregular=False, num_steps=4_000)
        >>> chosen.members, why["members"]
        (3, 'there is little to learn from, 4,000 steps')
    """
    options, reasons = choose_encoder(options, is_irregular=is_irregular)
    if options.members is not None:
        return options, reasons
    is_few = num_steps <= FEW_STEPS
    amount = "is little" if is_few else "is enough"
    reasons["members"] = f"there {amount} to learn from, {num_steps:,} steps"
    return replace(options, members=MANY if is_few else 1), reasons
