"""Tails against scipy's fits and quantiles, and false alarms at the rate that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from recur.calibration import DriftSpot, Spot, Tail, fit_tail
from recur.calibration.tail import fit_pareto

F64 = {"dtype": torch.float64}


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 1.3])
@pytest.mark.parametrize("count", [30, 1000])
def test_the_likelihood_is_at_least_that_of_scipy(shape, count) -> None:
    excesses = scipy.stats.genpareto.rvs(shape, scale=3, size=count, random_state=5)
    found_shape, found_scale = fit_pareto(torch.tensor(excesses), torch.ones(count, dtype=torch.bool))
    wanted_shape, _, wanted_scale = scipy.stats.genpareto.fit(excesses, floc=0)
    assert wanted_shape > -0.5
    found = scipy.stats.genpareto.logpdf(excesses, found_shape.item(), 0, found_scale.item()).sum()
    assert found >= scipy.stats.genpareto.logpdf(excesses, wanted_shape, 0, wanted_scale).sum() - 1e-9
    # scipy stops at 1e-4 of its simplex.
    assert found_shape.item() == pytest.approx(wanted_shape, abs=1e-3)
    assert found_scale.item() == pytest.approx(wanted_scale, rel=1e-3)


def test_many_series_are_fitted_as_each_alone() -> None:
    excesses = torch.rand(5, 40, **F64).pow(-0.3) - 1
    counts = torch.rand(5, 40) < 0.7
    shape, scale = fit_pareto(torch.where(counts, excesses, 0), counts)
    for row in range(5):
        kept = excesses[row, counts[row]]
        alone = fit_pareto(kept, torch.ones_like(kept, dtype=torch.bool))
        torch.testing.assert_close((shape[row], scale[row]), alone, rtol=1e-6, atol=1e-7)


def test_the_unit_does_not_matter() -> None:
    scores = torch.randn(2000, **F64).abs()
    small, large = fit_tail(scores), fit_tail(1e6 * scores)
    torch.testing.assert_close(small.shape, large.shape, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(1e6 * small.threshold(1e-4), large.threshold(1e-4), rtol=1e-6, atol=0)


def test_a_shape_below_a_half_is_held_there() -> None:
    # Even values have shape -1, whose likelihood has no maximum.
    excesses = torch.linspace(0.01, 1, 200, **F64)
    shape, scale = fit_pareto(excesses, torch.ones(200, dtype=torch.bool))
    assert shape.item() == pytest.approx(-0.5, abs=1e-6)
    assert scale.item() > 0


@pytest.mark.parametrize("shape", [-0.2, 0.0, 1e-12, 0.4])
def test_thresholds_and_probabilities_are_the_distribution_s(shape) -> None:
    tail = Tail(
        level=torch.tensor([1.0, -2.0], **F64),
        share=torch.tensor([0.02, 0.5], **F64),
        shape=torch.tensor([shape, shape], **F64),
        scale=torch.tensor([2.0, 0.1], **F64),
        num_excesses=torch.tensor([50, 50]),
    )
    rest = np.array([1e-4 / 0.02, 1e-4 / 0.5])
    wanted = np.array([1.0, -2.0]) + scipy.stats.genpareto.isf(rest, shape, scale=[2.0, 0.1])
    np.testing.assert_allclose(tail.threshold(1e-4), wanted, rtol=1e-9)
    np.testing.assert_allclose(tail.probability(tail.threshold(1e-4)), [1e-4, 1e-4], rtol=1e-9)
    assert tail.probability(torch.tensor([-9.0, torch.nan], **F64))[0] == 0.02
    assert tail.probability(torch.tensor([-9.0, torch.nan], **F64))[1].isnan()
    assert tail.threshold(0.4).tolist()[0] == 1.0
    if shape == -0.2:
        assert tail.probability(torch.tensor([12.0, 12.0], **F64)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["normal", "exponential", "student"])
def test_false_alarms_come_at_the_stated_rate(kind) -> None:
    rng = np.random.default_rng(2)
    draw = {
        "normal": rng.standard_normal,
        "exponential": rng.standard_exponential,
        "student": lambda size: rng.standard_t(4, size),
    }[kind]
    tail = fit_tail(torch.tensor(draw((200, 5000))))
    alarms = torch.tensor(draw((200, 20_000))) > tail.threshold(1e-3)[:, None]
    share = alarms.double().mean(1)
    # Between series it varies by what 100 excesses leave unknown; of the mean of 200, five standard errors. The tail of
    # a normal distribution at its 0.98 quantile is not quite generalised Pareto, which moves the rate by some percent.
    assert abs(share.mean().item() - 1e-3) < 5 * (share.std() / 200**0.5).item() + 1e-4


def test_constant_short_and_gappy_series() -> None:
    constant = fit_tail(torch.full((100,), 3.0))
    assert constant.threshold(1e-3) == 3.0
    assert constant.probability(torch.tensor([3.0, 3.1])).tolist() == [0.0, 0.0]
    few = fit_tail(torch.arange(100.0), level=0.95)
    # Excesses 1 to 5 over the level 94: exponential with their mean, 3.
    assert (few.level, few.shape, few.scale, few.num_excesses) == (94.0, 0.0, 3.0, 5)
    scores = torch.randn(2, 500, **F64)
    holes = scores.clone()
    holes[:, ::3] = torch.nan
    weight = torch.ones(500)
    weight[::3] = 0
    kept = fit_tail(scores[:, torch.arange(500) % 3 != 0], level=0.9)
    for found in (fit_tail(holes, level=0.9), fit_tail(scores, level=0.9, weight=weight)):
        for name in ("level", "share", "shape", "scale", "num_excesses"):
            torch.testing.assert_close(getattr(found, name), getattr(kept, name))


def test_a_stream_without_peaks_keeps_its_tail_but_counts() -> None:
    scores = torch.randn(3, 1000, **F64)
    spot = Spot(1e-3).fit(scores)
    before = spot.tail
    torch.testing.assert_close(spot.threshold, fit_tail(scores).threshold(1e-3))
    for _ in range(100):
        assert not bool(spot.update(torch.zeros(3, **F64)).any())
    torch.testing.assert_close(spot.tail.share, before.share * 1000 / 1100)
    assert bool((spot.threshold < before.threshold(1e-3)).all())
    assert torch.equal(spot.tail.scale, before.scale)


def test_peaks_are_learned_as_if_all_had_been_there() -> None:
    scores = torch.randn(2, 1500, **F64)
    spot = Spot(1e-3).fit(scores[:, :1000])
    level, peaks, seen = spot.tail.level.clone(), [], 1000
    for row in range(2):
        excess = scores[row, :1000] - level[row]
        peaks.append(excess[excess > 0].tolist())
    gone = torch.zeros(2)
    for values in scores[:, 1000:].unbind(-1):
        threshold = spot.threshold
        alarm = spot.update(values)
        assert torch.equal(alarm, values > threshold)
        seen += 1
        gone += alarm
        for row in range(2):
            if not alarm[row] and values[row] > level[row]:
                peaks[row].append(float(values[row] - level[row]))
    for row in range(2):
        kept = torch.tensor(peaks[row], **F64)
        shape, scale = fit_pareto(kept, torch.ones_like(kept, dtype=torch.bool))
        torch.testing.assert_close(spot.tail.shape[row], shape, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(spot.tail.scale[row], scale, rtol=1e-6, atol=1e-7)
        assert spot.tail.num_excesses[row] == len(kept)
        torch.testing.assert_close(spot.tail.share[row], (len(kept) / (1500 - gone[row])).double())


def test_only_the_newest_peaks_are_kept() -> None:
    scores = torch.rand(1, 400, **F64)
    spot = Spot(1e-4, level=0.9, max_peaks=16).fit(scores[:, :300])
    level = spot.tail.level
    kept = [value - level[0] for value in scores[0, :300] if value > level[0]][-16:]
    for values in scores[:, 300:].unbind(-1):
        if not spot.update(values) and values > level:
            kept = [*kept[1:], (values - level)[0]]
    wanted = fit_pareto(torch.stack(kept), torch.ones(16, dtype=torch.bool))
    torch.testing.assert_close((spot.tail.shape[0], spot.tail.scale[0]), wanted, rtol=1e-6, atol=1e-7)


def test_spot_holds_its_rate_on_streams() -> None:
    rng = np.random.default_rng(0)
    spot = Spot(1e-3).fit(torch.tensor(rng.standard_exponential((300, 5000))))
    alarms = [spot.update(torch.tensor(rng.standard_exponential(300))).double().mean().item() for _ in range(600)]
    # 180 alarms are expected, give or take 5 times 13. What 100 excesses leave unknown and the alarms that are lost to
    # the tail, a twentieth of it, add up to a quarter.
    assert 1e-3 * (1 - 67 / 180) < np.mean(alarms) < 1e-3 * (1.25 + 67 / 180)


def test_drifting_streams_need_the_drift() -> None:
    steps = torch.arange(2000.0, **F64)
    streams = torch.randn(20, 2000, **F64) + steps / 30
    still, moving = Spot(1e-3).fit(streams[:, :1000]), DriftSpot(1e-3, depth=10).fit(streams[:, :1000])
    still_alarms = torch.stack([still.update(values) for values in streams[:, 1000:].unbind(-1)]).double().mean()
    alarms = torch.stack([moving.update(values) for values in streams[:, 1000:].unbind(-1)]).double().mean(0)
    assert still_alarms > 0.5
    assert abs(alarms.mean().item() - 1e-3) < 5 * (alarms.std() / 20**0.5).item() + 2e-4
    assert bool(moving.update(streams[:, -1] + 20).all())
    assert bool((moving.probability(moving.threshold) - 1e-3).abs().max() < 1e-9)


def test_the_mean_of_drift_is_that_of_the_last_ordinary_values() -> None:
    values = torch.randn(400, **F64)
    spot = DriftSpot(1e-3, depth=4).fit(torch.cat([values[:200], torch.tensor([torch.nan], **F64), values[200:]]))
    rest = torch.stack([values[k] - values[k - 4 : k].mean() for k in range(4, 400)])
    plain = fit_tail(rest)
    torch.testing.assert_close(spot.tail.level, plain.level)
    torch.testing.assert_close(spot.threshold, plain.threshold(1e-3) + values[-4:].mean())
    spot.update(torch.tensor(100.0, **F64))
    spot.update(torch.tensor(torch.nan, **F64))
    torch.testing.assert_close(spot.threshold, plain.threshold(1e-3) + values[-4:].mean())
    spot.update(torch.tensor(0.5, **F64))
    assert spot._window.mean() == (values[-3:].sum() + 0.5) / 4


@pytest.mark.parametrize("kind", [Spot, DriftSpot])
def test_a_stream_goes_on_from_its_state(kind) -> None:
    streams = torch.randn(3, 700, **F64)
    one, other = kind(1e-3, level=0.95).fit(streams[:, :300]), kind(1e-3, level=0.95)
    for values in streams[:, 300:500].unbind(-1):
        one.update(values)
    other.load_state_dict(one.state_dict())
    for values in streams[:, 500:].unbind(-1):
        assert torch.equal(one.update(values), other.update(values))
    assert torch.equal(one.threshold, other.threshold)
    empty = kind()
    empty.load_state_dict(kind().state_dict())
    assert empty.tail is None


def test_what_is_missing_teaches_nothing() -> None:
    spot = Spot(1e-3).fit(torch.randn(2, 1000, **F64))
    before = spot.state_dict()
    assert spot.update(torch.full((2,), torch.nan, **F64)).tolist() == [False, False]
    assert all(torch.equal(value, before[name]) for name, value in spot.state_dict().items())


def test_bad_input_is_named() -> None:
    scores = torch.randn(2, 100)
    with pytest.raises(ValueError, match=r"^fit_tail: level is 98, but must lie between 0 and 1\.$"):
        fit_tail(scores, level=98)
    with pytest.raises(ValueError, match=r"^fit_tail: scores must have shape \(\.\.\., T\), but have no dimension\.$"):
        fit_tail(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"^fit_tail: a series has no value that counts\. Leave it out\.$"):
        fit_tail(torch.full((2, 5), torch.nan))
    with pytest.raises(TypeError, match=r"^fit_tail: scores must be a floating torch.Tensor, but is torch.int64\.$"):
        fit_tail(torch.zeros(5, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"^Tail: rate must be a number, but is str\.$"):
        fit_tail(scores).threshold("a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Spot: rate is 0\.1, but must be below 1 - level, 0\.02\.$"):
        Spot(0.1)
    with pytest.raises(ValueError, match=r"^Spot: max_peaks is 0, but must be at least 1\.$"):
        Spot(max_peaks=0)
    with pytest.raises(TypeError, match=r"^Spot: max_peaks must be an int, but is float\.$"):
        Spot(max_peaks=9.0)  # type: ignore[arg-type]
    for ask in (lambda spot: spot.threshold, lambda spot: spot.update(torch.zeros(2))):
        with pytest.raises(ValueError, match=r"^Spot: nothing is fitted yet\. Call fit with ordinary values first\.$"):
            ask(Spot())
    with pytest.raises(ValueError, match=r"^Spot: values have shape \(3,\), but the streams \(2,\)\.$"):
        Spot().fit(scores).update(torch.zeros(3))
    with pytest.raises(ValueError, match=r"^Spot: the state keeps 1000 peaks, but max_peaks is 50\.$"):
        Spot(max_peaks=50).load_state_dict(Spot().fit(scores).state_dict())
    with pytest.raises(ValueError, match=r"^DriftSpot: depth is 0, but must be at least 1\.$"):
        DriftSpot(depth=0)
    with pytest.raises(TypeError, match=r"^DriftSpot: depth must be an int, but is float\.$"):
        DriftSpot(depth=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^DriftSpot: a stream has no more than depth = 20 values to start from\.$"):
        DriftSpot().fit(scores[:, :20])
    with pytest.raises(ValueError, match=r"^DriftSpot: scores must have shape \(\.\.\., T\), but have no dimension\.$"):
        DriftSpot().fit(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"^DriftSpot: the state keeps 20 values, but depth is 5\.$"):
        DriftSpot(depth=5).load_state_dict(DriftSpot().fit(scores).state_dict())


def test_a_tail_that_is_known_to_have_no_end() -> None:
    ends = torch.linspace(0, 1, 20_000, dtype=torch.float64)
    assert fit_tail(ends).shape < -0.4
    kept = fit_tail(ends, least_shape=0.0)
    assert kept.shape == 0
    # The mean of what lies evenly between 0.98 and 1.
    assert kept.scale.item() == pytest.approx(0.01, rel=0.01)
    heavy = (1 - ends[:-1]) ** -0.3
    torch.testing.assert_close(fit_tail(heavy, least_shape=0.0).shape, fit_tail(heavy).shape)
    assert fit_tail(heavy, least_excesses=401).shape == 0
    assert fit_tail(heavy, least_excesses=399).shape > 0.2
    with pytest.raises(ValueError, match=r"^fit_tail: least_shape is -1, but must be a number from -0\.5 on\.$"):
        fit_tail(ends, least_shape=-1)
