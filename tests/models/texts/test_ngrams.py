"""Texts as vectors of n-grams, beside scikit-learn's."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from recur.models.texts import ngrams
from recur.models.texts.ngrams import NgramWeights
from recur.token_ids import Ragged


@pytest.mark.parametrize(("shortest", "longest", "least"), [(1, 2, 1), (2, 4, 1), (1, 3, 3)])
def test_vectors_are_those_of_scikit_learn(shortest: int, longest: int, least: int) -> None:
    drawn = random.Random(0)
    rows = [[drawn.randrange(2, 9) for _ in range(drawn.randrange(1, 12))] for _ in range(40)]
    texts = Ragged.of(rows)
    weights = NgramWeights(longest, shortest=shortest).fit(texts, least_count=least)
    theirs = TfidfVectorizer(
        ngram_range=(shortest, longest), min_df=least, token_pattern=r"\S+", lowercase=False
    ).fit_transform([" ".join(map(str, row)) for row in rows])
    own = weights(texts)
    assert len(weights.known) == theirs.shape[1]
    # N-grams have another order; products of vectors do not know it.
    dense = torch.zeros(len(weights.known), len(rows))
    ends = [*own.begins.tolist()[1:], len(own.value)]
    for row, (first, last) in enumerate(zip(own.begins.tolist(), ends, strict=True)):
        dense[own.ngram[first:last], row] = own.value[first:last]
    expected = (theirs @ theirs.T).toarray()
    np.testing.assert_allclose(own.products(dense).numpy(), expected, atol=1e-6)


def test_ends_are_tokens_and_what_is_unknown_counts_for_nothing() -> None:
    weights = NgramWeights(2, shortest=2, marks_ends=True).fit(Ragged.of([[2, 3], [3, 2]]))
    # Begin and 2, 2 and 3, 3 and end; begin and 3, 3 and 2, 2 and end.
    assert len(weights.known) == 6
    found = weights(Ragged.of([[9], [2], []]))
    assert np.diff([*found.begins.tolist(), len(found.value)]).tolist() == [0, 2, 0]
    torch.testing.assert_close(found.value, torch.full((2,), 0.5**0.5))
    assert NgramWeights(2).fit(Ragged.of([[]]))(Ragged.of([[5]])).products(torch.zeros(0, 3)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("at_once", [1, 7, 40, 1000])
def test_a_few_texts_at_a_time_give_the_same(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(1)
    rows = [[drawn.randrange(2, 9) for _ in range(drawn.choice((0, 1, 5, 20)))] for _ in range(60)]
    for texts in (Ragged.of(rows), Ragged.of([]), Ragged.of([[], []])):
        whole = NgramWeights(3, marks_ends=True).fit(texts, least_count=2, most=90)
        vectors = whole(texts)
        with monkeypatch.context() as patch:
            patch.setattr(ngrams, "AT_ONCE", at_once)
            own = NgramWeights(3, marks_ends=True).fit(texts, least_count=2, most=90)
            found = own(texts)
        np.testing.assert_array_equal(own.known, whole.known)
        np.testing.assert_array_equal(own.rarity, whole.rarity)
        for one, other in zip(found, vectors, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(("longest", "marks_ends"), [(2, False), (4, True)])
def test_many_texts_take_little_memory(longest: int, marks_ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "AT_ONCE", 1 << 12)
    count = 200_000
    texts = Ragged(np.random.default_rng(0).integers(2, 12, count, np.int32), np.arange(0, count + 1, 20))
    weights = NgramWeights(longest, marks_ends=marks_ends)
    tracemalloc.start()
    try:
        weights.fit(texts)
        assert tracemalloc.get_traced_memory()[1] < 20 * count
        tracemalloc.reset_peak()
        # A place and a value of each n-gram, which torch holds, are left.
        weights(texts)
        assert tracemalloc.get_traced_memory()[1] < 60 * count
    finally:
        tracemalloc.stop()
