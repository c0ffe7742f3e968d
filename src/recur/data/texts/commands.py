"""Lines that hold both texts of a pair, as the data set SCAN writes them: `IN: jump twice OUT: I_JUMP I_JUMP`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recur.data.texts.examples import TextPairs
from recur.data.texts.files import DataFile, lines_in
from recur.data.texts.places import Places
from recur.errors import DataError

_LINE = r"^\s*IN:\s*(.*?)\s*OUT:\s*(.*?)\s*$"


def holds_commands(first_line: str) -> bool:
    """Return whether a line has an IN: and an OUT: text.

    Example:
        >>> holds_commands("IN: jump OUT: I_JUMP"), holds_commands("jump")
        (True, False)
    """
    return first_line.lstrip().startswith("IN:") and "OUT:" in first_line


def read_commands(files: Sequence[DataFile], codec: str) -> TextPairs:
    """Return the pairs on the lines of some files (Lake and Baroni 2018).

    Raises:
        DataError: A file is missing, or in another encoding, or a line has no IN: and OUT: in it.
    """
    sets = []
    for file in files:
        lines = pl.Series("line", lines_in(file.path, codec), dtype=pl.String)
        filled = (lines.str.strip_chars() != "").arg_true()
        cells = lines.gather(filled).str.extract_groups(_LINE).struct.unnest()
        wrong = cells["1"].is_null().arg_true()
        if len(wrong):
            row = int(filled[int(wrong[0])])
            raise DataError(f"{file.path}: line {row + 1:,} is {lines[row][:40]!r}, but expected IN: ... OUT: ...")
        sets.append(
            TextPairs(
                sources=tuple(cells["1"].to_list()),
                targets=tuple(cells["2"].to_list()),
                places=Places.of(str(file.path), filled.to_numpy().astype("int64") + 1),
                part=(file.part,) * len(cells),
            )
        )
    return TextPairs.joined(sets)
