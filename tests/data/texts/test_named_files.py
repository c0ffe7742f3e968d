"""Options that name files say which these are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recur.cli.parser import field_documents
from recur.data.texts.named_files import NamesFiles
from recur.data.texts.options import LabelledTextOptions, PairOptions, TaggedTextOptions, WrittenTextOptions
from recur.data.texts.pairs import read_pairs
from recur.data.texts.vector_options import PairVectorOptions, VectorOptions
from recur.errors import DataError


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
        (
            PairOptions,
            {"valid_data": '"a,b.en", "c.ja"', "test_data": '"a, ""b"".tsv"'},
            ["a,b.en", "c.ja", 'a, "b".tsv'],
        ),
        # Not all quotes are of names in quotes.
        (PairOptions, {"valid_data": '"a"b.en,c".ja', "test_data": '"a.tsv'}, ['"a"b.en', 'c".ja', '"a.tsv']),
        (VectorOptions, {"vectors": "en,300.txt"}, ["en,300.txt"]),
        (PairVectorOptions, {"vectors": "en.txt", "target_vectors": "ja.txt"}, ["en.txt", "ja.txt"]),
        (PairVectorOptions, {"target_vectors": "ja.txt"}, ["ja.txt"]),
    ],
)
def test_the_files_that_are_named(options: type[NamesFiles], given: dict[str, Any], files: list[str]) -> None:
    assert options(**given).files == files


@pytest.mark.parametrize("names", [["a.en", "b.ja"], ["a,b.en", ' "c".ja'], ['"a".tsv'], [","], ["a\nb, c.tsv "]])
def test_any_names_can_be_said_of_pairs(names: list[str]) -> None:
    assert PairOptions.names_in(PairOptions.naming(names)) == names


def test_a_file_that_is_called_with_a_comma_is_one(tmp_path: Path) -> None:
    other = tmp_path / "dev, 2020.tsv"
    other.write_text("good day\tguten Tag\nthanks\tdanke\n")
    data = (["so it is", "never"], ["so ist es", "nie"])
    options = PairOptions(valid_data=str(other))
    assert options.files == [str(other)]
    assert read_pairs(data, options).part == (None, None, "valid", "valid")
    # A folder may be called so too.
    assert PairOptions.names_in(f"{tmp_path},{tmp_path}") == [str(tmp_path)] * 2
    (tmp_path / "a,b").mkdir()
    assert PairOptions.names_in(str(tmp_path / "a,b")) == [str(tmp_path / "a,b")]


def test_names_that_are_not_there_tell_how_a_comma_is_written(tmp_path: Path) -> None:
    absent = tmp_path / "dev, 2020.tsv"
    cut = re.escape(f"{tmp_path / 'dev'}: no such file or folder; check the path.")
    with pytest.raises(DataError, match=rf"^{cut} Put a name that has a comma in double quotes\.$"):
        read_pairs((["a"], ["b"]), PairOptions(valid_data=str(absent)))
    with pytest.raises(DataError, match=re.escape(f"{absent}: no such file or folder; check the path.") + "$"):
        PairOptions(test_data=PairOptions.naming([str(absent)])).check_found()
    with pytest.raises(DataError, match=re.escape(f"{absent}: no such file or folder; check the path.") + "$"):
        LabelledTextOptions(test_data=str(absent)).check_found()


def test_names_that_have_no_comma_need_no_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("so it is\n")
    gone = [str(tmp_path / name) for name in ("old.en", "old.ja")]
    for source, said in (
        ("a.txt,bb.txt", r"bb\.txt: no such file or folder; did you mean b\.txt\?"),
        ("old.en,b.txt", r"old\.en: no such file or folder; check the path\."),
        ('"dev, 2020.en",old.ja', r"dev, 2020\.en: no such file or folder; check the path\."),
        # Those of a run that were moved since.
        (PairOptions.naming(gone), rf"{re.escape(gone[0])}: no such file or folder; check the path\."),
    ):
        with pytest.raises(DataError, match=f"^{said}$"):
            PairOptions(valid_data=source).check_found()
    with pytest.raises(DataError, match=r"^dev: .* Put a name that has a comma in double quotes\.$"):
        PairOptions(valid_data="dev, 2020.en").check_found()


def test_that_a_comma_stands_between_names_is_said_of_pairs_alone() -> None:
    assert "double quotes" in field_documents(PairOptions)["valid_data"]
    for options in (LabelledTextOptions, WrittenTextOptions, TaggedTextOptions):
        assert "comma" not in field_documents(options)["valid_data"]
