"""Texts with classes: from files, folders, dataframes and lists."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recur.data.texts import LabelledTextOptions, LabelledTexts, glance_at_texts, read_labelled_texts
from recur.errors import DataError, OptionError

Write = Callable[[str, str | bytes], Path]

REVIEWS = [
    ("I loved every minute of it", "pos"),
    ("Never again, what a bore", "neg"),
    ("The actors carry a weak plot", "pos"),
    ("My neighbour snored, and I nearly did", "neg"),
    ("None", "neg"),
]


def lines(separator: str, rows: list[tuple[str, ...]], header: tuple[str, ...] | None = None) -> str:
    return "".join(separator.join(row) + "\n" for row in ([header] if header else []) + rows)


def as_pairs(examples: LabelledTexts) -> list[tuple[str, tuple[str, ...] | None]]:
    return list(zip(examples.texts, examples.labels, strict=True))


EXPECTED = [(text, (label,)) for text, label in REVIEWS]


def test_a_table_with_a_header_is_guessed_and_explained(write: Write) -> None:
    rows = [(f"r{number}", f'"{text}"', label, "x") for number, (text, label) in enumerate(REVIEWS)]
    path = write("reviews.csv", lines(",", rows, ("id", "review", "sentiment", "source_site")))
    found = read_labelled_texts(path)
    assert as_pairs(found) == EXPECTED
    assert found.classes == ("neg", "pos")
    assert not found.is_multi
    assert str(found.roles).splitlines() == [
        "text     review       named like a text",
        "label    sentiment    named like a class, has 2 different ones",
        "ignored  id           has no role; others can be named",
        "ignored  source_site  has no role; others can be named",
    ]
    assert found.places[2] == f"{path}, row 3"
    assert found.part == (None,) * 5


@pytest.mark.parametrize("name", ["reviews.tsv", "reviews.txt", "reviews.tsv.gz"])
def test_a_table_without_a_header_is_recognised(write: Write, name: str) -> None:
    content = lines("\t", [(text, label, f"k{number}") for number, (text, label) in enumerate(REVIEWS)]).encode()
    path = write(name, gzip.compress(content) if name.endswith(".gz") else content)
    found = read_labelled_texts(path)
    assert as_pairs(found) == EXPECTED
    assert found.roles is not None
    assert found.roles.columns == {"text": "column_1", "label": "column_2"}
    assert found.roles.reasons["column_1"] == "holds the longest texts"
    assert found.roles.reasons["column_2"] == "has few different values, 2 different ones"
    assert found.places[4] == f"{path}, row 5"


def test_quotes_between_tabs_are_text_unless_they_hold_cells_together(write: Write) -> None:
    spoken = [('"Go," she said', "calm"), ('"Go!"', "loud"), ("He went", "calm"), ("Off!", "loud")]
    found = read_labelled_texts(write("spoken.tsv", lines("\t", spoken)))
    assert found.texts == tuple(text for text, _ in spoken)
    quoted = '"so ""good"""\tpos\nso bad\tneg\nbad\tneg\n'
    assert read_labelled_texts(write("quoted.tsv", quoted)).texts == ('so "good"', "so bad", "bad")


def test_columns_can_be_said(write: Write) -> None:
    rows = [("a b c d e", "one two", "u"), ("c d e f g", "three", "v"), ("e f g h i", "four", "u")]
    path = write("t.csv", lines(",", rows, ("body", "short", "kind")))
    found = read_labelled_texts(path, LabelledTextOptions(text="short", label="kind"))
    assert found.texts == ("one two", "three", "four")
    assert found.roles is not None
    assert found.roles.reasons["short"] == "given"
    with pytest.raises(DataError, match=r"t\.csv: has no column 'shorts', which text names; did you mean 'short'\?"):
        read_labelled_texts(path, LabelledTextOptions(text="shorts", label="kind"))
    with pytest.raises(DataError, match=r"no column 'zzz', which label names; it has 'body', 'short', 'kind'\."):
        read_labelled_texts(path, LabelledTextOptions(label="zzz"))


def frames() -> dict[str, Any]:
    columns = {"text": [text for text, _ in REVIEWS], "label": [label for _, label in REVIEWS]}
    return {
        "polars": pl.DataFrame(columns),
        "lazy": pl.LazyFrame(columns),
        "pandas": pd.DataFrame(columns),
        "mapping": columns,
        "lists": (columns["text"], columns["label"]),
    }


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "mapping", "lists"])
def test_dataframes_and_lists(kind: str) -> None:
    found = read_labelled_texts(frames()[kind])
    assert as_pairs(found) == EXPECTED
    assert found.places[1] == "the data, row 2"


@pytest.mark.parametrize("dtype", ["object", "str", "category", "string"])
def test_missing_cells_of_pandas_are_missing(dtype: str) -> None:
    frame = pd.DataFrame({"text": ["a b", None, "c d", "e f"], "label": ["x", "x", None, "y"]}, dtype=dtype)
    found = read_labelled_texts(frame)
    assert as_pairs(found) == [("a b", ("x",)), ("c d", None), ("e f", ("y",))]


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "mapping", "array", "parquet"])
def test_numbers_that_are_none_are_missing_classes(kind: str, tmp_path: Path) -> None:
    columns = {"text": ["a b", "b c", "c d", "e f"], "label": [1.0, float("nan"), 2.0, 1.0]}
    frame = pl.DataFrame(columns)
    frame.write_parquet(tmp_path / "a.parquet")
    found = read_labelled_texts(
        {
            "polars": frame,
            "lazy": frame.lazy(),
            "pandas": pd.DataFrame(columns),
            "mapping": columns,
            "array": {"text": columns["text"], "label": np.array(columns["label"])},
            "parquet": tmp_path / "a.parquet",
        }[kind]
    )
    assert found.labels == (("1",), None, ("2",), ("1",))
    assert found.notes[0].startswith("1 text without a class, such as ")


def test_lists_of_classes_beside_a_list_of_texts() -> None:
    found = read_labelled_texts((["t one", "t two", "t three"], [["a", "b"], [], ["b"]]))
    assert found.labels == (("a", "b"), (), ("b",))


@pytest.mark.parametrize(
    ("rows", "is_header"),
    [
        ("body of it,kind of\n" + "t one,x\nt two,y\n" * 3, True),
        # Classes of few rows, of which one may come once.
        ("t zero,z\n" + "t one,x\nt two,y\nt three,w\n", False),
        ("t zero,x\n" + "t one,x\nt two,y\n" * 3, False),
        ("body,mark\n" + "t one,1\nt two,2\n" * 3, True),
    ],
)
def test_headers_of_unknown_names(write: Write, rows: str, is_header: bool) -> None:
    found = read_labelled_texts(write("a.csv", rows), LabelledTextOptions(label_separator=""), has_labels=False)
    assert len(found) == rows.count("\n") - is_header


@pytest.mark.parametrize("has_labels", [True, False])
def test_what_a_first_line_of_two_words_is_taken_for_is_noted(write: Write, has_labels: bool) -> None:
    path = write("h.csv", "Abe,Japanese\n" + "Ito,ja\nLee,en\n" * 4)
    found = read_labelled_texts(path, LabelledTextOptions(has_header=None), has_labels=has_labels)
    assert found.notes[0].startswith(f"the first line of {path}, 'Abe' and 'Japanese', ")


def test_a_header_of_a_name_that_a_model_knows(write: Write) -> None:
    train = read_labelled_texts(write("a.tsv", "satz\tart\n" + "t one\tx\nt two\ty\n" * 3))
    assert len(train) == 6
    other = write("b.tsv", "satz\tart\nt one\tx\n")
    assert read_labelled_texts(other, classes=train.classes, roles=train.roles).texts == ("t one",)
    # One name is known, and nearly all classes come again.
    rows = "review\tart\n" + "t one\tx\nt two\ty\n" * 3 + "t three\tz\n"
    assert len(read_labelled_texts(write("c.tsv", rows))) == 7


def test_parquet_arrow_and_jsonl_also_hold_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["so good", "so bad", "fine"], "labels": [["joy", "love"], ["anger"], []]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    frame.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.arrow", "a.jsonl"):
        found = read_labelled_texts(tmp_path / name)
        assert found.labels == (("joy", "love"), ("anger",), ()), name
        assert found.is_multi
        assert found.classes == ("anger", "joy", "love")


def test_objects_of_json_keep_the_numbers_of_their_lines(write: Write) -> None:
    path = write("a.jsonl", '{"text": "so good", "label": 1}\n\n{"text": "so bad", "label": 0}\n')
    found = read_labelled_texts(path)
    assert found.labels == (("1",), ("0",))
    assert found.places[1] == f"{path}, line 3"
    listed = write("a.json", '[{"text": "so good", "label": "x"}, {"text": "so bad", "label": "y"}]')
    assert read_labelled_texts(listed).texts == ("so good", "so bad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": "x"}\n[1, 2]\n', r"a\.jsonl: line 2 is no JSON object: '\[1, 2\]'; each line must be"),
        ('{"text": "a", "label": "x"}\n\n{"text": }\n', r"a\.jsonl: line 3 is no sound JSON \(Expecting value\)"),
        ("\n \n", r"a\.jsonl: is empty; give a file with an object on each line"),
    ],
)
def test_lines_that_are_no_objects_are_named(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled_texts(write("a.jsonl", content))


def test_whole_numbers_with_gaps_are_classes_where_a_name_says_so(write: Write) -> None:
    rows = [("it was so good", "1"), ("it was so bad", "2.0"), ("but who knows", "null"), ("that is fine", "1")]
    content = "".join(
        f'{{"text": "{text}", "label": {label}, "votes": {number % 2}.0}}\n'
        for number, (text, label) in enumerate(rows)
    )
    path = write("a.jsonl", content)
    found = read_labelled_texts(path)
    assert found.labels == (("1",), ("2",), None, ("1",))
    assert str(found.roles).splitlines()[1] == "label    label  named like a class, has 2 different ones"
    frame = pd.DataFrame({"text": [text for text, _ in rows], "label": [1, 2, None, 1]})
    assert read_labelled_texts(frame).labels == found.labels
    assert glance_at_texts([path]) is not None
    # Those of other names, and others of this one, are measured.
    with pytest.raises(DataError, match=r"no column has classes"):
        read_labelled_texts(write("b.jsonl", content.replace("label", "height")))
    with pytest.raises(DataError, match=r"no column has classes"):
        read_labelled_texts(write("c.jsonl", content.replace("2.0", "2.5")))


# --- several classes a text ---


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["3,17", "3", "17,3", "5", "5, 17"], ","),
        (["3|17", "3", "17|3", "5", "5 | 17"], "|"),
        (["[3, 17]", "[3]", "[17, 3]", "[5]", "[5, 17]"], ""),
        (["['3', '17']", "['3']", "['17', '3']", "['5']", "['5', '17']"], ""),
    ],
)
def test_several_classes_of_a_text_are_recognised(cells: list[str], separator: str) -> None:
    found = read_labelled_texts(([f"some text {number}" for number in range(5)], cells))
    assert found.labels == (("3", "17"), ("3",), ("17", "3"), ("5",), ("5", "17"))
    assert found.classes == ("3", "5", "17")
    assert found.is_multi
    assert found.label_separator == separator


def test_a_comma_within_the_names_of_classes_separates_nothing() -> None:
    cells = ["Albany, NY", "Austin, Texas", "Boston, MA", "Albany, NY", "Boston, MA", "Austin, Texas"]
    found = read_labelled_texts(([f"some text {number}" for number in range(6)], cells))
    assert found.classes == ("Albany, NY", "Austin, Texas", "Boston, MA")
    assert not found.is_multi


def test_how_several_classes_are_separated_can_be_said() -> None:
    data = ([f"some text {number}" for number in range(4)], ["u v", "w", "u v", "w"])
    found = read_labelled_texts(data, LabelledTextOptions(label_separator=" "))
    assert found.labels[0] == ("u", "v")
    data = (data[0], ["3,17", "3", "17", "17,3"])
    assert read_labelled_texts(data, LabelledTextOptions(label_separator="")).labels[0] == ("3,17",)


def test_an_empty_list_is_none_of_the_classes_and_an_empty_cell_is_missing() -> None:
    found = read_labelled_texts((["t one", "t two", "t three", "t four"], ["[]", None, "['a', 'b']", "['b']"]))
    assert found.labels == ((), None, ("a", "b"), ("b",))
    assert found.notes == ("1 text without a class, such as the data, row 2",)


def test_a_file_of_names_calls_classes_given_by_number(write: Write) -> None:
    names = write("labels.txt", "joy\nanger\nlove")
    data = (["t one", "t two", "t three"], ["0,2", "2", "0"])
    found = read_labelled_texts(data, LabelledTextOptions(label_names=str(names), label_separator=","))
    assert found.labels == (("joy", "love"), ("love",), ("joy",))
    assert found.classes == ("joy", "anger", "love")
    with pytest.raises(DataError, match=r"the data, row 2: the class '3' has no name; label_names= has 3, for"):
        read_labelled_texts((["t one", "t two"], ["0", "3"]), LabelledTextOptions(label_names=str(names)))
    write("labels.txt", "joy\nanger\njoy\n")
    with pytest.raises(DataError, match=r"labels\.txt: line 3 is 'joy', as line 1 is; name each once"):
        read_labelled_texts(data, LabelledTextOptions(label_names=str(names)))


# --- folders ---


def test_a_folder_for_each_class_with_a_file_for_each_text(write: Write, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label, text in (("pos", "so good\nreally"), ("neg", "so bad")):
            for number in range(4):
                write(f"data/{part}/{label}/{number}.txt", f"{text} {part} {number}\n")
    write("data/README.md", "What this is.")
    found = read_labelled_texts(tmp_path / "data")
    assert len(found) == 16
    assert found.classes == ("neg", "pos")
    assert [found.part.count(part) for part in ("train", "valid", "test")] == [8, 0, 8]
    test = found.of_part("test")
    assert test.texts[:2] == ("so bad test 0", "so bad test 1")
    assert test.places[0] == str(tmp_path / "data/test/neg/0.txt")
    assert "each folder is a class, 2 in all, and each file a text; unit='line' says otherwise" in found.notes
    assert any("1 file left out (README.md), taken for a description" in note for note in found.notes)
    by_line = read_labelled_texts(tmp_path / "data", LabelledTextOptions(unit="line"))
    assert len(by_line) == 24


def test_a_file_for_each_class_with_a_text_on_each_line(write: Write, tmp_path: Path) -> None:
    write("names/Czech.txt", "Abl\nAdsit\n\nBeran \n")
    write("names/Greek.txt", "Adamou\nAgelakos\n")
    write("names/LICENSE", "Do what you like.")
    found = read_labelled_texts(tmp_path / "names")
    assert found.texts == ("Abl", "Adsit", "Beran", "Adamou", "Agelakos")
    assert found.labels == (("Czech",),) * 3 + (("Greek",),) * 2
    assert found.places[2] == f"{tmp_path / 'names/Czech.txt'}, line 4"
    assert f"1 empty text left out, such as {tmp_path / 'names/Czech.txt'}, line 3" in found.notes
    with pytest.raises(OptionError, match=r"unit: .*Czech\.txt is in no folder of a class"):
        read_labelled_texts(tmp_path / "names", LabelledTextOptions(unit="file"))


def by_class(write: Write, name: str, *, num_files: int, num_lines: int = 30) -> Path:
    """Write files of many lines in a folder for each of two classes."""
    for label in ("neg", "pos"):
        for number in range(num_files):
            content = "".join(f"{name} so {label} {number} {line}\n" for line in range(num_lines))
            folder = write(f"{name}/{label}/{number}.txt", content).parents[1]
    return folder


@pytest.mark.parametrize(("num_files", "unit", "sizes"), [(6, "file", [12, 4, 4]), (2, "line", [120, 360, 360])])
def test_what_one_text_is_holds_for_other_data(write: Write, num_files: int, unit: Any, sizes: list[int]) -> None:
    train, other = by_class(write, "data", num_files=num_files), by_class(write, "other", num_files=8 - num_files)
    options = LabelledTextOptions(valid_data=str(other), test_data=str(other))
    found = read_labelled_texts(train, options)
    assert found.unit == unit
    assert [found.part.count(part) for part in (None, "valid", "test")] == sizes
    assert f"each folder is a class, 2 in all, and each {unit} a text, as in the data learned from" in found.notes
    # So does what is said.
    said = replace(options, unit="line" if unit == "file" else "file")
    assert read_labelled_texts(train, said).unit == said.unit
    judged = read_labelled_texts(other, classes=found.classes, unit=unit)
    assert len(judged) == sizes[1]
    assert judged.notes == (f"each folder is a class, 2 in all, and each {unit} a text, as in the data learned from",)


def test_columns_of_other_data_that_are_called_otherwise_are_guessed_and_noted(write: Write) -> None:
    train = write("a.csv", lines(",", [(f'"{text}"', label) for text, label in REVIEWS], ("review", "sentiment")))
    alike = write("b.csv", "sentiment,review\npos,so good\nneg,so bad\n")
    other = write("c.csv", "comment,mood\nso very good,pos\nso bad,neg\nnever again,neg\nwhat fun,pos\n")
    guessed = (
        "column 'comment' is taken for the text (named like a text)",
        "column 'mood' is taken for the label (has few different values, 2 different ones)",
    )
    assert read_labelled_texts(train, LabelledTextOptions(valid_data=str(alike))).notes == ()
    for options in (LabelledTextOptions(valid_data=str(other)), LabelledTextOptions(test_data=str(other))):
        found = read_labelled_texts(train, options)
        assert found.texts[-4:] == ("so very good", "so bad", "never again", "what fun")
        assert {note for note in found.notes if "taken" in note} == {
            f"{other}: {guessed[0]}, as none is called 'review' as in DATA",
            f"{other}: {guessed[1]}, as none is called 'sentiment' as in DATA",
        }
    # Those of folders have no names that could be looked for, but what they are for.
    folder = by_class(write, "data", num_files=6)
    notes = read_labelled_texts(folder, LabelledTextOptions(valid_data=str(other))).notes
    assert {f"{other}: {each}" for each in guessed} <= set(notes)
    named = write("d.csv", "text,label\nso good,pos\nso bad,neg\n")
    assert not any(
        "taken" in each for each in read_labelled_texts(folder, replace(options, test_data=str(named))).notes
    )


def test_other_data_without_classes_name_the_column_of_the_first(write: Write) -> None:
    train = write("a.csv", lines(",", [(f'"{text}"', label) for text, label in REVIEWS], ("review", "sentiment")))
    other = write("c.csv", "comment\nso very good\nso bad\nnever again\n")
    for data, said in (
        (train, r"In DATA the label is 'sentiment'; give the column that name\."),
        (by_class(write, "data", num_files=6), r"Give the column of the label the name 'label'\."),
    ):
        with pytest.raises(DataError, match=rf"c\.csv: no column has classes, .*; it has 'comment'\. {said}$"):
            read_labelled_texts(data, LabelledTextOptions(valid_data=str(other)))


def test_files_in_no_folder_of_a_class_have_their_texts_on_lines(write: Write, tmp_path: Path) -> None:
    write("new/pos.txt", "so good\nreally\n")
    write("new/neg.txt", "so bad\n")
    found = read_labelled_texts(tmp_path / "new", classes=("neg", "pos"), unit="file")
    assert found.texts == ("so bad", "so good", "really")
    assert found.notes == (
        "each file is a class, 2 in all, and each line a text, as nothing tells the class of a whole file",
    )


def test_without_classes_files_are_texts_where_those_learned_from_were(write: Write, tmp_path: Path) -> None:
    names = ["a.txt", "b", "c.txt"]
    paths = [write(f"new/{name}", f"one of {name}\n\nand more\n") for name in names]
    whole = tuple(f"one of {name}\n\nand more" for name in names)
    for data in (tmp_path / "new", paths):
        found = read_labelled_texts(data, unit="file", has_labels=False)
        assert found.texts == whole
        assert found.labels == (None,) * 3
        assert found.places[2] == str(paths[2])
        assert found.notes == (
            f"{paths[0]} and others: each file is taken for a text, as in the data learned from; each line of a .tsv "
            "is one",
        )
        assert read_labelled_texts(data, LabelledTextOptions(unit="file"), has_labels=False).texts == whole
    assert read_labelled_texts(paths[0], unit="file", has_labels=False).texts == whole[:1]
    # In folders they are too, whatever these are called, and however few.
    write("deep/of/old/a.txt", "one\n" * 30)
    assert read_labelled_texts(tmp_path / "deep", unit="file", has_labels=False).texts == ("one\n" * 29 + "one",)


@pytest.mark.parametrize("unit", [None, "line"])
def test_without_classes_lines_are_texts_where_no_files_were(write: Write, tmp_path: Path, unit: Any) -> None:
    first = write("new/a.txt", "one\ttwo\nthree\tfour\n")
    write("new/b.txt", "five\tsix\n")
    found = read_labelled_texts(tmp_path / "new", unit=unit, has_labels=False)
    assert found.texts == ("one\ttwo", "three\tfour", "five\tsix")
    assert found.notes == (
        f"{first} and others: each line is taken for a text; separator= says what stands between cells, if there are "
        "some",
    )
    # What is said of them makes a table of them, also where texts were whole files.
    options = LabelledTextOptions(separator="tab", text="column_2")
    assert read_labelled_texts(tmp_path / "new", options, unit="file", has_labels=False).texts == ("two", "four", "six")


def test_files_beside_the_folders_of_classes_are_left_out(write: Write, tmp_path: Path) -> None:
    for label in ("pos", "neg"):
        for number in range(5):
            write(f"data/train/{label}/{number}.txt", f"so {label} {number}")
    write("data/train/bags.feat", "1 2 3")
    write("data/train/index.json", "{}")
    test = write("more/pos/a.txt", "so pos again").parents[1]
    write("more/neg/a.txt", "so neg again")
    found = read_labelled_texts(tmp_path / "data", LabelledTextOptions(test_data=str(test)))
    assert found.part.count("test") == 2
    assert found.texts[-1] == "so pos again"
    assert "2 files left out (bags.feat, index.json), as the others are text in folders by class" in found.notes


def test_few_files_of_many_lines_in_folders_hold_a_text_a_line(write: Write, tmp_path: Path) -> None:
    for label in ("pos", "neg"):
        write(f"data/{label}/all.txt", "".join(f"a {label} line {number}\n" for number in range(30)))
    assert len(read_labelled_texts(tmp_path / "data")) == 60
    assert len(read_labelled_texts(tmp_path / "data", LabelledTextOptions(unit="file"))) == 2


# --- parts ---


def test_parts_by_the_names_of_files(write: Write, tmp_path: Path) -> None:
    for number, name in enumerate(("train.tsv", "dev.tsv", "test.tsv")):
        write(f"d/{name}", lines("\t", [(f"{text} {number}", label) for text, label in REVIEWS]))
    write("d/labels.txt", "pos\nneg\n")
    found = read_labelled_texts(tmp_path / "d")
    assert [found.of_part(part).texts[0][-1] for part in ("train", "valid", "test")] == ["0", "1", "2"]
    assert any("1 file left out (labels.txt), as the names of the others tell a part" in note for note in found.notes)
    named = read_labelled_texts([tmp_path / "d/test.tsv", tmp_path / "d/train.tsv"])
    assert named.part == ("test",) * 5 + ("train",) * 5
    # Alone it is no part of anything.
    assert read_labelled_texts(tmp_path / "d/test.tsv").part == (None,) * 5


def test_parts_by_a_column() -> None:
    data = {"text": ["t one", "t two", "t three"], "label": ["x", "y", "x"], "split": ["train", "dev", "test"]}
    assert read_labelled_texts(data).part == ("train", "valid", "test")
    with pytest.raises(DataError, match=r"the data, row 3, column 'mine': 'quiz' is no part; expected train, valid or"):
        read_labelled_texts(
            {"text": data["text"], "label": data["label"], "mine": ["train", "train", "quiz"]},
            LabelledTextOptions(part="mine"),
        )


def test_other_data_for_a_part_are_read_alike(write: Write) -> None:
    train = write("a.csv", "text,label\nt one,x\nt two,y\nt four,z\n")
    other = write("b.csv", "text,label\nt three,x\n")
    found = read_labelled_texts(train, LabelledTextOptions(test_data=str(other)))
    assert found.part == (None, None, None, "test")
    assert found.classes == ("x", "y", "z")
    assert found.places[3] == f"{other}, row 1"


def test_files_must_have_the_same_columns(write: Write) -> None:
    one, other = write("train.csv", "text,label\na b,x\nc d,y\n"), write("test.csv", "text,tag\na b,x\n")
    with pytest.raises(DataError, match=r"column 'label' is in .*train\.csv but not in .*test\.csv; give files of the"):
        read_labelled_texts([one, other])


def test_options_that_would_be_ignored_are_refused(write: Write, tmp_path: Path) -> None:
    table = write("a.csv", "text,label\nt one,x\nt two,y\n")
    with pytest.raises(OptionError, match="unit: says nothing of a table, which the data are; leave unit= out"):
        read_labelled_texts(table, LabelledTextOptions(unit="file"))
    with pytest.raises(OptionError, match="separator: says nothing of a dataframe or lists, which the data are"):
        read_labelled_texts((["a b", "c d"], ["x", "y"]), LabelledTextOptions(separator=";"))
    for name in ("x", "y"):
        write(f"d/{name}.txt", "one\ntwo\n")
    with pytest.raises(OptionError, match="label: says nothing of folders by class, which the data are"):
        read_labelled_texts(tmp_path / "d", LabelledTextOptions(label="x"))


def test_options_of_a_run_need_not_fit_other_data(write: Write, tmp_path: Path) -> None:
    options = LabelledTextOptions(text="review", label="stars", separator=";", label_separator="")
    for name in ("x", "y"):
        write(f"d/{name}.txt", "one\ntwo\n")
    folder = read_labelled_texts(tmp_path / "d", options, classes=("x", "y"), given=())
    assert folder.labels == (("x",), ("x",), ("y",), ("y",))
    bare = read_labelled_texts({"review": ["one", "two"]}, options, has_labels=False, given=())
    assert bare.texts == ("one", "two")
    assert read_labelled_texts(tmp_path / "d", options, has_labels=False, given=()).labels == (None,) * 4
    with pytest.raises(DataError, match="the data: has no column 'stars', which label names"):
        read_labelled_texts({"review": ["one", "two"]}, options, classes=("x", "y"), given=())


def test_the_name_of_a_folder_tells_a_part_only_as_a_whole(write: Write, tmp_path: Path) -> None:
    for folder in ("my test data", "train"):
        write(f"{folder}/a.csv", "text,label\nt one,x\nt two,y\n")
    files = [tmp_path / "my test data/a.csv", tmp_path / "train/a.csv"]
    assert read_labelled_texts(files).part == (None, None, "train", "train")


# --- bad input ---


def test_empty_texts_are_left_out_and_noted(write: Write) -> None:
    path = write("a.csv", "text,label\nt one,x\n,y\n  ,x\nt two,y\n")
    found = read_labelled_texts(path)
    assert found.texts == ("t one", "t two")
    assert found.notes == (f"2 empty texts left out, such as {path}, row 2",)
    with pytest.raises(DataError, match=r"b\.csv, row 1: is empty, and so are all others; give texts with"):
        read_labelled_texts(write("b.csv", "text,label\n ,x\n ,y\n"), LabelledTextOptions(text="text"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\nt one,x\nt two,x\n",
            r"a\.csv: all 2 texts have the same class, 'x', so that there is nothing to",
        ),
        ("a,label\n1,x\n2,y\n", r"a\.csv: no column has texts; it has 'a', 'label'\. Name one with text="),
        ("text,label\nt one,\nt two,\n", r"a\.csv, row 1 and all others: no text has a class; name the column"),
        (
            "text,when\nt one,1.5\nt two,2.5\nt three,3.5\n",
            r"a\.csv: no column has classes, of which",
        ),
        ("text,label\n", r"a\.csv: has a header but no rows"),
        ("", r"a\.csv: is empty"),
        ("text,text\na b,x\n", r"a\.csv: two columns are called 'text'; rename one"),
        ("text,label\nt one,x\nt two,y,z\n", r"a\.csv: line 3 has 3 cells, but the first has 2"),
    ],
)
def test_what_no_class_can_be_learned_from_is_refused(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled_texts(write("a.csv", content))


def test_wrong_bytes_are_named_with_the_way_out(write: Write) -> None:
    path = write("a.csv", "text,label\nso good,x\ncaf\u00e9 closed,y\n".encode("cp1252"))
    message = r"a\.csv: is not utf-8: line 3 has the byte 0xe9; name the encoding, such as encoding='cp1252'"
    with pytest.raises(DataError, match=message):
        read_labelled_texts(path)
    assert read_labelled_texts(path, LabelledTextOptions(encoding="cp1252")).texts[1] == "caf\u00e9 closed"


def test_a_long_text_is_kept_whole() -> None:
    text = " ".join(f"w{number}" for number in range(100_000))
    found = read_labelled_texts((["short one", text, "short two"], ["x", "y", "x"]))
    assert found.texts[1] == text


def test_data_for_a_trained_model_have_its_classes_or_none(write: Write) -> None:
    path = write("a.csv", "text,label\nt one,x\nt two,z\n")
    with pytest.raises(DataError, match=r"a\.csv, row 2: the class 'z' is none of those of the model, 'x', 'y'\."):
        read_labelled_texts(path, classes=("x", "y"))
    only = read_labelled_texts(write("b.csv", "text,label\nt one,x\n"), classes=("x", "y"))
    assert only.classes == ("x", "y")
    other = read_labelled_texts(path, classes=("x", "y"), has_labels=False)
    assert (other.texts, other.labels) == (("t one", "t two"), (None, None))
    bare = read_labelled_texts(write("c.csv", "text\nt one\nt two\n"), classes=("x", "y"), has_labels=False)
    assert bare.texts == ("t one", "t two")
    assert bare.labels == (None, None)
    lines = read_labelled_texts(write("d.txt", "so good, really\nso bad\n"), classes=("x", "y"), has_labels=False)
    assert lines.texts == ("so good, really", "so bad")


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("d.txt", "ham\thappy great nice\nspam\tso bad\nham\tso good\nspam\twin, win\n", {}),
        ("d", "spam\twin, now\nham\tso good\nham\tso nice\nspam\tso bad\n", {}),
        ("d.txt", "label,text\nham,happy great nice\nspam,so bad\nham,so good\nspam,win win\n", {}),
        ("d.txt", "ham;happy great, nice\nspam;so bad\nham;so good\nspam;win, win\n", {"separator": ";"}),
    ],
)
def test_text_in_columns_for_a_trained_model_is_no_text_on_each_line(
    write: Write, name: str, content: str, options: dict[str, Any]
) -> None:
    path = write(name, content)
    trained = read_labelled_texts(path, LabelledTextOptions(**options))
    again = read_labelled_texts(
        path, LabelledTextOptions(**options), classes=trained.classes, roles=trained.roles, has_labels=False
    )
    assert again.texts == trained.texts
    assert again.labels == (None,) * 4
    assert again.notes[-1].startswith(f"{path}: taken for a table, ")
    plain = write("plain.txt", "so good, really\nso\tbad\nso; so\n")
    lines = read_labelled_texts(plain, LabelledTextOptions(**options), roles=trained.roles, has_labels=False, given=())
    assert lines.texts == ("so good, really", "so\tbad", "so; so")


@pytest.mark.parametrize(
    "content",
    [
        # The run's own separator says nothing of other data.
        "good food; I will come back\nbad food; never again\nsimply good food\n",
        "\tfor i in x:\n\tpass\ngood food\n",
        "good food\tpos\nbad food\tneg\n",
        # One name of a column is a word like others.
        "text, stop or win\ngood food, really\nbad food, really\n",
        "text\ngood food\nbad food\n",
    ],
)
def test_prose_for_a_trained_model_is_a_text_on_each_line(write: Write, content: str) -> None:
    options = LabelledTextOptions(separator=";")
    trained = read_labelled_texts(write("a.csv", "text;label\ngood food, now;pos\nbad food;neg\n"), options)
    path = write("n.txt", content)
    for own in (options, LabelledTextOptions()):
        found = read_labelled_texts(path, own, roles=trained.roles, has_labels=False, given=())
        assert found.texts == tuple(map(str.strip, content.splitlines()))
        assert found.notes == (
            f"{path}: each line is taken for a text; separator= says what stands between cells, if there are some",
        )


def test_indented_text_has_no_columns(write: Write) -> None:
    trained = read_labelled_texts(write("a.txt", "so good\tpos\nso bad\tneg\nso so\tpos\n"))
    assert trained.roles is not None
    assert trained.roles.columns == {"text": "column_1", "label": "column_2"}
    lines = read_labelled_texts(write("b.txt", "\tfor i in x:\n\tpass\n"), roles=trained.roles, has_labels=False)
    assert lines.texts == ("for i in x:", "pass")
    rows = "".join(f"so good {number}\tpos\n" for number in range(9))
    path = write("c.txt", f"{rows}\tpos\n")
    columns = read_labelled_texts(path, roles=trained.roles, has_labels=False)
    assert columns.texts == (*(f"so good {number}" for number in range(9)), "")
    assert columns.notes == (
        f"{path}: taken for a table, as nearly all lines have 2 cells with tabs between, like the run's data; 1 row "
        f"without a text in column 'column_1', such as {path}, row 10",
    )
    assert len(read_labelled_texts(write("d.txt", f"{rows}a\nb\n"), roles=trained.roles, has_labels=False)) == 11


def test_a_header_of_plain_text_names_two_columns_of_the_run(write: Write) -> None:
    trained = read_labelled_texts(write("a.csv", "id,text,label\n1,so good,pos\n2,so bad,neg\n3,so so,pos\n"))
    for first, text in (("text;label", "so good, now"), ('"id";"text"', "so"), ("\ufefftext;id", "so good, now")):
        path = write("n.txt", f"{first}\nso good, now;so\n".encode())
        found = read_labelled_texts(path, roles=trained.roles, has_labels=False)
        assert found.texts == (text,)
        assert found.notes[-1] == f"{path}: taken for a table, as its first line names columns of the run's data"


def test_what_is_said_of_plain_text_for_a_trained_model_counts(write: Write) -> None:
    trained = read_labelled_texts(write("a.csv", "text,label\nso good,pos\nso bad,neg\nso so,pos\n"))

    def texts(content: str, **options: Any) -> tuple[str, ...]:
        path = write("n.text", content)
        own = LabelledTextOptions(**options)
        return read_labelled_texts(path, own, roles=trained.roles, has_labels=False).texts

    assert texts("text\nso good; now\nso, so\n", has_header=True) == ("so good; now", "so, so")
    assert texts("text;label\nso good; now\nso, so\n", has_header=False) == ("text;label", "so good; now", "so, so")
    assert texts("id;review\n1;so good, now\n2;so, so\n", has_header=True) == ("so good, now", "so, so")
    assert texts("so good, now|1\nso, so|2\n", separator="|") == ("so good, now", "so, so")
    with pytest.raises(DataError, match=r"n\.text: has a header but no rows; give a file with texts below it"):
        texts("text\n", has_header=True)


@pytest.mark.parametrize("given", [{"separator": ";"}, {"has_header": True}])
def test_what_says_nothing_of_data_for_a_trained_model_is_refused(write: Write, given: dict[str, Any]) -> None:
    path = write("a.jsonl", '{"text": "so good", "label": "x"}\n{"text": "so bad", "label": "y"}\n')
    (name,) = given
    message = f"{name}: says nothing of .jsonl files, which the data are; leave {name}= out"
    for known in ({}, {"classes": ("x", "y")}, {"has_labels": False}):
        with pytest.raises(OptionError, match=message):
            read_labelled_texts(path, LabelledTextOptions(**given), **known)
    own = read_labelled_texts(path, LabelledTextOptions(**given), has_labels=False, given=())
    assert own.texts == ("so good", "so bad")
    with pytest.raises(OptionError, match=f"{name}: says nothing of a dataframe or lists"):
        read_labelled_texts({"text": ["so good"]}, LabelledTextOptions(**given), has_labels=False)
    # What is said of the data need not hold for those of a part.
    table = write("a.csv", "text;label\nso good;x\nso bad;y\n")
    options = LabelledTextOptions(**given, test_data=str(path), test=0)
    assert len(read_labelled_texts(table, options)) == 4


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="the data must be a path, a dataframe that narwhals knows, or a mapping"):
        read_labelled_texts(3)
    with pytest.raises(TypeError, match="the data: column 'text' is float; give a list of what stands in its rows"):
        read_labelled_texts((1.5, 2.0))
    with pytest.raises(TypeError, match="the data: column 'text' is str; give a list"):
        read_labelled_texts({"text": "so good", "label": ["x"]})
    with pytest.raises(TypeError, match=r"the data must be a path, .* but is ndarray"):
        read_labelled_texts(np.array("so good"))
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file or folder"):
        read_labelled_texts("nowhere.csv")
    with pytest.raises(DataError, match="column 'text' has 2 rows, but 'label' has 1; give columns of one length"):
        read_labelled_texts((["a b", "c d"], ["x"]))
