"""Parts that are drawn, or that the data name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.texts import (
    LabelledTexts,
    Places,
    TextOptions,
    TextPairs,
    read_labelled_texts,
    read_pairs,
    read_tagged_sentences,
    split_examples,
)
from recur.errors import DataError, OptionError


def labelled(texts: list[str], labels: list[str | None], part: list[str | None] | None = None) -> LabelledTexts:
    found = tuple(None if label is None else (label,) for label in labels)
    return LabelledTexts(
        texts=tuple(texts),
        labels=found,
        classes=tuple(sorted({label for label in labels if label is not None})),
        places=Places.of("a.csv", np.arange(1, len(texts) + 1), "row"),
        part=tuple(part or [None] * len(texts)),  # type: ignore[arg-type]
    )


def sizes(examples: LabelledTexts | TextPairs) -> list[int]:
    return [examples.part.count(part) for part in ("train", "valid", "test")]


def test_each_class_has_its_share_of_each_part() -> None:
    labels = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    split = split_examples(labelled([f"text {number}" for number in range(1000)], labels))
    assert sizes(split) == [800, 100, 100]
    for part in ("valid", "test"):
        count = Counter(split.of_part(part).labels)
        # Each class within one text of its share, which the two drawings round once each.
        for label, share in (("a", 70), ("b", 20), ("c", 10)):
            assert abs(count[(label,)] - share) <= 2, (part, count)


def test_the_seed_says_what_is_drawn() -> None:
    examples = labelled([f"text {number}" for number in range(100)], ["a", "b"] * 50)
    assert split_examples(examples, seed=3).part == split_examples(examples, seed=3).part
    assert split_examples(examples, seed=3).part != split_examples(examples, seed=4).part


def test_a_number_of_examples_can_be_asked_for() -> None:
    examples = labelled([f"text {number}" for number in range(100)], ["a", "b"] * 50)
    assert sizes(split_examples(examples, TextOptions(valid=7, test=23))) == [70, 7, 23]
    assert sizes(split_examples(examples, TextOptions(valid=0.25, test=0))) == [75, 25, 0]


def test_every_class_is_learned() -> None:
    labels = ["often"] * 97 + ["once", "twice", "twice"]
    for seed in range(20):
        split = split_examples(labelled([f"text {number}" for number in range(100)], labels), seed=seed)
        assert {label for one in split.of_part("train").labels if one for label in one} == {"often", "once", "twice"}


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("abc", min_size=1, max_size=2), min_size=12, max_size=60),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_the_same_text_is_never_in_two_parts(texts: list[str], seed: int, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from("xyz"), min_size=len(texts), max_size=len(texts)))
    if len(set(texts)) < 4:
        texts = [f"{text}{number % 4}" for number, text in enumerate(texts)]
    split = split_examples(labelled(texts, list(labels)), TextOptions(valid=0.2, test=0.2), seed=seed)
    parts: dict[str, set[str | None]] = {}
    for text, part in zip(split.texts, split.part, strict=True):
        parts.setdefault(text, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    assert min(sizes(split)) > 0
    assert not any("stand" in note for note in split.notes)


def test_a_conversation_stays_in_one_part() -> None:
    count = 60
    pairs = TextPairs(
        sources=tuple(f"turn {number}" for number in range(count)),
        targets=tuple(f"turn {number + 1}" for number in range(count)),
        places=Places.of("a.yml", np.arange(count)),
        part=(None,) * count,
        group=np.arange(count) // 3,
    )
    split = split_examples(pairs, TextOptions(valid=6, test=6))
    by_group: dict[int, set[str | None]] = {}
    for group, part in zip(np.arange(count) // 3, split.part, strict=True):
        by_group.setdefault(int(group), set()).add(part)
    assert all(len(found) == 1 for found in by_group.values())
    assert set(split.part) == {"train", "valid", "test"}
    # Two conversations that begin alike go together, and with them those that are like either.
    chained = replace(pairs, sources=("turn 3", *pairs.sources[1:6], "turn 4", *pairs.sources[7:]))
    for seed in range(8):
        assert len(set(split_examples(chained, TextOptions(valid=6, test=6), seed=seed).part[:9])) == 1


def test_what_the_data_say_is_kept_and_what_they_lack_is_drawn_from_train() -> None:
    part = ["train"] * 90 + ["test"] * 10
    split = split_examples(labelled([f"text {number}" for number in range(100)], ["a", "b"] * 50, part))
    assert split.part[90:] == ("test",) * 10
    assert sizes(split) == [81, 9, 10]
    with pytest.raises(OptionError, match=r"test: is 0\.2, but the data say themselves what is of the part test"):
        split_examples(split, TextOptions(test=0.2))


def test_texts_in_two_parts_are_noted() -> None:
    texts = ["so good", "so bad", "fine", "so good", "so good"]
    split = split_examples(labelled(texts, ["a", "b", "a", "a", "b"], ["train", "train", "valid", "test", "test"]))
    assert split.notes == (
        "2 of the 2 texts of test stand in train too, such as a.csv, row 4 and a.csv, row 1: 'so good'",
    )


def test_pairs_with_one_source_in_two_parts_are_noted(tmp_path: Path) -> None:
    # What they become counts for nothing: the answer to the same question would be known by heart.
    rows = {
        "train": ["Hi\tHallo", "Bye\tTsch\u00fcss", "Hi\tServus"],
        "dev": ["Well\tNa", "Bye\tAde"],
        "test": ["Hi\tMoin", "Why\tWarum"],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.tsv").write_text("en\tde\n" + "\n".join(lines) + "\n", encoding="utf-8")
    split = split_examples(read_pairs(tmp_path))
    train, dev, test = (tmp_path / f"{name}.tsv" for name in rows)
    assert [note for note in split.notes if " too, " in note] == [
        f"1 of the 2 pairs of {part} stands in train too, by their source, such as {where} and {train}, {row}"
        for part, where, row in (("test", f"{test}, row 1", "row 1: 'Hi'"), ("valid", f"{dev}, row 2", "row 2: 'Bye'"))
    ]


def test_sentences_in_two_parts_are_noted_whatever_their_tags(tmp_path: Path) -> None:
    sentences = {
        "train": ["Ada B-PER\nleft O", "Rome B-LOC"],
        "dev": ["Ada O\nleft O"],
        "test": ["Ada B-PER", "Ada B-PER\nleft O", "Rome O", "left O"],
    }
    for name, blocks in sentences.items():
        (tmp_path / f"{name}.conll").write_text("\n\n".join(blocks) + "\n")
    split = split_examples(read_tagged_sentences(tmp_path))
    train, dev, test = (tmp_path / f"{name}.conll" for name in sentences)
    assert [note for note in split.notes if " too, " in note] == [
        f"2 of the 4 sentences of test stand in train too, such as {test}, line 3 and {train}, line 1: 'Ada left'",
        f"1 of the 4 sentences of test stands in valid too, such as {test}, line 3 and {dev}, line 1: 'Ada left'",
        f"1 of the 1 sentence of valid stands in train too, such as {dev}, line 1 and {train}, line 1: 'Ada left'",
    ]


def test_a_class_that_is_only_judged_on_is_noted() -> None:
    texts = [f"text {number}" for number in range(5)]
    split = split_examples(labelled(texts, ["a", "a", "b", "c", "c"], ["train", "valid", "train", "test", "test"]))
    assert split.notes[-1] == (
        "the class 'c' does not occur in train, so that it cannot be told: 2 texts elsewhere, such as a.csv, row 4"
    )


def test_texts_without_a_class_are_left_out() -> None:
    examples = labelled([f"text {number}" for number in range(30)], ["a", "b", None] * 10)
    split = split_examples(examples)
    assert len(split) == 20
    assert split.notes == ("10 texts without a class left out, such as a.csv, row 3",)
    with pytest.raises(DataError, match=r"a\.csv, row 1: has no class, nor has any other text"):
        split_examples(labelled(["t one"], [None]))


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.csv: has 2 texts to draw from, of which 1 for valid and 1 for test would"):
        split_examples(labelled(["t one", "t two"], ["a", "b"]))
    with pytest.raises(DataError, match="has 20 texts to draw from, of which 2 for valid and 30 for test would leave"):
        split_examples(labelled([f"text {number}" for number in range(20)], ["a", "b"] * 10), TextOptions(test=30))
    with pytest.raises(DataError, match=r"a\.csv, row 1: no text is left to learn from; give some of the part train"):
        split_examples(labelled(["t one", "t two"], ["a", "b"], ["valid", "test"]))


def test_texts_that_are_all_alike_cannot_be_parted() -> None:
    with pytest.raises(DataError, match=r"a\.csv: its 30 texts are too alike to be parted, as what has one text"):
        split_examples(labelled(["hello", "bye"] * 15, ["a", "b"] * 15))
    split = split_examples(labelled(["hello", "bye", "well"] * 10, ["a", "a", "b"] * 10))
    assert sizes(split) == [10, 10, 10]


def test_doubled_texts_of_a_table_are_drawn_together() -> None:
    texts = [f"text {number % 50}" for number in range(100)]
    split = split_examples(read_labelled_texts((texts, ["a", "b"] * 50)))
    assert not split.notes
    assert sizes(split) == [80, 10, 10]
