"""Files in columns, a token with its tags on each line, an empty line after each sentence, as of the CoNLL tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

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
_COMMENT = r"^# +(?:[\w.:-]+ *= |new(?:doc|par)\b)"
"""Comments as CoNLL-U has them, which may have as many words as there are columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaggedTokens:
    """The tokens of S sentences, one after the other, N in all.

    Attributes:
        tokens: (N,) objects, text.
        tags: (N,) objects, text.
        starts: (S,) int64, the first token of each sentence; none is empty.
        places: Where each token stood, (N,).
        part: Which part each sentence is of, (S,).
        num_columns: Columns that the file has; None where it is none in columns.
        notes: What is odd.
    """

    tokens: NDArray[np.object_]
    tags: NDArray[np.object_]
    starts: NDArray[np.int64]
    places: Places
    part: tuple[PartName | None, ...]
    num_columns: int | None = None
    notes: tuple[str, ...] = ()


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Return whether lines are in columns, each of as many words, with empty lines between sentences.

    Example:
        >>> looks_like_conll(["Ada B-PER", "wrote O", "", "She O", "sang O"]), looks_like_conll(["Ada wrote", "she"])
        (True, False)
    """
    filled = _filled(lines)
    has_gap = any(not line.strip() for line in lines)
    return (
        has_gap and len(filled) > 1 and len({len(_cells(line)) for line in filled}) == 1 and len(_cells(filled[0])) > 1
    )


def _filled(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", _DOCUMENT))]


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def has_cells_of(lines: Sequence[str], tags: Collection[str], num_columns: int | None = None) -> bool:
    """Return whether lines in columns are of cells, and no sentences that have as many words each by chance.

    They are where there are tabs between, where a column is mostly of some tags, or where there are as many columns as
    a model's data had and mostly several lines between the empty ones, as sentences one a line have not.

    Args:
        lines: What `looks_like_conll` takes for columns.
        tags: Those of a model.
        num_columns: What the model's data had; None where they were in none.

    Example:
        >>> has_cells_of(["Ada left", "", "she sang"], ["O"], 2), has_cells_of(["Ada O", "", "she B-X"], ["O"])
        (False, True)
        >>> has_cells_of(["Ada _", "left _", "", "she _", "sang _"], ["O"], 2)
        True
    """
    filled = _filled(lines)
    columns = list(zip(*map(_cells, filled), strict=True))
    if all("\t" in line for line in filled) or (len(columns) == num_columns and _has_several_a_group(lines)):
        return True
    return any(2 * sum(cell.strip() in tags for cell in column) >= len(filled) for column in columns)


def mostly_cells_of(lines: Sequence[str], tags: Collection[str], num_columns: int) -> bool:
    """Return whether most lines have the cells of a model's data, whether or not sentences are parted by empty lines.

    They have where there are tabs between as many, the last without blanks, and where the last is one of some tags,
    with tabs between or as many words; a mark alone, such as the tag of a full stop, ends sentences too.

    Args:
        lines: Of a file.
        tags: Those of the model.
        num_columns: What the model's data had.

    Example:
        >>> mostly_cells_of(["dog\\tB-X", "New York\\tO", "", "Bo"], ["O", "B-X"], 2)
        True
        >>> mostly_cells_of(["Ada B-X"], ["O", "B-X"], 2), mostly_cells_of(["she left"], ["O", "B-X"], 2)
        (True, False)
    """
    filled = [line for line in lines if line.strip() and not line.startswith(("#", _DOCUMENT))]
    like = 0
    for line in filled:
        cells = [cell.strip() for cell in _cells(line)]
        has_tag = cells[-1] in tags and any(map(str.isalnum, cells[-1]))
        is_alike = len(cells) == num_columns
        like += len(cells) > 1 and (
            (has_tag and (is_alike or "\t" in line)) or (is_alike and "\t" in line and " " not in cells[-1])
        )
    return bool(filled) and 2 * like >= len(filled)


def _has_several_a_group(lines: Sequence[str]) -> bool:
    """Return whether of the groups between empty lines most have several lines."""
    rows = [line for line in lines if not line.startswith(("#", _DOCUMENT))]
    sizes = [len(list(group)) for is_filled, group in groupby(rows, key=lambda line: bool(line.strip())) if is_filled]
    return 2 * sum(size > 1 for size in sizes) > len(sizes)


def read_conll(
    file: DataFile, codec: str, tokens: str | None = None, tags: str | None = None, *, has_tags: bool = True
) -> TaggedTokens:
    """Return the sentences of a file in columns.

    Columns are separated by tabs where the first line that does not begin with # has one, else by white space. Left out
    are lines with `-DOCSTART-`, and comments: of `.conllu` all lines that begin with #, in other files those of them
    that are `# name = ...`, `# newdoc` or `# newpar`, that have tabs though columns have none, or that have another
    number of columns. Of `.conllu` the lines of words that are written as one, such as `3-4`, are left out too.

    Args:
        file: The file.
        codec: Its encoding.
        tokens: Number of the column of the tokens, from 1 on, or from the last one, -1; None for the first, of
            `.conllu` the second.
        tags: That of the tags; None for the last, of `.conllu` the fourth.
        has_tags: Whether tags are read; else all are empty, and there may be a single column.

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
        raise _without_tokens(name)
    is_universal = file.kind == _UNIVERSAL
    begins = table["line"].str.starts_with("#")
    # A token may begin like a comment, so that what is separated by what is told by lines that do not.
    others = table["line"].filter(~begins) if not begins.all() else table["line"]
    has_tabs = "\t" in others[0]
    cells = table["line"].str.strip_chars_end("\r\n") if has_tabs else table["bare"]
    counts = cells.str.count_matches("\t" if has_tabs else r"\s+").cast(pl.Int64) + 1
    is_comment = begins
    if not is_universal:
        is_comment &= table["line"].str.contains(_COMMENT if has_tabs else rf"{_COMMENT}|\t")
    if is_comment.all():
        raise _without_tokens(name)
    width = int(counts.filter(~is_comment).mode().max())  # type: ignore[arg-type]
    is_comment |= begins & (counts != width)
    is_odd = ~is_comment & (counts != width)
    if is_odd.any():
        row = int(is_odd.arg_true()[0])
        raise DataError(
            f"{name}: line {table['number'][row]:,} has {quantity(int(counts[row]), 'column')}, but most have {width}; "
            "each line must be a token with its tags, and sentences have an empty line between them."
        )
    if width < 2 and has_tags:
        raise DataError(f"{name}: has a single column; each line must be a token and its tag.")
    kept = ~is_comment
    if is_universal:
        kept &= ~cells.str.contains(r"^\d+[-.]\d+\t")
    table, cells = table.filter(kept), cells.filter(kept)
    number = _column("tokens", tokens, 2 if is_universal else 1, width, name)
    found = _nth(cells, number, has_tabs)
    note = f"of {quantity(width, 'column')}, tokens are in column {number}"
    if has_tags:
        number = _column("tags", tags, 4 if is_universal else width, width, name)
        note += f" and tags in column {number}"
    sentence = table["sentence"].to_numpy()
    starts = np.flatnonzero(np.diff(sentence, prepend=-1))
    return TaggedTokens(
        tokens=found.to_numpy(),
        tags=_nth(cells, number, has_tabs).to_numpy() if has_tags else np.full(len(cells), "", np.object_),
        starts=starts,
        places=Places.of(name, table["number"].to_numpy()),
        part=(file.part,) * len(starts),
        num_columns=width,
        notes=(note,),
    )


def _without_tokens(name: str) -> DataError:
    return DataError(f"{name}: has no tokens; give a file with a token and its tag on each line.")


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
