"""The two ways of the recursions: alike where both are exact, and never the fast one where it is not."""

from __future__ import annotations

import pytest
import torch

from recur.nn.crf import probability, recursion, scaled
from recur.nn.crf.recursion import Chain

LENGTHS = torch.tensor([9, 4, 0, 1])


def chain_of(labels=5, dtype=torch.float64, spread=1.0, is_padded=True):
    """Return a chain of random scores, of which some transitions are forbidden, and its parts to be learned."""
    emissions, transitions = torch.randn(9, 4, labels, dtype=dtype), torch.randn(labels, labels, dtype=dtype)
    start, end = torch.randn(2, labels, dtype=dtype)
    is_step = torch.arange(9)[:, None] < LENGTHS if is_padded else None
    if is_step is not None:
        emissions = torch.where(is_step[..., None], emissions, 0)
    parts = [(spread * part).requires_grad_() for part in (emissions, transitions, start, end)]
    forbidden = torch.diag(torch.ones(labels, dtype=torch.bool)).roll(1, 0)
    return Chain(parts[0], parts[1].masked_fill(forbidden, -torch.inf), parts[2], parts[3], is_step), parts


@pytest.mark.parametrize("is_padded", [True, False])
def test_both_ways_give_the_same(monkeypatch, is_padded):
    chain, parts = chain_of(is_padded=is_padded)
    scores = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, dtype=torch.float64)
    assert scaled.scaled(chain) is not None
    found = probability.log_probability(chain, scores)
    assert type(found.grad_fn).__name__ == "_LogProbabilityBackward"
    slopes = torch.autograd.grad(found, [scores, *parts], upstream, retain_graph=True)
    with torch.no_grad():
        marginals = probability.marginals(chain)
    monkeypatch.setattr(probability, "_run", lambda chain: None)
    want = probability.log_probability(chain, scores)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-12)
    torch.testing.assert_close(marginals, probability.marginals(chain).detach(), rtol=0, atol=1e-13)
    wanted = torch.autograd.grad(want, [scores, *parts], upstream)
    for got, expected in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_second_derivatives_where_the_scores_come_from_the_chain():
    chain, parts = chain_of()
    start = chain.emissions[:, :, 0].exp().cumsum(0)
    scores = torch.cat([start, start[:1]])

    def slopes(found):
        first = torch.autograd.grad(found.sum(), parts, create_graph=True)
        return [*first, *torch.autograd.grad(sum(part.square().sum() for part in first), parts, retain_graph=True)]

    found = slopes(probability.log_probability(chain, scores))
    want = slopes((scores - recursion.partition_steps(chain)).sum(0))
    for got, expected in zip(found, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [1.0, 10.0, 30.0, 100.0, 1000.0, 1e5])
def test_the_fast_way_is_taken_where_it_is_exact(dtype, spread):
    refused = 0
    for seed in range(8):
        torch.manual_seed(seed)
        chain, _ = chain_of(dtype=dtype, spread=spread)
        run = scaled.scaled(chain)
        refused += run is None
        if run is None:
            continue
        want = recursion.partition_steps(Chain(*(part.double() for part in chain[:4]), chain.is_step)).sum(0)
        # Ten steps of a few roundings each of scores of some 10 times their spread.
        bound = 10 * 5 * 10 * spread * torch.finfo(dtype).eps
        torch.testing.assert_close(run.offsets.sum(0).double(), want, rtol=0, atol=bound)
    few = spread if dtype == torch.float32 else spread / 8
    assert refused == 0 if few <= 1 else refused > 0 if few >= 1000 else True


def test_a_step_that_only_unlikely_labels_can_take_is_not_lost():
    # From the first label, as good as certain, nothing leads on; from the second, e^-120 as likely, one way does.
    transitions = torch.tensor([[-torch.inf, -torch.inf], [-torch.inf, 0.0]])
    emissions = torch.tensor([[120.0, 0.0], [0.0, 0.0]])[:, None]
    chain = Chain(emissions, transitions, torch.zeros(2), torch.zeros(2), None)
    assert scaled.scaled(chain) is None
    assert probability.log_probability(chain, torch.zeros(3, 1)).item() == 0
    # Or a poor one from the certain label, beside a good one from the other.
    chain = chain._replace(transitions=torch.tensor([[-torch.inf, -60.0], [-torch.inf, 0.0]]))
    emissions[0, 0, 0] = 50.0
    found = probability.log_probability(chain, torch.zeros(3, 1))
    torch.testing.assert_close(found, -torch.tensor([1 + torch.e**-10.0]).log(), rtol=0, atol=1e-5)
    assert scaled.scaled(chain) is None


def test_infinite_and_missing_scores_are_for_the_exact_way():
    chain, _ = chain_of()
    for value in (torch.nan, torch.inf):
        emissions = chain.emissions.detach().clone()
        emissions[2, 0, 1] = value
        assert scaled.scaled(chain._replace(emissions=emissions)) is None
    assert scaled.scaled(chain._replace(transitions=chain.transitions.detach() + 800)) is None
