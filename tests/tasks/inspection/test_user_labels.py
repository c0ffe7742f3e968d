"""Labels of a user's own: files, kinds, lengths, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recur.errors import DataError
from recur.tasks.inspection.user_labels import label_properties, labels_by_symbol, read_labels


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "1\n0\n2.5\n", [1.0, 0.0, 2.5]),
        ("a.txt", "\ufeffnoun\nverb\r\nnoun\n", ["noun", "verb", "noun"]),
        ("a.txt", "1\nx\n", ["1", "x"]),
        ("a.txt", "0110\n", [0.0, 1.0, 1.0, 0.0]),
        ("a.txt", "nnv", ["n", "n", "v"]),
        ("a.json", "[1, 0, 2.5]", [1, 0, 2.5]),
        ("a.JSON", '["n", "v"]', ["n", "v"]),
    ],
)
def test_files(tmp_path: Path, name: str, content: str, expected: list[Any]) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    found = read_labels(path)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{}", r"a\.json: must be a list of labels, but is dict\.$"),
        ("a.json", b"[1,", r"a\.json: is no JSON: "),
        ("a.json", b"[" * 100_000, r"a\.json: is no JSON: "),
        (
            "a.json",
            b"[1, 2, " + b"9" * 400 + b"]",
            r"a\.json, item 3: is 9{40}\.\.\., expected a finite number, true, f",
        ),
        ("a.json", b"[1, [2]]", r"a\.json, item 2: is \[2\], expected a finite number, true, false or a word\.$"),
        ("a.json", b'[1, "a"]', r"a\.json, item 2: is 'a', but the first is 1; use one kind\.$"),
        ("a.json", b"[]", r"a\.json: there are no labels; give one a character, or one a symbol\.$"),
        ("a.txt", b"1\n2\nnan\n", r"a\.txt, line 3: is nan, expected a finite number, true, false or a word\.$"),
        ("a.txt", b"1\n" + b"9" * 400, r"a\.txt, line 2: is inf, expected a finite number, true, false or a word\.$"),
        ("a.txt", b"", r"a\.txt: there are no labels; give one a character, or one a symbol\.$"),
        ("a.txt", b"nnn\n", r"a\.txt: all labels are 'n'; give two kinds\.$"),
        ("a.txt", b"ab\xff", r"a\.txt: is not UTF-8 at byte 2; save the labels as UTF-8\.$"),
        ("a.txt", None, r"a\.txt: no such file of labels; check the path\.$"),
    ],
)
def test_files_that_hold_no_labels(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r": cannot be read \("):
        read_labels(tmp_path)


def found(labels: Any) -> list[tuple[str, str, str, list[float]]]:
    return [(each.key, each.name, each.kind, each.values.tolist()) for each in label_properties(labels)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([True, False, True], [("label", "your label", "binary", [1, 0, 1])]),
        ([3, 7.0, 3], [("label", "your label", "binary", [0, 1, 0])]),
        (np.array([3, 1, 2]), [("label", "your label", "number", [3, 1, 2])]),
        (list(np.array([True, False, True])), [("label", "your label", "binary", [1, 0, 1])]),
        (list(np.array([3, 1, 2])), [("label", "your label", "number", [3, 1, 2])]),
        ([np.float32(0.5), 1, np.int64(2)], [("label", "your label", "number", [0.5, 1, 2])]),
        (["b", "a", "a"], [("label", "your label 'b'", "binary", [1, 0, 0])]),
        ([np.str_("b"), "a", "a"], [("label", "your label 'b'", "binary", [1, 0, 0])]),
        (
            ["b", "a", "c", "a"],
            [
                ("label_1", "your label 'a'", "binary", [0, 1, 0, 1]),
                ("label_2", "your label 'b'", "binary", [1, 0, 0, 0]),
                ("label_3", "your label 'c'", "binary", [0, 0, 1, 0]),
            ],
        ),
    ],
)
def test_kinds(labels: Any, expected: Any) -> None:
    assert found(labels) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"^labels: there are no labels; give one a character, or one a symbol\.$"),
        ([2, 2.0], r"^labels: all labels are 2; give two kinds\.$"),
        (["a", "a"], r"^labels: all labels are 'a'; give two kinds\.$"),
        ([1, "a"], r"^labels, number 2: is 'a', but the first is 1; use one kind\.$"),
        ([1, True], r"^labels, number 2: is True, but the first is 1; use one kind\.$"),
        ([1, float("nan")], r"^labels, number 2: is nan, expected a finite number, true, false or a word\.$"),
        ([None, 1], r"^labels, number 1: is None, expected a finite number, true, false or a word\.$"),
        ([[1], [2]], r"^labels, number 1: is \[1\], expected a finite number, true, false or a word\.$"),
        ([1, 1 << 40_000], r"^labels, number 2: is a number of 40,001 bits, expected a finite number, true, false or"),
        (list(map(str, range(21))), r"^labels: there are 21 different words, at most 20 are searched for; join some "),
    ],
)
def test_labels_that_make_no_property(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        label_properties(labels)


def test_labels_of_symbols_or_of_characters() -> None:
    pieces = ["ab", "", "c", "de"]
    assert labels_by_symbol([1, 2, 3, 4], pieces, 9) == [1, 2, 3, 4]
    assert labels_by_symbol(np.arange(9), pieces, 9) == [1, 1, 2, 4]
    assert labels_by_symbol(list("abcdefghi"), ["", "a"], 9) == ["a", "a"]
    message = r"^labels: there are 8 labels for 9 characters, of which 4 symbols are shown; give one a character, "
    with pytest.raises(DataError, match=message):
        labels_by_symbol([0] * 8, pieces, 9)


def test_what_is_read_can_be_searched_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([False, True]))
    assert found(read_labels(tmp_path / "a.json")) == [("label", "your label", "binary", [0, 1])]
