"""What is said of files and columns that are not there: which ones are, and the one that may be meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import islice
from os.path import exists
from pathlib import Path

from recur.errors import DataError
from recur.wording import known_names, printable

_ALIKE = 0.8
"""How like each other, from 0 to 1, a file that is missing and one that may be meant are at least; many begin alike."""
_MANY = 1_000
"""Files in a folder where none is looked for that may be meant: to compare so many names takes seconds."""


class ColumnError(DataError):
    """A table has no column of a name that was said."""


def no_file(path: str | Path) -> DataError:
    """Return the error that a file or folder is not there, with the nearest name beside where it would be.

    A name that differs in digits alone is that of another recording, part or day, and not the one that is meant.

    Example:
        >>> print(no_file("nowhere/reviews.csv"))
        nowhere/reviews.csv: no such file or folder; check the path.
    """
    missing = Path(path)
    near = difflib.get_close_matches(missing.name, _beside(missing), 1, _ALIKE)
    hint = f"did you mean {printable(str(missing.parent / near[0]))}?" if near else "check the path."
    return DataError(f"{printable(str(path))}: no such file or folder; {hint}")


def _beside(missing: Path) -> list[str]:
    """Return the names beside one that is missing which may be meant; none where there are many."""
    try:
        found = list(islice(missing.parent.iterdir(), _MANY + 1))
    except (OSError, ValueError):
        # No folder is there either, or nothing could be called so.
        return []
    if len(found) > _MANY:
        return []
    bare = _without_digits(missing.name)
    # A link that leads nowhere stands in its folder, and is not there. Not by pathlib, which stumbles over closed ones.
    return sorted(one.name for one in found if _without_digits(one.name) != bare and exists(one))  # noqa: PTH110


def _without_digits(name: str) -> str:
    return re.sub(r"\d", "", name)


def no_column(table: str, name: str, role: str, columns: Sequence[str]) -> ColumnError:
    """Return the error that a table has no such column, with the nearest one and all.

    Args:
        table: What the table is called.
        name: Of the column that was said.
        role: What it was said of.
        columns: The names that there are.

    Example:
        >>> print(no_column("a.csv", "sentimnt", "label", ["review", "sentiment"]))
        a.csv: has no column 'sentimnt', which label names; did you mean 'sentiment'? It has 'review', 'sentiment'.
    """
    near = difflib.get_close_matches(name, columns, 1)
    hint = f"did you mean {near[0]!r}? It" if near else "it"
    return ColumnError(f"{table}: has no column {name!r}, which {role} names; {hint} has {known_names(columns, 20)}.")
