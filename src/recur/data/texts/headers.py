"""Whether the first line of a file names its columns."""

from __future__ import annotations

import re

import polars as pl

from recur.data.texts.names import KNOWN, plain

_SAMPLE = 1_000
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_FEW = 0.5
"""Share of different values below which a column has classes rather than texts."""
_LONGEST = 30
"""Characters of the name of a column at most, where it is not known."""


def has_header(frame: pl.DataFrame, kind: str = ".csv") -> bool:
    """Return whether the first row names the columns, judged by what stands below it.

    Cells that name what texts have beside them, such as text, label or source, tell so, unless one comes again below;
    in CSV a single one does. Else it is a header where a column has few different values, or numbers, but the first is
    none of them.

    Args:
        frame: The cells, all of them text.
        kind: The suffix of the file; only .csv, .tsv and .tab have headers without known names.

    Example:
        >>> has_header(pl.DataFrame({"a": ["review", "so good", "so bad"], "b": ["stars", "5", "1"]}))
        True
        >>> has_header(pl.DataFrame({"a": ["so good", "so bad"], "b": ["pos", "neg"]}))
        False
    """
    head = frame.head(_SAMPLE)
    first = [(cell or "").strip() for cell in head.row(0)]
    below = [head[name].slice(1).drop_nulls() for name in head.columns]
    if any(len(cell) > _LONGEST for cell in first):
        return False
    if any((column == cell).any() for cell, column in zip(first, below, strict=True)):
        return False
    known = sum(plain(cell) in KNOWN for cell in first)
    # A single word between tabs may as well be the first of a list of words.
    if known >= (1 if kind == ".csv" or len(first) == 1 else 2):
        return True
    if kind not in (".csv", ".tsv", ".tab") or any(not cell or _NUMBER.match(cell) for cell in first):
        return False
    return any(_is_of_few(column) or _is_of_numbers(column) for column in below)


def _is_of_few(column: pl.Series) -> bool:
    return len(column) > 3 and column.n_unique() <= _FEW * len(column)


def _is_of_numbers(column: pl.Series) -> bool:
    return len(column) > 0 and column.str.strip_chars().cast(pl.Float64, strict=False).is_not_null().all()
