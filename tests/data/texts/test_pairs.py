"""Pairs of texts: from parallel files, tables, lines of commands and conversations."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recur.data.texts import PairOptions, TextPairs, read_pairs, split_examples
from recur.errors import DataError, OptionError

Write = Callable[[str, str | bytes], Path]


def as_pairs(pairs: TextPairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


EXPECTED = [("good day", "guten Tag"), ("thanks", "danke"), ("see you", "bis bald")]
ENGLISH, GERMAN = ("".join(text + "\n" for text in texts) for texts in zip(*EXPECTED, strict=True))


# --- parallel files ---


def test_two_files_by_their_endings(write: Write) -> None:
    one, other = write("train.en", ENGLISH), write("train.de", GERMAN)
    pairs = read_pairs([one, other])
    assert as_pairs(pairs) == EXPECTED
    assert pairs.part == (None,) * 3
    assert pairs.places[1] == f"{one}, line 2"
    assert pairs.notes == ("the lines of train.en belong to those of train.de",)
    assert as_pairs(read_pairs([other, one])) == [(target, source) for source, target in EXPECTED]
    assert as_pairs(read_pairs([other, one], PairOptions(source="en"))) == EXPECTED


def test_a_folder_of_parallel_files_for_each_part(write: Write, tmp_path: Path) -> None:
    write("d/train.en.gz", gzip.compress(ENGLISH.encode()))
    write("d/train.de.gz", gzip.compress(GERMAN.encode()))
    for part in ("dev", "test"):
        write(f"d/{part}.en", f"{part}\n")
        write(f"d/{part}.de", f"{part}!\n")
    write("d/README.md", "What this is.")
    pairs = read_pairs(tmp_path / "d", PairOptions(source="en", target="de"))
    assert as_pairs(pairs.of_part("train")) == EXPECTED
    assert as_pairs(pairs.of_part("valid")) == [("dev", "dev!")]
    assert as_pairs(pairs.of_part("test")) == [("test", "test!")]
    # By the names of the files, German comes first.
    assert as_pairs(read_pairs(tmp_path / "d").of_part("test")) == [("test!", "test")]


def test_files_of_other_parts_that_lie_beside_are_told(write: Write, tmp_path: Path) -> None:
    named = [write("d/train.en", ENGLISH), write("d/train.de", GERMAN)]
    dev = [write("d/dev.en", "one\n"), write("d/dev.de", "eins\n")]
    # Without one to belong to, it is nothing that could be used.
    write("d/test.en", "two\n")
    note = "dev.de and dev.en beside train.en not used; name them too, or their folder, to choose and to judge by them"
    assert read_pairs(named).notes == ("the lines of train.en belong to those of train.de", note)
    valid = PairOptions(valid_data=",".join(map(str, dev)))
    for pairs in (read_pairs(named, valid), read_pairs([*named, *dev]), read_pairs(dev)):
        assert not any("beside" in text for text in pairs.notes)


def test_columns_of_other_data_that_are_called_otherwise_are_noted(write: Write) -> None:
    train = write("train.tsv", "english\tgerman\ngood day\tguten Tag\nthank you\tvielen Dank\n")
    dev = write("dev.tsv", "question\tanswer\ngood night\tgute Nacht\nso it is\tso ist es\n")
    notes = read_pairs(train, PairOptions(valid_data=str(dev))).notes
    for name, role, own in (("question", "source", "english"), ("answer", "target", "german")):
        said = f"{dev}: column {name!r} is taken for the {role} "
        assert [note.endswith(f", as none is called {own!r} as in DATA") for note in notes if said in note] == [True]


def test_files_named_by_their_side_first(write: Write, tmp_path: Path) -> None:
    write("d/src-train.txt", ENGLISH)
    write("d/tgt-train.txt", GERMAN)
    write("d/src-val.txt", "one\n")
    write("d/tgt-val.txt", "eins\n")
    pairs = read_pairs(tmp_path / "d")
    assert as_pairs(pairs.of_part("train")) == EXPECTED
    assert as_pairs(pairs.of_part("valid")) == [("one", "eins")]


def test_misaligned_files_name_both_counts(write: Write) -> None:
    one, other = write("train.en", ENGLISH), write("train.de", GERMAN + "mehr\n")
    with pytest.raises(DataError, match=r"train\.en has 3 lines, but .*train\.de has 4; each line of one must"):
        read_pairs([one, other])


def test_a_part_without_its_other_file_is_refused(write: Write, tmp_path: Path) -> None:
    for name, text in (("train.en", ENGLISH), ("train.de", GERMAN), ("test.en", "one\n")):
        write(f"d/{name}", text)
    with pytest.raises(DataError, match=r"test\.en: has no other file beside it whose lines belong to its lines"):
        read_pairs(tmp_path / "d")


def test_two_files_of_one_kind_are_not_taken_for_each_other(write: Write) -> None:
    files = [write(f"{folder}/train.{side}", "one\n") for folder in "ab" for side in ("en", "de")]
    with pytest.raises(DataError, match=r"b/train\.en is of the same part and side as .*a/train\.en; join the two"):
        read_pairs(files)


def test_an_ending_that_no_file_has_is_refused(write: Write) -> None:
    files = [write("train.en", ENGLISH), write("train.de", GERMAN)]
    with pytest.raises(DataError, match=r"source: 'fr' is how none of the files are called; they are '\.en', '\.de'"):
        read_pairs(files, PairOptions(source="fr"))


def test_other_data_for_a_part_are_two_files_too(write: Write) -> None:
    files = [write("a.en", ENGLISH), write("a.de", GERMAN)]
    others = f"{write('b.en', 'one')}, {write('b.de', 'eins')}"
    pairs = read_pairs(files, PairOptions(test_data=others))
    assert as_pairs(pairs.of_part("test")) == [("one", "eins")]
    with pytest.raises(DataError, match=r"d\.en: has one text on each line; give the file of the texts that belong to"):
        read_pairs(write("d.en", ENGLISH))
    with pytest.raises(DataError, match=r"d\.en: .* that belong to them behind it, with a comma between, or a table"):
        read_pairs(files, PairOptions(test_data=str(write("d.en", ENGLISH))))


def test_sources_alone_for_a_trained_model(write: Write) -> None:
    lines = read_pairs(write("a.txt", ENGLISH), has_targets=False)
    assert as_pairs(lines) == [(source, "") for source, _ in EXPECTED]
    assert lines.places[1].endswith("a.txt, line 2")
    assert read_pairs({"source": ["a b", " ", "c"], "n": [1, 2, 3]}, has_targets=False).sources == ("a b", " ", "c")
    both = read_pairs({"source": ["a b", "c"], "target": ["x", "y"]}, has_targets=False)
    assert both.targets == ("", "")
    with pytest.raises(DataError, match="the data: column 'target', which is to be the target, is empty"):
        read_pairs({"source": ["a b", "c"], "target": ["", " "]})


def test_sources_in_columns_for_a_trained_model_are_read_from_them(write: Write) -> None:
    path = write("fra.txt", "Go.\tVa !\tby a\nRun!\tCours !\tby b\nWho?\tQui ?\tby c\n")
    trained = read_pairs(path)
    again = read_pairs(path, roles=trained.roles, has_targets=False)
    assert (again.sources, again.targets) == (trained.sources, ("", "", ""))
    alone = read_pairs(write("new.txt", "Go.\nRun!\n"), roles=trained.roles, has_targets=False)
    assert alone.sources == ("Go.", "Run!")


def test_sources_in_columns_need_no_tabs(write: Write) -> None:
    trained = read_pairs(write("a.csv", "source,target\nja,yes\nnein,no\n"))
    said = PairOptions(separator=",")
    columns = write("c.txt", "ja, eins\nnein, zwei\n")
    assert read_pairs(columns, said, roles=trained.roles, has_targets=False).sources == ("ja", "nein")
    assert read_pairs(columns, said).targets == (" eins", " zwei")
    lines = read_pairs(columns, said, roles=trained.roles, has_targets=False, given=())
    assert lines.sources == ("ja, eins", "nein, zwei")
    named = read_pairs(write("n.txt", "source,target\ndrei vier,three four\n"), roles=trained.roles, has_targets=False)
    assert named.sources == ("drei vier",)
    assert named.notes[-1].endswith("n.txt: taken for a table, as its first line names columns of the run's data")


def test_a_file_alone_of_one_language_has_a_source_on_each_line(write: Write) -> None:
    pairs = read_pairs([write("train.en", ENGLISH), write("train.ja", GERMAN)])
    found = read_pairs(write("new.en", "one, two\nthree\n"), roles=pairs.roles, has_targets=False)
    assert (found.sources, found.targets) == (("one, two", "three"), ("", ""))


def test_lines_that_are_empty_on_one_side_are_left_out(write: Write) -> None:
    pairs = read_pairs([write("a.en", "one\n\nthree\n \n"), write("a.de", "eins\nzwei\ndrei\nvier\n")])
    assert as_pairs(pairs) == [("one", "eins"), ("three", "drei")]
    assert pairs.notes[-1].startswith("2 empty pairs left out, such as ")
    assert pairs.notes[-1].endswith("a.en, line 2")


def test_wrong_bytes_name_the_file_the_line_and_the_byte(write: Write) -> None:
    files = [write("a.en", "cafe\n"), write("a.fr", "caf\u00e9\n".encode("latin-1"))]
    with pytest.raises(DataError, match=r"a\.fr: is not utf-8: line 1 has the byte 0xe9; name the encoding, such as"):
        read_pairs(files)


# --- tables ---


def test_a_table_without_a_header(write: Write) -> None:
    path = write("fre_train.tsv", "\u00e0\ta\nabaissa\ta b \u025b s a\nto\tt o\n")
    pairs = read_pairs(path)
    assert as_pairs(pairs) == [("\u00e0", "a"), ("abaissa", "a b \u025b s a"), ("to", "t o")]
    assert pairs.roles is not None
    assert pairs.roles.columns == {"source": "column_1", "target": "column_2"}


def test_columns_by_name_and_others_ignored(write: Write) -> None:
    rows = [{"id": n, "question": one, "answer": other} for n, (one, other) in enumerate(EXPECTED)]
    path = write("qa.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(path)
    assert as_pairs(pairs) == EXPECTED
    assert pairs.notes == (f"1 column of {path} ignored: 'id'",)
    backwards = read_pairs(path, PairOptions(source="answer", target="question"))
    assert backwards.sources == pairs.targets
    with pytest.raises(DataError, match=r"qa\.jsonl: has no column 'ansver', which source names; did you mean"):
        read_pairs(path, PairOptions(source="ansver"))


def test_dataframes_and_lists() -> None:
    frame = pl.DataFrame({"en": [one for one, _ in EXPECTED], "de": [other for _, other in EXPECTED]})
    assert as_pairs(read_pairs(frame)) == EXPECTED
    assert as_pairs(read_pairs((frame["en"].to_list(), frame["de"].to_list()))) == EXPECTED


def test_a_table_of_one_column_is_refused() -> None:
    with pytest.raises(DataError, match="the data: pairs need two columns of text, but no column is left for target"):
        read_pairs({"source": ["a b", "c"], "n": [1, 2]})


# --- lines of commands ---


def test_lines_of_commands(write: Write, tmp_path: Path) -> None:
    write("d/tasks_train.txt", "IN: jump twice OUT: I_JUMP I_JUMP\nIN: walk OUT: I_WALK\n")
    write("d/tasks_test.txt", "IN: jump OUT: I_JUMP\n")
    pairs = read_pairs(tmp_path / "d")
    assert as_pairs(pairs.of_part("train")) == [("jump twice", "I_JUMP I_JUMP"), ("walk", "I_WALK")]
    assert as_pairs(pairs.of_part("test")) == [("jump", "I_JUMP")]
    path = write("e.txt", "IN: jump OUT: I_JUMP\n\nIN: walk\n")
    with pytest.raises(DataError, match=r"e\.txt: line 3 is 'IN: walk', but expected IN: \.\.\. OUT: \.\.\."):
        read_pairs(path)


# --- conversations ---

TALK = """
categories: [greetings]
conversations:
- - Hello!
  - Hi,  there.
  - How are you?
- - What: a turn with a colon
  - 42
- Nobody answers
"""


@pytest.mark.parametrize(
    ("name", "first", "is_header", "is_told"),
    [
        ("a.tsv", "one\teins", False, True),
        ("a.tsv", "english\tgerman", True, False),
        ("a.tsv", "english\tnorwegian", False, True),
        ("a.csv", "english,norwegian", True, True),
        ("a.csv", "hello,hallo", False, True),
        # A pair of a dictionary, though columns are called to as well.
        ("a.csv", "to,zu", False, True),
        ("a.csv", "source,target", True, False),
        ("a.csv", "dog,hund", False, False),
        ("a.tsv", "it's\tes ist", False, False),
    ],
)
def test_the_first_of_two_columns_of_words(write: Write, name: str, first: str, is_header: bool, is_told: bool) -> None:
    cut = "," if name == "a.csv" else "\t"
    words = ["house", "door", "red", "green", "old", "new", "cat", "dog"]
    path = write(name, "\n".join([first, *(f"{word}{cut}{word}en" for word in words), f"dogs{cut}hund"]) + "\n")
    found = read_pairs(path)
    assert len(found) == 10 - is_header
    cells = " and ".join(map(repr, first.split(cut)))
    taken, instead = ("names the columns", False) if is_header else ("is a row like others", True)
    note = f"the first line of {path}, {cells}, {taken}; give has_header={instead} if it "
    assert [one.startswith(note) for one in found.notes] == [True] * is_told
    for header in (True, False):
        said = read_pairs(path, PairOptions(has_header=header))
        assert (len(said), said.notes) == (10 - header, ())


def test_a_word_over_sentences_is_their_name(write: Write) -> None:
    rows = [f"the house number {n}\tdas Haus mit Nummer {n}" for n in range(60)]
    path = write("a.tsv", "\n".join(["engels\tduits", *rows]) + "\n")
    found = read_pairs(path)
    assert (len(found), found.roles.columns) == (60, {"source": "engels", "target": "duits"})  # type: ignore[union-attr]
    assert any("'engels' and 'duits', names the columns; give has_header=False" in note for note in found.notes)
    for first in ("Hi.\tHallo.", "engels\tdas ist"):
        assert len(read_pairs(write("b.tsv", "\n".join([first, *rows]) + "\n"))) == 61
    some = [*rows, "yes\tja", "no\tnein"]
    assert len(read_pairs(write("c.tsv", "\n".join(["hello\thallo", *some]) + "\n"))) == 63


def test_conversations_of_yaml(write: Write) -> None:
    path = write("greetings.yml", TALK)
    pairs = read_pairs(path)
    assert as_pairs(pairs) == [
        ("Hello!", "Hi, there."),
        ("Hi, there.", "How are you?"),
        ("What: a turn with a colon", "42"),
    ]
    assert pairs.group is not None
    assert pairs.group.tolist() == [0, 0, 1]
    assert pairs.places[2] == f"{path}, conversation 2"
    assert pairs.notes == (
        f"1 conversation without an answer left out, such as {path}, conversation 3",
        "2 conversations; each turn but the first is an answer to the turn before it",
    )
    assert read_pairs(path, PairOptions(history=2)).sources[1] == "Hello!\nHi, there."
    with pytest.raises(OptionError, match="source: says nothing of conversations, which the data are"):
        read_pairs(path, PairOptions(source="x"))


def test_conversations_of_json(write: Write) -> None:
    rows = [{"turns": ["a b", "c d", "e f"]}, {"turns": ["g h", "i j"]}]
    path = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert as_pairs(read_pairs(path)) == [("a b", "c d"), ("c d", "e f"), ("g h", "i j")]
    rows = [{"messages": [{"role": "user", "content": "a b"}, {"role": "bot", "content": "c d"}]}]
    pairs = read_pairs(write("b.jsonl", json.dumps(rows[0]) + "\n"))
    assert as_pairs(pairs) == [("a b", "c d")]
    assert pairs.places[0].endswith("b.jsonl, line 1")


def test_conversations_of_several_files_stay_apart(write: Write, tmp_path: Path) -> None:
    for number in range(3):
        talk = [[f"ask {number} {turn}", f"say {number} {turn}", f"so {number} {turn}"] for turn in range(10)]
        write(f"d/{number}.yml", json.dumps(talk))
    pairs = read_pairs(tmp_path / "d")
    assert pairs.group is not None
    assert len(pairs) == 60
    assert len(set(pairs.group.tolist())) == 30
    split = split_examples(pairs)
    assert [split.part.count(part) for part in ("train", "valid", "test")] == [48, 6, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- [a, b", r"a\.yml: is no sound YAML in line 2"),
        ("a: 3", r"a\.yml: has no conversations; expected a list of them"),
        ("- - a\n  - [b]\n", r"a\.yml, conversation 1: turn 2 is a list, but expected a text"),
        ("- 3\n", r"a\.yml, conversation 1: is 3, but expected a list of turns"),
        ("- - a\n- - b\n", r"a\.yml: no conversation has two turns, so that nothing is answered"),
    ],
)
def test_what_is_no_conversation_is_refused(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(write("a.yml", content))
