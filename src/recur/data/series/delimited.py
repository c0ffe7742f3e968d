"""CSV, TSV and their kin to tables."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from recur.data.series.quotes import quoted_text, rows_in, whole_records
from recur.data.series.table import Source, Table
from recur.data.series.writing import Decimal, NumberFormat, Writing, decimal_of, number_format_of
from recur.data.text import TextFile, bytes_of
from recur.errors import DataError, OptionError
from recur.wording import option

MISSING = (
    *("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?", "-", "#N/A", "#NA"),
    *("k.A.", "k. A.", "n.v.", "n. v."),
)
"""What counts as a missing value by default; the last four are German."""

SEPARATORS = "\t;|,"
"""What may stand between cells if nothing is said, what is tried first in front."""

_SNIFFED_BYTES = (1 << 16, 1 << 20)
"""Bytes that the first lines are looked for in; the more where the first line alone is longer."""
_SNIFFED_LINES = 20
_SNIFFED_LINES_OF_TEXTS = 2_000
"""Of which there are as many rows with cells of a hundred lines."""
_SNIFFED_ROWS = 10_000
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_COMMA = re.compile(r"[+-]?\d+,\d+$")
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, kw_only=True)
class Delimited:
    """How a text file is cut into cells; None is found out from its first lines."""

    separator: str | None = None
    """Character between cells, or "whitespace" for any run of blanks and tabs."""
    decimal_comma: bool | None = None
    """Whether numbers are written 1,5 instead of 1.5, where a column does not tell; the other mark, a blank or an
    apostrophe may stand between thousands."""
    has_header: bool | None = None
    """Whether the first line names the columns; else they are called column_1, column_2 and so on."""
    encoding: str = "utf-8"
    """Encoding of the text; a byte order mark of UTF-16 or UTF-32 goes before it."""
    missing: tuple[str, ...] = MISSING
    """What is written where a value is missing."""


def read_delimited(
    path: Path, options: Delimited | None = None, *, start: bytes | None = None, like: Writing | None = None
) -> Table:
    """Return the table in a text file.

    Args:
        path: The file; one whose name ends in `.gz` is unpacked.
        options: How to read it.
        start: Its first lines, unpacked, which are read in place of all; None for all.
        like: How the data of a model were written, which decides where this file does not.

    Raises:
        DataError: The file is missing, empty, damaged, in another encoding, or its lines differ in their number of
            cells.
        OptionError: An option makes no sense.
    """
    options = options or Delimited()
    name = str(path)
    data = b"".join(bytes_of([TextFile.at(path)])) if start is None else start
    text = utf8_of(data, name, options.encoding)
    head = _first_lines(text, name)
    wanted = None if like is None else like.separator
    separator = _separator(head, wanted) if options.separator is None else _checked_separator(options.separator)
    named = separator
    if separator == "whitespace":
        text = b"\n".join(b" ".join(line.split()) for line in text.splitlines())
        separator, head = " ", [" ".join(line.split()) for line in head]
    rows, _ = rows_in(head, separator)
    if options.decimal_comma and separator == ",":
        raise OptionError("decimal_comma: the comma also separates the cells; name another separator.")
    decimal: Decimal | None = "," if options.decimal_comma else "."
    if options.decimal_comma is None:
        decimal = _decimal(rows, separator, like)
    has_header = _has_header(rows) if options.has_header is None else options.has_header
    if has_header:
        _check_names(name, rows[0])
    frame = _parsed(name, text, separator, decimal == ",", has_header, options.missing)
    written = replace(like or Writing(), separator=named, decimal=decimal)
    return Table(frame=frame, sources=(Source(name=name),), writing=written)


def read_cells(
    path: Path,
    *,
    separator: str | None = None,
    is_tabbed: bool = False,
    encoding: str = "utf-8",
    start: bytes | None = None,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the cells of a text file as they stand, all of them text, those of the first line too.

    Args:
        path: The file; one whose name ends in `.gz` is unpacked.
        separator: Character between the cells; None to find it out.
        is_tabbed: Whether it is the tab where none is given, as the name of the file says.
        encoding: Of the text.
        start: Its first lines, unpacked, which are read in place of all, but for a last row of which not all is there;
            None for all.

    Returns:
        Columns called column_1 and so on, null where a cell is empty or left out, and notes of what was taken otherwise
        than it may be meant.

    Raises:
        DataError: The file is missing, empty, damaged, in another encoding, or a line has more cells than the first.
        OptionError: An option makes no sense.
    """
    name = str(path)
    text = utf8_of(b"".join(bytes_of([TextFile.at(path)])) if start is None else start, name, encoding)
    head = _first_lines(text, name, _SNIFFED_LINES_OF_TEXTS)
    notes: list[str] = []
    if separator is None:
        separator = _separator_of_texts(head)
        if is_tabbed and separator != "\t":
            if separator in head[0] and "\t" not in head[0]:
                way_out = option("separator", separator)
                notes.append(f"{name}: each line is one cell, as there are no tabs between; {way_out} cuts it")
            separator = "\t"
    separator = _checked_separator(separator)
    quotes = quoted_text(text if start is None else whole_records(text, separator), separator, name)
    try:
        frame = pl.read_csv(
            io.BytesIO(quotes.text),
            separator=separator,
            quote_char='"' if quotes.holds else None,
            has_header=False,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        raise _ragged(name, quotes.text, separator, error, is_quoted=quotes.holds) from None
    frame.columns = [f"column_{number}" for number in range(1, frame.width + 1)]
    if quotes.mark is not None:
        frame = frame.with_columns(pl.all().str.replace_all(quotes.mark, '"', literal=True))
    return frame, (*notes, *quotes.notes)


def _separator_of_texts(head: list[str]) -> str:
    """Return what stands between the cells of texts, whose quotes and commas tell nothing where all have tabs.

    Args:
        head: The first lines.
    """
    num_tabs = {line.count("\t") for line in head[: _SNIFFED_LINES + 1]}
    if len(num_tabs) == 1 and num_tabs != {0}:
        return "\t"
    found = _separator(head, "\t" if "\t" in head[0] else None)
    return " " if found == "whitespace" else found


def _first_lines(text: bytes, name: str, most: int = _SNIFFED_LINES) -> list[str]:
    """Return the first lines that are not empty: `most` of them and that of a header, or those of some bytes."""
    head: list[str] = []
    for num_bytes in _SNIFFED_BYTES:
        if len(head) > 1:
            break
        head = text[:num_bytes].decode("utf-8", "ignore").splitlines()[: most + 1]
        if len(text) > num_bytes and len(head) <= most:
            # The last line was cut by the sniffing, unless it is the only one.
            head = head[:-1] or head
        head = [line for line in head if line.strip()]
    if not head:
        raise DataError(f"{name}: is empty; give a file with a table in it.")
    return head


def utf8_of(data: bytes, name: str, encoding: str = "utf-8") -> bytes:
    """Return text as UTF-8 without a byte order mark, which goes before the encoding.

    Raises:
        DataError: It is of another encoding, or no text.
        OptionError: There is no such encoding.
    """
    encoding = codec_of(data, encoding)
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        raise OptionError(f"encoding: {encoding!r} is none that Python knows; give one such as 'latin-1'.") from None
    try:
        if codec != "utf-8":
            data = data.decode(codec).encode()
        else:
            # Checked only; polars reads the bytes.
            codecs.utf_8_decode(data, "strict", True)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: is not {encoding}: line {line} has the byte {data[error.start]:#04x}; "
            f"name the encoding, such as {option('encoding', 'cp1252')}."
        ) from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data[:4096]:
        raise DataError(f"{name}: is binary, not text; give a file of the kind that its name says.")
    return data


def codec_of(data: bytes, encoding: str) -> str:
    """Return what a byte order mark of UTF-16 or UTF-32 at the beginning of a file says, or else the encoding."""
    return next((wide for mark, wide in _MARKS if data.startswith(mark)), encoding)


def _checked_separator(separator: str) -> str:
    if separator != "whitespace" and (len(separator) != 1 or not separator.isascii() or separator in '\r\n"'):
        raise OptionError(f"separator: expected one ASCII character or 'whitespace', got {separator!r}.")
    return separator


def _separator(head: list[str], wanted: str | None) -> str:
    """Return what cuts every row into the same number of cells; the comma last, which may be a decimal one.

    Args:
        head: The first lines, of which the first rows are looked at.
        wanted: What is tried first, if anything.
    """
    first: list[str] = [] if wanted is None or wanted == "whitespace" else [wanted]
    fits_but_last = None
    for candidate in first + list(SEPARATORS):
        rows, is_open = rows_in(head, candidate, _SNIFFED_LINES + 1)
        widths = [len(row) for row in rows]
        # A cell of the last row may go on below these lines.
        if _is_table(widths[:-1] if is_open and len(rows) > 1 else widths):
            return candidate
        if fits_but_last is None and len(rows) > 2 and _is_table(widths[:-1]):
            fits_but_last = candidate
    # Names may stand in the first line, but nothing tells so if there is no other.
    numbers = all(_NUMBER.match(word) or word in MISSING for line in head[1:] or head for word in line.split())
    if numbers and _is_table([len(line.split()) for line in head]):
        return "whitespace"
    return fits_but_last or max([*first, *reversed(SEPARATORS)], key=lambda separator: head[0].count(separator))


def _is_table(widths: list[int]) -> bool:
    """Return whether rows of so many cells are all alike, and of more than one."""
    return len(set(widths)) == 1 and widths[0] > 1


def _decimal(rows: list[list[str]], separator: str, like: Writing | None) -> Decimal | None:
    """Return the mark of decimals in the first rows; None where they do not tell, and columns have to."""
    cells = [cell for row in rows for cell in row]
    found = decimal_of(cells)
    if found is not None or (like is not None and like.decimal is not None):
        return found or (None if like is None else like.decimal)
    # A semicolon separates cells where the comma marks decimals, and a comma where it does not.
    if separator == ";":
        return "," if any(_COMMA.match(cell.strip()) for cell in cells) else None
    return "." if separator == "," else None


def _has_header(rows: list[list[str]]) -> bool:
    """Return whether the first line has no number in it, or differs in kind from the others in some column."""
    first = [cell.strip() for cell in rows[0]]
    if not any(_NUMBER.match(cell) for cell in first):
        return True
    if len(rows) < 2:
        return False
    return any(
        not _NUMBER.match(cell) and cell not in MISSING and all(_NUMBER.match(row[column].strip()) for row in rows[1:])
        for column, cell in enumerate(first)
        if all(len(row) > column for row in rows[1:])
    )


def _check_names(name: str, names: list[str]) -> None:
    names = [column.strip() for column in names]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise DataError(
            f"{name}: two columns are called {twice[0]!r}; rename one of them, or say {option('has_header', False)}."
        )


def _parsed(
    name: str, text: bytes, separator: str, decimal_comma: bool, has_header: bool, missing: tuple[str, ...]
) -> pl.DataFrame:
    error: pl.exceptions.PolarsError | None = None
    # Where the comma cuts cells, polars takes points for marks of decimals.
    is_comma_cut = separator == ","
    # The types of the first rows hold for most files; where they do not, all rows are asked.
    for sniffed in (_SNIFFED_ROWS, None):
        try:
            frame = pl.read_csv(
                io.BytesIO(text),
                separator=separator,
                decimal_comma=decimal_comma and not is_comma_cut,
                has_header=has_header,
                null_values=list(missing),
                infer_schema_length=sniffed,
            )
        except pl.exceptions.PolarsError as raised:
            error = raised
        else:
            break
    else:
        raise _ragged(name, text, separator, error) from None
    if decimal_comma and is_comma_cut:
        frame = _with_thousands(frame, text, has_header, missing)
    if has_header:
        # Once more: a name that polars read over several lines, or made of one that came twice.
        _check_names(name, frame.columns)
        frame.columns = [column.strip() for column in frame.columns]
    else:
        frame.columns = [f"column_{number}" for number in range(1, frame.width + 1)]
    if frame.is_empty():
        raise DataError(f"{name}: has a header but no rows; give a file with a table in it.")
    return frame


def _with_thousands(frame: pl.DataFrame, text: bytes, has_header: bool, missing: tuple[str, ...]) -> pl.DataFrame:
    """Return a table cut by commas, as text where its points stand between thousands and not before decimals."""
    decimals = [number for number, column in enumerate(frame) if column.dtype.is_float()]
    if not decimals:
        return frame
    written = pl.read_csv(
        io.BytesIO(text), columns=decimals, has_header=has_header, null_values=list(missing), infer_schema=False
    )
    for number, cells in zip(decimals, written, strict=True):
        form = number_format_of(cells, NumberFormat(decimal=","))
        if form is not None and form.decimal == ",":
            frame = frame.with_columns(cells.alias(frame.columns[number]))
    return frame


def _ragged(
    name: str, text: bytes, separator: str, error: pl.exceptions.PolarsError | None, *, is_quoted: bool = True
) -> DataError:
    """Return an error that says which line has too many cells, or else what polars says."""
    lines = io.StringIO(text.decode())
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    try:
        width = len(next(reader))
        for row in reader:
            if len(row) > width:
                return DataError(
                    f"{name}: line {reader.line_num} has {len(row)} cells, but the first has {width}; mend the line, "
                    f"or name the separator, which was taken to be {separator!r}."
                )
    except (csv.Error, StopIteration):
        pass
    said = str(error).strip().partition("\n")[0]
    return DataError(f"{name}: cannot be read as a table ({said}).")
