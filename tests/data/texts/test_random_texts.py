"""Whatever is in a table or a file, it is read back as it was written, or refused in one clear line."""

from __future__ import annotations

import csv
import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recur.data.texts import (
    LabelledTextOptions,
    PairOptions,
    glance_at_texts,
    read_labelled_texts,
    read_pairs,
    read_tagged_sentences,
)
from recur.errors import DataError, OptionError

ANYTHING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Of all planes, but for what no text file has: halves of pairs, and NUL.
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0\r")
TEXTS = st.text(CHARACTERS, min_size=1, max_size=30).filter(lambda text: text.strip() != "")
LABELS = st.text(string.ascii_lowercase, min_size=1, max_size=5)


@ANYTHING
@given(texts=st.lists(TEXTS, min_size=4, max_size=12), names=st.lists(LABELS, min_size=2, max_size=2, unique=True))
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, kind: str, texts: list[str], names: list[str]) -> None:
    # Between tabs, what a cell of several lines with tabs holds may as well be cells of what somebody says.
    assume(kind != "tsv" or not any("\t" in text and "\n" in text for text in texts))
    labels = [names[number % 2] for number in range(len(texts))]
    path = tmp_path / f"a.{kind}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            file.writelines(json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(texts, labels, strict=True))
        else:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t", lineterminator="\n")
            writer.writerows([("text", "label"), *zip(texts, labels, strict=True)])
    separator = None if kind == "jsonl" else "tab" if kind == "tsv" else ","
    options = LabelledTextOptions(
        text="text", label="label", separator=separator, label_separator="", has_header=separator and True
    )
    found = read_labelled_texts(path, options)
    assert found.texts == tuple(texts)
    assert found.labels == tuple((label,) for label in labels)


@ANYTHING
@given(lines=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=10))
def test_parallel_files_are_read_as_they_were_written(tmp_path: Path, lines: list[tuple[str, str]]) -> None:
    # A line is what ends in a newline; other characters that part lines elsewhere stay in it.
    pairs = [(one.replace("\n", " ").strip(), other.replace("\n", " ").strip()) for one, other in lines]
    for name, texts in zip(("a.en", "a.de"), zip(*pairs, strict=True), strict=True):
        (tmp_path / name).write_text("".join(text + "\n" for text in texts), encoding="utf-8", newline="")
    found = read_pairs([tmp_path / "a.en", tmp_path / "a.de"], PairOptions(source="en"))
    expected = [(one.removeprefix("\ufeff"), other.removeprefix("\ufeff")) for one, other in pairs[:1]] + pairs[1:]
    assert list(zip(found.sources, found.targets, strict=True)) == [
        (one.strip(), other.strip()) for one, other in expected if one.strip() and other.strip()
    ]


@ANYTHING
@given(
    sentences=st.lists(
        st.lists(st.tuples(st.text("abc#-0", min_size=1, max_size=4), st.sampled_from("XYZ")), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_columns_are_read_as_they_were_written(tmp_path: Path, sentences: list[list[tuple[str, str]]]) -> None:
    path = tmp_path / "a.conll"
    path.write_text("\n".join("".join(f"{token} {tag}\n" for token, tag in one) for one in sentences))
    found = read_tagged_sentences(path)
    assert found.tokens == tuple(tuple(token for token, _ in one) for one in sentences)
    assert found.tags == tuple(tuple(tag for _, tag in one) for one in sentences)


@ANYTHING
@given(
    content=st.one_of(st.binary(max_size=120), st.text(st.sampled_from('ab,;\t\n"{}[]:1 é-'), max_size=120)),
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.yml", "a.conll", "a.parquet", "a.csv.gz"]),
)
def test_any_file_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes | str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    for read in (read_labelled_texts, read_pairs, read_tagged_sentences):
        said = "read"
        try:
            assert len(read(path)) > 0
        except (DataError, OptionError) as error:
            said = str(error)
        assert said.splitlines() == [said]
    glance_at_texts([path])
