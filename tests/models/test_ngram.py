"""The n-gram baseline against a naive one, written from the formula with dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.models.ngram import NGramModel


class Naive:
    """Witten-Bell interpolation, straight from the equations."""

    def __init__(self, tokens: list[int], size: int) -> None:
        self.tokens, self.size = tokens, size

    def probability(self, token: int, context: tuple[int, ...]) -> float:
        followers: Counter[int] = Counter()
        length = len(context)
        for i in range(length, len(self.tokens)):
            if tuple(self.tokens[i - length : i]) == context:
                followers[self.tokens[i]] += 1
        count = sum(followers.values())
        if length == 0:
            return (followers[token] + 1) / (count + self.size)
        shorter = self.probability(token, context[1:])
        if count == 0:
            return shorter
        return (followers[token] + len(followers) * shorter) / (count + len(followers))


def texts(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, size - 1), max_size=25)


@given(texts(4), texts(4), st.integers(1, 4))
def test_agrees_with_the_naive_model(trained_on: list[int], judged: list[int], order: int) -> None:
    model = NGramModel(4, order).fit(np.array(trained_on, dtype=np.uint8))
    naive = Naive(trained_on, 4)
    found = model.nats(np.array(judged, dtype=np.uint8))
    expected = [
        -math.log(naive.probability(token, tuple(judged[max(i - order + 1, 0) : i]))) for i, token in enumerate(judged)
    ]
    # A handful of roundings of numbers of order one.
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@given(texts(5), texts(5), st.integers(1, 3))
def test_probabilities_of_all_tokens_sum_to_one(trained_on: list[int], context: list[int], order: int) -> None:
    model = NGramModel(5, order).fit(np.array(trained_on, dtype=np.int64))
    last = [math.exp(-model.nats(np.array([*context, token]))[-1]) for token in range(5)]
    assert math.fsum(last) == pytest.approx(1, abs=1e-12)
    assert min(last) > 0


def test_by_hand() -> None:
    # 0 1 0 1 0: n(0)=3, n(1)=2; after 0: 1 twice, one kind; after 1: 0 twice, one kind.
    model = NGramModel(3, order=2).fit(np.array([0, 1, 0, 1, 0]))
    p = {token: (n + 1) / 8 for token, n in enumerate([3, 2, 0])}
    expected = [p[0], (2 + p[1]) / 3, p[1] / 3, (2 + p[0]) / 3, p[2] / 3]
    np.testing.assert_allclose(np.exp(-model.nats(np.array([0, 1, 1, 0, 2]))), expected, rtol=1e-13)


def test_fit_starts_anew() -> None:
    text, other = np.array([0, 1, 1, 0, 1]), np.array([1, 1, 1, 1])
    once = NGramModel(2).fit(text).nats(text)
    again = NGramModel(2).fit(other).fit(text).nats(text)
    np.testing.assert_array_equal(once, again)


def test_longer_contexts_help_where_they_tell_more() -> None:
    text = np.array([0, 0, 1, 1] * 50)
    means = [NGramModel(2, order).fit(text).nats(text)[3:].mean() for order in (1, 2, 3)]
    assert means[2] < 0.1 < means[1]
    assert means[0] == pytest.approx(math.log(2), abs=1e-6)
    # Within a pattern of period four the token before tells nothing.
    assert means[1] == pytest.approx(math.log(2), abs=0.02)


def test_large_vocabularies_are_counted_exactly() -> None:
    size = 1_000_000
    rng = np.random.default_rng(0)
    text = rng.integers(size - 5, size, 200)
    small = NGramModel(size, order=3).fit(text)
    counts: dict[int, int] = defaultdict(int)
    for token in text.tolist():
        counts[token] += 1
    first = small.nats(text[:1])[0]
    assert first == pytest.approx(-math.log((counts[int(text[0])] + 1) / (200 + size)), abs=1e-13)
    assert small.nats(text).mean() < 10


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^order must be at least 1, not 0$"):
        NGramModel(10, order=0)
    with pytest.raises(ValueError, match=r"^a vocabulary of 10000000 is too large for order 3$"):
        NGramModel(10_000_000, order=3)
    NGramModel(1_600_000, order=3)


def test_what_is_only_context_is_not_counted() -> None:
    tokens = np.array([0, 0, 1, 2, 0, 0, 1, 3])
    is_told = np.array([False, False, True, True, False, False, True, True])
    model = NGramModel(4, 3).fit(tokens, is_told=is_told)
    # Of four tokens that are told two are 1, and none is 0; after 0 and 0 there was only 1.
    after = model.nats(np.array([0, 0, 1]))
    unigram = (2 + 1) / (4 + 4)
    bigram = (2 + 1 * unigram) / (2 + 1)
    assert after[0] == pytest.approx(-math.log(1 / 8))
    assert after[2] == pytest.approx(-math.log((2 + 1 * bigram) / (2 + 1)))


@given(texts(4), st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=4), st.integers(1, 4))
def test_what_follows_a_context_agrees_with_the_naive_model(
    trained_on: list[int], contexts: list[list[int]], order: int
) -> None:
    model = NGramModel(4, order).fit(np.array(trained_on, dtype=np.int64))
    naive = Naive(trained_on, 4)
    found = model.after(np.array(contexts, dtype=np.int64).reshape(-1, 3))
    assert found.shape == (len(contexts), 4)
    for row, context in zip(found, contexts, strict=True):
        # Of more tokens than it looks back on only the newest count.
        newest = tuple(context[3 - (order - 1) :])
        np.testing.assert_allclose(row, [naive.probability(token, newest) for token in range(4)], rtol=1e-13)
    again = NGramModel.from_counts(4, model.counts)
    np.testing.assert_array_equal(again.after(np.array(contexts, dtype=np.int64).reshape(-1, 3)), found)
    np.testing.assert_array_equal(again.nats(np.array([0, 1, 2, 1])), model.nats(np.array([0, 1, 2, 1])))


@pytest.mark.parametrize(
    ("codes", "counts", "message"),
    [
        ([0, 3], [1, 1], "an n-gram has a token that is not among 3"),
        ([-1, 2], [1, 1], "an n-gram has a token that is not among 3"),
        ([2, 1], [1, 1], "n-grams are not sorted, or one was never told"),
        ([1, 1], [1, 1], "n-grams are not sorted, or one was never told"),
        ([0, 1], [1, 0], "n-grams are not sorted, or one was never told"),
        ([0, 1], [1], "n-grams and their counts are int64, one of each"),
        ([0.0, 1.0], [1, 1], "n-grams and their counts are int64, one of each"),
    ],
)
def test_counts_that_are_none(codes: list[int], counts: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NGramModel.from_counts(3, [(np.array(codes), np.array(counts))])
