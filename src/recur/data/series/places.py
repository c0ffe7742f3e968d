"""Which of several series or channels is meant."""

from __future__ import annotations

from collections.abc import Sequence

from recur.errors import DataError


def place_of(what: str, name: str | None, names: Sequence[str]) -> int:
    """Return the place of a name among some; the first where None.

    Args:
        what: The argument, for messages.
        name: The name.
        names: Those in the data.

    Raises:
        DataError: There is none of this name.
    """
    if name is None:
        return 0
    if name not in names:
        known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise DataError(f"{what}: there is no {name!r} in the data; there are {known}.")
    return list(names).index(name)
