"""Intervals that hold what they say: margins against the conformal classes, and the share that they then hold."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recur.calibration import ConformalQuantiles, SplitConformal
from recur.errors import DataError
from recur.models.distributions import Distribution, Gaussian, NegativeBinomial, Point
from recur.tasks.forecast.calibration import COVERAGES, LEVELS, ForecastCalibration, calibration_stride, ends

SHAPE = (400, 3, 2)


def batches(seed: int, spread: float = 2.0, number: int = SHAPE[0], size: int = 150) -> Iterator[Any]:
    """Windows whose targets spread more than the forecasts say, and more at later steps."""
    generator = torch.Generator().manual_seed(seed)
    said = torch.randn(number, *SHAPE[1:], generator=generator, dtype=torch.float64)
    noise = torch.randn(number, *SHAPE[1:], generator=generator, dtype=torch.float64)
    target = said + spread * torch.arange(1, 4)[:, None] * noise
    weight = (torch.rand(target.shape, generator=generator) > 0.2).double()
    for part in torch.arange(number).split(size):
        yield SimpleNamespace(
            said=said[part],
            target=torch.where(weight[part] > 0, target[part], 0),
            weight=weight[part],
            whole=target[part],
            # Powers of two, with which there and back is exact.
            centre=torch.zeros(len(part), 2),
            scale=2.0 ** (part % 7)[:, None].expand(-1, 2),
        )


def gaussian(batch: Any) -> Gaussian:
    return Gaussian(loc=batch.said, scale=torch.ones_like(batch.said))


def point(batch: Any) -> Point:
    return Point(value=batch.said)


def together(seed: int, **options: Any) -> tuple[Any, torch.Tensor]:
    parts = list(batches(seed, **options))
    names = ("said", "target", "weight", "centre", "scale")
    joined = SimpleNamespace(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
    return joined, joined.weight


def calibrated(calibration: ForecastCalibration, forecast: Distribution, levels: Any = LEVELS) -> torch.Tensor:
    return calibration.quantiles(forecast, levels, torch.ones(forecast.shape[0], 1, 2))


@pytest.mark.parametrize("coverage", COVERAGES)
def test_margins_are_those_of_conformal_prediction(coverage: float) -> None:
    joined, weight = together(0)
    said = gaussian(joined)
    lower, upper = said.quantile(list(ends(coverage))).unbind(-1)
    fitted = ConformalQuantiles(coverage).fit(joined.target, lower, upper, weight=weight)
    place = COVERAGES.index(coverage)
    assert torch.equal(ForecastCalibration.fit(gaussian, batches(0)).margin[place], fitted.margin)
    split = SplitConformal(coverage).fit(joined.target, joined.said, weight=weight)
    assert torch.equal(ForecastCalibration.fit(point, batches(0)).margin[place], split.margin)


def test_new_targets_are_held_as_often_as_asked() -> None:
    calibration = ForecastCalibration.fit(gaussian, batches(0, number=4000))
    joined, _ = together(1, number=4000)
    target = torch.cat([part.whole for part in batches(1, number=4000)])
    said = calibrated(calibration, gaussian(joined))
    assert calibration.reach == COVERAGES[-1]
    for share in COVERAGES:
        low, high = (said[..., LEVELS.index(level)] for level in ends(share))
        held = ((low <= target) & (target <= high)).double().mean(0)
        # Four deviations of a share of 4,000, and of the 3,200 that the margins came from.
        assert (held - share).abs().max() < 4 * (share * (1 - share) * (1 / 4000 + 1 / 3200)) ** 0.5


def test_the_median_stays_and_levels_in_between_are_interpolated() -> None:
    calibration = ForecastCalibration.fit(gaussian, batches(0))
    joined, _ = together(1)
    said = calibrated(calibration, gaussian(joined), (0.005, 0.01, 0.075, 0.5, 0.925, 0.99, 0.995))
    plain = gaussian(joined).quantile([0.005, 0.01, 0.075, 0.5, 0.925, 0.99, 0.995])
    moved = said - plain
    assert torch.equal(moved[..., 3], torch.zeros_like(moved[..., 3]))
    # 0.85 lies halfway between 0.8 and 0.9; beyond 0.98 the margin stays.
    halfway = (calibration.margin[COVERAGES.index(0.8)] + calibration.margin[COVERAGES.index(0.9)]) / 2
    for place, margin in ((4, halfway), (5, calibration.margin[-1]), (6, calibration.margin[-1])):
        torch.testing.assert_close(moved[..., place], margin.expand(SHAPE), rtol=0, atol=1e-12)
        torch.testing.assert_close(moved[..., 6 - place], -margin.expand(SHAPE), rtol=0, atol=1e-12)


def test_intervals_that_were_too_wide_shrink_and_never_cross() -> None:
    def wide(batch: Any) -> Gaussian:
        return Gaussian(loc=batch.said, scale=torch.full_like(batch.said, 50.0))

    calibration = ForecastCalibration.fit(wide, batches(0, spread=0.1))
    assert (calibration.margin < 0).all()
    joined, _ = together(1)
    narrow = Gaussian(loc=joined.said, scale=torch.full_like(joined.said, 0.01))
    said = calibrated(calibration, narrow)
    assert (said.diff(dim=-1) >= 0).all()
    assert torch.equal(said[..., LEVELS.index(0.5)], joined.said)


def test_few_windows_reach_less_far() -> None:
    # Of 9 targets the largest error is the conformal margin up to a coverage of 0.9.
    batch = next(batches(0))
    nine = SimpleNamespace(**{name: values[:9] for name, values in vars(batch).items()})
    nine.target, nine.weight = nine.whole, torch.ones_like(nine.weight)
    calibration = ForecastCalibration.fit(gaussian, [nine])
    assert calibration.reach == 0.9
    assert calibration.margin.isfinite().all()
    assert torch.equal(calibration.margin[-1], calibration.margin[COVERAGES.index(0.9)])


def test_a_step_without_targets_stays_as_it_is() -> None:
    def blind(seed: int) -> Iterator[Any]:
        for batch in batches(seed):
            batch.weight[:, 1] = 0
            yield batch

    calibration = ForecastCalibration.fit(gaussian, blind(0))
    assert torch.equal(calibration.margin[:, 1], torch.zeros_like(calibration.margin[:, 1]))
    assert calibration.reach == COVERAGES[-1]
    assert (calibration.margin[:, 0] > 0).all()


def test_what_cannot_be_told_does_not_count() -> None:
    def told(batch: Any) -> Point:
        is_told = torch.arange(len(batch.said)) % 2 == 0
        return Point(value=torch.where(is_told[:, None, None], batch.said, torch.nan))

    joined, weight = together(0)
    is_told = (torch.arange(SHAPE[0]) % 150 % 2 == 0)[:, None, None]
    split = SplitConformal(0.8).fit(joined.target, joined.said, weight=weight * is_told)
    fitted = ForecastCalibration.fit(told, batches(0)).margin[COVERAGES.index(0.8)]
    assert torch.equal(fitted, split.margin)


def test_margins_are_in_units_of_the_scale() -> None:
    calibration = ForecastCalibration.fit(gaussian, batches(0))
    forecast = Gaussian(loc=torch.zeros(2, 3, 2, dtype=torch.float64), scale=torch.ones(2, 3, 2, dtype=torch.float64))
    size = torch.tensor([[[1.0, 1.0]], [[10.0, 100.0]]], dtype=torch.float64)
    moved = calibration.quantiles(forecast, (0.9,), size)[..., 0] - forecast.quantile(0.9)
    torch.testing.assert_close(moved, size * calibration.margin[COVERAGES.index(0.8)], rtol=1e-12, atol=0)


def test_counts_are_calibrated_on_their_own_scale() -> None:
    # Scaled by 50, nearly all counts would be 0 or 1.
    rate = torch.full((300, 3, 2), 0.8)
    shape = torch.full_like(rate, 5.0)
    counts = NegativeBinomial(rate=50 * rate, total_count=shape)
    target = counts.sample(generator=torch.Generator().manual_seed(0)) / 50
    batch = SimpleNamespace(
        target=target, weight=torch.ones_like(target), centre=torch.zeros(300, 2), scale=torch.full((300, 2), 50.0)
    )
    fitted = ForecastCalibration.fit(lambda _: NegativeBinomial(rate=rate, total_count=shape), [batch])
    # They are what was drawn from, so that there is little to mend: less than a fifth of the mean.
    assert fitted.margin[COVERAGES.index(0.8)].abs().max() < 0.16


def test_it_can_be_saved() -> None:
    calibration = ForecastCalibration.fit(gaussian, batches(0))
    again = ForecastCalibration.from_state(calibration.state_dict())
    assert (again.coverages, again.reach) == (calibration.coverages, calibration.reach)
    assert torch.equal(again.margin, calibration.margin)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"margin": torch.zeros(2, 3, 2)}, r"damaged: .*margin must have shape \(K, P, C\) for 8 coverages, but has "),
        ({"margin": torch.full((8, 3, 2), torch.inf)}, r"damaged: a margin is not finite\.$"),
        ({"coverages": torch.tensor([0.5] * 8)}, r"damaged: .*levels must be at least one number between 0 and 1"),
        ({"reach": None}, r"the saved calibration is damaged: "),
    ],
)
def test_damage_is_told(changes: dict[str, Any], said: str) -> None:
    state = ForecastCalibration.fit(gaussian, batches(0)).state_dict() | changes
    with pytest.raises(DataError, match=said):
        ForecastCalibration.from_state({name: value for name, value in state.items() if value is not None})


def test_there_must_be_a_window() -> None:
    with pytest.raises(DataError, match=r"^there is no window to calibrate intervals on\.$"):
        ForecastCalibration.fit(gaussian, [])


def test_strides_bound_the_memory() -> None:
    assert calibration_stride(5000, 24, 1) == 1
    assert calibration_stride(1_000_000, 24, 1) == 6
