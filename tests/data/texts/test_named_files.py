"""Options that name files say which these are."""

from __future__ import annotations

from typing import Any

import pytest

from recur.data.texts.named_files import NamesFiles
from recur.data.texts.options import LabelledTextOptions, PairOptions, TaggedTextOptions, WrittenTextOptions
from recur.data.texts.vector_options import PairVectorOptions, VectorOptions


@pytest.mark.parametrize(
    ("options", "given", "files"),
    [
        (TaggedTextOptions, {}, []),
        (TaggedTextOptions, {"test_data": "b.conll", "valid_data": "a.conll"}, ["a.conll", "b.conll"]),
        (LabelledTextOptions, {"test_data": "b.csv", "label_names": "names.txt"}, ["b.csv", "names.txt"]),
        # A comma stands between names of parallel files alone.
        (LabelledTextOptions, {"test_data": "a,b.csv"}, ["a,b.csv"]),
        (WrittenTextOptions, {"label_names": "names.txt"}, ["names.txt"]),
        (PairOptions, {"valid_data": "a.en, a.ja", "test_data": "b.tsv"}, ["a.en", "a.ja", "b.tsv"]),
        (VectorOptions, {"vectors": "en,300.txt"}, ["en,300.txt"]),
        (PairVectorOptions, {"vectors": "en.txt", "target_vectors": "ja.txt"}, ["en.txt", "ja.txt"]),
        (PairVectorOptions, {"target_vectors": "ja.txt"}, ["ja.txt"]),
    ],
)
def test_the_files_that_are_named(options: type[NamesFiles], given: dict[str, Any], files: list[str]) -> None:
    assert options(**given).files == files
