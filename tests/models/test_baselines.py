"""Rules that any model has to beat: their forecasts, with gaps, from histories and from streams."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.models.baselines import Drift, Mean, Naive, SeasonalNaive

NAN = torch.nan
KINDS = {"naive": Naive, "seasonal": lambda: SeasonalNaive(3), "drift": Drift, "mean": Mean}


def by_hand(name, row, horizon):
    """The forecasts of one series in plain Python."""
    seen = [(step, value) for step, value in enumerate(row) if value == value]
    ahead = range(len(row), len(row) + horizon)
    if name == "seasonal":
        places = {step % 3: value for step, value in seen}
        return [places.get(step % 3, NAN) for step in ahead]
    if not seen:
        return [NAN] * horizon
    if name == "naive":
        return [seen[-1][1]] * horizon
    if name == "mean":
        return [sum(value for _, value in seen) / len(seen)] * horizon
    (first_step, first), (last_step, last) = seen[0], seen[-1]
    slope = (last - first) / (last_step - first_step) if len(seen) > 1 else 0.0
    return [last + slope * (step - last_step) for step in ahead]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), steps=st.integers(0, 9), gaps=st.sampled_from([0.0, 0.4, 0.9]))
@pytest.mark.parametrize("name", KINDS)
def test_from_a_history_and_from_a_stream(name, seed, steps, gaps) -> None:
    generator = torch.Generator().manual_seed(seed)
    history = torch.randn(2, 3, steps, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 3, steps, generator=generator) >= gaps
    holes = torch.where(mask, history, NAN)
    wanted = torch.tensor([[by_hand(name, row.tolist(), 5) for row in rows] for rows in holes], dtype=torch.float64)
    for rule in (KINDS[name]().fit(holes), KINDS[name]().fit(history, mask=mask)):
        torch.testing.assert_close(rule.forecast(5), wanted.view(2, 3, 5), equal_nan=True, rtol=1e-12, atol=1e-12)
    stream = KINDS[name]().fit(history[..., : steps // 2], mask=mask[..., : steps // 2])
    for step in range(steps // 2, steps):
        stream.update(history[..., step], mask=mask[..., step])
    torch.testing.assert_close(stream.forecast(5), wanted.view(2, 3, 5), equal_nan=True, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_a_stream_can_begin_with_nothing_and_be_moved(name) -> None:
    series = torch.randn(4, 10)
    rule = KINDS[name]()
    for values in series[:, :7].unbind(-1):
        rule.update(values)
    kept = rule.state_dict()
    other = KINDS[name]()
    other.load_state_dict(kept)
    for values in series[:, 7:].unbind(-1):
        rule.update(values)
        other.update(values)
    assert torch.equal(rule.forecast(4), other.forecast(4))
    torch.testing.assert_close(other.forecast(4), KINDS[name]().fit(series).forecast(4))
    # What was kept is a copy.
    again = KINDS[name]()
    again.load_state_dict(kept)
    torch.testing.assert_close(again.forecast(4), KINDS[name]().fit(series[:, :7]).forecast(4))


@pytest.mark.parametrize("name", KINDS)
def test_single_series_and_dtype(name) -> None:
    series = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float32)
    found = KINDS[name]().fit(series).forecast(2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(by_hand(name, series.tolist(), 2)))


def test_the_mean_of_many_values_stays_exact() -> None:
    # A running mean in float32 keeps about sqrt(n) roundings of values near 1000.
    values = 1000 + torch.randn(5000)
    rule = Mean()
    for value in values:
        rule.update(value)
    assert abs(rule.forecast(1).item() - values.double().mean().item()) < 5000**0.5 * 1000 * 2**-24


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^Naive: nothing has been seen yet\. Call fit or update first\.$"):
        Naive().forecast(1)
    rule = Naive().fit(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"^Naive: values have shape \(3,\), but before \(2,\)\.$"):
        rule.update(torch.zeros(3))
    with pytest.raises(ValueError, match=r"^Naive: horizon is 0, but must be at least 1\.$"):
        rule.forecast(0)
    with pytest.raises(TypeError, match=r"^Naive: horizon must be an int, but is float\.$"):
        rule.forecast(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^Drift: history must be a floating torch.Tensor, but is torch.int64\.$"):
        Drift().fit(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^Drift: history must have shape \(\.\.\., T\), but has no dimension\.$"):
        Drift().fit(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"^Mean: mask must be a torch.bool tensor, but is torch.float32\.$"):
        Mean().fit(torch.zeros(2, 3), mask=torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"^Mean: mask has shape \(3,\), but the values have \(2, 3\)\.$"):
        Mean().fit(torch.zeros(2, 3), mask=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"^SeasonalNaive: season is 0, but must be at least 1\.$"):
        SeasonalNaive(0)
    with pytest.raises(TypeError, match=r"^SeasonalNaive: season must be an int, but is float\.$"):
        SeasonalNaive(7.0)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^Mean: the state holds last, seen, steps, but must hold mean, seen, steps\.$"
    ):
        Mean().load_state_dict(rule.state_dict())
    with pytest.raises(ValueError, match=r"^SeasonalNaive: the state has a season of 3, but this one's is 4\.$"):
        SeasonalNaive(4).load_state_dict(SeasonalNaive(3).fit(torch.zeros(2, 5)).state_dict())
