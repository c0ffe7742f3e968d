"""Examples: taken, joined and checked, each with its place and its group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recur.data.texts import LabelledTextOptions, LabelledTexts, Places, TextPairs, glance_at_texts, read_labelled_texts
from recur.data.texts.examples import in_order
from recur.errors import DataError


def pairs(name: str, count: int, group: list[int] | None = None) -> TextPairs:
    return TextPairs(
        sources=tuple(f"{name} {number}" for number in range(count)),
        targets=tuple(f"{name}! {number}" for number in range(count)),
        places=Places.of(name, np.arange(1, count + 1)),
        part=("train", "test", None)[:count],
        group=None if group is None else np.array(group),
        notes=(f"of {name}", "of all"),
    )


def test_some_of_the_examples_keep_all_that_is_theirs() -> None:
    taken = pairs("a", 3, [5, 5, 7]).take([2, 0])
    assert taken.sources == ("a 2", "a 0")
    assert taken.targets == ("a! 2", "a! 0")
    assert taken.part == (None, "train")
    assert taken.group is not None
    assert taken.group.tolist() == [7, 5]
    assert [taken.places[0], taken.places[1]] == ["a, line 3", "a, line 1"]
    assert taken.of_part("train").sources == ("a 0",)
    assert len(taken.of_part("valid")) == 0
    assert repr(taken) == "TextPairs(2 pairs)"


def test_joined_examples_share_no_group() -> None:
    joined = TextPairs.joined([pairs("a", 2, [0, 0]), pairs("b", 2), pairs("c", 2, [1, 1])])
    assert joined.group is not None
    assert len(set(joined.group.tolist())) == 4
    assert joined.group[0] == joined.group[1]
    assert joined.group[4] == joined.group[5]
    assert joined.places[3] == "b, line 2"
    assert joined.notes == ("of a", "of all", "of b", "of c")


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="labels: has 1 entries, but there are 2 texts"):
        LabelledTexts(texts=("a", "b"), labels=(("x",),), places=Places.of("a", [1, 2]), part=(None, None))


def test_classes_of_numbers_are_ordered_by_size() -> None:
    assert in_order({"10", "9", "-1"}) == ("-1", "9", "10")
    assert in_order({"10", "9", "b"}) == ("10", "9", "b")


def test_a_part_that_data_and_options_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,part\nt one,x,train\nt two,y,test\n")
    with pytest.raises(DataError, match=r"a\.csv, row 2: is of the part test already, but test_data= names other data"):
        read_labelled_texts(path, LabelledTextOptions(test_data=str(path)))


def test_columns_that_are_said_tell_the_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("who,said,then\n" + "".join(f"{'xy'[n % 2]},so {n} it was,and {n} it is\n" for n in range(8)))
    kinds = []
    for given in ({"text": "said"}, {"source": "said"}, {}):
        found = glance_at_texts([path], given)
        kinds.append(None if found is None else found.kind)
    assert kinds == ["labelled", "pairs", "labelled"]
