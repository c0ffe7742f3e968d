"""Files in columns, a token with its tags on each line, an empty line after each sentence, as of the CoNLL tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.texts.examples import PartName
from recur.data.texts.files import DataFile, lines_in
from recur.data.texts.places import Places
from recur.errors import DataError, OptionError
from recur.wording import option, quantity

_DOCUMENT = "-DOCSTART-"
_UNIVERSAL = ".conllu"


@dataclass(frozen=True, kw_only=True, eq=False)
class TaggedTokens:
    """The tokens of S sentences, one after the other, N in all.

    Attributes:
        tokens: (N,) objects, text.
        tags: (N,) objects, text.
        starts: (S,) int64, the first token of each sentence; none is empty.
        places: Where each token stood, (N,).
        part: Which part each sentence is of, (S,).
        notes: What is odd.
    """

    tokens: NDArray[np.object_]
    tags: NDArray[np.object_]
    starts: NDArray[np.int64]
    places: Places
    part: tuple[PartName | None, ...]
    notes: tuple[str, ...] = ()


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Return whether lines are in columns, each of as many words, with empty lines between sentences.

    Example:
        >>> looks_like_conll(["Ada B-PER", "wrote O", "", "She O", "sang O"]), looks_like_conll(["Ada wrote", "she"])
        (True, False)
    """
    filled = [line.strip() for line in lines if line.strip() and not line.startswith(("#", _DOCUMENT))]
    has_gap = any(not line.strip() for line in lines)
    return (
        has_gap and len(filled) > 1 and len({len(_cells(line)) for line in filled}) == 1 and len(_cells(filled[0])) > 1
    )


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def read_conll(file: DataFile, codec: str, tokens: str | None = None, tags: str | None = None) -> TaggedTokens:
    """Return the sentences of a file in columns.

    Columns are separated by tabs where the first line has one, else by white space. Lines with `-DOCSTART-` are left
    out, and those that begin with # and have another number of columns; of `.conllu` also the lines of words that are
    written as one, such as `3-4`.

    Args:
        file: The file.
        codec: Its encoding.
        tokens: Number of the column of the tokens, from 1 on, or from the last one, -1; None for the first, of
            `.conllu` the second.
        tags: That of the tags; None for the last, of `.conllu` the fourth.

    Raises:
        DataError: The file is missing, empty, in another encoding, or its lines differ in their number of columns.
        OptionError: A column is no number, or there is none of that number.
    """
    name = str(file.path)
    lines = pl.Series("line", lines_in(file.path, codec), dtype=pl.String)
    table = pl.DataFrame({"line": lines, "number": np.arange(1, len(lines) + 1)})
    table = table.with_columns(
        bare=pl.col("line").str.strip_chars(), is_document=pl.col("line").str.starts_with(_DOCUMENT)
    )
    # An empty line, and one of a document, ends a sentence.
    table = table.with_columns(sentence=((pl.col("bare") == "") | pl.col("is_document")).cum_sum())
    table = table.filter((pl.col("bare") != "") & ~pl.col("is_document"))
    if table.is_empty():
        raise DataError(f"{name}: has no tokens; give a file with a token and its tag on each line.")
    has_tabs = "\t" in table["line"][0] or bool(table["line"].head(100).str.contains("\t", literal=True).all())
    cells = table["line"].str.strip_chars_end("\r\n") if has_tabs else table["bare"]
    counts = cells.str.count_matches("\t" if has_tabs else r"\s+").cast(pl.Int64) + 1
    width = int(counts.mode().max())  # type: ignore[arg-type]
    is_comment = table["line"].str.starts_with("#") & (counts != width)
    is_odd = ~is_comment & (counts != width)
    if is_odd.any():
        row = int(is_odd.arg_true()[0])
        raise DataError(
            f"{name}: line {table['number'][row]:,} has {quantity(int(counts[row]), 'column')}, but most have {width}; "
            "each line must be a token with its tags, and sentences have an empty line between them."
        )
    if width < 2:
        raise DataError(f"{name}: has a single column; each line must be a token and its tag.")
    is_universal = file.kind == _UNIVERSAL
    kept = ~is_comment
    if is_universal:
        kept &= ~cells.str.contains(r"^\d+[-.]\d+\t")
    table, cells = table.filter(kept), cells.filter(kept)
    chosen = [
        _column("tokens", tokens, 2 if is_universal else 1, width, name),
        _column("tags", tags, 4 if is_universal else width, width, name),
    ]
    found = [_nth(cells, number, has_tabs) for number in chosen]
    sentence = table["sentence"].to_numpy()
    starts = np.flatnonzero(np.diff(sentence, prepend=-1))
    return TaggedTokens(
        tokens=found[0].to_numpy(),
        tags=found[1].to_numpy(),
        starts=starts,
        places=Places.of(name, table["number"].to_numpy()),
        part=(file.part,) * len(starts),
        notes=(f"of {width} columns, tokens are in column {chosen[0]} and tags in column {chosen[1]}",),
    )


def _nth(cells: pl.Series, number: int, has_tabs: bool) -> pl.Series:
    """Return the cell of one column in each line, counted from 1."""
    if has_tabs:
        return cells.str.splitn("\t", number + 1).struct.field(f"field_{number - 1}").str.strip_chars()
    return cells.str.extract(rf"^(?:\S+\s+){{{number - 1}}}(\S+)")


def _column(role: str, given: str | None, default: int, width: int, name: str) -> int:
    if given is None:
        return default
    try:
        number = int(given)
    except ValueError:
        raise OptionError(
            f"{role}: {given!r} is no number, but columns of {name} have no names; give one from 1 to {width}, or -1 "
            "for the last."
        ) from None
    number = number + width + 1 if number < 0 else number
    if not 1 <= number <= width:
        raise OptionError(
            f"{role}: there is no column {given} in {name}; {option(role)} takes one from 1 to {width}, or -1 for the "
            "last."
        )
    return number
