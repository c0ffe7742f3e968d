"""Diverse beam search: groups that keep away from each other."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recur_tests_decode_models import Tables, brief, forced, log_prob_of
from torch import Tensor

from recur.decode import DecodingOptions, decode

END = 1


def starts(num: int) -> Tensor:
    return torch.zeros(num, dtype=torch.int64)


def groups_by_hand(model: Tables, state: Tensor, num: int, diversity: float, most: int) -> list[tuple[int, ...]]:
    """Return what groups of one beam say by algorithm 1 of Vijayakumar et al. (2018): greedily, but for the others."""
    states, newest = [state] * num, [0] * num
    said: list[list[int]] = [[] for _ in range(num)]
    is_open = [True] * num
    for step in range(most + 1):
        chosen: list[int] = []
        for group in range(num):
            if not is_open[group]:
                continue
            log_probs, states[group] = model.step(torch.tensor([newest[group]]), states[group])
            scores = [float(log_prob) - diversity * chosen.count(token) for token, log_prob in enumerate(log_probs[0])]
            token = END if step == most else max(range(len(scores)), key=lambda token: scores[token])
            chosen.append(token)
            newest[group] = token
            if token == END:
                is_open[group] = False
            else:
                said[group].append(token)
    return [tuple(tokens) for tokens in said]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), num=st.integers(2, 4), diversity=st.sampled_from([0.0, 0.5, 2.0]))
def test_groups_of_one_beam_are_those_of_the_algorithm(seed: int, num: int, diversity: float) -> None:
    model = Tables(seed, 6)
    options = DecodingOptions(beams=num, groups=num, num_best=num, diversity=diversity, max_length=5)
    found = decode(model, model.start(2), starts(2), end=END, options=options)
    for row, hypotheses in enumerate(found):
        state = model.start(2)[row : row + 1]
        # Groups that come to the same are told once.
        assert {one.tokens for one in hypotheses} == set(groups_by_hand(model, state, num, diversity, 5))
        assert len({one.tokens for one in hypotheses}) == len(hypotheses)
        for one in hypotheses:
            said, _ = forced(model, state, 0, one.tokens)
            # What keeps groups apart is no part of the score.
            assert abs(one.score - log_prob_of(said, one.tokens, END)) < 1e-12
        scores = [one.score for one in hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_a_group_alone_searches_as_if_there_were_no_others() -> None:
    """The first group is kept away from nothing."""
    for seed in range(10):
        model = Tables(seed, 6)
        alone = decode(model, model.start(2), starts(2), end=END, options=DecodingOptions(beams=3, max_length=6))
        options = DecodingOptions(beams=6, groups=2, num_best=2, max_length=6)
        for one, both in zip(alone, decode(model, model.start(2), starts(2), end=END, options=options), strict=True):
            assert brief(one)[0] in brief(both)


def test_more_diversity_makes_outputs_differ_more() -> None:
    def num_distinct(diversity: float) -> int:
        total = 0
        for seed in range(10):
            model = Tables(seed, 8, sharpness=2)
            options = DecodingOptions(beams=4, groups=4, num_best=4, diversity=diversity, max_length=6, min_length=3)
            (found,) = decode(model, model.start(1), starts(1), end=END, options=options)
            total += len({token for one in found for token in enumerate(one.tokens)})
        return total

    none, some, much = (num_distinct(diversity) for diversity in (0.0, 1.0, 5.0))
    assert none < some < much


def test_groups_differ_at_the_first_step_where_diversity_is_large() -> None:
    model = Tables(4, 7)
    options = DecodingOptions(beams=6, groups=3, num_best=3, diversity=1e6, max_length=1, min_length=1)
    (found,) = decode(model, model.start(1), starts(1), end=END, options=options)
    said, _ = forced(model, model.start(1), 0, ())
    order = [token for token in said[0].argsort(descending=True).tolist() if token != END]
    # Each group takes the two likeliest tokens that are left, and tells the one that scores better with its end.
    for one, pair in zip(
        sorted(found, key=lambda one: order.index(one.tokens[0])), ((0, 1), (2, 3), (4, 5)), strict=True
    ):
        ended = {
            token: log_prob_of(forced(model, model.start(1), 0, (token,))[0], (token,), END)
            for token in (order[place] for place in pair)
        }
        assert one.tokens == (max(ended, key=lambda token: ended[token]),)
        assert math.isclose(one.score, max(ended.values()))
