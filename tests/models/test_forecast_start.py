"""What forecasts start from: the rules that are mixed, and what is remembered of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recur.models.baselines import Naive, SeasonalNaive
from recur.models.forecast_start import ForecastStart, StartState
from recur.models.series_normalization import Place

DOUBLE = torch.float64


def story(steps: int = 30, rows: int = 3, targets: int = 2) -> tuple[Tensor, Tensor]:
    """Return values (T, B, C), a fifth of them missing, and which are there."""
    generator = torch.Generator().manual_seed(4)
    values = torch.randn(steps, rows, targets, dtype=DOUBLE, generator=generator).cumsum(0)
    is_there = torch.rand(values.shape, generator=generator) > 0.2
    return torch.where(is_there, values, 0), is_there


def start_of(weight: tuple[float, ...] = (1, 0, 0, 0, 0), *, season: int = 4, horizon: int = 6) -> ForecastStart:
    start = ForecastStart(2, season=season, memory=8, num_steps=horizon).double()
    start.put(torch.tensor(weight, dtype=DOUBLE).expand(horizon, 2, 5), torch.ones(horizon, 2, dtype=DOUBLE))
    return start


def told(start: ForecastStart, values: Tensor, is_there: Tensor, lengths: Tensor, scale: float = 1.0) -> Tensor:
    """Return what the start says after each row's last step, (B, P, C), told by a gate that stands where it begins."""
    known, _ = start.remember(values, is_there, lengths)
    level = torch.randn(len(values) + 1, *values.shape[1:], dtype=DOUBLE)
    place = start.place(Place(level, level, torch.full_like(level, scale)), known, lengths, torch.arange(len(lengths)))
    return torch.lerp(place.mean, place.loc, torch.tensor(2.0, dtype=DOUBLE).sigmoid())


def said(rule: Naive | SeasonalNaive, values: Tensor, is_there: Tensor, horizon: int) -> Tensor:
    """Return what a rule says of one row, (P, C)."""
    history = torch.where(is_there, values, torch.nan).T
    return rule.fit(history).forecast(horizon).T


@pytest.mark.parametrize("season", [2, 3, 4])
def test_single_weights_are_the_rules(season: int) -> None:
    values, is_there = story()
    lengths = torch.tensor([30, 17, 11])
    rules = {(1.0, 0.0, 0.0, 0.0, 0.0): Naive(), (0.0, 0.0, 1.0, 0.0, 0.0): SeasonalNaive(season)}
    for weight, rule in rules.items():
        found = told(start_of(weight, season=season), values, is_there, lengths)
        for row, length in enumerate(lengths.tolist()):
            expected = said(rule, values[:length, row], is_there[:length, row], 6)
            torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-12)


def test_means_go_back_and_fade() -> None:
    values, is_there = story()
    lengths = torch.tensor([30, 17, 11])
    for weight, memory in (((0.0, 0.0, 0.0, 0.0, 0.0), 8), ((0.0, 1.0, 0.0, 0.0, 0.0), 3)):
        found = told(start_of(weight), values, is_there, lengths)
        for row, length in enumerate(lengths.tolist()):
            counts = (
                is_there[:length, row] * (1 - 1 / memory) ** torch.arange(length - 1, -1, -1, dtype=DOUBLE)[:, None]
            )
            mean = (values[:length, row] * counts).sum(0) / counts.sum(0)
            torch.testing.assert_close(found[row], mean.expand(6, 2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pieces", [1, 4])
def test_a_large_level_costs_no_more_than_a_rounding(pieces: int) -> None:
    # Of sixteenths float32 holds a million exactly.
    generator = torch.Generator().manual_seed(7)
    away = torch.randint(-160, 160, (1200, 2, 2), generator=generator) / 16
    is_there = torch.rand(away.shape, generator=generator) > 0.2
    is_there[:, :, 1] &= torch.arange(1200)[:, None] > 500
    start = ForecastStart(2, season=1, memory=400, num_steps=1)
    for level in (1e6, -1e6):
        means, state = [], None
        for own, there in zip((away + level).chunk(pieces), is_there.chunk(pieces), strict=True):
            lengths = torch.tensor([len(own), len(own)])
            known, state = start.remember(torch.where(there, own, 0), there, lengths, state)
            means.append(known.means[1:])
        exact = start.double().remember(away.double(), is_there, torch.tensor([1200, 1200]))[0].means[1:]
        start.float()
        has_begun = is_there.cumsum(0)[..., None] > 0
        off = torch.where(has_begun, torch.cat(means).double() - level - exact, 0)
        # Half of what two float32 there lie apart, and the roundings of numbers up to 20.
        assert off.abs().max() <= 1 / 32 + 1e-4


@pytest.mark.parametrize("memory", [1, 2, 3, 24])
def test_means_know_the_level_again_after_a_gap(memory: int) -> None:
    values = 100 + torch.randn(12, 1, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    is_there = torch.ones(12, 1, 1, dtype=torch.bool)
    is_there[5:7] = False
    values = torch.where(is_there, values, 0)
    start = ForecastStart(1, season=1, memory=memory, num_steps=2).double()
    whole = start.remember(values, is_there, torch.tensor([12]))[0].means[1:]
    state: StartState | None = None
    steps = []
    for value, there in zip(values.split(1), is_there.split(1), strict=True):
        known, state = start.remember(value, there, torch.tensor([1]), state)
        steps.append(known.means[1:])
    torch.testing.assert_close(torch.cat(steps), whole, rtol=0, atol=1e-12)


def test_the_change_since_a_season_ago_and_the_unit_are_added() -> None:
    values = torch.arange(24, dtype=DOUBLE)[:, None, None].expand(24, 1, 2) * 2 + torch.tensor([0.0, 5.0])
    is_there = torch.ones(24, 1, 2, dtype=torch.bool)
    ahead = torch.arange(1, 7, dtype=DOUBLE)[:, None]
    # Of a line the season of 4 ago and the change since then is the line, until the second season to come.
    found = told(start_of((1, 0, 1, -1, 0)), values, is_there, torch.tensor([24]))[0]
    torch.testing.assert_close(found[:4], (values[-1] + 2 * ahead)[:4], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[4:], found[:2], rtol=0, atol=1e-12)
    found = told(start_of((1, 0, 0, 0, 3)), values, is_there, torch.tensor([24]), scale=0.5)[0]
    torch.testing.assert_close(found, (values[-1] + 1.5).expand(6, 2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("hole", [1, 2, 3, 6])
@pytest.mark.parametrize("pieces", [1, 2, 24])
def test_the_change_since_a_season_ago_is_that_of_the_last_value_that_was_there(hole: int, pieces: int) -> None:
    """What repeats is told as it repeats, however long nothing was there, and where a stream of it is cut."""
    values = (torch.arange(24, dtype=DOUBLE) % 4 * 10)[:, None, None].expand(24, 1, 2) + torch.tensor([0.0, 5.0])
    is_there = (torch.arange(24) < 24 - hole)[:, None, None].expand(24, 1, 2)
    values = torch.where(is_there, values, 0)
    start = start_of((1, 0, 1, -1, 0), horizon=4)
    state: StartState | None = None
    for own, there in zip(values.chunk(pieces), is_there.chunk(pieces), strict=True):
        length = torch.tensor([len(own)])
        known, state = start.remember(own, there, length, state)
    anchors, mean = start.anchors(known, torch.ones(1, 2, dtype=DOUBLE), length, torch.zeros(1, dtype=torch.int64))
    found = mean[0] + (anchors * start.weight).sum(-1)[0]
    torch.testing.assert_close(found, values[:4, 0], rtol=0, atol=1e-12)


def test_the_change_is_that_of_the_season_before_the_last_value() -> None:
    """Of a line y is the value before the hole, b that of 4 before it; the season ahead is the newest that was seen."""
    values = torch.arange(24, dtype=DOUBLE)[:, None, None].repeat(1, 1, 2)
    is_there = (torch.arange(24) < 22)[:, None, None].expand(24, 1, 2).clone()
    # One of the two has no value there, so that the one of two seasons before counts.
    is_there[17, 0, 1] = False
    found = told(start_of((1, 0, 1, -1, 0)), torch.where(is_there, values, 0), is_there, torch.tensor([24]))[0]
    coming = torch.tensor([20.0, 21, 18, 19, 20, 21], dtype=DOUBLE)
    torch.testing.assert_close(found, torch.stack([21 + coming - 17, 21 + coming - 13], -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("season", [1, 4, 9])
def test_two_halves_remember_what_the_whole_does(season: int) -> None:
    values, is_there = story()
    start = start_of((0.3, 0.4, 0.5, -0.6, 0.7), season=season)
    whole, last = start.remember(values, is_there, torch.tensor([30, 17, 11]))
    state: StartState | None = None
    for begin, end in ((0, 1), (1, 9), (9, 30)):
        lengths = (torch.tensor([30, 17, 11]) - begin).clamp(0, end - begin)
        own = is_there[begin:end] & (torch.arange(end - begin)[:, None] < lengths)[..., None]
        half, state = start.remember(values[begin:end], own, lengths, state)
    for found, expected in zip(state, last, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    scale = torch.ones(3, 2, dtype=DOUBLE)
    rows = torch.arange(3)
    # The third piece has nothing of the rows that ended before.
    for found, expected in zip(
        start.anchors(half, scale, torch.tensor([21, 8, 2]), rows),
        start.anchors(whole, scale, torch.tensor([30, 17, 11]), rows),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_season_that_was_not_seen_counts_as_the_mean() -> None:
    values, is_there = story(steps=3)
    lengths = torch.tensor([3, 2, 1])
    mean, seasonal = (told(start_of(w, season=9), values, is_there, lengths) for w in ((0,) * 5, (0, 0, 1, 0, 0)))
    torch.testing.assert_close(seasonal, mean, rtol=0, atol=1e-12)
