"""Scalers: what they are fitted to, back again, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import safetensors.torch
from hypothesis import given
from hypothesis import strategies as st

from recur.data.series import Panel, Part, Scaler, Split
from recur.errors import DataError, OptionError

METHODS = ["standard", "robust", "mean_abs", "none"]


def panel_of(*series: list[float]) -> Panel:
    values = np.concatenate([np.array(one, np.float32) for one in series])[:, None]
    return Panel.of_rows([f"s{number}" for number in range(len(series))], [len(one) for one in series], values)


@pytest.mark.parametrize(
    ("method", "centre", "scale"),
    [
        ("standard", 3.0, np.sqrt(2)),
        ("robust", 3.0, 2 / 1.349),
        ("mean_abs", 0.0, 3.0),
        ("none", 0.0, 1.0),
    ],
)
def test_statistics_by_hand(method: str, centre: float, scale: float) -> None:
    scaler = Scaler.fit(Part.whole(panel_of([5, 1, 4, np.nan, 2, 3], [10, -10, 10])), method)
    np.testing.assert_allclose([scaler.centre[0, 0], scaler.scale[0, 0]], [centre, scale], rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_statistics_are_those_of_numpy(method: str) -> None:
    rng = np.random.default_rng(0)
    series = [(rng.normal(size=size) * 10 + 100).astype(np.float32) for size in (1, 2, 5, 50)]
    series[3][::7] = np.nan
    scaler = Scaler.fit(Part.whole(panel_of(*series)), method)
    for number, one in enumerate(series[1:], 1):
        wide = one.astype(np.float64)
        low, middle, high = np.nanpercentile(wide, [25, 50, 75])
        centre, scale = {
            "standard": (np.nanmean(wide), np.nanstd(wide)),
            "robust": (middle, (high - low) / 1.349),
            "mean_abs": (0, np.nanmean(np.abs(wide))),
            "none": (0, 1),
        }[method]
        np.testing.assert_allclose(scaler.centre[number, 0], centre, rtol=1e-12)
        np.testing.assert_allclose(scaler.scale[number, 0], scale, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 7.0, -0.1, 1e30])
def test_a_constant_series_is_not_divided_by_zero(method: str, constant: float) -> None:
    panel = panel_of([constant] * 3, [1, 2, 3])
    scaler = Scaler.fit(Part.whole(panel), method)
    scaled = scaler.scaled(panel)[:3, 0]
    value = float(np.float32(constant))
    expected = {"standard": 0, "robust": 0, "mean_abs": np.sign(constant), "none": value}[method]
    np.testing.assert_array_equal(scaled, np.float32([expected] * 3))
    np.testing.assert_allclose(scaler.unscaled(panel, scaled[[0, 1, 2, 0, 0, 0], None])[:3, 0], [value] * 3, rtol=1e-7)


def test_a_spread_below_what_float32_tells_is_none() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([1e6, 1e6 + 0.0625] * 8)))
    assert scaler.scale[0, 0] == 1


def test_half_of_the_values_being_equal_leaves_a_scale() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([0, 0, 0, 0, 0, 0, 8])), "robust")
    np.testing.assert_allclose(scaler.scale[0, 0], np.sqrt(64 / 7), rtol=1e-12)


def test_a_channel_without_values_has_the_common_scale() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([np.nan, np.nan], [1, 3])))
    assert (scaler.centre[0, 0], scaler.scale[0, 0]) == (2, 1)


def test_one_scaler_for_all_series() -> None:
    panel = panel_of([1, 2], [3, 4])
    scaler = Scaler.fit(Part.whole(panel), per_series=False)
    np.testing.assert_allclose(scaler.scaled(panel)[:, 0], (np.arange(1, 5) - 2.5) / np.sqrt(1.25), rtol=1e-6)


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan), min_size=1, max_size=8), min_size=1, max_size=4
    ),
    st.sampled_from(METHODS),
    st.booleans(),
)
def test_scaling_back_gives_the_values(series: list[list[float]], method: str, per_series: bool) -> None:
    panel = panel_of(*series)
    scaler = Scaler.fit(Part.whole(panel), method, per_series=per_series)
    scaled = scaler.scaled(panel)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(panel.values))
    # Rounding the scaled value to float32 costs half a unit of it, and the result as much again.
    _, scale, _ = scaler.of_panel(panel)
    eps = np.finfo(np.float32).eps
    bound = eps * (np.abs(scaled) * scale[panel.series_of_rows] + np.abs(panel.values)) + np.finfo(np.float32).tiny
    error = np.abs(scaler.unscaled(panel, scaled).astype(np.float64) - panel.values)
    assert (error[~np.isnan(error)] <= bound[~np.isnan(error)]).all()


def test_unseen_series_are_scaled_by_their_own_history() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([0, 2])))
    other = Panel.of_rows(["new"], [3], [[10.0], [20.0], [30.0]])
    np.testing.assert_allclose(scaler.scaled(other)[:, 0], (np.arange(3) - 1) * np.sqrt(1.5), rtol=1e-6)
    centre, scale = scaler.of_history(np.float32([[[10], [20], [np.nan]], [[np.nan]] * 3]), is_whole=True)
    assert (centre.tolist(), scale.tolist()) == ([[15], [1]], [[5], [1]])


def histories(*series: list[float]) -> np.ndarray:
    longest = max(map(len, series))
    return np.float32([[[value] for value in one + [np.nan] * (longest - len(one))] for one in series])


@pytest.mark.parametrize("method", ["standard", "robust"])
def test_few_rows_are_scaled_by_what_is_usual_too(method: str) -> None:
    # Their spreads are alike, whatever their size: 10, 14 and 12.
    scaler = Scaler.fit(Part.whole(panel_of([0, 20] * 50, [86, 114] * 50, [988, 1012] * 50)), "standard")
    scaler = dataclasses.replace(scaler, method=method)
    few = histories([500], [500, 500], [500, 510], [500] * 16, [])
    centre, scale = scaler.of_history(few)
    assert centre[:, 0].tolist() == [500, 500, 505, 500, scaler.common_centre[0]]
    own = 10 / 1.349 / 2 if method == "robust" else 5
    wanted = [12, 12 / 2**0.5, (own**2 + 12**2 / 2) ** 0.5, 3, scaler.common_scale[0]]
    np.testing.assert_allclose(scale[:, 0], wanted, rtol=1e-12)


def test_what_is_usual_goes_with_the_size_where_it_does_among_those_seen() -> None:
    # Spreads of a tenth, a fifth and 0.15 of the mean.
    seen = ([90, 110] * 50, [800, 1200] * 50, [8500, 11500] * 50)
    scaler = Scaler.fit(Part.whole(panel_of(*seen, [7] * 100)))
    _, scale = scaler.of_history(histories([3], [3000], [0]))
    np.testing.assert_allclose(scale[:, 0], [0.45, 450, 200], rtol=1e-6)
    # One series tells by its own ratio.
    _, scale = Scaler.fit(Part.whole(panel_of([80, 120]))).of_history(histories([5]))
    np.testing.assert_allclose(scale[:, 0], [1])
    # A mean near 0 is no size.
    _, scale = Scaler.fit(Part.whole(panel_of([-9, 11]))).of_history(histories([500]))
    np.testing.assert_allclose(scale[:, 0], [10])


def test_the_usual_spread_counts_as_what_one_row_does_not_tell() -> None:
    draw = np.random.default_rng(0)
    scaler = Scaler.fit(Part.whole(panel_of([0, 200])))
    few = draw.normal(1000, 100, (200_000, 3, 1)).astype(np.float32)
    _, scale = dataclasses.replace(scaler, centre=scaler.centre * 0).of_history(few)
    # The mean of 200,000 squares whose deviation is about their mean is off by 1/450 of it.
    assert np.mean(scale**2) == pytest.approx(100**2, rel=0.01)


def test_sizes_of_zeros_alone_are_not_known() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([20, 40], [50, 70])), "mean_abs")
    centre, scale = scaler.of_history(histories([0, 0], [8, 0]))
    assert (centre.tolist(), scale.tolist()) == ([[0], [0]], [[15], [4]])


def test_only_the_part_is_looked_at() -> None:
    panel = panel_of([1, 3, 1000], [5, 7, -1000])
    scaler = Scaler.fit(Split.by_time(panel, valid=0, test=1).train)
    assert (scaler.centre[:, 0].tolist(), scaler.scale[:, 0].tolist()) == ([2, 6], [1, 1])
    assert scaler.common_centre.tolist() == [4]


@pytest.mark.parametrize("method", METHODS)
def test_a_scaler_is_saved_and_loaded(method: str) -> None:
    panel = panel_of([1, 2, 5], [3, 9])
    scaler = Scaler.fit(Part.whole(panel), method)
    tensors = safetensors.torch.load(safetensors.torch.save(scaler.tensors()))
    other = Scaler.from_saved(json.loads(json.dumps(scaler.to_json())), tensors)
    assert other.ids == scaler.ids
    np.testing.assert_array_equal(other.scaled(panel), scaler.scaled(panel))


def test_a_damaged_scaler_is_refused() -> None:
    scaler = Scaler.fit(Part.whole(panel_of([1, 2])))
    config, tensors = scaler.to_json(), scaler.tensors()
    with pytest.raises(DataError, match=r"^the saved scaler is damaged: it lacks 'scale'\.$"):
        Scaler.from_saved(config, {name: tensor for name, tensor in tensors.items() if name != "scale"})
    with pytest.raises(DataError, match=r"^the saved scaler is damaged: scale is not above zero everywhere\.$"):
        Scaler.from_saved(config, tensors | {"scale": tensors["scale"] * 0})
    message = "the saved scaler is damaged: centre must have the shape (2, 1), got (1, 1)."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        Scaler.from_saved(config | {"ids": ["a", "b"]}, tensors)


def test_what_makes_no_sense_is_refused() -> None:
    panel = panel_of([1, 2])
    with pytest.raises(
        OptionError, match=r"^method: expected one of standard, robust, mean_abs, none, got 'minmax'\.$"
    ):
        Scaler.fit(Part.whole(panel), "minmax")
    empty = Part(panel=panel, start=np.array([1]), stop=np.array([1]), name="train")
    with pytest.raises(DataError, match=r"^the part 'train' has no rows to fit a scaler to\.$"):
        Scaler.fit(empty)
    two = Panel.of_rows(["a"], [1], [[1.0, 2.0]])
    with pytest.raises(DataError, match=r"^the scaler was fitted to the channels y, but the series have y_1, y_2\.$"):
        Scaler.fit(Part.whole(panel)).scaled(two)
