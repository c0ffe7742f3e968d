"""Which text, pair or sentence an inspection looks at, and what is beside it to check contributions by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal

from recur.errors import DataError, OptionError, RunError
from recur.tasks.text_setup import TextSetup
from recur.tasks.text_source import ExamplesType, parts_of
from recur.wording import option, quantity


@dataclass(frozen=True, kw_only=True)
class Beside(Generic[ExamplesType]):
    """What there is beside the text that is looked at.

    Attributes:
        others: Examples by which it can be checked whether contributions can be believed; None where there are none.
        unchecked: Why that is not checked, where it is not.
        notes: What a reader has to know.
    """

    others: ExamplesType | None
    unchecked: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chosen(Beside[ExamplesType]):
    """The example that is looked at, and what there is beside it.

    Attributes:
        example: It alone.
        has_answer: Whether it is known what is right for it.
    """

    example: ExamplesType
    has_answer: bool


def beside_text(setup: TextSetup[ExamplesType], data: Any, number: int | None, *, noun: str) -> Beside[ExamplesType]:
    """Return what there is beside a text that is given by itself: the run's own examples.

    Args:
        setup: Of the run.
        data: What else is to be looked at, which must be None.
        number: Likewise.
        noun: What one of the others is called.

    Raises:
        OptionError: There is something else to be looked at.
    """
    for name, value in (("data", data), ("number", number)):
        if value is not None:
            raise OptionError(f"{name}: would be ignored, for the text itself is given; leave {option(name)} out.")
    try:
        return Beside(others=_held_out(setup), unchecked=_too_few(noun))
    except (DataError, RunError) as error:
        return Beside(others=None, unchecked=f"the run's own {noun}s are not there: {error}".rstrip("."))


def chosen_of_data(
    setup: TextSetup[ExamplesType],
    data: Any,
    number: int | None,
    *,
    read_bare: Callable[[Any], ExamplesType],
    answers: Literal["labels", "tags", "targets"],
    worst: Callable[[ExamplesType], int | None],
) -> Chosen[ExamplesType]:
    """Return the example of a number; without one that whose answer was told worst, or the first that has a token.

    Args:
        setup: Of the run.
        data: What its `predict` takes; None for the run's own test part.
        number: From 1 on, as predictions count, where empty examples are too.
        read_bare: Reads data whose answers are not looked at, as predictions do.
        answers: What is right for an example, in messages.
        worst: Returns the place of the example whose answer was told worst; None where none is known.

    Raises:
        DataError: The data cannot be read, or have no such example.
        TypeError: One of a list is none.
        RunError: The run's own data cannot be read again.
    """
    notes: tuple[str, ...] = ()
    has_answer = True
    if data is None:
        examples = _held_out(setup)
    elif setup.themselves(data) is not None:
        has_answer = False
        examples = read_bare(data)
        if not len(examples):
            raise DataError(f"the data: have no {examples.noun}; give one at least.")
    else:
        try:
            examples = setup.read(data)
        except DataError as error:
            # They need not be there.
            has_answer = False
            examples = read_bare(data)
            notes = (f"{answers} were not read: {str(error).rstrip('.')}",)
    place = None
    if number is not None:
        rows = read_bare(data) if data is not None and has_answer else examples
        found, place = _numbered(number, examples, rows)
        has_answer = has_answer and found is examples
        examples = found
    elif has_answer:
        place = worst(examples)
    if place is None:
        place = next((row for row, key in enumerate(examples.keys) if key.strip()), 0)
    return Chosen(
        example=examples.take([place]),
        has_answer=has_answer,
        others=examples.take([other for other in range(len(examples)) if other != place]),
        unchecked=_too_few(examples.noun),
        notes=notes,
    )


def _held_out(setup: TextSetup[ExamplesType]) -> ExamplesType:
    parts = parts_of(setup.own_examples())
    return next(one for one in (parts["test"], parts["valid"], parts["train"]) if len(one))


def _too_few(noun: str) -> str:
    return f"there are too few other {noun}s"


def _numbered(number: int, examples: ExamplesType, rows: ExamplesType) -> tuple[ExamplesType, int]:
    """Return the examples that the one of a number is among, and its place there.

    Args:
        number: From 1 on.
        examples: Those to look for it in, of which some rows may be left out, such as empty ones.
        rows: All, as predictions count them; where it is in none of `examples` it is one of these.

    Raises:
        DataError: There is none of that number.
    """
    if not 1 <= number <= len(rows):
        noun = rows.noun
        raise DataError(f"number: there is no {noun} {number}; {quantity(len(rows), noun)}, counted from 1 on.")
    if rows is examples:
        return rows, number - 1

    def alike(among: ExamplesType, stop: int) -> list[int]:
        return [row for row, key in enumerate(among.keys[:stop]) if key == wanted and among.places[row] == where]

    wanted, where = rows.keys[number - 1], rows.places[number - 1]
    # Turns of one conversation stand in one place, and may say the same.
    before, found = len(alike(rows, number - 1)), alike(examples, len(examples))
    return (examples, found[before]) if before < len(found) else (rows, number - 1)
