"""Vectors of words from files, and the vocabulary that they make."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vectors import read_vectors, vocabulary_with_vectors
from recur.errors import DataError, OptionError

WORDS = {"the": [1, 2, 3], "Paris": [4, 5, 6], "paris": [7, 8, 9], "Hat": [0.5, -1, 1e-3], "zebra": [1, 1, 1]}
TOKENS = TokenOptions(tokens="word", lowercase=True, min_count=2)


def line(word: str, numbers: list[Any]) -> str:
    return f"{word} {' '.join(map(str, numbers))}"


def written(path: Path, *, header: bool = False, end: str = "\n", words: dict[str, Any] = WORDS) -> Path:
    lines = [f"{len(words)} 3"] if header else []
    path.write_text(end.join([*lines, *(line(word, numbers) for word, numbers in words.items())]) + end)
    return path


def listed(found: dict[str, Any]) -> dict[str, list[float]]:
    return {word: [round(float(one), 6) for one in values] for word, values in found.items()}


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n", "\n\n"])
def test_words_are_found_as_they_are_written(tmp_path: Path, header: bool, end: str) -> None:
    path = written(tmp_path / "vectors.txt", header=header, end=end)
    found = read_vectors(path, ["paris", "Paris", "none"])
    assert listed(found) == {"paris": [7, 8, 9], "Paris": [4, 5, 6]}
    assert found["paris"].dtype == np.float32


def test_case_is_looked_over_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt")
    assert listed(read_vectors(path, ["hat", "THE", "PARIS"])) == {
        "hat": WORDS["Hat"],
        "THE": WORDS["the"],
        # The first one, which is the most frequent.
        "PARIS": WORDS["Paris"],
    }


def test_the_first_words_of_the_file_come_too(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt", header=True)
    assert list(read_vectors(path, ["zebra"], first=4)) == ["zebra", "the", "Paris", "paris", "Hat"]
    small = read_vectors(path, ["zebra"], first=4, lowercase=True)
    assert listed(small) == {"zebra": [1, 1, 1], "the": [1, 2, 3], "paris": WORDS["paris"], "hat": WORDS["Hat"]}
    assert list(read_vectors(path, [], first=1)) == ["the"]


def test_packed_files_and_words_with_blanks(tmp_path: Path) -> None:
    packed = tmp_path / "vectors.txt.gz"
    text = "the 1 2 3\nat the end 4 5 6\nnext\t7\t8\t9\nwide  1  2  3"
    packed.write_bytes(gzip.compress(text.encode()))
    found = read_vectors(packed, ["the", "at the end", "next", "wide", "at"])
    assert listed(found) == {"the": [1, 2, 3], "at the end": [4, 5, 6], "next": [7, 8, 9], "wide": [1, 2, 3]}
    odd = tmp_path / "odd.txt"
    odd.write_bytes("für 1 2\n".encode("latin-1") + "für 3 4\n".encode())
    assert listed(read_vectors(odd, ["für"])) == {"für": [3, 4]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "the 1 2 3\nhat 1 2\n",
            r"line 2: has 2 numbers after the word, expected 3 as on the lines before; the file is",
        ),
        ("5 4\nthe 1 2 3\n", r"line 2: has 3 numbers after the word, expected 4 as on the lines before"),
        ("the 1 2 3\nhat 1 x 3\n", r"line 2: 'x' is no number; the file is damaged"),
        ("the 1 2 nan\n", r"line 1: a number is not finite"),
        ("the\n", r"line 1: has 0 numbers after the word, expected a word and its numbers"),
        ("\n\n", r"has no vectors in it; give a file with a word and its numbers on each line"),
        ("2 3\n", r"has no vectors in it"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"{path}.*{message}"):
        read_vectors(path, ["the", "hat"])


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: no such file of vectors; check the path"):
        read_vectors(tmp_path / "none.txt", ["the"])
    broken = tmp_path / "broken.txt.gz"
    broken.write_bytes(gzip.compress(b"the 1 2 3\n" * 1000)[:40])
    with pytest.raises(DataError, match=r"broken\.txt\.gz"):
        read_vectors(broken, ["the"])


TEXTS = ["The hat the cat", "the cat in Paris paris", "a zebra"]


def test_rare_words_with_vectors_are_known(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt")
    options = VectorOptions(vectors=str(path), vector_words=0)
    vocabulary, found = vocabulary_with_vectors(TEXTS, TOKENS, options)
    # By count, then by name; a, in and cat have no vector, of which cat stands there twice.
    assert vocabulary.symbols == ("the", "cat", "paris", "hat", "zebra")
    assert found is not None
    assert found.ids.tolist() == [2, 4, 5, 6]
    np.testing.assert_allclose(found.values, [WORDS["the"], WORDS["paris"], WORDS["Hat"], WORDS["zebra"]])
    assert (found.num_known, found.num_found) == (5, 4)
    assert found.running == pytest.approx(7 / 11)
    assert str(found) == "4 of 5 known tokens of the training part have one (63.6% of its text), of 3 numbers"


def test_words_that_only_the_file_has_come_last(tmp_path: Path) -> None:
    words = {"dog": [9, 9, 9], **WORDS, "never": [0, 0, 0]}
    path = written(tmp_path / "vectors.txt", words=words)
    vocabulary, found = vocabulary_with_vectors(
        ["the hat", "the hat"], TOKENS, VectorOptions(vectors=str(path), vector_words=3)
    )
    assert vocabulary.symbols == ("hat", "the", "dog", "paris")
    assert found is not None
    assert str(found).endswith("(100.0% of its text), of 3 numbers; 2 more are known by their vectors alone")
    bounded = TokenOptions(tokens="word", lowercase=True, min_count=2, vocabulary_size=3)
    vocabulary, found = vocabulary_with_vectors(["the hat", "the hat"], bounded, VectorOptions(vectors=str(path)))
    assert vocabulary.symbols == ("hat", "the", "dog")
    assert found is not None
    assert found.ids.tolist() == [2, 3, 4]


def test_without_a_file_nothing_changes() -> None:
    vocabulary, found = vocabulary_with_vectors(TEXTS, TOKENS, VectorOptions())
    assert (vocabulary.symbols, found) == (("the", "cat", "paris"), None)


def test_what_cannot_have_vectors(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt")
    with pytest.raises(
        OptionError, match=r"vectors: are of words, and tokens are pieces of them; choose tokens='word'"
    ):
        vocabulary_with_vectors(TEXTS, TokenOptions(tokens="bpe", lowercase=False), VectorOptions(vectors=str(path)))
    with pytest.raises(DataError, match=r"has none of the 2 tokens of the training part; is it of another language"):
        vocabulary_with_vectors(["ja nein"], TOKENS, VectorOptions(vectors=str(path)))
    for given, message in (
        ({"vectors": ""}, "vectors must name a file, not ''"),
        ({"vectors": "a", "vector_words": -1}, "vector_words must be a whole number from 0 on, not -1"),
        ({"vectors": "a", "freeze_vectors": 1}, "freeze_vectors must be true or false, not 1"),
        (
            {"vector_words": 5},
            "vector_words: would be ignored without vectors; leave vector_words= out, or name a file",
        ),
        ({"freeze_vectors": True}, "freeze_vectors: would be ignored without vectors"),
    ):
        with pytest.raises(OptionError, match=message):
            VectorOptions(**given)
