"""Trigrams of texts and of their classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from recur.decode import DecodingOptions, Ensemble, decode
from recur.models.texts.trigrams import ClassTrigrams, Trigrams, TrigramSteps
from recur.token_ids import END, Ragged


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


# --- step by step ---


def drawn(seed: int, count: int = 30, size: int = 6) -> Ragged:
    draw = np.random.default_rng(seed)
    return Ragged.of([draw.integers(2, size, draw.integers(0, 6)) for _ in range(count)])


def told(steps: TrigramSteps | Ensemble, state: Any, tokens: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of each token and of the end after them, one step after the other."""
    found = []
    for before, token in pairwise([END, *tokens, END]):
        said, state = steps.step(torch.tensor([before]), state)
        found.append(said[0, token])
    return torch.stack(found)


def test_steps_say_what_the_trigrams_say_of_whole_texts() -> None:
    rule = Trigrams(6, drawn(0))
    texts = drawn(1, 8)
    nats = np.split(rule.token_nats(texts), np.cumsum(texts.lengths + 1)[:-1])
    steps = TrigramSteps(rule, torch.float64)
    for row, expected in enumerate(nats):
        ids = texts.ids[texts.offsets[row] : texts.offsets[row + 1]].tolist()
        found = told(steps, steps.begin(1), ids)
        np.testing.assert_allclose(found, -expected, rtol=1e-12)
        assert rule.nats(texts)[row] == pytest.approx(expected.sum(), rel=1e-12)
    said, state = steps.step(torch.tensor([2, 3, 4]), torch.tensor([4, 3, END]))
    torch.testing.assert_close(said.exp().sum(1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
    # Rows chosen, and repeated, go on with their own tokens.
    rows = torch.tensor([2, 0, 2])
    again, _ = steps.step(torch.tensor([5, 5, 2]), steps.select(state, rows))
    one, _ = steps.step(torch.tensor([5]), torch.tensor([4]))
    two, _ = steps.step(torch.tensor([2]), torch.tensor([4]))
    torch.testing.assert_close(again[[0, 2]], torch.cat([one, two]), rtol=0, atol=0)


def test_trigrams_are_the_same_from_their_tensors() -> None:
    rule = Trigrams(6, drawn(0))
    again = Trigrams.from_tensors(6, rule.tensors())
    contexts = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    torch.testing.assert_close(again.log_probs(contexts), rule.log_probs(contexts), rtol=0, atol=0)
    np.testing.assert_array_equal(again.nats(drawn(2)), rule.nats(drawn(2)))
    with pytest.raises(ValueError, match="an n-gram has a token that is not among 5"):
        Trigrams.from_tensors(5, rule.tensors())


def test_beams_find_the_likeliest_by_the_weighed_mean_of_trigrams() -> None:
    rules = [Trigrams(5, drawn(seed, size=5)) for seed in (0, 1)]
    steps = Ensemble([TrigramSteps(one, torch.float64) for one in rules], weights=[0.7, 0.3])
    state = (torch.tensor([END]), torch.tensor([END]))
    expected = []
    for length in range(4):
        for tokens in product(range(1, 5), repeat=length):
            chances = [told(TrigramSteps(one, torch.float64), state[0], tokens).exp() for one in rules]
            mixed = (0.7 * chances[0] + 0.3 * chances[1]).log()
            expected.append((float(mixed.sum()), tokens))
            torch.testing.assert_close(told(steps, state, tokens), mixed, rtol=0, atol=1e-12)
    expected.sort(key=lambda one: -one[0])
    options = DecodingOptions(beams=100, num_best=5, max_length=3)
    (found,) = decode(steps, state, torch.tensor([END]), end=END, options=options)
    assert [one.tokens for one in found] == [tokens for _, tokens in expected[:5]]
    np.testing.assert_allclose([one.log_prob for one in found], [log_prob for log_prob, _ in expected[:5]], rtol=1e-12)
