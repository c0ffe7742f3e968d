"""The weights of the mix that forecasts start from, and how far it misses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recur.models.baselines import Drift, Naive, SeasonalNaive
from recur.models.forecast_start import ForecastStart
from recur.models.forecast_start_fit import fit_start

DOUBLE = torch.float64


def origins(series: Tensor, season: int, horizon: int) -> tuple[Tensor, ...]:
    """Return what `fit_start` is given of one series (T,)."""
    length = len(series)
    ends = torch.arange(2 * season + 1, length - horizon)
    values = series[:, None, None]
    start = ForecastStart(1, season=season, memory=24, num_steps=horizon).double()
    known, _ = start.remember(values, torch.ones_like(values, dtype=torch.bool), torch.tensor([length]))
    scale = torch.ones(len(ends), 1, dtype=DOUBLE)
    anchors, mean = start.anchors(known, scale, ends, torch.zeros_like(ends))
    came = series[ends[:, None] + torch.arange(horizon)][..., None]
    return anchors, came - mean[:, None], torch.ones_like(came), torch.zeros_like(ends), ends


def series_of(kind: str, length: int = 240) -> Tensor:
    noise = torch.randn(length, dtype=DOUBLE, generator=torch.Generator().manual_seed(7))
    steps = torch.arange(length, dtype=DOUBLE)
    wave = 5 * (steps * 2 * torch.pi / 6).sin()
    made = {
        "walk": noise.cumsum(0),
        "noise": noise,
        "trend": steps + 0.1 * noise,
        "season": wave + 0.5 * noise,
        "season on a walk": wave + noise.cumsum(0),
    }
    return made[kind]


def least_squares(regressors: Tensor, told: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """Return the weights of regressors (M, K) that tell (M,) best, each held to 0 by a row of its own."""
    rows = weight.sqrt()[:, None] * regressors
    squares = rows.square().sum(0)
    # With the 1e-9 by which equations with many answers are solved.
    held = (ridge * squares + 1e-9 * squares.max()).sqrt().diag()
    wanted = torch.cat([weight.sqrt() * told, torch.zeros(len(held), dtype=DOUBLE)])
    return torch.linalg.lstsq(torch.cat([rows, held]), wanted).solution


def mixes(anchors: Tensor, beyond: Tensor, weight: Tensor) -> list[Tensor]:
    """Return the seven mixes, (P, 5), of origins (M, P, 5), one target alone."""
    eye = torch.eye(5, dtype=DOUBLE)
    horizon = beyond.shape[1]
    steps = torch.arange(1, horizon + 1, dtype=DOUBLE)
    way, left = anchors[..., 4] * steps, beyond - anchors[..., 0]
    slope = least_squares(way.reshape(-1, 1), left.reshape(-1), weight.reshape(-1), 0)
    found = [eye[0].expand(horizon, 5), torch.zeros(horizon, 5, dtype=DOUBLE), eye[2].expand(horizon, 5)]
    found.append(eye[0] + slope * steps[:, None] * eye[4])
    for places, ridge in (([0], 0.0), ([0, 1, 2, 3], 0.01), ([0, 1, 2, 3, 4], 0.01)):
        own = torch.zeros(horizon, 5, dtype=DOUBLE)
        for step in range(horizon):
            own[step, places] = least_squares(anchors[:, step, places], beyond[:, step], weight[:, step], ridge)
        found.append(own)
    return found


def reference(anchors: Tensor, beyond: Tensor, weight: Tensor, series: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `fit_start` does of one target, (P, 5) and (P,), origin by origin."""
    horizon = beyond.shape[1]
    rows = {own: sorted(row[series == own].tolist()) for own in series.tolist()}
    places = list(enumerate(zip(series.tolist(), row.tolist(), strict=True)))
    errors, counts = [], []
    for tenth in range(4, 10):
        begin, end = ({own: -(-edge * len(every) // 10) for own, every in rows.items()} for edge in (tenth, tenth + 1))
        judged = [place for place, (own, at) in places if at in rows[own][begin[own] : end[own]]]
        before = [place for place, (own, at) in places if at + horizon - 1 < rows[own][begin[own]]]
        found = mixes(anchors[before], beyond[before], weight[before])
        errors.append(torch.stack([beyond[judged] - (anchors[judged] * mix).sum(-1) for mix in found], 0))
        counts.append(weight[judged])
    away, counted = torch.cat(errors, 1), torch.cat(counts)
    size = (away.abs() * counted).sum((1, 2)) / counted.sum()
    part = (size.min() / size) ** 10
    part = part / part.sum()
    missed = (torch.einsum("k,kmp->mp", part, away).abs() * counted).sum(0) / counted.sum(0)
    return torch.einsum("k,kpa->pa", part, torch.stack(mixes(anchors, beyond, weight))), missed * (math.pi / 2) ** 0.5


@pytest.mark.parametrize("kind", ["walk", "noise", "trend", "season", "season on a walk"])
def test_mixes_are_judged_on_blocks_by_what_ends_before_them(kind: str) -> None:
    """Two series of other lengths, in any order, some targets missing, the horizon longer than a block."""
    own = [origins(series_of(kind)[begin:end], 6, 8) for begin, end in ((0, 65), (100, 186))]
    anchors, beyond, weight, series, row = (torch.cat(each) for each in zip(*own, strict=True))
    series[len(own[0][0]) :] = 1
    generator = torch.Generator().manual_seed(5)
    weight = weight * (torch.rand(weight.shape, generator=generator) > 0.2)
    order = torch.randperm(len(row), generator=generator)
    given = [each[order] for each in (anchors, beyond, weight, series, row)]
    found, spread = fit_start(*given, has_season=True)
    expected, missed = reference(given[0][:, :, 0], given[1][..., 0], given[2][..., 0], *given[3:])
    # The normal equations square the condition, here some 10^4, so half of the digits are left.
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(spread[:, 0], missed, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("walk", Naive()),
        ("noise", None),
        ("trend", Drift()),
        ("season", SeasonalNaive(6)),
        ("season on a walk", SeasonalNaive(6)),
    ],
)
def test_the_mix_is_about_as_good_as_the_best_rule(kind: str, rule: Naive | Drift | SeasonalNaive | None) -> None:
    series = series_of(kind)
    given = origins(series[:180], 6, 4)
    weight, spread = fit_start(*given, has_season=True)
    anchors, beyond, *_, ends = origins(series, 6, 4)
    later = ends >= 180
    away = beyond[later] - (anchors[later] * weight).sum(-1)
    expected = []
    for end in ends[later].tolist():
        told = series[:end].mean().expand(4) if rule is None else rule.fit(series[:end]).forecast(4)
        expected.append(series[end : end + 4] - told)
    error, best = away.abs().mean(), torch.stack(expected).abs().mean()
    assert error < 1.1 * best
    # What is told beside it is how far it misses, to a third: some ten errors that do not overlap.
    told_size = (away.square().mean(0).sqrt() / spread).log().abs()
    assert told_size.max() < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_trend_of_some_thirty_values_is_told_by_its_drift(seed: int) -> None:
    """Least squares for each step ahead have too few values: without the drift they err about twice as much."""
    noise = torch.randn(200, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    series = (1 + noise).cumsum(0)
    weight, _ = fit_start(*origins(series[:40], 1, 6), has_season=False)
    anchors, beyond, *_, ends = origins(series, 1, 6)
    later = ends >= 40
    away = beyond[later] - (anchors[later] * weight).sum(-1)
    expected = [series[end : end + 6] - Drift().fit(series[:end]).forecast(6) for end in ends[later].tolist()]
    assert away.abs().mean() < 1.1 * torch.stack(expected).abs().mean()


def test_least_squares_find_the_weights_of_what_is_told_by_them() -> None:
    generator = torch.Generator().manual_seed(2)
    anchors = torch.randn(400, 3, 2, 5, dtype=DOUBLE, generator=generator)
    anchors[..., 4] = 1
    true = torch.randn(3, 2, 5, dtype=DOUBLE, generator=generator)
    beyond = (anchors * true).sum(-1) + 0.01 * torch.randn(400, 3, 2, dtype=DOUBLE, generator=generator)
    weight = (torch.rand(beyond.shape, generator=generator) > 0.3).double()
    # What does not count may be anything.
    beyond = torch.where(weight > 0, beyond, 1e6)
    rows = torch.arange(400)
    found, _ = fit_start(anchors, beyond, weight, rows // 200, rows + 10 * (rows // 200), has_season=True)
    # The ridge takes about 1 % of each weight.
    torch.testing.assert_close(found, true, rtol=0.03, atol=0.03)


def test_what_nothing_tells_of_starts_at_the_last_value() -> None:
    anchors, beyond, weight, series, row = origins(series_of("noise"), 6, 4)
    naive = torch.tensor([1.0, 0, 0, 0, 0], dtype=DOUBLE).expand(4, 1, 5)
    for given in (
        (anchors, beyond, 0 * weight, series, row),
        tuple(each[:1] for each in (anchors, beyond, weight, series, row)),
    ):
        found, spread = fit_start(*given, has_season=True)
        assert torch.equal(found, naive)
        assert torch.equal(spread, torch.ones(4, 1, dtype=DOUBLE))
