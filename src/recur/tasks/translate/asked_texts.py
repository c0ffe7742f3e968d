"""Lists of texts that a translator is asked about, checked: a text alone would be taken letter by letter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recur.errors import OptionError


def listed(name: str, texts: Sequence[str]) -> list[str]:
    """Return texts as a list.

    Args:
        name: What they are called in messages.
        texts: The texts.

    Raises:
        TypeError: It is a text alone or no list, or one of these is no text.

    Example:
        >>> listed("forbidden", ("red", "door"))
        ['red', 'door']
    """
    if isinstance(texts, str):
        raise TypeError(f"{name}: takes a list of texts, not one; give [text].")
    if not isinstance(texts, Iterable):
        raise TypeError(f"{name}: takes a list of texts, not {type(texts).__name__}.")
    found = list(texts)
    for number, one in enumerate(found, start=1):
        if not isinstance(one, str):
            raise TypeError(f"{name}: takes a list of texts, but number {number} is {type(one).__name__}.")
    return found


def listed_for_each(required: Sequence[Sequence[str]], num_sources: int) -> list[list[str]]:
    """Return what each source requires, as lists.

    Args:
        required: Texts of each source.
        num_sources: How many sources there are.

    Raises:
        OptionError: There are not as many lists.
        TypeError: What one requires is no list of texts.
    """
    wanted = "required: takes a list of texts for each source"
    if isinstance(required, str):
        raise TypeError(f"{wanted}, not one text; give [[text]] for one source.")
    if not isinstance(required, Iterable):
        raise TypeError(f"{wanted}, not {type(required).__name__}.")
    found = list(required)
    for number, one in enumerate(found, start=1):
        if isinstance(one, str):
            raise TypeError(f"{wanted}, but number {number} is a text; give [text].")
    if len(found) != num_sources:
        raise OptionError(
            f"required: there are {num_sources} texts, and what {len(found)} of them require; give a list for each."
        )
    return [listed(f"required, number {number}", one) for number, one in enumerate(found, start=1)]
