"""What rules write, and the texts that are nearest to others."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from recur.data.texts.examples import TextPairs
from recur.data.texts.pairs import read_pairs
from recur.tasks.translate import nearest
from recur.tasks.translate.baselines import baselines_for
from recur.tasks.translate.nearest import NearestText


def pairs(*rows: tuple[str, str]) -> TextPairs:
    return read_pairs(([source for source, _ in rows], [target for _, target in rows]))


def test_what_each_rule_writes() -> None:
    train = pairs(
        ("good day", "guten Tag"),
        ("thanks", "danke"),
        ("thank you", "danke"),
        ("good night", "gute Nacht"),
        ("good day", "hallo"),
        ("good day", "hallo"),
    )
    found = {one.name: one for one in baselines_for(["Good days", "thankful", "good day", "zz"], train)}
    assert list(found) == ["copy", "most_frequent", "nearest"]
    assert found["copy"].outputs == ("Good days", "thankful", "good day", "zz")
    # As often as hallo, and before it.
    assert found["most_frequent"].outputs == ("danke",) * 4
    # Of the nearest source the target that it most often has; nothing is like zz, so the first one.
    assert found["nearest"].outputs == ("hallo", "danke", "hallo", "hallo")
    assert found["nearest"].note == ""


def test_without_a_training_part_there_is_only_the_source() -> None:
    assert [one.name for one in baselines_for(["a"], None)] == ["copy"]
    train = pairs(("a", "b"))
    assert [one.name for one in baselines_for(["a"], train.take([]))] == ["copy"]
    assert [one.outputs for one in baselines_for([], train)] == [(), (), ()]


def test_the_nearest_text_has_the_largest_cosine() -> None:
    drawn = random.Random(4)
    words = ["cat", "Dog", "mat", "día", "sun", "see", "ran", "to", "私", "\U0001f600"]
    texts = [" ".join(drawn.choices(words, k=drawn.randrange(1, 7))) for _ in range(150)]
    queries = [" ".join(drawn.choices(words, k=drawn.randrange(1, 7))) for _ in range(70)]

    def marked(some: list[str]) -> list[str]:
        return [f"\0{text}\0" for text in some]

    vectors = TfidfVectorizer(analyzer="char", ngram_range=(2, 4)).fit(marked(texts))
    cosine = (vectors.transform(marked(queries)) @ vectors.transform(marked(texts)).T).toarray()
    found = NearestText(texts).find(queries)
    np.testing.assert_allclose(cosine[np.arange(70), found], cosine.max(1), atol=1e-6)
    assert NearestText(texts).find(texts).tolist() == [texts.index(text) for text in texts]


def test_too_many_characters_are_kept_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_MOST_CHARACTERS", 100)
    train = pairs(*((f"word number {number}", f"{number}") for number in range(20)))
    near = NearestText(train.sources)
    # 270 characters in all: every third text.
    assert near.kept.tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert near.find(["number 12"]).tolist() == [12]
    found = baselines_for(["word number 13", "word number 12!"], train)[2]
    # One that is known is found all the same.
    assert found.outputs == ("13", "12")
    assert found.note == "the nearest source was looked for among 7 sources."
