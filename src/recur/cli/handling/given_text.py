"""A text that was given to a command: itself, or the name of a file that it is in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recur.data.texts.options import CELL_OPTIONS
from recur.errors import DataError, OptionError
from recur.wording import option

if TYPE_CHECKING:
    from jsonargparse import Namespace

STANDARD_INPUT = "-"

_SUFFIXES = {".txt", ".text", ".md", ".rst", ".csv", ".json", ".log", ".html", ".xml", ".tex", ".py", ".gz"}
"""What names of text files often end in, and texts seldom."""


def is_name(given: str) -> bool:
    """Return whether `given` names what is there, or looks as if it should: in one word, with a suffix or a folder."""
    path = Path(given)
    try:
        if given == STANDARD_INPUT or (given and path.exists()):
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

    if name != STANDARD_INPUT and not Path(name).exists():
        raise DataError(f"{name}: no such file; check the path. To show it as text itself, add a blank to it.")
    with tempfile.TemporaryDirectory(prefix="recur-") as spool:
        yield text_of(find_texts([name], Path(spool), codec=codec), codec)


def texts_of(chosen: Namespace, codec: str) -> Path | list[str]:
    """Return the DATA of `recur predict`, or where they are standard input its lines, each of which is a text.

    Args:
        chosen: The arguments of the command.
        codec: The encoding of the lines.

    Raises:
        OptionError: An option says how tables are written, which lines are not.
        DataError: There is nothing but empty lines, or they are of another encoding.
    """
    if chosen.data != STANDARD_INPUT:
        return Path(chosen.data)
    for name in CELL_OPTIONS:
        if getattr(chosen, name) is not None:
            raise OptionError(
                f"{name} would be ignored, as each line of standard input is a text; leave {option(name)} out."
            )
    from recur.data.texts.files import lines_of

    with reading(STANDARD_INPUT, codec) as chunks:
        return lines_of("".join(chunks), "standard input")
