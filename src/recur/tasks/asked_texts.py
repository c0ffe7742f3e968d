"""Lists of texts that a model is asked about, checked: a text alone would be taken letter by letter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
