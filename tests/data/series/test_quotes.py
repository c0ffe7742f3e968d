"""Which quotes hold the cells of a text together, and which are text."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.data.series.delimited import read_cells, read_delimited
from recur.data.series.quotes import whole_records
from recur.errors import DataError


def cells(folder: Path, name: str, content: str, separator: str | None = None) -> tuple[list[tuple[str, ...]], str]:
    """Return the rows of a file, and the notes on them."""
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    frame, notes = read_cells(path, separator=separator, is_tabbed=name.endswith(".tsv"))
    return frame.rows(), " ".join(notes).replace(str(folder), "")


GOOD = "".join(f"line {number},Zeile {number}\n" for number in range(3_000))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("odd", ['a 5" pipe', 'x "y', 'z"', 'a 5" pipe and a 6" one', '"so" it goes', 'he said "go"'])
@pytest.mark.parametrize("num_lines", [3, 3_000])
def test_quotes_within_a_cell_are_text(tmp_path: Path, separator: str, odd: str, num_lines: int) -> None:
    good = [line.split(",") for line in GOOD.splitlines()[:num_lines]]
    rows = [*good, [odd, "Rohr"], *good]
    content = "".join(separator.join(row) + "\r\n" for row in rows)
    found, notes = cells(tmp_path, "a.csv", content, separator)
    assert found == [tuple(row) for row in rows]
    assert notes == ""


def test_quotes_hold_cells_together_beside_those_that_are_text(tmp_path: Path) -> None:
    content = 'a 5" pipe,"one, two"\n"of\nlines",6" wide\n"so ""good""",x\n"Go, go," she said, loud\n'
    expected = [
        ('a 5" pipe', "one, two"),
        ("of\nlines", '6" wide'),
        ('so "good"', "x"),
        ('"Go, go," she said', " loud"),
    ]
    assert cells(tmp_path, "a.csv", content) == (expected, "")
    # The mark of a quote that is text is none of the characters there.
    odd = content.replace("pipe", "\ue000 pipe")
    assert cells(tmp_path, "b.csv", odd)[0][0][0] == 'a 5" \ue000 pipe'


def test_a_quote_that_nothing_closes_is_text_and_noted(tmp_path: Path) -> None:
    found, notes = cells(tmp_path, "a.csv", GOOD + '"Go she said,calm\nstay,"calm\n' + GOOD)
    assert len(found) == 6_002
    assert found[3_000:3_002] == [('"Go she said', "calm"), ("stay", '"calm')]
    assert notes == (
        "/a.csv: 2 quotes that open a cell, but do not close it, are taken for text, such as in line 3,001"
    )


SPOKEN = 'He said:\t"I come today.\nI stay.\tAnd she stays too."\n'


@pytest.mark.parametrize("between", ["", "a line\tZeile\n" * 6, "\n", "a line\tZeile\n\n"])
@pytest.mark.parametrize("others", ["", '"Off!"\tcalm\n', '"Go," she said\tcalm\n', "short\n", 'a 5" pipe\tRohr\n'])
def test_what_is_said_over_several_rows_is_not_one_cell(tmp_path: Path, between: str, others: str) -> None:
    first, last = SPOKEN.splitlines()
    content = GOOD.replace(",", "\t") + f"{first}\n{between}{last}\n{others}"
    found, notes = cells(tmp_path, "a.tsv", content)
    assert len(found) == content.count("\n")
    assert ("He said:", '"I come today.') in found
    assert ("I stay.", 'And she stays too."') in found
    assert notes == "/a.tsv: a quote that opens a cell, but does not close it, is taken for text, such as in line 3,001"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('1\t"of\nlines"\tx\n2\ty\tz\n', [("1", "of\nlines", "x"), ("2", "y", "z")]),
        ('"a\tb"\tx\nc\td\n', [("a\tb", "x"), ("c", "d")]),
        # Some cell cannot be text: the others are not either, but for what somebody says.
        (
            '1\t"of\nlines"\n2\t"y"\n3\t"a\n4\tb"\n5\t6" wide\n',
            [("1", "of\nlines"), ("2", "y"), ("3", '"a'), ("4", 'b"'), ("5", '6" wide')],
        ),
        # Written as CSV throughout, where quotes come twice.
        ('"a ""b"""\tx\n1\t"of\n2\tlines"\n3\t4\n', [('a "b"', "x"), ("1", "of\n2\tlines"), ("3", "4")]),
        # A list of words in columns, as many in each.
        ('"a\tb"\n"c\td"\n', [("a\tb",), ("c\td",)]),
        ('"a\tb"\nc\td\n', [('"a', 'b"'), ("c", "d")]),
        # Of a single column.
        ('text\n"of\nlines"\nx y\n"and\n\nmore"\n', [("text",), ("of\nlines",), ("x y",), ("and\n\nmore",)]),
    ],
)
def test_quotes_hold_cells_of_tabs_and_lines_where_nothing_else_fits(
    tmp_path: Path, content: str, expected: list[tuple[str, ...]]
) -> None:
    assert cells(tmp_path, "a.tsv", content)[0] == expected


def test_a_row_with_too_many_cells_is_named_beside_odd_quotes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: line 3002 has 3 cells, but the first has 2; mend the line"):
        cells(tmp_path, "a.csv", GOOD + '5" wide,x\n6" wide,y,z\n')
    with pytest.raises(DataError, match=r"a\.tsv: line 3 has 3 cells, but the first has 2; mend the line"):
        cells(tmp_path, "a.tsv", 'a\tb\n"x\ty\nz"\tu\tv\n')


@pytest.mark.parametrize("line", ["Hello, my friend", "Good; day", "this|that", "text", "so it is"])
def test_a_file_of_tabs_is_not_cut_at_anything_else(tmp_path: Path, line: str) -> None:
    found, notes = cells(tmp_path, "a.tsv", f"{line}\n" * 3)
    assert found == [(line,)] * 3
    cut = next((mark for mark in ",;|" if mark in line), None)
    assert notes == (
        f"/a.tsv: each line is one cell, as there are no tabs between; separator='{cut}' cuts it" if cut else ""
    )
    # It is where that is said, and where the name says nothing.
    assert cut is None or len(cells(tmp_path, "a.tsv", f"{line}\n" * 3, cut)[0][0]) == 2
    assert cut is None or len(cells(tmp_path, "a.csv", f"{line}\n" * 3)[0][0]) == 2


def test_tabs_cut_lines_of_texts_whatever_quotes_and_commas_there_are(tmp_path: Path) -> None:
    rows = [("Hello, you", '"Hallo, du'), ('"Go, now', "Geh, jetzt"), ("a, b, c", "c")]
    content = "".join("\t".join(row) + "\n" for row in rows)
    assert cells(tmp_path, "a.txt", content)[0] == rows
    # As often as the tab stands the comma in the first line.
    assert cells(tmp_path, "b.txt", "Hello, you\tHallo\nshort\n")[0] == [("Hello, you", "Hallo"), ("short", None)]


@pytest.mark.parametrize(
    ("name", "mark", "label"), [("a.txt", "", ""), ("a.csv", ";", ",b"), ("a.csv", ",", ";b"), ("a.csv", "|", ",b")]
)
def test_a_first_line_longer_than_what_is_looked_at_first(tmp_path: Path, name: str, mark: str, label: str) -> None:
    # Alone it would tell nothing, for its marks and blanks are those of any text.
    long = f"word{mark} so " * 10_000
    found, notes = cells(tmp_path, name, f"{long}{label}\nshort text{label}\nand another{label}\n")
    assert [row[0] for row in found] == [long, "short text", "and another"]
    assert [len(row) for row in found] == [2 if label else 1] * 3
    assert notes == ""


@pytest.mark.parametrize("num_lines", [2, 3, 4, 6])
@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("is_first", [True, False])
def test_rows_of_several_lines_that_no_line_names(
    tmp_path: Path, num_lines: int, separator: str, is_first: bool
) -> None:
    # More marks are in the texts than between the cells, and the first lines end in the middle of some text.
    lines = [f"so; it; was, {number}; or" if number % 2 else f"not; it {number}" for number in range(num_lines)]
    rows = [("\n".join(lines), "ab"[number % 2])[:: 1 if is_first else -1] for number in range(50)]
    content = "".join(separator.join(f'"{cell}"' if "\n" in cell else cell for cell in row) + "\n" for row in rows)
    assert cells(tmp_path, "a.csv", content) == (rows, "")


@pytest.mark.parametrize("header", [(), (("text", "label"),)])
@pytest.mark.parametrize("mark", ["", ";", ","])
def test_cells_of_any_length(tmp_path: Path, header: tuple[tuple[str, str], ...], mark: str) -> None:
    rows = [(f"word{mark} " * 40_000, label) for label in "abab"]
    content = "".join(",".join(row) + "\n" for row in header) + "".join(f'"{text}",{label}\n' for text, label in rows)
    assert cells(tmp_path, "a.csv", content) == ([*header, *rows], "")


def test_numbers_below_a_name_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{'long ' * 40_000}name,b\n1,2\n")
    assert read_delimited(path).frame.rows() == [(1, 2)]


@pytest.mark.parametrize("num_lines", [1, 6, 20, 26, 90])
@pytest.mark.parametrize("first", ["Dear all; hello; you;", "so | it is", "red, green; and"])
def test_texts_of_many_lines_are_cut_by_rows(tmp_path: Path, first: str, num_lines: int) -> None:
    rows = [(f"{first}\n" + f"line, {n}; and | so on\n" * num_lines, "ham" if n % 3 else "spam") for n in range(60)]
    found, _ = cells(tmp_path, "a.csv", "".join(f'"{text}",{label}\n' for text, label in rows))
    assert found == rows


def test_the_first_row_tells_where_the_second_is_cut_off(tmp_path: Path) -> None:
    long = "so, or so,\n" * 200_000
    found, _ = cells(tmp_path, "a.csv", f'text, or review;stars\n"{long}";5\n')
    assert found == [("text, or review", "stars"), (long, "5")]


def test_a_quote_in_the_first_half_that_nothing_closes_cuts_nothing_off() -> None:
    text = b'so good,5\n"bad,1\n' + b"fine,3\n" * 9
    assert whole_records(text, ",") == text


def test_a_first_row_that_is_cut_within_quotes_is_whole() -> None:
    text = b"so " * 40 + b',"' + b"good\n" * 12
    assert whole_records(text, ",") == text
    assert whole_records(b"so,good\n" + text, ",") == b"so,good\n"


@pytest.mark.parametrize(
    "lines",
    [
        ["good; really,pos", "bad; awful,neg", "fine,pos"],
        ["text;note,label", "so good; it,a", "fine,b"],
    ],
)
def test_the_last_row_counts_where_it_is_complete(tmp_path: Path, lines: list[str]) -> None:
    assert cells(tmp_path, "a.csv", "\n".join(lines))[0] == [tuple(line.split(",")) for line in lines]


def test_a_last_row_that_is_none_does_not_count(tmp_path: Path) -> None:
    assert cells(tmp_path, "a.csv", "a;1,5\nb;2,5\nend\n")[0] == [("a", "1,5"), ("b", "2,5"), ("end", None)]


def test_a_last_row_without_decimals_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x y\n1,5 2\n3,5 4\n5 6\n")
    assert read_delimited(path).frame.rows() == [(1.5, 2), (3.5, 4), (5.0, 6)]
    path.write_text("1,5 2\n3,5 4\n5 6\n")
    assert read_delimited(path).writing.separator == "whitespace"
