"""Options of forecast networks: what is refused, and what is chosen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from recur.errors import DataError, OptionError
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_choice import choose_forecaster
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_shape import SeriesShape


def shape(horizon: int) -> SeriesShape:
    return SeriesShape(num_features=1, num_targets=1, horizon=horizon)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"kind": "transformer"},
            r"^kind must be one of direct, encoder-decoder, autoregressive, segments, not 'transformer'\.$",
        ),
        ({"head": "normal"}, r"^head must be one of point, gaussian, .*, not 'normal'\.$"),
        ({"loss": "mse"}, r"^loss must be one of nll, crps, pinball, squared, not 'mse'\.$"),
        ({"normalize": "batch"}, r"^normalize must be one of series, window, last, not 'batch'\.$"),
        ({"cell": "qrnn"}, r"^cell must be one of rnn, gru, lstm, indrnn, mgu, ligru, not 'qrnn'\.$"),
        ({"history": 0}, r"^history must be a whole number from 1 on, not 0\.$"),
        ({"num_layers": 1.0}, r"^num_layers must be a whole number from 1 on, not 1\.0\.$"),
        ({"segment": 1}, r"^segment must be a whole number from 2 on, not 1\.$"),
        ({"num_paths": 1}, r"^num_paths must be a whole number from 2 on, not 1\.$"),
        ({"num_components": True}, r"^num_components must be a whole number from 1 on, not True\.$"),
        ({"dropout": 1}, r"^dropout must be a number from 0 to below 1, not 1\.$"),
        ({"levels": (0.5,)}, r"^levels must be at least two numbers between 0 and 1, growing, not \(0\.5,\)\.$"),
        ({"levels": (0.9, 0.1)}, r"^levels must be at least two numbers between 0 and 1, growing"),
        ({"level": 1.0}, r"^level must be true or false, not 1\.0\.$"),
        ({"level": False, "normalize": "series"}, r"^level is false, but with normalize series the value as it was"),
        ({"segment": 4, "kind": "autoregressive"}, r"^segment is 4, but only kind segments has segments, not autoreg"),
        ({"num_components": 5, "head": "gaussian"}, r"^num_components is 5, but head is gaussian, which has none; "),
        ({"num_paths": 5, "kind": "segments"}, r"^num_paths is 5, but kind is segments, which has none; leave it out"),
        (
            {"levels": (0.1, 0.9), "head": "gaussian", "kind": "segments"},
            r"^levels are given, but neither head gaussian nor kind segments has any; leave them out, or take head q",
        ),
        ({"head": "point", "loss": "nll"}, r"^loss is nll, but a point has no likelihood; take squared or crps\.$"),
        (
            {"head": "negative-binomial", "loss": "pinball"},
            r"^loss is pinball, but quantiles of counts have no gradient",
        ),
        (
            {"head": "negative-binomial", "season": 24},
            r"^season is 24, but the rules that forecasts start from move them, which counts cannot be; with head ",
        ),
        (
            {"head": "negative-binomial", "rules": True},
            r"^rules is true, but the rules that forecasts start from move them, which counts cannot be; with head ",
        ),
        (
            {"head": "negative-binomial", "normalize": "last"},
            r"^normalize is last, but counts cannot be moved; with head",
        ),
    ],
)
def test_bad_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ForecasterOptions(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "horizon", "message"),
    [
        ({"num_components": 5}, 3, r"^num_components is 5, but head is gaussian"),
        ({"levels": (0.1, 0.9)}, 3, r"^levels are given, but neither head gaussian nor kind direct"),
        ({"num_paths": 9, "kind": "autoregressive"}, 1, r"^num_paths is 9, but a horizon of 1 is told without paths; "),
    ],
)
def test_what_would_be_ignored_is_refused_when_the_rest_is_chosen(
    values: dict[str, Any], horizon: int, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        choose_forecaster(ForecasterOptions(**values), shape(horizon), num_values=100, longest=50)


def test_what_is_given_stays_and_the_rest_is_chosen_with_reasons() -> None:
    given = ForecasterOptions(history=5, head="point")
    chosen, why = choose_forecaster(given, shape(3), num_values=100, longest=50)
    assert chosen.is_complete
    assert (chosen.history, chosen.head) == (5, "point")
    assert set(why) == {"kind", "hidden_size", "loss", "normalize", "level", "rules", "season"}
    whole, why = choose_forecaster(chosen, shape(3), num_values=100, longest=50)
    assert whole == chosen
    assert not why


@pytest.mark.parametrize(
    ("horizon", "season", "longest", "history", "reason"),
    [
        (1, 1, 10_000, 48, "at least 48 steps"),
        (1, 168, 10_000, 336, "two seasons of 168"),
        (24, 24, 10_000, 72, "the horizon of 24 three times"),
        (720, 1, 10_000, 336, "no more than 336 steps"),
        (6, 12, 36, 15, "half of the longest series, of 36"),
        (1, 1, 2, 1, "half of the longest series, of 2"),
    ],
)
def test_the_history_fits_horizon_season_and_series(
    horizon: int, season: int, longest: int, history: int, reason: str
) -> None:
    chosen, why = choose_forecaster(
        ForecasterOptions(), shape(horizon), num_values=longest, longest=longest, season=season
    )
    assert (chosen.history, why["history"]) == (history, reason)


def test_long_horizons_are_told_in_segments() -> None:
    for horizon, segment, reason in [
        (96, 24, "a quarter of the horizon of 96"),
        (192, 48, "a quarter of the horizon of 192"),
        (196, 48, "no more than 48 steps"),
    ]:
        chosen, why = choose_forecaster(ForecasterOptions(), shape(horizon), num_values=9000, longest=9000)
        assert (chosen.kind, chosen.segment, why["segment"]) == ("segments", segment, reason)
    given = ForecasterOptions(kind="segments")
    assert choose_forecaster(given, shape(7), num_values=9, longest=99)[0].segment == 2
    assert choose_forecaster(ForecasterOptions(segment=6), shape(24), num_values=9, longest=99)[0].kind == "segments"
    assert choose_forecaster(ForecasterOptions(), shape(24), num_values=9, longest=99)[0].kind == "direct"


@pytest.mark.parametrize(
    ("given", "season", "expected", "reason"),
    [
        ({}, 24, 24, "that of the series"),
        ({}, 1, 1, "the series have none"),
        ({"history": 20}, 24, 1, "a season of 24 does not fit into the 20 steps that are read"),
        ({"normalize": "series"}, 24, 1, "there are no rules that would look at it"),
    ],
)
def test_forecasts_start_a_season_ago_where_there_is_one(
    given: dict[str, Any], season: int, expected: int, reason: str
) -> None:
    chosen, why = choose_forecaster(ForecasterOptions(**given), shape(3), num_values=900, longest=900, season=season)
    assert chosen.season == expected
    assert why["season"] == reason


def test_few_values_begin_at_rules() -> None:
    def chosen(num_values: int, **given: Any) -> ForecasterOptions:
        options = ForecasterOptions(**given)
        return choose_forecaster(options, shape(3), num_values=num_values, longest=900, season=24)[0]

    assert (chosen(9_999).rules, chosen(10_000).rules) == (True, False)
    assert (chosen(9_999).season, chosen(10_000).season) == (24, 1)
    assert chosen(10_000, rules=True).season == 24
    # Who says a season wants it looked at.
    assert chosen(10_000, season=12).rules
    reasons = choose_forecaster(ForecasterOptions(season=12), shape(3), num_values=10_000, longest=500, season=24)[1]
    assert reasons["rules"] == "a season of 12 is given, which the rules look at"
    assert not chosen(100, normalize="series").rules
    with pytest.raises(OptionError, match=r"^season is 12, but without rules nothing looks at it; leave"):
        chosen(100, rules=False, season=12)
    with pytest.raises(OptionError, match=r"^rules is true, but with normalize series forecasts start from"):
        chosen(100, normalize="series", rules=True)
    with pytest.raises(OptionError, match=r"^rules must be true or false, not 'yes'\.$"):
        chosen(100, rules="yes")
    options = replace(chosen(100), rules=None)
    with pytest.raises(OptionError, match=r"^ForecastNetwork: season is 24, but rules, which need it, is not true\.$"):
        ForecastNetwork(options, shape(3))


def test_counts_are_not_moved() -> None:
    options = ForecasterOptions(head="negative-binomial")
    chosen, why = choose_forecaster(options, shape(2), num_values=9, longest=99)
    assert (chosen.normalize, why["normalize"]) == ("series", "counts cannot be moved")


def test_a_horizon_longer_than_the_series_is_named() -> None:
    message = r"^the longest series of the training part has 24 steps, but the horizon is 24; choose a shorter horizon"
    with pytest.raises(DataError, match=message):
        choose_forecaster(ForecasterOptions(), shape(24), num_values=24, longest=24)


@pytest.mark.parametrize(
    ("shift", "normalize", "level", "reason"),
    [
        (None, "window", False, "it is not known whether the series come back to the levels that were seen"),
        (0.24, "last", True, "the series moved by 0.2 standard deviations, so what comes lies mostly at levels that"),
        (0.5, "window", False, "the series moved by 0.5 standard deviations, so what comes may lie at levels that"),
        (math.inf, "window", False, "series that were constant have moved, so what comes may lie at levels that"),
    ],
)
def test_forecasts_start_where_the_series_come_back_to(shift: float, normalize: str, level: bool, reason: str) -> None:
    chosen, why = choose_forecaster(ForecasterOptions(), shape(2), num_values=9, longest=99, level_shift=shift)
    assert (chosen.normalize, chosen.level) == (normalize, level)
    assert why["level"].startswith(reason)
    assert why["normalize"].startswith(reason)
    given = ForecasterOptions(normalize="series")
    chosen, why = choose_forecaster(given, shape(2), num_values=9, longest=99, level_shift=shift)
    assert (chosen.level, why["level"]) == (True, "with normalize series it is all there is")
