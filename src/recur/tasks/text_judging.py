"""What judging has in common whatever is told of texts: on what, and what a reader has to know of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recur.data.series.options import OtherTableOptions
from recur.data.texts.examples import PARTS, Examples, PartName
from recur.errors import DataError, OptionError, RunError
from recur.tasks.text_setup import TextSetup
from recur.tasks.text_source import parts_of
from recur.wording import option


def check_judged(part: str, data: Any, table: OtherTableOptions | None) -> None:
    """Raise where what a run is to be judged on makes no sense.

    Args:
        part: Of the run's own data.
        data: Other data; None for the run's own.
        table: How these are written, where not as the run's own.

    Raises:
        OptionError: There is no such part, or it is said how data are written that are the run's own.
    """
    if part not in PARTS:
        raise OptionError(f"part: expected 'train', 'valid' or 'test', got {part!r}.")
    if data is None and table is not None and table.given:
        name = table.given[0]
        raise OptionError(
            f"{name}: would be ignored, for the run knows how its own data are written; leave {option(name)} out."
        )


def to_judge(
    setup: TextSetup[Any], data: Any, part: PartName, table: OtherTableOptions | None, *, has_rules: bool = False
) -> tuple[Any, str, Mapping[PartName, Any]]:
    """Return the examples that a run is judged on, what they are called, and the parts of the run's own.

    Args:
        setup: Of the run.
        data: As of `check_judged`, as `part` and `table`, which it has checked.
        part: Likewise.
        table: Likewise.
        has_rules: Whether rules are made of the run's own examples, so that their parts are returned beside other data
            too, where they can still be read.

    Raises:
        RunError: The run's own examples are judged, and cannot be read again.
        DataError: The data cannot be used, or there are no examples of that part.
    """
    own: Mapping[PartName, Any] = {}
    if data is None or has_rules:
        try:
            own = parts_of(setup.own_examples())
        except (RunError, DataError):
            # Other data are judged without them too, beside fewer rules, which a note says.
            if data is None:
                raise
    if data is not None:
        return setup.for_other(table or OtherTableOptions()).read(data), "given", own
    if not len(own[part]):
        raise DataError(f"the run has no part {part!r}.")
    return own[part], part, own


def with_notes_of(examples: Examples, part: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return a judgement with the notes of what was read for it, where that is not of the run's own data.

    Args:
        examples: What was judged on.
        part: What `to_judge` calls it.
        found: The judgement.
    """
    own = [f"{note}." for note in examples.notes] if part == "given" else []
    return found | {"notes": [*own, *found["notes"]]}
