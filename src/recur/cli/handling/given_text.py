"""A text that was given to a command: itself, or the name of a file that it is in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recur.errors import DataError

_SUFFIXES = {".txt", ".text", ".md", ".rst", ".csv", ".json", ".log", ".html", ".xml", ".tex", ".py", ".gz"}
"""What names of text files often end in, and texts seldom."""


def is_name(given: str) -> bool:
    """Return whether `given` names what is there, or looks as if it should: in one word, with a suffix or a folder."""
    path = Path(given)
    try:
        if given == "-" or (given and path.exists()):
            return True
    except (OSError, ValueError):
        return False
    has_blank = any(character.isspace() for character in given)
    return not has_blank and bool(path.suffix or os.sep in given)


def note_of(given: str) -> str:
    """Return what to say of a text that could be meant as a file's name."""
    if "\n" in given or Path(given).suffix.lower() not in _SUFFIXES:
        return ""
    return f"there is no file {given!r}, so this is taken as text."


@contextmanager
def reading(name: str, codec: str) -> Iterator[Iterator[str]]:
    """Give the text of the file, of all in the folder, or of standard input, in chunks."""
    from recur.data.text import find_texts, text_of

    if name != "-" and not Path(name).exists():
        raise DataError(f"{name}: no such file; check the path. To show it as text itself, add a blank to it.")
    with tempfile.TemporaryDirectory(prefix="recur-") as spool:
        yield text_of(find_texts([name], Path(spool), codec=codec), codec)
