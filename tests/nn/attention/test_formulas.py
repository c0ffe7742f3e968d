"""Each kind says what its paper's equations say, written step by step."""

from __future__ import annotations

import pytest
import torch

S, B, T = 6, 3, 4
LENGTHS = [6, 2, 5]


def wanted(score, h, queries):
    """Return contexts and weights by score(query, h_s), for one row and step after the other."""
    contexts, weights = torch.zeros(T, B, h.shape[2]).double(), torch.zeros(T, B, S).double()
    for t in range(T):
        for b, length in enumerate(LENGTHS):
            scores = torch.stack([score(queries[t, b], h[s, b]) for s in range(length)])
            weights[t, b, :length] = scores.exp() / scores.exp().sum()
            contexts[t, b] = sum(weights[t, b, s] * h[s, b] for s in range(length))
    return contexts, weights


def check(attention, score):
    h = torch.randn(S, B, attention.memory_size, dtype=torch.float64)
    queries = torch.randn(T, B, attention.query_size, dtype=torch.float64)
    contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    for got, want in zip((contexts, weights), wanted(score, h, queries), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_additive(make_attention, bias):
    attention = make_attention("additive", bias=bias)
    w, u, v = attention.query_projection.weight, attention.memory_projection.weight, attention.v
    b = attention.memory_projection.bias if bias else 0
    assert (attention.memory_projection.bias is None) is not bias
    check(attention, lambda q, h: v @ torch.tanh(w @ q + u @ h + b))


def test_dot(make_attention):
    check(make_attention("dot"), lambda q, h: q @ h)


def test_general(make_attention):
    attention = make_attention("general")
    check(attention, lambda q, h: q @ attention.memory_projection.weight @ h)


def test_concat(make_attention):
    attention = make_attention("concat")
    w, v = attention.projection.weight, attention.v
    check(attention, lambda q, h: v @ torch.tanh(w @ torch.cat([q, h])))


def test_the_hidden_layer_is_as_large_as_a_query_by_default(make_attention):
    for kind in (type(make_attention("additive")), type(make_attention("concat"))):
        assert kind(6, 8).v.shape == (6,)


@pytest.mark.parametrize("label", ["location", "cumulative"])
def test_location(make_attention, label):
    attention = make_attention(label)
    h = torch.randn(S, B, 8, dtype=torch.float64)
    queries = torch.randn(T, B, 6, dtype=torch.float64)
    contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    w, u, b = attention.query_projection.weight, attention.memory_projection.weight, attention.memory_projection.bias
    k, f = attention.filters.weight[:, 0], attention.filter_projection.weight
    for row, length in enumerate(LENGTHS):
        seen = torch.zeros(length).double()
        for t in range(T):
            around = torch.cat([torch.zeros(1), seen, torch.zeros(1)])
            scores = torch.stack(
                [
                    attention.v @ torch.tanh(w @ queries[t, row] + u @ h[s, row] + f @ (k @ around[s : s + 3]) + b)
                    for s in range(length)
                ]
            )
            want = scores.softmax(0)
            torch.testing.assert_close(weights[t, row, :length], want, rtol=0, atol=1e-12)
            torch.testing.assert_close(contexts[t, row], want @ h[:length, row], rtol=0, atol=1e-12)
            seen = seen + want if label == "cumulative" else want


def test_location_refuses_a_kernel_without_a_middle(make_attention):
    with pytest.raises(ValueError, match=r"^LocationAttention: kernel_size is 4, but must be odd, so"):
        type(make_attention("location"))(6, 8, kernel_size=4)
