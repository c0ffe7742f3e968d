"""The season found: what repeats, what does not, and what hides it."""

from __future__ import annotations

import pytest
import torch

from recur.models.season import find_season

STEPS = torch.arange(600, dtype=torch.float64)


@pytest.mark.parametrize("season", [2, 3, 4, 7, 12, 24, 52, 100])
def test_what_repeats_is_found_under_trend_noise_and_gaps(season) -> None:
    pattern = torch.randn(season, dtype=torch.float64)
    pattern = pattern.sort().values  # A saw-tooth: no shorter season within.
    series = pattern.repeat(600 // season + 1)[:600]
    assert find_season(series) == season
    series = series / series.std()
    assert find_season(series + STEPS / 100) == season
    gaps = torch.rand(600) < 0.2
    assert find_season(torch.where(gaps, torch.nan, series)) == season
    assert find_season(torch.where(gaps, 1e6, series), mask=~gaps) == season


def test_noise_moves_the_season_little_and_many_series_fix_it() -> None:
    waves = torch.sin(2 * torch.pi * STEPS / 24)
    one = find_season(waves + 0.5 * torch.randn(600))
    assert abs(one - 24) <= 1
    assert find_season(waves + torch.randn(40, 600)) == 24


@pytest.mark.parametrize("seed", range(8))
def test_what_does_not_repeat_has_no_season(seed) -> None:
    torch.manual_seed(seed)
    assert find_season(torch.randn(500)) == 1
    assert find_season(torch.randn(1000).cumsum(0)) == 1
    assert find_season(STEPS + 3) == 1


def test_a_season_within_a_season_is_the_shorter_one() -> None:
    day, week = torch.sin(2 * torch.pi * STEPS / 24), torch.sin(2 * torch.pi * STEPS / 168)
    assert find_season(day + 0.3 * week) == 24


def test_bounds() -> None:
    waves = torch.sin(2 * torch.pi * STEPS / 24)
    assert find_season(waves, longest=20) == 1
    assert find_season(waves[:95]) == 1
    assert find_season(waves[:96]) == 24
    assert find_season(torch.ones(50)) == 1
    assert find_season(torch.full((50,), torch.nan)) == 1
    assert find_season(torch.stack([waves, torch.full((600,), 3.0)])) == 24
    assert find_season(torch.zeros(0)) == 1


def test_bad_input_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"^find_season: history must be a floating torch.Tensor, but is torch.int64\.$"
    ):
        find_season(torch.arange(9))
    with pytest.raises(
        ValueError, match=r"^find_season: history must have shape \(\.\.\., T\), but has no dimension\.$"
    ):
        find_season(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"^find_season: longest is 0, but must be at least 1\.$"):
        find_season(torch.zeros(9), longest=0)
    with pytest.raises(TypeError, match=r"^find_season: longest must be an int, but is float\.$"):
        find_season(torch.zeros(9), longest=3.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^find_season: mask must be a torch.bool tensor, but is torch.float32\.$"):
        find_season(torch.zeros(9), mask=torch.ones(9))
    with pytest.raises(ValueError, match=r"^find_season: mask has shape \(3,\), but the values have \(9,\)\.$"):
        find_season(torch.zeros(9), mask=torch.ones(3, dtype=torch.bool))
