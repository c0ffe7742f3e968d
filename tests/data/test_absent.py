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
    for name in ("book.txt", "text.txt/inside", "none/text.txt", "text\0"):
        assert str(no_file(tmp_path / name)) == f"{tmp_path / name}: no such file or folder; check the path."


def test_a_column_that_is_missing_may_be_another() -> None:
    said = no_column("a.csv", "stars", "label", ["text", "star"])
    assert isinstance(said, ColumnError)
    assert str(said) == ("a.csv: has no column 'stars', which label names; did you mean 'star'? It has 'text', 'star'.")
    assert str(no_column("a.csv", "x", "label", ["text"])).endswith("names; it has 'text'.")
