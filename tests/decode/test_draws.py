"""Sampling whole sequences: as often as they are probable, by a seed, and scored by the model."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from recur_tests_decode_models import Tables, all_sequences, forced, log_prob_of
from torch import Tensor

from recur.decode import Constraints, DecodingOptions, Sampling, decode

END = 1
# Pearson's chi-square at the 99.99 % quantile for 39 degrees of freedom; the seed is fixed.
QUANTILE = 80.65


def starts(num: int) -> Tensor:
    return torch.zeros(num, dtype=torch.int64)


def probabilities(model: Tables, state: Tensor, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Return how probable each sequence is; at the maximum length the end is sure."""
    found = {}
    for tokens in all_sequences(4, END, 3):
        said, _ = forced(model, state, 0, tokens)
        said = [(log_probs / temperature).log_softmax(dim=0) for log_probs in said]
        found[tokens] = math.exp(log_prob_of(said, tokens, END if len(tokens) < 3 else None))
    assert math.isclose(math.fsum(found.values()), 1)
    return found


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sequences_come_as_often_as_they_are_probable(temperature: float) -> None:
    num = 4000
    model = Tables(1, sharpness=0.7)
    options = DecodingOptions(sampling=Sampling(temperature=temperature), num_best=num, max_length=3)
    (found,) = decode(
        model, model.start(1), starts(1), end=END, options=options, generator=torch.Generator().manual_seed(2)
    )
    counts = Counter(one.tokens for one in found)
    expected = {tokens: share * num for tokens, share in probabilities(model, model.start(1), temperature).items()}
    assert len(found) == num
    assert min(expected.values()) > 5
    statistic = sum((counts[tokens] - mean) ** 2 / mean for tokens, mean in expected.items())
    assert len(expected) == 40
    assert statistic < QUANTILE
    assert sum((counts[tokens] - num / 40) ** 2 / (num / 40) for tokens in expected) > QUANTILE


def test_samples_are_scored_by_the_model_and_told_best_first() -> None:
    model = Tables(3, 6)
    options = DecodingOptions(
        sampling=Sampling(top_k=3, temperature=3), num_best=5, max_length=6, length_penalty="mean"
    )
    found = decode(model, model.start(3), starts(3), end=END, options=options)
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) == 5
        for one in hypotheses:
            said, _ = forced(model, model.start(3)[row : row + 1], 0, one.tokens)
            assert one.log_prob == pytest.approx(log_prob_of(said, one.tokens, END), rel=1e-12)
            assert one.score == pytest.approx(one.log_prob / (len(one.tokens) + 1), rel=1e-12)
            for log_probs, token in zip(said, one.tokens, strict=False):
                assert token in log_probs.topk(3).indices
        scores = [one.score for one in hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_the_same_seed_draws_the_same() -> None:
    model = Tables(3, 9)

    def drawn(seed: int | None) -> list[tuple[int, ...]]:
        options = DecodingOptions(sampling=Sampling(), num_best=3, max_length=8)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found = decode(model, model.start(4), starts(4), end=END, options=options, generator=generator)
        return [one.tokens for row in found for one in row]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    torch.manual_seed(0)
    first = drawn(None)
    assert first != drawn(None)
    torch.manual_seed(0)
    assert first == drawn(None)


def test_a_temperature_of_zero_is_greedy() -> None:
    model = Tables(3, 9)
    sampled = DecodingOptions(sampling=Sampling(temperature=0), max_length=8)
    found = decode(model, model.start(4), starts(4), end=END, options=sampled)
    expected = decode(model, model.start(4), starts(4), end=END, options=DecodingOptions(max_length=8))
    assert [row[0] for row in found] == [row[0] for row in expected]


def test_samples_that_nothing_may_follow_are_left_out_for_those_that_end() -> None:
    class Fork:
        """After the start 0 or 2, as likely; after 0 the end, after 2 nothing that is allowed."""

        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            table = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0, 1, 0, 0], [0, 0, 0, 1], [0.5, 0, 0.5, 0]])
            return table[tokens].log(), state

        def select(self, state: Tensor, rows: Tensor) -> Tensor:
            return state[rows]

    options = DecodingOptions(sampling=Sampling(), num_best=20)
    (found,) = decode(
        Fork(), starts(1), torch.tensor([3]), end=END, options=options, constraints=Constraints(forbidden=[3])
    )
    assert 0 < len(found) < 20
    assert {(one.tokens, one.ended) for one in found} == {((0,), "end")}
