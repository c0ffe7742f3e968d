"""Monotonic attention: the expected alignment by the paper's recurrence, the hard one by walking, and numerics."""

from __future__ import annotations

import pytest
import torch

from recur.nn import MonotonicAttention
from recur.nn.attention.monotonic import _arrivals


def expected(stops, before):
    """Return the alignments by the sum over where the attention was before (Raffel et al. 2017)."""
    found = torch.zeros_like(before)
    for b in range(len(stops)):
        for s in range(stops.shape[1]):
            for k in range(s + 1):
                found[b, s] += before[b, k] * (1 - stops[b, k:s]).prod() * stops[b, s]
    return found


@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 13])
def test_the_expected_alignment_is_the_papers(num_steps):
    stops = torch.rand(3, num_steps, dtype=torch.float64)
    before = torch.rand(3, num_steps, dtype=torch.float64)
    found = stops * _arrivals(stops, before)
    torch.testing.assert_close(found, expected(stops, before), rtol=1e-13, atol=0)


def test_training_follows_the_recurrence(make_attention):
    attention = make_attention("monotonic").train()
    attention.noise = 0
    h, queries = torch.randn(6, 3, 8, dtype=torch.float64), torch.randn(4, 3, 6, dtype=torch.float64)
    lengths = [6, 0, 4]
    _, weights, state = attention(queries, attention.prepare(h, lengths))
    w, u, b = attention.query_projection.weight, attention.memory_projection.weight, attention.memory_projection.bias
    v = attention.gain * attention.v / attention.v.norm()
    for row in (0, 2):
        before = torch.eye(6)[:1, : lengths[row]].double()
        for t in range(4):
            scores = torch.stack([v @ torch.tanh(w @ queries[t, row] + u @ h[s, row] + b) for s in range(lengths[row])])
            before = expected(torch.sigmoid(scores + attention.offset)[None], before)
            torch.testing.assert_close(weights[t, row, : lengths[row]], before[0], rtol=0, atol=1e-13)
    assert torch.equal(state.weights, weights[-1])


def extreme(gain):
    """Return an attention whose probabilities are 0 or 1 nearly, and what it reads."""
    attention = MonotonicAttention(6, 8, 16, dtype=torch.float64, noise=0.0)
    torch.nn.init.constant_(attention.gain, gain)
    torch.nn.init.constant_(attention.offset, -0.1 * gain)
    return attention, attention.prepare(torch.randn(9, 64, 8).double(), torch.randint(0, 10, (64,)))


def test_sure_probabilities_make_both_ways_one():
    torch.manual_seed(5)
    attention, memory = extreme(1e6)
    queries = torch.randn(7, 64, 6).double()
    soft = attention.train()(queries, memory)
    hard = attention.eval()(queries, memory)
    torch.testing.assert_close(soft[0], hard[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(soft[1], hard[1], rtol=0, atol=1e-12)
    # Some go on, some run past the end, and none goes back.
    places = torch.where(hard[1].sum(2) > 0, hard[1].argmax(2), 9)
    assert bool((places.diff(dim=0) >= 0).all())
    assert int((places.diff(dim=0) > 0).sum()) > 20
    assert 20 < int((places == 9).sum()) < 7 * 64 - 100


def test_the_hard_way_is_a_walk():
    torch.manual_seed(6)
    attention, memory = extreme(1.0)
    queries = torch.randn(7, 64, 6).double()
    contexts, weights, _ = attention.eval()(queries, memory)
    scores = attention._ahead(queries.transpose(0, 1), memory)
    for row in range(64):
        place, length = 0, int(memory.mask[row].sum())
        for t in range(7):
            while place < length and scores[row, t, place] <= 0:
                place += 1
            want = torch.zeros(9).double()
            want[place : place + 1] = 1.0 if place < length else 0.0
            assert torch.equal(weights[t, row], want)
            assert torch.equal(contexts[t, row], want @ memory.values[row])


def test_evaluation_may_be_soft_too():
    attention, memory = extreme(1.0)
    attention.eval().hard = False
    queries = torch.randn(7, 64, 6).double()
    soft = attention(queries, memory)[1]
    assert torch.equal(soft, attention.train()(queries, memory)[1])
    attention.noise = 1.0
    assert torch.equal(soft, attention.eval()(queries, memory)[1])


def test_noise_is_added_to_scores_in_training():
    attention = MonotonicAttention(6, 8, noise=2.0)
    memory = attention.prepare(torch.zeros(1, 100_000, 8))
    torch.nn.init.zeros_(attention.gain)
    torch.nn.init.constant_(attention.offset, 0.5)
    weights = attention(torch.zeros(100_000, 6), memory)[1]
    scores = torch.logit(weights.detach().double())
    # The mean of 100,000 draws is off by 2 / 316 in the mean, their deviation by 1.4 / 316; five times that.
    assert abs(float(scores.mean()) - 0.5) < 0.032
    assert abs(float(scores.std()) - 2.0) < 0.023


@pytest.mark.parametrize("score", [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_long_memories_and_sure_probabilities_keep_their_digits(score):
    # Products of 1 - p underflow here, by which the closed form divides.
    stops = torch.sigmoid(score + torch.randn(2, 2000, dtype=torch.float32)).requires_grad_()
    before = torch.zeros(2, 2000)
    before[:, 3] = 0.5
    before[:, 1500] = 0.5
    found = stops * _arrivals(stops, before)
    assert bool(found.isfinite().all())
    assert bool((found >= 0).all())
    reached, want = torch.zeros(2).double(), []
    for s in range(2000):
        if s:
            reached = (1 - stops[:, s - 1]).double() * reached
        reached = reached + before[:, s].double()
        want.append(stops[:, s].double() * reached)
    # At most 2,000 factors 1 - p, each with an error of 2^-24 of itself; and what denormal numbers leave out.
    torch.testing.assert_close(found.double(), torch.stack(want, 1), rtol=2000 * 2**-24, atol=1e-37)
    found.backward(torch.randn_like(found))
    assert bool(stops.grad.isfinite().all())


def test_the_usual_closed_form_would_not_pass():
    stops = torch.sigmoid(20 + torch.randn(2, 2000))
    left = torch.cumprod(1 - stops, 1)
    assert not bool((torch.ones(2, 2000) / left).isfinite().all())


def test_parameters_when_drawn():
    attention = MonotonicAttention(6, 8, 16, score_bias=-4.0)
    assert (attention.gain.item(), attention.offset.item()) == (0.25, -4.0)
    assert repr(MonotonicAttention(6, 8, 16, noise=0.5, hard=False)).startswith(
        "MonotonicAttention(\n  6, 8, attention_size=16, noise=0.5, hard=False"
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^MonotonicAttention: noise is -1, but must be at least 0\.$"):
        MonotonicAttention(6, 8, noise=-1)
    with pytest.raises(TypeError, match=r"^MonotonicAttention: hard must be a bool, but is int\.$"):
        MonotonicAttention(6, 8, hard=1)
    with pytest.raises(ValueError, match=r"^MonotonicAttention: score_bias is nan, but must be finite\.$"):
        MonotonicAttention(6, 8, score_bias=float("nan"))
