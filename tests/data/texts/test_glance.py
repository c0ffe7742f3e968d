"""What `recur train` takes for texts at first sight, and what it leaves to series and to language models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.absent import ColumnError
from recur.data.texts import glance_at_texts, read_labelled_texts
from recur.errors import DataError
from recur.run import RunFolder

Write = Callable[[str, str | bytes], Path]

SENTENCES = [f"this is what the {word} said about it" for word in ("miller", "crow", "boat", "river", "wind", "mill")]
WORDS = ["Ababko", "Adamou", "Beran", "Castell", "Dvorak", "Eichel", "Falco", "Gomez"]


def glance(*paths: Path, **given: str) -> tuple[str, str] | None:
    found = glance_at_texts([str(path) for path in paths], given)
    return None if found is None else (found.kind, found.reason)


def table(*columns: list[str], separator: str = ",", header: str = "") -> str:
    rows = "".join(separator.join(row) + "\n" for row in zip(*columns, strict=True))
    return f"{header}\n{rows}" if header else rows


def test_texts_with_classes(write: Write, tmp_path: Path) -> None:
    labels = ["a", "b"] * 3
    path = write("reviews.csv", table(SENTENCES, labels, header="review,sentiment"))
    assert glance(path) == ("labelled", "reviews.csv has a column of text and one of 2 classes")
    bare = write("bare.tsv", table(SENTENCES, ["3,17", "3", "17", "3", "17", "3,17"], WORDS[:6], separator="\t"))
    assert glance(bare) == ("labelled", "bare.tsv has a column of text and one of several of 2 classes")
    names = write("names.csv", table(WORDS, ["x", "y"] * 4, header="name,language"))
    assert glance(names) == ("labelled", "names.csv has a column of text and one of 2 classes")
    stars = write(
        "stars.csv", table(SENTENCES, ["1", "5"] * 3, ["7", "8", "9", "10", "11", "12"], header="text,stars,id")
    )
    assert glance(stars) == ("labelled", "stars.csv has a column of text and one of 2 classes")
    coded = write("coded.csv", table(SENTENCES, ["0", "1"] * 3))
    assert glance(coded) == ("labelled", "coded.csv has a column of text and one of 2 classes")
    rows = [{"text": text, "labels": [label]} for text, label in zip(SENTENCES, labels, strict=True)]
    lists = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert glance(lists) == ("labelled", "a.jsonl has a column of text and one of several of 2 classes")
    pl.DataFrame({"text": SENTENCES, "label": labels, "score": [0.5] * 6}).write_parquet(tmp_path / "a.parquet")
    assert glance(tmp_path / "a.parquet") == ("labelled", "a.parquet has a column of text and one of 2 classes")


@pytest.mark.parametrize(
    "open_cells",
    [
        # The lines of the last text have other numbers of cells than the first one.
        '"so, they said,\nwell, it was, so\n',
        # Before it, in the same row, there is a whole one of several lines.
        '"first\nand second","so, they said,\nwell, it was, so\n',
    ],
)
def test_a_table_that_is_looked_at_up_to_the_middle_of_a_text(write: Write, open_cells: str) -> None:
    num_bytes = 1 << 20
    rows = [f'"{SENTENCES[0]}, or,\nas others, say {n:06}, not",{"ab"[n % 2]}\n' for n in range(num_bytes // 75)]
    content = "review,sentiment\n" + "".join(rows)
    pad = num_bytes - len(content) - len(open_cells) - len('"",b\n')
    content += f'"{"x" * pad}",b\n{open_cells}'
    assert len(content) == num_bytes
    path = write("reviews.csv", content + 'the rest",a\n')
    assert glance(path) == ("labelled", "reviews.csv has a column of text and one of 2 classes")


def test_a_quote_that_nothing_closes_hides_no_row_of_a_short_table(write: Write) -> None:
    path = write("a.csv", 'text,label\nso good,a\n"Go she said,b\nso bad,b\n')
    assert glance(path) == ("labelled", "a.csv has a column of text and one of 2 classes")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_texts_of_another_encoding(write: Write, encoding: str, suffix: str) -> None:
    rows = [f"{text}, schön {number}\t{'ab'[number % 2]}" for number, text in enumerate(SENTENCES * 300)]
    content = "\n".join(["text\tlabel", *rows, ""])
    path = write(f"r.{suffix}", content.encode(encoding))
    assert path.stat().st_size > 1 << 16
    expected = ("labelled", f"r.{suffix} has a column of text and one of 2 classes")
    assert glance(path, encoding=encoding, separator="tab") == expected


def test_runs_in_a_folder_are_passed_over(write: Write, tmp_path: Path) -> None:
    for name in ("Czech", "German", "Greek"):
        write(f"names/{name}.txt", "\n".join(WORDS * 3))
    before = read_labelled_texts(tmp_path / "names"), glance(tmp_path / "names")
    run = RunFolder.create(tmp_path / "names" / "runs" / "first")
    run.write_json("config.json", {"format": 1, "task": "classify-text"})
    run.write_json("schema.json", {"classes": ["Czech", "German", "Greek"]})
    write("names/runs/first/members/1/metrics.jsonl", "{}\n")
    after = read_labelled_texts(tmp_path / "names"), glance(tmp_path / "names")
    assert after[1] == before[1] == ("labelled", "Czech.txt and others have short lines, a file for each class")
    assert list(after[0].rows()) == list(before[0].rows())
    with pytest.raises(DataError, match=r"first: is a run folder, not text; to go on with the run: recur train --res"):
        read_labelled_texts(run.path)


def test_folders_by_class(write: Write, tmp_path: Path) -> None:
    for label in ("neg", "pos"):
        for number in range(6):
            write(f"films/train/{label}/{number}.txt", "A short text. " * 20)
    assert glance(tmp_path / "films") == ("labelled", "the folders neg and pos have short texts")
    for name in ("Czech", "Greek", "Irish"):
        write(f"names/{name}.txt", "".join(f"{word} {name}\n" for word in WORDS * 2))
    assert glance(tmp_path / "names") == (
        "labelled",
        "Czech.txt and others have short lines, a file for each class",
    )


def test_pairs(write: Write, tmp_path: Path) -> None:
    english, german = write("train.en", "one\ntwo\n"), write("train.de", "eins\nzwei\n")
    assert glance(english, german) == ("pairs", "the lines of train.en belong to those of train.de")
    for part in ("train", "test"):
        write(f"d/src-{part}.txt", "one\n")
        write(f"d/tgt-{part}.txt", "eins\n")
    assert glance(tmp_path / "d") == ("pairs", "the lines of src-test.txt belong to those of tgt-test.txt")
    spelling = write("fre.tsv", table(WORDS, [" ".join(word.lower()) for word in WORDS], separator="\t"))
    assert glance(spelling) == ("pairs", "fre.tsv has two columns of text")
    asked = write("qa.csv", table(SENTENCES, [text[::-1] for text in SENTENCES], header="question,answer"))
    assert glance(asked) == ("pairs", "qa.csv has two columns of text")
    commands = write("tasks.txt", "IN: jump OUT: I_JUMP\nIN: walk OUT: I_WALK\n")
    assert glance(commands) == ("pairs", "tasks.txt has lines of IN: and OUT:")
    talk = write("talk.yml", "conversations:\n- - a\n  - b\n")
    assert glance(talk) == ("pairs", "talk.yml holds conversations")
    turns = write("talk.jsonl", '{"turns": ["a", "b"]}\n')
    assert glance(turns) == ("pairs", "talk.jsonl holds conversations")


def test_tags(write: Write) -> None:
    text = "Ada B-PER\nwrote O\n\nShe O\nsang O\n"
    assert glance(write("a.conll", text)) == ("tagged", "a.conll has a token and its tag on each line")
    assert glance(write("a.txt", text)) == ("tagged", "a.txt has a token and its tag on each line")
    tabs = write("a.tsv", text.replace(" ", "\t"))
    assert glance(tabs) == ("tagged", "a.tsv has a token and its tag on each line")
    umlauts = write("u.tsv", text.replace(" ", "\t").replace("She", "Jörg").encode("cp1252"))
    assert glance(umlauts, encoding="cp1252") == ("tagged", "u.tsv has a token and its tag on each line")
    lists = write("a.jsonl", '{"tokens": ["a"], "ner_tags": ["O"]}\n')
    assert glance(lists) == ("tagged", "a.jsonl has lists of tokens and of their tags")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # What series have: numbers, times, names of few series, classes.
        ("series.csv", "time,shop,sales,label\n" + "".join(f"2024-01-{n:02},s{n % 2},{n},up\n" for n in range(1, 20))),
        ("ids.csv", "case,step,x,label\n" + "".join(f"case-{n // 3},{n % 3},{n}.5,{'ab'[n % 2]}\n" for n in range(20))),
        ("stamps.csv", "ds,y,weather\n" + "".join(f"2024-01-01T00:{n:02}:00Z,{n},sun\n" for n in range(20))),
        ("log.csv", "time,note,sold\n" + "".join(f"2024-01-{n:02},it rained {n},{n % 3}\n" for n in range(1, 20))),
        ("names.csv", "name,height,label\n" + "".join(f"{word},1.{n},{'ab'[n % 2]}\n" for n, word in enumerate(WORDS))),
        # What language models read.
        ("book.txt", "It was the best of times,\nit was the worst of times.\n\nThere were a king and a queen.\n"),
        ("code.py", "import os\n\nprint(os.name)\n"),
        ("options.yml", "a: 3\nb: 4\n"),
        ("empty.csv", ""),
        ("broken.jsonl", "3\n"),
        ("bytes.csv", b"\xff\xfe\x00\x01"),
    ],
)
def test_what_is_left_to_others(write: Write, name: str, content: str | bytes) -> None:
    assert glance(write(name, content)) is None


def test_books_are_no_classes(write: Write, tmp_path: Path) -> None:
    prose = "".join(f"The river ran past the mill, and somebody counted {number} boats.\n" for number in range(30))
    for author in ("austen", "dickens", "eliot"):
        write(f"flat/{author}.txt", prose)
        write(f"deep/{author}/one.txt", prose)
    assert glance(tmp_path / "flat") is None
    assert glance(tmp_path / "deep") is None
    assert glance(write("a.txt", prose), write("b.txt", prose)) is None
    assert glance(write("a.md", prose), write("a.rst", prose)) is None
    assert glance_at_texts(["-"]) is None


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_texts_with_nothing_to_learn_of_them(write: Write, name: str) -> None:
    if name == "a.jsonl":
        path = write(name, "".join(json.dumps({"id": n, "text": one}) + "\n" for n, one in enumerate(SENTENCES)))
    else:
        ids = [str(number) for number in range(len(SENTENCES))]
        path = write(name, table(ids, SENTENCES, separator="," if name == "a.csv" else "\t", header="id,text"))
        if name == "a.tsv":
            path.write_text(path.read_text().replace("id,text", "id\ttext"))
    assert glance(path) == ("alone", f"{name} has a column of text and none of numbers")


def test_a_column_that_is_named_and_not_there(write: Write) -> None:
    path = write("reviews.csv", table(SENTENCES, ["a", "b"] * 3, header="review,sentiment"))
    said = "has no column 'sentimnt', which label names; did you mean 'sentiment'\\? It has 'review', 'sentiment'\\.$"
    with pytest.raises(ColumnError, match=said):
        glance(path, label="sentimnt")
    with pytest.raises(ColumnError, match="has no column 'reviw', which text names"):
        glance(path, text="reviw", label="sentiment")
    odd = write("odd.csv", table(SENTENCES, ["one", "two"] * 3, header="words of the miller to all,about"))
    assert glance(odd, has_header="true", label="about") == (
        "labelled",
        "odd.csv has a column of text and one of 2 classes",
    )


NUMBERS = {
    "decimal commas": (";", [f"{n},5" for n in range(1, 41)]),
    "thousands": (",", [f'"{n},007"' for n in range(1, 41)]),
    "a currency": (",", [f"${n}.37" for n in range(1, 41)]),
    "shares": (",", [f"{n}.5%" for n in range(1, 41)]),
    "counted": (",", [str(n) for n in range(5, 45)]),
}


@pytest.mark.parametrize(("separator", "values"), NUMBERS.values(), ids=NUMBERS)
def test_notes_beside_what_is_measured_are_no_reason(write: Write, separator: str, values: list[str]) -> None:
    notes = [f"{SENTENCES[n % 3]} on day {'x' * n}" for n in range(40)]
    days = [str(np.datetime64("2020-01-01") + n) for n in range(40)]
    path = write(
        "notes.csv", table(days, notes, values, separator=separator, header=separator.join(("day", "note", "value")))
    )
    assert glance(path) is None
    # Columns that are there, whatever is taken for the header.
    for given in ({"label": "value"}, {"text": "note"}, {"target": "x,value"}):
        assert glance(path, **given) is None
    with pytest.raises(ColumnError, match="has no column 'nte', which text names; did you mean 'note'"):
        glance(path, text="nte")


@pytest.mark.parametrize("said", ["on", "yes", "True", "true"])
def test_whether_there_is_a_header_is_read_as_the_parser_does(write: Write, said: str) -> None:
    odd = write("odd.csv", table(SENTENCES, ["one", "two"] * 3, header="words of the miller to all,about"))
    labelled = ("labelled", "odd.csv has a column of text and one of 2 classes")
    assert glance(odd, has_header=said, label="about") == labelled
    # A name that is said is one.
    assert glance(odd, label="about") == labelled
    for no in ("off", "False", "no"):
        assert glance(odd, has_header=no, label="about") != labelled


def test_texts_that_come_again(write: Write) -> None:
    again, classes, ids = SENTENCES * 10, ["a", "b"] * 30, [str(n) for n in range(60)]
    said = ("labelled", "a.csv has a column of text and one of 2 classes")
    assert glance(write("a.csv", table(ids, again, classes, header="id,utterance,intent"))) == said
    assert glance(write("a.csv", table(again, classes, header="text,label"))) == said
    odd = write("a.csv", table(ids, again, classes, header="id,phrases,kind"))
    assert glance(odd) is None, "a tenth of them are different"
    assert glance(odd, text="phrases", label="kind") == said
    often = write("a.csv", table(ids[:18], SENTENCES * 3, classes[:18], header="id,phrases,kind"))
    assert glance(often, label="kind") == said
    # What is measured beside them makes a series of it, with what they say as a category.
    measured = write("a.csv", table(ids, again, [f"{n}.5" for n in ids], classes, header="day,text,rain,label"))
    assert glance(measured) is None
    assert glance(measured, text="text") == said


@pytest.mark.parametrize("names", [("tanaka.en", "short.ja"), ("train.en", "train.ja"), ("a.src", "b.tgt")])
def test_two_files_of_two_languages(write: Write, names: tuple[str, str]) -> None:
    paths = [write(name, "so it is\nand was\n") for name in names]
    assert glance(*paths) == ("pairs", f"the lines of {names[0]} belong to those of {names[1]}")
    assert glance(paths[0], write(f"other{paths[0].suffix}", "so\n")) is None
