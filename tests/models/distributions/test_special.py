"""Integrals against scipy, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.models.distributions.special import bisect, half_mean_difference, incomplete_beta


@pytest.mark.parametrize(("low", "high", "bound"), [(-3, 1, 1e-13), (0.7, 6, 1e-12), (-3, 6, 1e-8)])
def test_incomplete_beta_over_nine_decades(low, high, bound) -> None:
    # Below 4 the log gamma of the other parameter enters, of which float64 knows 1e-9 at a million.
    rng = np.random.default_rng(0)
    a, b = 10 ** rng.uniform(low, high, (2, 500))
    logit = np.log(np.maximum(rng.gamma(a), 1e-300)) - np.log(np.maximum(rng.gamma(b), 1e-300))
    found = incomplete_beta(*(torch.tensor(each) for each in (a, b, logit)))
    left, right = (scipy.special.expit(sign * logit) for sign in (1, -1))
    wanted = np.where(logit < 0, scipy.special.betainc(a, b, left), scipy.special.betaincc(b, a, right))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)


def test_incomplete_beta_at_the_ends_and_in_the_tails() -> None:
    a, b = torch.tensor([0.5, 3.0, 20.0]).double(), torch.tensor([2.0, 0.1, 30.0]).double()
    assert incomplete_beta(a, b, torch.tensor(torch.inf).double()).tolist() == [1.0] * 3
    assert incomplete_beta(a, b, torch.tensor(-torch.inf).double()).tolist() == [0.0] * 3
    far = incomplete_beta(a[2:], b[2:], torch.tensor([-2.5]).double())
    np.testing.assert_allclose(far, scipy.special.betainc(20, 30, scipy.special.expit(-2.5)), rtol=0, atol=1e-17)


@settings(max_examples=15, deadline=None)
@given(a=st.floats(0.05, 50), b=st.floats(0.05, 50), u=st.floats(-4, 4))
def test_incomplete_beta_has_all_gradients(a, b, u) -> None:
    # Whole numbers are where the number of recurrences changes, and differences taken across cost digits.
    a, b = (value + 0.01 if abs(value - round(value)) < 1e-3 else value for value in (a, b))
    inputs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (a, b, u)]
    assert torch.autograd.gradcheck(incomplete_beta, inputs, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(r=st.floats(0.05, 1e4), mean=st.floats(0.01, 500))
def test_the_mean_difference_against_the_sum(r, mean) -> None:
    p = r / (r + mean)
    last = scipy.stats.nbinom.isf(1e-18, r, p) + 1
    below = scipy.stats.nbinom.cdf(np.arange(last), r, p)
    above = scipy.stats.nbinom.sf(np.arange(last), r, p)
    found = half_mean_difference(*(torch.tensor(value, dtype=torch.float64) for value in (r, mean)))
    np.testing.assert_allclose(found, (below * above).sum(), rtol=1e-9)


def test_the_mean_difference_for_huge_counts_is_that_of_the_gamma_distribution() -> None:
    # With a mean of 1e9 the steps between counts vanish; and of the gamma distribution it is known.
    r, mean = 2.5, 1e9
    found = half_mean_difference(*(torch.tensor(value, dtype=torch.float64) for value in (r, mean)))
    wanted = mean / (r * scipy.special.beta(0.5, r))
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_the_mean_difference_has_gradients() -> None:
    inputs = [torch.tensor([0.4, 3.0, 200.0]), torch.tensor([2.0, 50.0, 7.0])]
    inputs = [each.double().requires_grad_() for each in inputs]
    assert torch.autograd.gradcheck(half_mean_difference, inputs, atol=1e-6)


def test_bisection_ends_where_the_condition_holds() -> None:
    wanted = torch.tensor([0.3, -7.25, 1e-8]).double()
    found = bisect(lambda x: x >= wanted, torch.full((3,), -10.0).double(), torch.full((3,), 5.0).double())
    assert bool((found >= wanted).all())
    assert bool((found - wanted <= 15 * 2.0**-52).all())
