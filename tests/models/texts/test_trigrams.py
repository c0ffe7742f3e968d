"""Trigrams of texts and of their classes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recur.data.texts.vocabulary import Ragged
from recur.models.texts.trigrams import ClassTrigrams


@pytest.mark.parametrize("count", [1, 3, 9])
def test_texts_of_one_word_by_hand(count: int) -> None:
    """With the smoothing of Witten and Bell; each text begins with two ends, which are not told."""
    rule = ClassTrigrams(3, Ragged.of([[2]] * count))
    # Word and end are seen as often.
    either = (count + 1) / (2 * count + 3)
    # Each has one thing that can stand there, behind one token and behind two.
    after_one = (count + either) / (count + 1)
    after_two = (count + after_one) / (count + 1)
    assert rule.nats(Ragged.of([[2]]))[0] == pytest.approx(-2 * math.log(after_two))


def test_what_was_never_seen_is_unlikely_but_possible() -> None:
    rule = ClassTrigrams(5, Ragged.of([[2, 3, 4, 2, 3]] * 20))
    seen, unseen = rule.nats(Ragged.of([[2, 3, 4, 2, 3], [4, 3, 2, 4, 3]]))
    assert 0 < seen < unseen < math.inf


def test_those_of_classes_by_hand() -> None:
    texts = Ragged.of([[2, 3], [2, 3], [4]])
    rule = ClassTrigrams(5, texts, np.array([0, 0, 1]), num_classes=3)
    # Tokens that are told: 2 3 end, 2 3 end, 4 end.
    unigram = {0: (3 + 1) / (8 + 5), 4: (1 + 1) / (8 + 5)}
    first = (1 + 2 * unigram[4]) / (3 + 2)
    first = (1 + 2 * first) / (3 + 2)
    last = (1 + 1 * unigram[0]) / (1 + 1)
    last = (1 + 1 * last) / (1 + 1)
    assert rule.nats(Ragged.of([[4]]))[0] == pytest.approx(-math.log(first * last))
    rule.share = 0.0
    assert rule.nats(Ragged.of([[4]]), np.array([0]))[0] == pytest.approx(-math.log(first * last))
    rule.choose_share(texts, np.array([0, 0, 1]))
    assert rule.share > 0.5
    # Of a class without texts there is what all texts say.
    assert rule.nats(Ragged.of([[4]]), np.array([2]))[0] == pytest.approx(-math.log(first * last))
    assert rule.told(Ragged.of([[2, 3], [4]]), (2, 1, 0)).tolist() == [0, 1]
    assert not ClassTrigrams.fits(1 << 21)
