"""The trigram model of targets."""

from __future__ import annotations

import math

import pytest

from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.tasks.translate.ngram_rule import trigram_nats


@pytest.mark.parametrize("count", [1, 3, 9])
def test_counted_by_hand(count: int) -> None:
    """Of targets that are all one word, with the smoothing of Witten and Bell."""
    vocabulary = TextVocabulary.fit(["a"], TokenOptions(tokens="word", min_count=1, lowercase=False))
    end, word = ((seen + 1) / (2 * count + 1 + vocabulary.size) for seen in (count + 1, count))
    # The word has one token before it, the end two.
    word_after_end = (count + word) / (count + 1)
    end_after_word = (count + end) / (count + 1)
    end_after_both = (count + end_after_word) / (count + 1)
    nats = -(math.log(word_after_end) + math.log(end_after_both)) / 2
    assert trigram_nats(vocabulary, ["a"] * count, ["a"]) == pytest.approx(nats)


def test_what_was_never_seen_is_unlikely_but_possible() -> None:
    vocabulary = TextVocabulary.fit(["abc"], TokenOptions(tokens="character", min_count=1, lowercase=False))
    seen, unseen = (trigram_nats(vocabulary, ["abcab"] * 20, [text]) for text in ("abcab", "cbacb"))
    assert 0 < seen < unseen < math.inf
