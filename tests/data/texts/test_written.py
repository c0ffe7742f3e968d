"""Texts and what they are written from: classes, numbers, or both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recur.data.texts.options import WrittenTextOptions
from recur.data.texts.splitting import split_examples
from recur.data.texts.written import read_contexts, read_written_texts
from recur.errors import DataError, OptionError

TABLE: dict[str, Any] = {
    "name": ["Ann", "Bo", "Cid", "Dora"],
    "country": ["x", "y", "x", "y"],
    "year": [1990, 2000, 2010, 2020],
    "size": ["0.5", "1", " 2 ", "3e1"],
}


def test_labels_alone_are_guessed() -> None:
    found = read_written_texts(TABLE)
    assert found.texts == ("Ann", "Bo", "Cid", "Dora")
    assert found.labels == (("x",), ("y",), ("x",), ("y",))
    assert found.numbers == ((), (), (), ())


def test_numbers_alone_need_no_label() -> None:
    found = read_written_texts(TABLE, WrittenTextOptions(columns="year, size"))
    assert found.numbers == ((1990.0, 0.5), (2000.0, 1.0), (2010.0, 2.0), (2020.0, 30.0))
    assert (found.labels, found.classes) == (((),) * 4, ())
    assert found.roles is not None
    assert "label" not in found.roles.columns
    assert len(split_examples(found, WrittenTextOptions(valid=1, test=1)).of_part("train")) == 2


def test_labels_and_numbers_together() -> None:
    found = read_written_texts(TABLE, WrittenTextOptions(columns="year", label="country"))
    assert found.labels[0] == ("x",)
    assert found.take([3, 0]).numbers == ((2020.0,), (1990.0,))


def test_folders_and_other_data(tmp_path: Path) -> None:
    for name, texts in (("a", "one\ntwo\n"), ("b", "three\n\nfour\n")):
        (tmp_path / f"{name}.txt").write_text(texts)
    found = read_written_texts(tmp_path)
    assert set(found.classes) == {"a", "b"}
    assert found.numbers == ((),) * 4
    with pytest.raises(OptionError, match=r"columns: .* is no row of a table"):
        read_written_texts(tmp_path, WrittenTextOptions(columns="year"))
    pl.DataFrame(TABLE).write_csv(tmp_path / "own.csv")
    pl.DataFrame(TABLE).write_csv(tmp_path / "other.csv")
    both = read_written_texts(
        tmp_path / "own.csv", WrittenTextOptions(columns="year", test_data=str(tmp_path / "other.csv"))
    )
    assert both.part == (None,) * 4 + ("test",) * 4
    assert both.numbers[4:] == both.numbers[:4]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"label": "land"}, "has no column 'land', which label names"),
        ({}, {"columns": "yaer"}, "has no column 'yaer', which columns names; did you mean 'year'"),
        ({"year": [1, None, 3, 4]}, {"columns": "year"}, "row 2, column 'year': is empty; give a finite number"),
        ({"size": ["1", "2", "big", "4"]}, {"columns": "size"}, "row 3, column 'size': 'big' is no number"),
        ({"size": ["1", "2", "inf", "4"]}, {"columns": "size"}, "row 3, column 'size': 'inf' is no number"),
        ({"country": ["x"] * 4}, {"label": "country"}, "all 4 texts have the same class, 'x'"),
        ({"name": ["", " ", "", ""]}, {"text": "name", "label": "country"}, "is empty, and so are all others"),
        ({"country": [None] * 4}, {"text": "name", "label": "country"}, "no text has a class"),
    ],
)
def test_what_cannot_be_read_is_said(changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_written_texts(TABLE | changes, WrittenTextOptions(**options))


def test_empty_texts_are_left_out_with_their_numbers() -> None:
    found = read_written_texts(TABLE | {"name": ["Ann", "", "Cid", "Dora"]}, WrittenTextOptions(columns="year"))
    assert found.numbers == ((1990.0,), (2010.0,), (2020.0,))
    assert any("1 empty text left out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "a,,b"}, "columns: expected names of columns, each once"),
        ({"columns": "a, a"}, "columns: expected names of columns, each once"),
        ({"columns": "a,b", "label": "b"}, "columns: 'b' is also label; a column has one role"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        WrittenTextOptions(**options)


def test_contexts_need_no_texts(tmp_path: Path) -> None:
    options = WrittenTextOptions(columns="year", label="country")
    asked: dict[str, Any] = {"label": "country", "classes": ("x", "y"), "separator": ""}
    labels, numbers = read_contexts({"country": ["y", "x"], "year": [1, 2]}, options, **asked)
    assert labels == (("y",), ("x",))
    assert numbers.tolist() == [[1.0], [2.0]]
    path = tmp_path / "rows.csv"
    path.write_text("year,country\n7,x\n")
    assert read_contexts(path, options, **asked)[1].tolist() == [[7.0]]
    with pytest.raises(DataError, match="row 2, column 'country': is empty; give a class"):
        read_contexts({"country": ["y", None], "year": [1, 2]}, options, **asked)
    with pytest.raises(DataError, match="the class 'z' is none of those of the model"):
        read_contexts({"country": ["z"], "year": [1]}, options, **asked)
    with pytest.raises(DataError, match="has no column 'country', which label names"):
        read_contexts({"land": ["x"], "year": [1]}, options, **asked)
