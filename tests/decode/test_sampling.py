"""Sampling: the right distribution, and exact edges."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recur.decode.sampling import Sampling
from recur.errors import OptionError

DRAWS = 20_000
LOGITS = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -torch.inf])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(sampling: Sampling, logits: Tensor = LOGITS, seed: int = 0) -> Tensor:
    drawn = sampling.draw(logits.expand(DRAWS, -1), generator(seed))
    assert drawn.shape == (DRAWS,)
    assert drawn.dtype == torch.int64
    return torch.bincount(drawn, minlength=logits.shape[-1]).double()


def assert_drawn_from(found: Tensor, probability: Tensor) -> None:
    """Pearson's chi-square at the 99.99 % quantile; the seed is fixed, so a good sampler passes every time."""
    assert float(found[probability == 0].sum()) == 0
    expected = probability[probability > 0] * DRAWS
    assert float(expected.min()) > 5
    statistic = float(((found[probability > 0] - expected) ** 2 / expected).sum())
    quantile = {1: 15.14, 2: 18.42, 3: 21.11, 4: 23.51}[len(expected) - 1]
    assert statistic < quantile, statistic


def softmax(logits: Tensor, kept: list[int]) -> Tensor:
    only = torch.full_like(logits, -torch.inf)
    only[kept] = logits[kept]
    return torch.softmax(only.double(), dim=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature(temperature: float) -> None:
    expected = torch.softmax(LOGITS.double() / temperature, dim=0)
    assert_drawn_from(counts(Sampling(temperature=temperature)), expected)


def test_the_check_of_the_distribution_can_fail() -> None:
    with pytest.raises(AssertionError):
        assert_drawn_from(counts(Sampling(temperature=0.9)), torch.softmax(LOGITS.double(), dim=0))


@pytest.mark.parametrize(("k", "kept"), [(2, [3, 1]), (3, [3, 1, 4]), (6, [0, 1, 2, 3, 4]), (100, [0, 1, 2, 3, 4])])
def test_top_k(k: int, kept: list[int]) -> None:
    assert_drawn_from(counts(Sampling(top_k=k)), softmax(LOGITS, kept))


def test_top_k_of_one_is_greedy_even_among_equals() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    for seed in range(20):
        assert Sampling(top_k=1).draw(logits, generator(seed)).tolist() == [1, 0]


def test_top_k_keeps_k_even_among_equals() -> None:
    found = counts(Sampling(top_k=3), torch.zeros(6))
    assert_drawn_from(found, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0, 0, 0]).double())


# Probabilities 1/2, 1/4, 1/8, 1/8, exact in binary, in no order.
POWERS = torch.tensor([0.125, 0.5, 0.125, 0.25]).log2() * math.log(2)


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (1e-300, [1]),
        (1e-9, [1]),
        (0.499, [1]),
        (0.51, [1, 3]),
        (0.74, [1, 3]),
        (0.76, [1, 3, 0]),
        (0.88, [0, 1, 2, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_top_p(p: float, kept: list[int]) -> None:
    found = counts(Sampling(top_p=p), POWERS)
    if len(kept) == 1:
        assert found.tolist() == [0, DRAWS, 0, 0]
    else:
        assert_drawn_from(found, softmax(POWERS, kept))


def test_top_p_acts_after_temperature_and_top_k() -> None:
    # At temperature 1/2 the first has 16/22 of the mass, so that 0.7 keeps it alone; at 1 it has 1/2.
    assert counts(Sampling(top_p=0.7, temperature=0.5), POWERS).tolist() == [0, DRAWS, 0, 0]
    # Of the two likeliest the first has two thirds.
    assert counts(Sampling(top_p=0.6, top_k=2), POWERS).tolist() == [0, DRAWS, 0, 0]
    assert_drawn_from(counts(Sampling(top_p=0.6), POWERS), softmax(POWERS, [1, 3]))


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-3, 1e-20, 1e-40, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_temperature_of_zero_or_almost_is_greedy(temperature: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [-torch.inf, -30.0, -31.0], [80.0, 60.0, -80.0]]).to(dtype)
    for options in ({}, {"top_k": 2}, {"top_p": 0.5}):
        for seed in range(5):
            found = Sampling(temperature=temperature, **options).draw(logits, generator(seed))
            assert found.tolist() == [1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 4, "top_p": 0.8}])
def test_logits_of_16_bits_are_drawn_from_with_32(dtype: torch.dtype, options: dict[str, Any]) -> None:
    logits = LOGITS.to(dtype)
    assert torch.equal(counts(Sampling(**options), logits), counts(Sampling(**options), logits.float()))


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert Sampling(temperature=0).draw(torch.zeros(2, 5)).tolist() == [0, 0]


def test_a_high_temperature_is_uniform_over_what_is_allowed() -> None:
    expected = torch.tensor([1, 1, 1, 1, 1, 0]).double() / 5
    assert_drawn_from(counts(Sampling(temperature=1e6)), expected)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=8), st.data())
def test_a_forbidden_token_is_never_drawn(values: list[float], data: st.DataObject) -> None:
    logits = torch.tensor(values)
    allowed = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))
    logits[[n for n in range(len(values)) if n not in allowed]] = -torch.inf
    sampling = Sampling(
        temperature=data.draw(st.sampled_from([0, 1e-30, 0.1, 1, 10, 1e30])),
        top_k=data.draw(st.none() | st.integers(1, 10)),
        top_p=data.draw(st.none() | st.floats(0, 1, exclude_min=True)),
    )
    drawn = sampling.draw(logits.expand(50, -1), generator())
    assert set(drawn.tolist()) <= allowed


def test_the_same_seed_draws_the_same_and_rows_are_independent() -> None:
    logits = torch.zeros(1000, 50)
    first, again = (Sampling().draw(logits, generator(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Sampling().draw(logits, generator(6)))
    assert len(set(first.tolist())) == 50
    torch.manual_seed(1)
    default = Sampling().draw(logits)
    torch.manual_seed(1)
    assert torch.equal(default, Sampling().draw(logits))


def test_the_logits_are_left_as_they_are() -> None:
    logits = LOGITS.repeat(2, 1)
    Sampling(temperature=0.5, top_k=3, top_p=0.5).draw(logits, generator())
    assert torch.equal(logits, LOGITS.repeat(2, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature must be a number from 0 on, not -0\.1\."),
        ({"temperature": math.nan}, r"temperature must be a number from 0 on, not nan\."),
        ({"temperature": math.inf}, r"temperature must be a number from 0 on, not inf\."),
        ({"temperature": "1"}, r"temperature must be a number from 0 on, not '1'\."),
        ({"temperature": True}, r"temperature must be a number from 0 on, not True\."),
        ({"top_k": 0}, r"top_k must be a whole number from 1 on, not 0\."),
        ({"top_k": 1.5}, r"top_k must be a whole number from 1 on, not 1\.5\."),
        ({"top_k": math.nan}, r"top_k must be a whole number from 1 on, not nan\."),
        ({"top_k": "3"}, r"top_k must be a whole number from 1 on, not '3'\."),
        ({"top_p": 0}, r"top_p must be a number above 0 and at most 1, not 0\."),
        ({"top_p": 1.01}, r"top_p must be a number above 0 and at most 1, not 1\.01\."),
        ({"top_p": math.nan}, r"top_p must be a number above 0 and at most 1, not nan\."),
        ({"top_p": [0.5]}, r"top_p must be a number above 0 and at most 1, not \[0\.5\]\."),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        Sampling(**options)
