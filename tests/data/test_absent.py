"""What is said of files and columns that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recur.data.absent import ColumnError, no_column, no_file
from recur.data.series import read_series
from recur.data.text import check_found
from recur.data.texts import read_labelled_texts
from recur.errors import DataError


@pytest.mark.parametrize("read", [lambda path: check_found([path]), read_labelled_texts, read_series])
def test_a_file_that_is_missing_may_be_another_beside_it(read: object, tmp_path: Path) -> None:
    assert callable(read)
    (tmp_path / "reviews.csv").write_text("text,label\n")
    (tmp_path / "other.csv").write_text("text,label\n")
    said = f"{tmp_path / 'revews.csv'}: no such file or folder; did you mean {tmp_path / 'reviews.csv'}?"
    with pytest.raises(DataError, match=f"^{re.escape(said)}$"):
        read(tmp_path / "revews.csv")


def test_a_file_that_is_like_no_other(tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    for name in ("book.txt", "text.txt/inside", "none/text.txt"):
        assert str(no_file(tmp_path / name)) == f"{tmp_path / name}: no such file or folder; check the path."
    assert str(no_file("text\0")) == r"'text\x00': no such file or folder; check the path."


def test_a_name_that_differs_in_digits_is_of_another_file(tmp_path: Path) -> None:
    for name in ("recording_090001.csv", "recording_100002.csv", "reviews2.csv"):
        (tmp_path / name).touch()
    for name in ("recording_100001.csv", "reviews.csv", "reviews12.csv"):
        assert str(no_file(tmp_path / name)).endswith("; check the path.")
    assert str(no_file(tmp_path / "revews2.csv")).endswith(f"did you mean {tmp_path / 'reviews2.csv'}?")


def test_a_link_that_leads_nowhere_is_never_meant(tmp_path: Path) -> None:
    for name in ("reviews.csv", "revews.csv"):
        (tmp_path / name).symlink_to("nowhere.csv")
    for name in ("reviews.csv", "reviiews.csv"):
        with pytest.raises(DataError, match=r"; check the path\.$"):
            check_found([tmp_path / name])


def test_among_many_files_none_is_looked_for(tmp_path: Path) -> None:
    for number in range(999):
        (tmp_path / f"{number}").touch()
    (tmp_path / "reviews.csv").touch()
    assert str(no_file(tmp_path / "revews.csv")).endswith(f"did you mean {tmp_path / 'reviews.csv'}?")
    (tmp_path / "one more").touch()
    assert str(no_file(tmp_path / "revews.csv")).endswith("; check the path.")


@pytest.mark.parametrize("read", [lambda path: check_found([path]), read_labelled_texts, read_series])
def test_names_of_two_lines_are_said_in_one(read: object, tmp_path: Path) -> None:
    assert callable(read)
    (tmp_path / "all\nreviews.csv").touch()
    missing, near = (repr(str(tmp_path / name)) for name in ("all\nrevews.csv", "all\nreviews.csv"))
    with pytest.raises(DataError, match=f"^{re.escape(f'{missing}: no such file or folder; did you mean {near}?')}$"):
        read(tmp_path / "all\nrevews.csv")


def test_a_column_that_is_missing_may_be_another() -> None:
    said = no_column("a.csv", "stars", "label", ["text", "star"])
    assert isinstance(said, ColumnError)
    assert str(said) == ("a.csv: has no column 'stars', which label names; did you mean 'star'? It has 'text', 'star'.")
    assert str(no_column("a.csv", "x", "label", ["text"])).endswith("names; it has 'text'.")
