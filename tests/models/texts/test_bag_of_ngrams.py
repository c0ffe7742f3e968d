"""The bag of n-grams, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from recur.models.texts import bag_of_ngrams
from recur.models.texts.bag_of_ngrams import BagOfNgrams
from recur.token_ids import UNKNOWN, Ragged


def drawn(count: int, seed: int = 0) -> tuple[Ragged, list[str], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    draw = np.random.default_rng(seed)
    target = draw.integers(0, 3, count)
    rows = [draw.integers(2, 10, draw.integers(3, 12)) + one for one in target]
    return Ragged.of(rows), [" ".join(f"w{token}" for token in row) for row in rows], target


def test_of_many_classes_fewer_ngrams_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Ragged.of([[2, 3], [2, 3], [2, 4], [4, 5]])
    target = torch.tensor([0, 0, 1, 1])
    assert BagOfNgrams(longest=1).fit(texts, target, num_classes=2).tensors()["weight"].shape == (3, 2)
    monkeypatch.setattr(bag_of_ngrams, "_MOST_WEIGHTS", 3)
    model = BagOfNgrams(longest=1).fit(texts, target, num_classes=2)
    assert model.tensors()["weight"].shape == (1, 2)
    # 2 is in most texts.
    two, three, nothing = model(Ragged.of([[2], [3], [9]]))
    assert torch.equal(three, nothing)
    assert not torch.equal(two, nothing)


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_it_is_what_others_compute(strength: float) -> None:
    texts, words, target = drawn(300)
    held_out, held_words, _ = drawn(50, seed=1)
    ours = BagOfNgrams(2, strength=strength).fit(texts, torch.from_numpy(target), num_classes=3)
    seen = TfidfVectorizer(ngram_range=(1, 2), min_df=2, token_pattern=r"\S+")
    theirs = LogisticRegression(C=strength, max_iter=1000, tol=1e-8).fit(seen.fit_transform(words), target)
    expected = theirs.predict_proba(seen.transform(held_words))
    # Each by an optimiser of its own.
    np.testing.assert_allclose(ours(held_out).softmax(1).numpy(), expected, rtol=0, atol=2e-3)


def test_several_classes_are_weighed_by_how_rare_they_are() -> None:
    texts, words, target = drawn(300)
    several = np.stack([target == 0, target <= 1, np.arange(300) < 12], 1).astype(np.float32)
    ours = BagOfNgrams(2, is_multi=True).fit(texts, torch.from_numpy(several), num_classes=3)
    seen = TfidfVectorizer(ngram_range=(1, 2), min_df=2, token_pattern=r"\S+")
    x = seen.fit_transform(words)
    for k in range(3):
        share = several[:, k].mean()
        weight = {0: 1.0, 1: (1 - share) / share}
        theirs = LogisticRegression(max_iter=1000, tol=1e-8, class_weight=weight).fit(x, several[:, k])
        expected = theirs.predict_proba(x)[:, 1]
        np.testing.assert_allclose(ours(texts)[:, k].sigmoid().numpy(), expected, rtol=0, atol=5e-3)


def test_no_ngram_crosses_the_end_of_a_text() -> None:
    # The pair 3 4 stands in no text, but between two.
    texts = Ragged.of([[2, 3], [4, 5], [2, 3], [4, 5]])
    model = BagOfNgrams(2).fit(texts, torch.tensor([0, 1, 0, 1]), num_classes=2)
    assert len(model.tensors()["known"]) == 6
    marked = BagOfNgrams(2, marks_ends=True).fit(texts, torch.tensor([0, 1, 0, 1]), num_classes=2)
    # With a mark before and behind; a mark alone says nothing.
    assert len(marked.tensors()["known"]) == 6 + 4


@pytest.mark.parametrize("is_multi", [False, True])
def test_a_few_texts_at_a_time_teach_the_same(is_multi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _, target = drawn(300)
    classes = torch.from_numpy(np.eye(3, dtype=np.float32)[target] if is_multi else target)
    whole = BagOfNgrams(2, is_multi=is_multi).fit(texts, classes, num_classes=3)
    monkeypatch.setattr(bag_of_ngrams, "AT_ONCE", 100)
    found = BagOfNgrams(2, is_multi=is_multi).fit(texts, classes, num_classes=3)
    # Sums in another order, by which the optimiser ends elsewhere.
    expected, ours = (one(texts).sigmoid() if is_multi else one(texts).softmax(1) for one in (whole, found))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("longest", "marks_ends"), [(1, False), (2, False), (4, True)])
def test_tokens_add_up_to_the_evidence(longest: int, marks_ends: bool) -> None:
    texts, _, target = drawn(60)
    model = BagOfNgrams(longest, marks_ends=marks_ends).fit(texts, torch.from_numpy(target), num_classes=3)
    for text in ([2, 3, 4, 3, 2, 3], [5], [99, 4, UNKNOWN, 4, 5], [99, 99], []):
        added = model.by_token(np.array(text, np.int32))
        assert added.shape == (len(text), 3)
        torch.testing.assert_close(model.neutral + added.sum(0), model.evidence(Ragged.of([text]))[0])
        silent = [place for place, token in enumerate(text) if token in (99, UNKNOWN)]
        assert not added[silent].any()


def test_evidence_is_without_the_weights_of_classes() -> None:
    """So that its probabilities are as frequent as the classes are."""
    texts, _, target = drawn(300)
    several = np.stack([target == 0, np.arange(300) < 12], 1).astype(np.float32)
    model = BagOfNgrams(2, is_multi=True).fit(texts, torch.from_numpy(several), num_classes=2)
    shares = model.evidence(texts).sigmoid().mean(0)
    np.testing.assert_allclose(shares, several.mean(0), rtol=0, atol=0.03)
    assert float(model(texts).sigmoid().mean(0)[1]) > 0.2


def test_ngrams_of_unknown_tokens_count_for_nothing() -> None:
    texts = Ragged.of([[UNKNOWN, 2], [UNKNOWN, 2], [3, UNKNOWN], [3, UNKNOWN]])
    model = BagOfNgrams(2).fit(texts, torch.tensor([0, 0, 1, 1]), num_classes=2)
    assert len(model.tensors()["known"]) == 2


def test_it_is_the_same_from_its_tensors() -> None:
    texts, _, target = drawn(60)
    model = BagOfNgrams(3, marks_ends=True).fit(texts, torch.from_numpy(target), num_classes=3)
    again = BagOfNgrams.from_tensors(model.tensors(), 3, is_multi=False, marks_ends=True)
    assert torch.equal(again(texts), model(texts))
    with pytest.raises(ValueError, match="shapes of the bag of n-grams do not agree"):
        BagOfNgrams.from_tensors(model.tensors() | {"bias": torch.zeros(2)}, 3, is_multi=False, marks_ends=True)


def test_texts_of_which_nothing_is_known() -> None:
    texts = Ragged.of([[2], [3], [], [4]])
    model = BagOfNgrams(2).fit(texts, torch.tensor([0, 0, 0, 1]), num_classes=2)
    told = model(Ragged.of([[9], []]))
    assert told.shape == (2, 2)
    assert bool((told[:, 0] > told[:, 1]).all())
