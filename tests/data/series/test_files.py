"""Text, Parquet, Arrow and folders to tables."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from recur.data.series import Delimited, read_series, read_table
from recur.errors import DataError, OptionError

FRAME = pl.DataFrame({"t": [0, 1, 2], "y": [1.5, 2.5, None], "z": ["u", "v", "w"]})


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "t,y,z\n0,1.5,u\n1,2.5,v\n2,,w\n"),
        ("crlf.csv", "t,y,z\r\n0,1.5,u\r\n1,2.5,v\r\n2,NA,w\r\n"),
        ("a.tsv", "t\ty\tz\n0\t1.5\tu\n1\t2.5\tv\n2\t?\tw\n"),
        ("comma.csv", "t;y;z\n0;1,5;u\n1;2,5;v\n2;;w\n"),
        ("pipe.txt", "t|y|z\n0|1.5|u\n1|2.5|v\n2|null|w\n"),
        ("mark.csv", b"\xef\xbb\xbft,y,z\n0,1.5,u\n1,2.5,v\n2,-,w\n"),
        ("quotes.csv", 't,y,z\n"0","1.5","u"\n1,2.5,v\n2,"",w'),
        ("wide.csv", "\ufefft,y,z\n0,1.5,u\n1,2.5,v\n2,,w\n".encode("utf-16-le")),
        ("a.csv.gz", gzip.compress(b"t,y,z\n0,1.5,u\n1,2.5,v\n2,,w\n", mtime=0)),
    ],
)
def test_text_is_cut_as_it_is_written(tmp_path: Path, name: str, text: str | bytes) -> None:
    found = read_table(write(tmp_path / name, text)).frame
    assert found.columns == ["t", "y", "z"]
    assert found["t"].to_list() == [0, 1, 2]
    assert found["y"].to_list() == [1.5, 2.5, None]
    assert found["z"].to_list() == ["u", "v", "w"]


def test_blanks_in_any_number_separate_numbers_without_a_header(tmp_path: Path) -> None:
    found = read_table(write(tmp_path / "a.txt", "1 1  -0.5 \n1 2  0.25 \n2 1 -3 \n")).frame
    assert found.rows() == [(1, 1, -0.5), (1, 2, 0.25), (2, 1, -3.0)]
    assert found.columns == ["column_1", "column_2", "column_3"]


def test_a_decimal_that_comes_late_is_read(tmp_path: Path) -> None:
    text = "y\n" + "1\n" * 20_000 + "1.5\n"
    assert read_table(write(tmp_path / "a.csv", text)).frame["y"].sum() == 20_001.5


def test_latin_1_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "t,café\n0,1\n".encode("latin-1"))
    assert read_table(path, Delimited(encoding="latin-1")).frame.columns == ["t", "café"]
    message = f"{path}: is not utf-8: line 1 has the byte 0xe9; name the encoding, such as encoding='cp1252'."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_table(path)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather", "ipc"])
def test_binary_tables_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    FRAME.write_parquet(path) if suffix == "parquet" else FRAME.write_ipc(path)
    assert read_table(path).frame.equals(FRAME)


def test_a_stream_of_arrow_is_read(tmp_path: Path) -> None:
    FRAME.write_ipc_stream(tmp_path / "a.arrow")
    assert read_table(tmp_path / "a.arrow").frame.equals(FRAME)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", r"is empty; give a file with a table in it\.$"),
        ("a.csv", "\n\n", r"is empty; give a file with a table in it\.$"),
        ("a.csv", "t,y\n", r"has a header but no rows; give a file with a table in it\.$"),
        (
            "a.csv",
            "t,y\n0,1\n1,2,3\n",
            r"line 3 has 3 cells, but the first has 2; mend the line, or name the separator",
        ),
        ("a.csv", "y,y\n0,1\n", r"two columns are called 'y'; rename one of them, or say has_header=False\.$"),
        ("a.csv", b"y\n\0\0\1", r"is binary, not text"),
        ("a.csv.gz", b"no gzip", r"is not a sound gzip file"),
        ("a.xlsx", b"PK", r"is of the unknown kind '\.xlsx'; give one of \.csv"),
        ("a.parquet", b"no parquet", r"is no sound Parquet file \("),
        ("a.arrow", b"", r"is no sound Arrow file \("),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}(: |, ){message}"):
        read_table(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file or folder; check the path\.$"):
        read_series(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Delimited(separator="ab"), r"^separator: expected one ASCII character or 'whitespace', got 'ab'\.$"),
        (Delimited(encoding="klingon"), r"^encoding: 'klingon' is none that Python knows"),
        (
            Delimited(decimal_comma=True),
            r"^decimal_comma: the comma also separates the cells; name another separator\.$",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: Delimited, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_table(write(tmp_path / "a.csv", "t,y\n0,1\n"), options)


def test_each_file_of_a_folder_is_a_series(tmp_path: Path) -> None:
    write(tmp_path / "pump.csv", "t,y\n0,1\n1,2\n")
    write(tmp_path / "fan.csv.gz", gzip.compress(b"y,t\n3.5,0\n", mtime=0))
    FRAME.select("t", "y").write_parquet(tmp_path / "mill.parquet")
    write(tmp_path / ".hidden.csv", "other\n1\n")
    panel = read_series(tmp_path)
    assert panel.ids == ("fan", "mill", "pump")
    assert panel.lengths.tolist() == [1, 3, 2]
    assert panel.series("pump").values[:, 0].tolist() == [1, 2]


def test_an_error_in_a_folder_names_the_file_and_its_own_row(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "t,y\n0,1\n1,2\n")
    write(tmp_path / "b.csv", "t,y\n0,1\n1,oops\n")
    with pytest.raises(
        DataError, match=r"b\.csv, column 'y', row 2: 'oops' is no number, but the column is in targets"
    ):
        read_series(tmp_path)


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "t,y\n0,1\n")
    write(tmp_path / "b.csv", "t,x\n0,1\n")
    with pytest.raises(
        DataError, match=r"the files differ: column 'x' is in b\.csv but not in a\.csv; give 2 files of the"
    ):
        read_table(tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no file with a table in it"):
        read_series(tmp_path)
