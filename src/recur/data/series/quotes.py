"""Which quotes of a text in cells hold these together, as those of CSV do, and which are text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

_PRIVATE = range(0xE000, 0xF900)
"""Characters that Unicode leaves to private use."""


@dataclass(frozen=True, kw_only=True)
class QuotedText:
    """A text in cells whose quotes hold cells together, all of them, or are text, all of them.

    Attributes:
        text: UTF-8.
        holds: Whether quotes hold cells together.
        mark: What stands in place of each quote that is text where others hold cells together; None if there is none.
        notes: Which quotes at the beginning of a cell are text, where they may as well be none.
    """

    text: bytes
    holds: bool
    mark: str | None = None
    notes: tuple[str, ...] = ()


def quoted_text(text: bytes, separator: str, name: str) -> QuotedText:
    r"""Return a text in which it is told what each quote is for.

    Quotes hold a cell together where one is its first character and one its last; two in a row between them are one
    that is text. So are all others, such as the one of `a 5" pipe`.

    Between tabs, what such quotes hold is no cell where it goes over tabs or lines, but each of these lines has as many
    tabs as the others: somebody begins to speak in one cell and ends in another. Where there are such, or cells that
    merely begin with a quote, all quotes are text, unless some hold what could not stand there otherwise. What is
    written as CSV throughout, with two quotes in some cell, is taken as such.

    Args:
        text: UTF-8.
        separator: Character between the cells.
        name: What to call it in notes.

    Example:
        >>> quoted_text(b'"Go," she said\tcalm\n"Go!"\tloud\n', "\t", "a.tsv").holds
        False
        >>> found = quoted_text(b'"6,5"" wide",pipe\n5" wide,pipe\n', ",", "a.csv")
        >>> found.text.decode().replace(found.mark, "[quote]").splitlines()
        ['"6,5"" wide",pipe', '5[quote] wide,pipe']
    """
    if b'"' not in text:
        return QuotedText(text=text, holds=False)
    patterns = _Patterns.of(separator)
    bare = patterns.cell.sub(b"cell", text)
    spoken: list[int] = []
    if separator == "\t":
        wide = [found for found in patterns.cell.finditer(text) if b"\n" in found[0] or b"\t" in found[0]]
        spoken = _spoken(text, bare, wide, patterns)
        if len(spoken) == len(wide) and (spoken or patterns.opening.search(bare)):
            return QuotedText(text=text, holds=False, notes=_note(text, spoken, name))
    if not spoken and b'"' not in bare:
        return QuotedText(text=text, holds=True)
    return _marked(text, patterns, spoken, name)


def rows_in(lines: Sequence[str], separator: str, most: int | None = None) -> tuple[list[list[str]], bool]:
    r"""Return the cells of each row, as `csv.reader` cuts them, but however long, and whether the last row is cut off.

    It is where nothing closes a quote that opens a cell of it.

    Args:
        lines: Those of a text, without their ends; a cell in quotes may go over several.
        separator: Character between the cells.
        most: How many rows are cut at most; None for all.

    Example:
        >>> rows_in(["so good;5", '"bad; and', 'long";1', '"fine'], ";")
        ([['so good', '5'], ['bad; and\nlong', '1'], ['fine']], True)
    """
    rows: list[list[str]] = [[]]
    is_open = False
    for found in _Patterns.of(separator).any_cell.finditer("\n".join(lines)):
        held, close, rest, end = found.groups()
        rows[-1].append(rest if held is None else held.replace('""', '"') + rest)
        is_open = held is not None and not close
        if not end or (end == "\n" and len(rows) == most):
            break
        if end == "\n":
            rows.append([])
    return rows, is_open


def whole_records(text: bytes, separator: str) -> bytes:
    r"""Return what a text begins with, without the last row if it was cut within quotes.

    It was where nothing closes a quote that opens a cell. One in the first half is taken for a character of the text,
    as it would be of a cell that is longer than all that came before. A first row is kept whatever it is.

    Args:
        text: Whole lines, UTF-8.
        separator: Character between the cells.

    Example:
        >>> whole_records(b'so good,5\n"bad, and\nlong",1\n"fine,\nbut', ",")
        b'so good,5\n"bad, and\nlong",1\n'
    """
    patterns = _Patterns.of(separator)
    bare = patterns.cell.sub(lambda found: b"x" * len(found[0]), text)
    opened = patterns.unclosed.search(bare, len(bare) // 2)
    return text if opened is None else text[: bare.rfind(b"\n", 0, opened.start()) + 1] or text


@dataclass(frozen=True)
class _Patterns:
    """Finds cells that quotes hold together, those that go on behind the second quote, and quotes that open any.

    And, where the first ones are left out, what a quote opens that nothing closes. The last one finds any cell: what
    is in quotes, their end, the rest, and what comes behind the cell.
    """

    cell: re.Pattern[bytes]
    cell_or_longer: re.Pattern[bytes]
    opening: re.Pattern[bytes]
    unclosed: re.Pattern[bytes]
    any_cell: re.Pattern[str]

    @classmethod
    @cache
    def of(cls, separator: str) -> _Patterns:
        """Return the patterns of cells with a character between them; the second has the longer ones in its group."""
        cut = re.escape(separator).encode()
        # The quote stands in front of what has to be before it, as a search for a character is much faster.
        opening, end = rb'"(?<![^%s\n]")' % cut, rb"(?=%s|\r?\n|\r?\Z)" % cut
        inside = rb'[^"]*+(?:""[^"]*+)*+'
        cell = rb'%s%s"%s' % (opening, inside, end)
        longer = rb'%s[^"\n]*+(?:""[^"\n]*+)*+"[^%s\r\n]++%s' % (opening, cut, end)
        unclosed = rb"%s%s\Z" % (opening, inside)
        bare = rf"[^{re.escape(separator)}\n]*+"
        any_cell = rf'(?:"({inside.decode()})("|\Z))?({bare})({re.escape(separator)}|\n|\Z)'
        return cls(
            cell=re.compile(cell),
            cell_or_longer=re.compile(rb"%s|(%s)" % (cell, longer)),
            opening=re.compile(opening),
            unclosed=re.compile(unclosed),
            any_cell=re.compile(any_cell),
        )


def _spoken(text: bytes, bare: bytes, wide: Sequence[re.Match[bytes]], patterns: _Patterns) -> list[int]:
    """Return where cells that go over tabs or lines begin, but are none.

    Args:
        text: With tabs between the cells.
        bare: The same without what quotes may hold together.
        wide: What may be such cells.
        patterns: What finds cells.
    """
    if not wide or (b'"' not in bare and any(b'""' in found[0][1:-1] for found in patterns.cell.finditer(text))):
        return []
    plain, cut = (Counter(line.count(b"\t") for line in one.splitlines() if line) for one in (text, bare))
    usual = (plain if len(plain) == 1 < len(cut) else cut).most_common(1)[0][0]
    if usual == 0:
        # Of a single column every line has as many.
        return []
    return [found.start() for found in wide if _tabs_of_lines(text, found) == {usual}]


def _tabs_of_lines(text: bytes, cell: re.Match[bytes]) -> set[int]:
    """Return how many tabs the lines have that a cell stands on, but for empty ones."""
    end = text.find(b"\n", cell.end())
    lines = text[text.rfind(b"\n", 0, cell.start()) + 1 : len(text) if end < 0 else end].splitlines()
    return {line.count(b"\t") for line in lines if line}


def _marked(text: bytes, patterns: _Patterns, spoken: Collection[int], name: str) -> QuotedText:
    """Return a text with a mark in place of each quote that is text.

    Args:
        text: UTF-8.
        patterns: What finds quotes.
        spoken: Where what looks like a cell begins, but is none.
        name: What to call the text in notes.
    """
    skipped = frozenset(spoken)
    mark = next(chr(code) for code in _PRIVATE if chr(code).encode() not in text)
    plain = mark.encode()
    pieces: list[bytes] = []
    unclosed: list[int] = []
    end = 0

    def take_text(stop: int) -> None:
        between = text[end:stop]
        if b'"' in between:
            unclosed.extend(found.start() for found in patterns.opening.finditer(text, end, stop))
            between = between.replace(b'"', plain)
        pieces.append(between)

    for found in patterns.cell_or_longer.finditer(text):
        if found.start() in skipped:
            continue
        take_text(found.start())
        longer = found[1]
        pieces.append(found[0] if longer is None else b'"%s"' % longer.replace(b'"', plain))
        end = found.end()
    take_text(len(text))
    return QuotedText(text=b"".join(pieces), holds=True, mark=mark, notes=_note(text, unclosed, name))


def _note(text: bytes, opening: list[int], name: str) -> tuple[str, ...]:
    """Return a note of quotes that open a cell, but are text."""
    if not opening:
        return ()
    line = text.count(b"\n", 0, opening[0]) + 1
    what = "a quote that opens a cell, but does not close it, is"
    if len(opening) > 1:
        what = f"{len(opening):,} quotes that open a cell, but do not close it, are"
    return (f"{name}: {what} taken for text, such as in line {line:,}",)
