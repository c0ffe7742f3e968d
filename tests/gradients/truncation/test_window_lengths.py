"""The law of random window lengths, and that they fill what is cut."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.gradients import WindowLengths


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_defaults_are_the_paper_s_at_its_length() -> None:
    law = WindowLengths(70)
    assert (law.spread, law.half_probability, law.shortest, law.longest) == (5, 0.05, 5, 90)
    assert (WindowLengths(3).shortest, WindowLengths(3).longest) == (1, 4)


def test_lengths_follow_the_law() -> None:
    count = 40_000
    drawn = WindowLengths(70).draw(count, seeded())
    assert drawn.dtype == torch.int64
    assert drawn.shape == (count,)
    is_half = drawn < 52
    # Each share and mean strays by its standard error; five times that. 52 lies between 35 and 70, three and a half
    # deviations from either, and so on the wrong side for one in four thousand.
    share = float(is_half.double().mean())
    assert share == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / count) + 1 / 4000)
    for part, center in ((drawn[is_half], 35), (drawn[~is_half], 70)):
        values = part.double()
        # The wrong side adds up to 1 / 4000 * 0.95 / 0.05 of lengths that are off by 17.
        assert float(values.mean()) == pytest.approx(center, abs=5 * 5 / math.sqrt(len(values)) + 0.1)
        # Rounding adds a variance of a twelfth.
        assert float(values.std()) == pytest.approx(math.sqrt(25 + 1 / 12), rel=5 / math.sqrt(2 * len(values)) + 0.02)


def test_lengths_stay_between_the_bounds() -> None:
    drawn = WindowLengths(10, deviation=30.0, least=4, most=17).draw(1000, seeded())
    assert set(drawn.tolist()) == set(range(4, 18))
    assert WindowLengths(10, deviation=0.0, half_probability=0.0).draw(5, seeded()).tolist() == [10] * 5
    assert WindowLengths(10, deviation=0.0, half_probability=1.0).draw(5, seeded()).tolist() == [5] * 5


@settings(deadline=None)
@given(
    typical=st.integers(1, 40),
    below=st.integers(0, 39),
    above=st.integers(0, 40),
    deviation=st.sampled_from([None, 0.0, 3.0, 100.0]),
    half=st.sampled_from([0.0, 0.05, 1.0]),
    num_steps=st.integers(1, 500),
    seed=st.integers(0, 10),
)
def test_a_partition_fills_all_steps(
    typical: int, below: int, above: int, deviation: float | None, half: float, num_steps: int, seed: int
) -> None:
    least, most = max(typical - below, 1), typical + above
    law = WindowLengths(typical, deviation=deviation, half_probability=half, least=least, most=most)
    lengths = law.partition(num_steps, seeded(seed))
    assert sum(lengths) == num_steps
    assert len(lengths) == law.count(num_steps)
    assert min(lengths) >= 1
    assert max(lengths) <= most
    if num_steps >= least * len(lengths):
        assert min(lengths) >= least
    assert lengths == law.partition(num_steps, seeded(seed))


def test_a_partition_follows_the_law_too() -> None:
    lengths = torch.tensor([WindowLengths(70).partition(100_000, seeded(seed)) for seed in range(20)])
    mean = 70 * 0.975
    assert lengths.shape[1] == round(100_000 / mean)
    assert float((lengths < 52).double().mean()) == pytest.approx(0.05, abs=0.01)
    assert float(lengths[lengths >= 52].double().std()) == pytest.approx(math.sqrt(25 + 1 / 12), rel=0.05)
    # Not the same ones each time.
    assert len({tuple(row) for row in lengths.tolist()}) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"typical": 0}, "typical must be a whole number from 1 on, not 0."),
        ({"typical": 7.0}, "typical must be a whole number from 1 on, not 7.0."),
        ({"typical": None}, "typical must be a whole number from 1 on, not None."),
        ({"least": 0}, "least must be a whole number from 1 on, not 0."),
        ({"most": True}, "most must be a whole number from 1 on, not True."),
        ({"deviation": -1}, "deviation must be a number of steps from 0 to 1e+15, not -1."),
        ({"deviation": 1e308}, "deviation must be a number of steps from 0 to 1e+15, not 1e+308."),
        ({"deviation": math.nan}, "deviation must be a number of steps from 0 to 1e+15, not nan."),
        ({"half_probability": 1.5}, "half_probability must be a number from 0 to 1, not 1.5."),
        ({"least": 71}, "typical is 70, but must be from least to most, 71 to 90."),
        ({"most": 69}, "typical is 70, but must be from least to most, 5 to 69."),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape('WindowLengths: ' + message)}$"):
        WindowLengths(**{"typical": 70, **options})


def test_no_steps_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match=r"^WindowLengths: num_steps must be a whole number from 1 on, not 0\.$"):
        WindowLengths(70).partition(0)


@pytest.mark.parametrize("count", [-1, 2.0, True])
def test_what_cannot_be_drawn(count: Any) -> None:
    message = f"WindowLengths: count must be a whole number from 0 on, not {count}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WindowLengths(70).draw(count)
    assert WindowLengths(70).draw(0).tolist() == []


def test_the_widest_deviation_that_is_allowed_can_be_drawn() -> None:
    law = WindowLengths(70, deviation=1e15)
    drawn = law.draw(100, seeded())
    assert bool(((drawn >= law.shortest) & (drawn <= law.longest)).all())
    assert int(drawn.max()) > 1e13
