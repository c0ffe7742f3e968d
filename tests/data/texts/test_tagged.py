"""Sentences with tags: columns of CoNLL, lists in tables, and tags that break their scheme."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.texts import TaggedTextOptions, glance_at_texts, read_tagged_sentences, split_examples
from recur.data.texts.files import start_of, start_text_of
from recur.data.texts.tag_schemes import mend_tags
from recur.errors import DataError, OptionError

Write = Callable[[str, str | bytes], Path]

NEWS = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""


def test_columns_of_conll(write: Write) -> None:
    path = write("news.conll", NEWS)
    found = read_tagged_sentences(path)
    assert found.tokens == (("EU", "rejects", "German"), ("Peter", "Blackburn"))
    assert found.tags == (("B-ORG", "O", "B-MISC"), ("B-PER", "I-PER"))
    assert found.tag_names == ("B-MISC", "B-ORG", "B-PER", "I-PER", "O")
    assert [found.places[0], found.places[1]] == [f"{path}, line 3", f"{path}, line 7"]
    assert found.notes == ("of 4 columns, tokens are in column 1 and tags in column 4",)
    by_number = read_tagged_sentences(path, TaggedTextOptions(tokens="2", tags="-2"))
    assert by_number.tokens[1] == ("NNP", "NNP")
    assert by_number.tags[1] == ("B-NP", "I-NP")


def test_tabs_separate_cells_with_blanks_in_them(write: Write) -> None:
    path = write("a.txt", "New York\tB-LOC\nis\tO\n\n\nbig\tO\n")
    found = read_tagged_sentences(path)
    assert found.tokens == (("New York", "is"), ("big",))
    assert found.tags == (("B-LOC", "O"), ("O",))


def test_universal_dependencies(write: Write) -> None:
    text = (
        "# text = vámonos al mar\n1-2\tvámonos\t_\t_\t_\n1\tvamos\tir\tVERB\t_\n2\tnos\tnosotros\tPRON\t_\n"
        "2.1\tx\t_\t_\t_\n3\t#\t#\tSYM\t_\n\n"
    )
    found = read_tagged_sentences(write("es.conllu", text))
    assert found.tokens == (("vamos", "nos", "#"),)
    assert found.tags == (("VERB", "PRON", "SYM"),)


def test_universal_dependencies_in_full(write: Write) -> None:
    """Ten columns, comments without tabs or with, of as many words as columns, and forms with blanks in them."""
    rows = [("The", "DET"), ("New York", "PROPN"), ("1 000", "NUM"), ("#", "SYM")]
    lines = [f"{number}\t{form}\t_\t{tag}\t_\t_\t0\troot\t_\t_" for number, (form, tag) in enumerate(rows, start=1)]
    comments = ["# newdoc id = a", "# sent_id = a-1", "# text = The quick brown fox jumps over dogs", "# x\t" * 9 + "x"]
    text = "\n".join([*comments, *lines, "", "# sent_id = a-2", lines[0], "", ""])
    found = read_tagged_sentences(write("en-ud-train.conllu", text))
    assert found.tokens == (("The", "New York", "1 000", "#"), ("The",))
    assert found.tags == (("DET", "PROPN", "NUM", "SYM"), ("DET",))
    assert found.places[0].endswith("line 5")
    assert found.notes == ("of 10 columns, tokens are in column 2 and tags in column 4",)
    with pytest.raises(DataError, match=r"a\.conllu: has no tokens"):
        read_tagged_sentences(write("a.conllu", "# sent_id = 1\n\n"))


def test_comments_of_other_files_are_no_tokens(write: Write) -> None:
    # With as many words as there are columns, and a tab where columns have blanks.
    text = "# id a-1\tdomain=en\nAda _ _ B-PER\n# _ _ O\n\n# text = Lee\n#1 _ _ O\nLee _ _ B-PER\n"
    found = read_tagged_sentences(write("a.conll", text))
    assert found.tokens == (("Ada", "#"), ("#1", "Lee"))
    tabs = read_tagged_sentences(write("b.conll", "# text = New York\nNew York\tB-LOC\n#\tO\n"))
    assert tabs.tokens == (("New York", "#"),)


def test_parts_by_the_names_of_files(write: Write, tmp_path: Path) -> None:
    write("d/eng.train", NEWS)
    write("d/eng.testa", "One O\n")
    write("d/eng.testb", "Two O\n\nThree O\n")
    found = read_tagged_sentences([tmp_path / f"d/eng.{part}" for part in ("train", "testa", "testb")])
    assert found.part == ("train", "train", "valid", "test", "test")
    compressed = write("e/train.conll.gz", gzip.compress(NEWS.encode()))
    assert len(read_tagged_sentences(compressed)) == 2


def test_lists_in_tables(write: Write) -> None:
    rows = [{"tokens": ["Ada", "wrote"], "ner_tags": ["B-PER", "O"]}, {"tokens": [], "ner_tags": []}]
    path = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read_tagged_sentences(path)
    assert found.tokens == (("Ada", "wrote"),)
    assert found.tags == (("B-PER", "O"),)
    assert found.places[0] == f"{path}, line 1"
    assert found.notes == (f"1 empty sentence left out, such as {path}, line 2",)
    assert str(found.roles).splitlines() == [
        "tokens  tokens    named like a tokens",
        "tags    ner_tags  named like a tags",
    ]
    frame = pl.DataFrame({"words": ["Ada  wrote", "She"], "tags": [[1, 0], [0]]})
    assert read_tagged_sentences(frame).tokens == (("Ada", "wrote"), ("She",))
    assert read_tagged_sentences(frame).tags == (("1", "0"), ("0",))
    table = read_tagged_sentences(write("a.csv", "sentence,tags\nAda wrote,B-PER O\n"))
    assert table.tags == (("B-PER", "O"),)


def test_a_sentence_of_many_tokens_is_kept_whole(write: Write) -> None:
    tokens = [f"w{number}" for number in range(100_000)]
    found = read_tagged_sentences(write("a.conll", "".join(f"{token} O\n" for token in tokens) + "\nshort O\n"))
    assert [len(one) for one in found.tokens] == [100_000, 1]
    assert found.tokens[0] == tuple(tokens)


def test_tokens_alone_for_a_trained_model(write: Write) -> None:
    lines = read_tagged_sentences(write("a.txt", "Ada wrote  it\n\nShe sang\n"), has_tags=False)
    # Each line has an answer, those without a word too.
    assert lines.tokens == (("Ada", "wrote", "it"), (), ("She", "sang"))
    assert lines.tags == (("", "", ""), (), ("", ""))
    assert lines.places[2].endswith("a.txt, line 3")
    columns = read_tagged_sentences(write("b.txt", "Ada I-PER\nwrote O\n\nShe O\n"), has_tags=False)
    assert columns.tokens == (("Ada", "wrote"), ("She",))
    assert columns.tags == (("", ""), ("",))
    single = read_tagged_sentences(write("c.conll", "Ada\nwrote\n\nShe\n"), has_tags=False)
    assert single.tokens == columns.tokens
    assert read_tagged_sentences({"tokens": [["Ada", "wrote"], ["She"]]}, has_tags=False).tokens == columns.tokens
    gap = read_tagged_sentences({"tokens": [["Ada", "wrote"], [], ["She"]]}, has_tags=False)
    assert gap.tokens == (("Ada", "wrote"), (), ("She",))
    assert gap.notes == ()


def test_a_separator_says_nothing_of_columns_and_sentences_on_lines(write: Write) -> None:
    columns, lines = write("a.conll", "Ada B-PER\nwrote O\n\nShe O\n"), write("b.txt", "Ada wrote\nShe\n")
    said = TaggedTextOptions(separator=";")
    for path, what in ((columns, "files in columns"), (lines, "sentences on lines")):
        with pytest.raises(OptionError, match=f"separator: says nothing of {what}, which the data are"):
            read_tagged_sentences(path, said, has_tags=False, tags=["O", "B-PER"])
        found = read_tagged_sentences(path, said, has_tags=False, tags=["O", "B-PER"], given=())
        assert found.tokens == (("Ada", "wrote"), ("She",))


def test_sentences_of_as_many_words_are_no_columns_to_a_model(write: Write) -> None:
    plain = write("plain.txt", "Ada left in 1801.\n\nAda sang in 1802.\n")
    found = read_tagged_sentences(plain, has_tags=False, tags=["O", "B-PER"])
    assert found.tokens[0] == ("Ada", "left", "in", "1801.")
    assert found.notes[0].startswith(f"{plain}: has a sentence on each line, as there are no tabs and no tags of the ")
    columns = read_tagged_sentences(
        write("b.txt", "Ada B-PER\nwrote O\n\nShe X\n"), has_tags=False, tags=["O", "B-PER"]
    )
    assert columns.tokens == (("Ada", "wrote"), ("She",))
    assert columns.notes == ("of 2 columns, tokens are in column 1",)
    tabs = read_tagged_sentences(write("c.txt", "Ada\tN\nwrote\tV\n\nShe\tN\n"), has_tags=False, tags=["O"])
    assert tabs.tokens == columns.tokens


@pytest.mark.parametrize("tags", [("_", "_", "_"), ("NNP", "VBD", "NNP")])
def test_files_in_columns_are_told_by_their_groups_where_their_tags_are_not_the_models(
    write: Write, tags: tuple[str, ...]
) -> None:
    first, second, third = tags
    path = write(
        "blind.txt", f"# newdoc\nAda {first}\nleft {second}\nRome {third}\n\nBo {first}\nleft {second}\n\nBo _\n"
    )

    def tokens(num_columns: int | None) -> tuple[tuple[str, ...], ...]:
        return read_tagged_sentences(path, has_tags=False, tags=["O", "B-PER"], num_columns=num_columns).tokens

    assert tokens(2) == (("Ada", "left", "Rome"), ("Bo", "left"), ("Bo",))
    # Sentences of two words are no columns to a model whose data had none, or more.
    assert tokens(None)[1:3] == tokens(4)[1:3] == (("Ada", first), ("left", second))


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("dog\tB-X\nred\tO\n", (("dog", "red"),)),
        ("dog\tB-X\n", (("dog",),)),
        ("dog B-X\nred O\n", (("dog", "red"),)),
        # Of other tags, of none, and of more columns.
        ("dog\tNOUN\nred\t_\n", (("dog", "red"),)),
        ("dog\t\nred\t\n\nBo\t\n", (("dog", "red"), ("Bo",))),
        ("dog\tN\tB-X\nred\tA\tO\n", (("dog", "red"),)),
        ("# newdoc\nNew York\tO\nBo\tO\n", (("New York", "Bo"),)),
    ],
)
def test_files_as_the_models_are_in_columns_without_empty_lines_too(
    write: Write, content: str, tokens: tuple[tuple[str, ...], ...]
) -> None:
    path = write("a.txt", content)
    found = read_tagged_sentences(path, has_tags=False, tags=["O", "B-X"], num_columns=2)
    assert found.tokens == tokens
    assert found.notes[0].endswith("tokens are in column 1")
    # A model whose data had no columns reads none, as it cannot know.
    assert len(read_tagged_sentences(path, has_tags=False, tags=["O"]).tokens) >= len(tokens)


def test_a_line_that_lacks_a_cell_is_named_among_columns(write: Write) -> None:
    path = write("a.txt", "New York\tO\nis\tO\n\nBo\n")
    with pytest.raises(DataError, match=r"a\.txt: line 4 has 1 column, but most have 2; each line must be a token"):
        read_tagged_sentences(path, has_tags=False, tags=["O"], num_columns=2)


@pytest.mark.parametrize(
    "content",
    [
        "Ada left Rome.\nBo stayed.\n",
        "Ada left\nBo stayed\n",
        # A full stop is a tag of some, and ends sentences.
        "Stop .\nGo .\n",
        "1\tAda left Rome.\n2\tBo stayed there.\n",
        "His blood group is O\n",
    ],
)
def test_lines_without_columns_are_sentences_and_noted(write: Write, content: str) -> None:
    path = write("a.txt", content)
    found = read_tagged_sentences(path, has_tags=False, tags=["O", "B-X", "."], num_columns=2)
    assert found.tokens == tuple(tuple(line.split()) for line in content.splitlines())
    assert found.notes == (f"{path}: has a sentence on each line; the name of a file in columns may end in .conll",)
    path = write("b.txt", content)
    both = read_tagged_sentences([path.with_name("a.txt"), path], has_tags=False, tags=["O"], num_columns=2)
    assert both.notes[0].startswith(f"{path.with_name('a.txt')} and others: has a sentence on each line; ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("name", ["a.tsv", "a.txt"])
@pytest.mark.parametrize("num_copies", [1, 4_000])
def test_files_in_columns_are_found_in_any_encoding(write: Write, encoding: str, name: str, num_copies: int) -> None:
    text = "Zoë\tB-PER\r\nleft\tO\r\n\r\nShe\tO\r\nsang\tO\r\n\r\n" * num_copies
    path = write(name, text.encode(encoding))
    found = read_tagged_sentences(path, TaggedTextOptions(encoding=encoding))
    assert found.tokens[:2] == (("Zoë", "left"), ("She", "sang"))
    assert len(found) == 2 * num_copies
    glance = glance_at_texts([path], {"encoding": encoding})
    assert glance is not None
    assert glance.kind == "tagged"


def test_a_byte_order_mark_tells_that_a_file_is_in_columns(write: Write) -> None:
    path = write("a.tsv", "\ufeffAda\tO\nleft\tO\n\nਊ\tB-X\n\n".encode("utf-16-be"))
    assert read_tagged_sentences(path).tokens == (("Ada", "left"), ("ਊ",))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_what_a_file_begins_with_ends_with_a_whole_line(write: Write, encoding: str) -> None:
    # The bytes of a newline stand in other characters, and across two.
    path = write("a.txt", ("ab\n" + "ਊਅ\u0100\u0a00" * 40).encode(encoding))
    start = start_of(path, encoding, 40)
    assert start.decode(encoding) == "ab\n"
    assert start_text_of(path, encoding, 40) == "ab\n"


def test_how_many_columns_there_were_is_known(write: Write) -> None:
    found = read_tagged_sentences(write("a.txt", "Ada N B-PER\nwrote V O\n\nShe N O\n"))
    assert split_examples(found, TaggedTextOptions(valid=1, test=0)).num_columns == 3
    assert read_tagged_sentences(([["Ada", "wrote"]], [["B-PER", "O"]])).num_columns is None


def test_columns_that_are_said_tell_what_the_first_line_is(write: Write) -> None:
    path = write("h.csv", "Ada,Lee\n" + "one two,O O\nthree four,O B-X\n" * 4)
    # Names that are said leave no doubt.
    named = read_tagged_sentences(path, TaggedTextOptions(tokens="Ada", tags="Lee"))
    assert len(named) == 8
    assert named.notes == ()
    columns = read_tagged_sentences(path, TaggedTextOptions(tokens="column_1", tags="column_2", has_header=False))
    assert columns.tokens[0] == ("Ada",)


def test_sentences_are_parted_by_their_tokens() -> None:
    tokens = [[f"w{number % 40}", "x"] for number in range(80)]
    split = split_examples(read_tagged_sentences((tokens, [["O", "O"]] * 80)))
    assert [split.part.count(part) for part in ("train", "valid", "test")] == [64, 8, 8]
    assert not split.notes
    data = {"tokens": [["a"], ["b"], ["c"]], "tags": [["O"], ["O"], ["B-X"]], "part": ["train", "valid", "test"]}
    assert split_examples(read_tagged_sentences(data)).notes == (
        "the tag 'B-X' does not occur in train, so that it cannot be told: 1 sentence elsewhere, such as the data, "
        "row 3",
    )


# --- tags that break their scheme ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a O\nb I-PER\n",
            r"a\.conll, line 2: the tag 'I-PER' follows 'O', but an entity begins with B-; mend it",
        ),
        (
            "a B-PER\nb O\n\nc I-PER\n",
            r"a\.conll, line 4: the tag 'I-PER' begins a sentence, but an entity begins",
        ),
        ("a B-PER\nb I-LOC\n", r"a\.conll, line 2: the tag 'I-LOC' follows 'B-PER', but an entity begins"),
        ("a S-PER\nb B-LOC\nc O\n", r"a\.conll, line 2: the tag 'B-LOC' asks for more of its entity, but none follows"),
        (
            "a U-PER\nb L-LOC\nc B-X\nd L-X\n",
            r"a\.conll, line 2: the tag 'L-LOC' follows 'U-PER', but an entity",
        ),
    ],
)
def test_tags_that_break_their_scheme_are_named(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_tagged_sentences(write("a.conll", content))


def test_in_a_table_the_token_is_named(write: Write) -> None:
    path = write("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["b", "c"], "tags": ["O", "I-X"]}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2, token 2: the tag 'I-X' follows 'O'"):
        read_tagged_sentences(path)


@pytest.mark.parametrize(
    ("tags", "mended"),
    [
        ("O I-PER I-PER", "O B-PER I-PER"),
        ("I-PER I-LOC B-LOC I-LOC", "B-PER B-LOC B-LOC I-LOC"),
        ("B-PER I-PER O I-PER", "B-PER I-PER O B-PER"),
        # IOBES and BILOU: an end is put to what has none.
        ("B-PER O S-LOC E-LOC", "S-PER O S-LOC S-LOC"),
        ("B-PER I-PER B-PER E-PER", "B-PER E-PER B-PER E-PER"),
        ("I-PER I-PER L-PER U-X", "B-PER I-PER L-PER U-X"),
    ],
)
def test_tags_are_mended_as_conlleval_reads_them(tags: str, mended: str) -> None:
    words = [f"w{number}" for number in range(len(tags.split()))]
    found = read_tagged_sentences(([words], [tags.split()]), TaggedTextOptions(repair=True))
    assert " ".join(found.tags[0]) == mended
    assert "that broke the scheme mended, such as the data, row 1, token" in found.notes[-1]


def conlleval_entities(tags: list[str]) -> list[tuple[int, int, str]]:
    """The entities by the rules of the script conlleval, token by token."""
    found, begin, before, kind_before = [], None, "O", ""
    for number, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        ends = before in "ESLU" or (before in "BI" and letter in "BSUO") or (before != "O" and kind != kind_before)
        starts = letter in "BSU" or (letter in "EIL" and (before in "ESLUO" or kind != kind_before))
        if begin is not None and ends:
            found.append((begin, number, kind_before))
            begin = None
        if starts and letter != "O":
            begin = number
        before, kind_before = letter, kind
    return found


@settings(max_examples=150, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y", "E-X", "S-Y"]), min_size=1, max_size=8), min_size=1
    ),
    has_ends=st.booleans(),
)
def test_mending_keeps_the_entities_and_is_done_once(sentences: list[list[str]], has_ends: bool) -> None:
    if not has_ends:
        sentences = [[tag.replace("E-", "I-").replace("S-", "B-") for tag in tags] for tags in sentences]
    flat = np.array([tag for tags in sentences for tag in tags], object)
    lengths = np.array([len(tags) for tags in sentences])
    starts = np.cumsum(lengths) - lengths
    mended, _ = mend_tags(flat, starts, str, repair=True)
    for start, length, tags in zip(starts, lengths, sentences, strict=True):
        own = mended[start : start + length].tolist()
        assert conlleval_entities(own) == conlleval_entities(tags)
    again, notes = mend_tags(mended, starts, str, repair=False)
    assert again.tolist() == mended.tolist()
    assert notes == []


def test_a_slip_that_hides_a_scheme_is_noted(write: Write) -> None:
    lines = ["Ada B-PER\nLee I-PER\nleft O\n" for _ in range(30)]
    lines[7] = "Ada B-\nLee B-PER\nleft O\n"
    path = write("a.conll", "\n".join(lines))
    said = "tags are told one by one, and not as entities, for 1 tag of 60 is of no scheme, such as 'B-', "
    assert read_tagged_sentences(path).notes[-1] == f"{said}{path}, line 29"
    # As many as that are meant.
    path = write("b.conll", "\n".join("Ada B-PER\nLee I-PER\nleft VERB\n" for _ in range(30)))
    assert not any("scheme" in note for note in read_tagged_sentences(path).notes)


def test_tags_of_no_scheme_are_left_alone(write: Write) -> None:
    text = "a NN\nb I-PER\nc B-\n"
    assert read_tagged_sentences(write("a.conll", text)).tags == (("NN", "I-PER", "B-"),)


# --- bad input ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a O\nb X O\nc O\n",
            r"a\.conll: line 2 has 3 columns, but most have 2; each line must be",
        ),
        ("alone\ntoo\n", r"a\.conll: has a single column; each line must be a token and its tag"),
        ("-DOCSTART- O\n\n", r"a\.conll: has no tokens; give a file with a token and its tag on each line"),
        ("\n\n", r"a\.conll: is empty"),
        (b"a O\n\xff O\n", r"a\.conll: is not utf-8: line 2 has the byte 0xff; name the encoding"),
    ],
)
def test_what_is_no_file_in_columns_is_refused(write: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_tagged_sentences(write("a.conll", content))


def test_columns_that_are_not_there_are_refused(write: Write) -> None:
    path = write("a.conll", "a O\nb O\n")
    with pytest.raises(OptionError, match=r"tags: there is no column 3 in .*a\.conll; tags= takes one from 1 to 2"):
        read_tagged_sentences(path, TaggedTextOptions(tags="3"))
    with pytest.raises(OptionError, match=r"tokens: 'form' is no number, but columns of .*a\.conll have no names"):
        read_tagged_sentences(path, TaggedTextOptions(tokens="form"))


def test_lists_of_other_lengths_or_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="the data, row 2: has 2 tokens, but 1 tag; give a tag for each"):
        read_tagged_sentences(([["a"], ["b", "c"]], [["O"], ["O"]]))
    with pytest.raises(DataError, match="the data, row 1: one of its tags is missing; give a text for each"):
        read_tagged_sentences(([["a", "b"]], [["O", None]]))
    with pytest.raises(DataError, match="the data: all of its sentences are empty"):
        read_tagged_sentences({"tokens": ["", " "], "tags": ["", ""]})
    with pytest.raises(DataError, match=r"the data: no column has the tags; it has 'tokens', 'n'\. Name one"):
        read_tagged_sentences({"tokens": [["a"]], "n": [1]})
