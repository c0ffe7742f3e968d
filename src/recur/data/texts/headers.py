"""Whether the first line of a file names its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import polars as pl

from recur.data.texts.names import KNOWN, LANGUAGES, plain

_SAMPLE = 1_000
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_ALONE = 0.02
"""Share of the rows of a column of classes that have one of their own, at most."""
_ALONE_BESIDE_A_NAME = 0.2
"""Where another cell of the first line is known to name a column."""
_WORD = re.compile(r"[^\W\d_]+")
_ORDINARY = frozenset(["to", "from", *(name for name in LANGUAGES.split() if len(name) == 2)])
"""Names of columns that are words of some language too, such as to and it: one alone names nothing."""
_SENTENCES, _LONG = 0.98, 3
"""Share of cells with several words, and words in the mean, of a column over which a single word is its name."""
_LONGEST = 30
"""Characters of the name of a column at most, where it is not known."""


def has_header(frame: pl.DataFrame, kind: str = ".csv", expected: Collection[str] = ()) -> bool:
    """Return whether the first row names the columns, judged by what stands below it.

    Cells that name what texts have beside them, such as text, label or source, tell so, unless one comes again below;
    in CSV a single one does. Else it is a header where a column has values that all come again, or numbers, but the
    first is none of them, and where single words stand over sentences alone.

    Args:
        frame: The cells, all of them text.
        kind: The suffix of the file; only .csv, .tsv and .tab have headers without known names.
        expected: Names of columns that other data had; where the first row has one, it is a header.

    Example:
        >>> has_header(pl.DataFrame({"a": ["review", "so good", "so bad"], "b": ["stars", "5", "1"]}))
        True
        >>> has_header(pl.DataFrame({"a": ["so good", "so bad"], "b": ["pos", "neg"]}))
        False
    """
    head = frame.head(_SAMPLE)
    first = [(cell or "").strip() for cell in head.row(0)]
    if not set(first).isdisjoint(expected):
        return True
    below = [head[name].slice(1).drop_nulls() for name in head.columns]
    if any(len(cell) > _LONGEST for cell in first):
        return False
    if any((column == cell).any() for cell, column in zip(first, below, strict=True)):
        return False
    known = _known(first)
    # A single word between tabs may as well be the first of a list of words.
    if known >= (1 if kind == ".csv" or len(first) == 1 else 2):
        return True
    if kind not in (".csv", ".tsv", ".tab") or any(not cell or _NUMBER.match(cell) for cell in first):
        return False
    if len(first) > 1 and _are_words(first) and all(_is_of_sentences(column) for column in below):
        return True
    alone = _ALONE_BESIDE_A_NAME if known else _ALONE
    return any(_is_of_few(column, alone) or _is_of_numbers(column) for column in below)


def may_be_otherwise(frame: pl.DataFrame, expected: Collection[str] = ()) -> bool:
    """Return whether two words in the first row may as well name columns as be a pair, whatever `has_header` says.

    Args:
        frame: As of `has_header`.
        expected: Likewise.

    Example:
        >>> may_be_otherwise(pl.DataFrame({"a": ["one", "two"], "b": ["eins", "zwei"]}))
        True
    """
    first = [(cell or "").strip() for cell in frame.row(0)]
    if len(first) != 2 or not set(first).isdisjoint(expected) or not _are_words(first) or _known(first) > 1:
        return False
    below = [frame[name].slice(1).drop_nulls() for name in frame.columns]
    return not any((column == cell).any() for cell, column in zip(first, below, strict=True))


def _known(cells: Sequence[str]) -> int:
    """Return how many cells are known to name columns; an ordinary word does so beside another name alone."""
    names = [plain(cell) for cell in cells if plain(cell) in KNOWN]
    return 0 if len(names) == 1 < len(cells) and names[0] in _ORDINARY else len(names)


def _are_words(cells: Sequence[str]) -> bool:
    return all(_WORD.fullmatch(cell) for cell in cells)


def _is_of_sentences(column: pl.Series) -> bool:
    """Return whether hardly a cell has a single word."""
    words = column.str.strip_chars().str.count_matches(r"\s+") + 1
    return len(words) > 1 and float((words > 1).mean()) >= _SENTENCES and float(words.mean()) >= _LONG  # type: ignore[arg-type]


def _is_of_few(column: pl.Series, alone: float) -> bool:
    # Where all values come again, one that does not is a name.
    return len(column) > 3 and int(column.is_unique().sum()) <= alone * len(column)


def _is_of_numbers(column: pl.Series) -> bool:
    return len(column) > 0 and column.str.strip_chars().cast(pl.Float64, strict=False).is_not_null().all()
