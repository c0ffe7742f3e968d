"""The naive rules at many origins, against the rules that read one history after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.series import Panel
from recur.models.baselines import Drift, Mean, Naive, SeasonalNaive
from recur.tasks.forecast.rolling_baselines import RollingBaselines

HORIZON = 7


def one_by_one(panel: Panel, row: int, number: int, season: int) -> dict[str, np.ndarray]:
    history = torch.from_numpy(panel.values[panel.offsets[number] : row].T.astype(np.float64))
    rules = {"naive": Naive(), "seasonal naive": SeasonalNaive(season), "drift": Drift(), "mean": Mean()}
    found = {name: rule.fit(history).forecast(HORIZON).numpy().T for name, rule in rules.items()}
    found["seasonal naive"] = np.where(np.isnan(found["seasonal naive"]), found["naive"], found["seasonal naive"])
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    lengths=st.lists(st.integers(0, 14), min_size=1, max_size=4).filter(any),
    gaps=st.sampled_from([0.0, 0.4, 0.9]),
    season=st.integers(2, 5),
)
def test_they_say_what_the_rules_say(seed: int, lengths: list[int], gaps: float, season: int) -> None:
    draw = np.random.default_rng(seed)
    # Of very unlike sizes, so that sums over several series would show.
    scale = np.repeat(10.0 ** draw.integers(-3, 6, len(lengths)), lengths)[:, None]
    values = scale * draw.standard_normal((sum(lengths), 2))
    values[draw.random(values.shape) < gaps] = np.nan
    panel = Panel.of_rows([str(number) for number in range(len(lengths))], lengths, values)
    origins = [
        (row, n) for n, length in enumerate(lengths) for row in range(panel.offsets[n], panel.offsets[n + 1] + 1)
    ]
    rows, series = np.array(origins).T
    said = RollingBaselines(panel, season).forecast(rows, series, HORIZON)
    assert tuple(said) == ("naive", "seasonal naive", "drift", "mean")
    for place, (row, number) in enumerate(origins):
        for name, expected in one_by_one(panel, row, number, season).items():
            np.testing.assert_allclose(said[name][place], expected, rtol=1e-11, atol=0, err_msg=f"{name} at {row}")


def test_without_a_season_there_is_no_seasonal_rule() -> None:
    panel = Panel.of_rows(["a"], [3], [[1.0], [2.0], [4.0]])
    assert RollingBaselines(panel, 1).names == ("naive", "drift", "mean")
    assert RollingBaselines(panel, 1).forecast(np.array([3]), np.array([0]), 1)["drift"].tolist() == [[[5.5]]]


def test_nothing_of_the_origin_or_later_is_looked_at() -> None:
    values = np.random.default_rng(0).standard_normal((40, 1))
    panel, other = (
        Panel.of_rows(["a"], [40], np.where(np.arange(40)[:, None] < 25, values, own)) for own in (values, 99)
    )
    for season in (1, 6):
        said, again = (
            RollingBaselines(one, season).forecast(np.array([25]), np.array([0]), 9) for one in (panel, other)
        )
        for name, forecast in said.items():
            assert np.array_equal(forecast, again[name]), name


@pytest.mark.parametrize("season", [1, 24])
def test_a_year_of_hours_is_told_at_once(season: int) -> None:
    # As many origins as the year has hours: what matters is that nothing here goes from origin to origin.
    panel = Panel.of_rows(["a"], [43_824], np.arange(43_824.0)[:, None])
    rows = np.arange(35_000, 43_760)
    said = RollingBaselines(panel, season).forecast(rows, np.zeros_like(rows), 24)
    assert np.array_equal(said["naive"][:, 3, 0], rows - 1)
    assert np.array_equal(said["drift"][:, 3, 0], rows + 3)
    if season == 24:
        assert np.array_equal(said["seasonal naive"][:, 3, 0], rows + 3 - 24)
