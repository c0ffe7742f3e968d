from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.report.chart import MAX_POINTS, Series, log_range, log_ticks, smooth, thin


def test_thinning_keeps_ends_spikes_and_gaps() -> None:
    y: list[float | None] = [1.0] * 100_000
    y[40_001], y[70_003], y[12_345] = 50.0, -50.0, None
    thin_x, thin_y = thin(range(len(y)), y)
    assert len(thin_x) <= MAX_POINTS
    assert (thin_x[0], thin_x[-1]) == (0, 99_999)
    kept = dict(zip(thin_x, thin_y, strict=True))
    assert kept[40_001] == 50.0
    assert kept[70_003] == -50.0
    assert kept[12_345] is None


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9), max_size=300),
    st.integers(5, 60),
)
def test_thinning_keeps_order_extremes_and_the_limit(y: list[float | None], max_points: int) -> None:
    thin_x, thin_y = thin(range(len(y)), y, max_points)
    assert len(thin_x) <= max_points
    assert list(thin_x) == sorted(set(thin_x))
    assert all(y[int(x)] == value for x, value in zip(thin_x, thin_y, strict=True))
    known = [value for value in y if value is not None]
    if known:
        kept = [value for value in thin_y if value is not None]
        assert (min(kept), max(kept)) == (min(known), max(known))


def test_few_points_are_kept_as_they_are() -> None:
    assert thin([1, 2], [None, 3.0]) == ((1, 2), (None, 3.0))


def test_thinning_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"thin: max_points is 4\. Give at least 5"):
        thin([1], [1.0], max_points=4)
    with pytest.raises(ValueError, match=r"thin: x has 2 points but y has 1"):
        thin([1, 2], [1.0])


def test_smoothing_leaves_a_straight_line_alone() -> None:
    line = [3.0 - 0.25 * i for i in range(50)]
    np.testing.assert_allclose(np.array(smooth(line, 7), dtype=float), line, atol=1e-10)


def test_smoothing_is_a_least_squares_fit_and_skips_gaps() -> None:
    draw = np.random.default_rng(0)
    y: list[float | None] = list(draw.normal(size=40))
    y[18] = None
    smoothed = smooth(y, 5)
    assert smoothed[18] is None
    window = [i for i in range(15, 26) if y[i] is not None]
    expected = np.polyval(np.polyfit(window, [y[i] for i in window], 1), 20)
    assert smoothed[20] == pytest.approx(expected, abs=1e-9)
    tail = list(range(34, 40))
    assert smoothed[39] == pytest.approx(np.polyval(np.polyfit(tail, [y[i] for i in tail], 1), 39), abs=1e-9)


def test_smoothing_keeps_the_first_point_of_a_steep_fall() -> None:
    assert smooth([9.0, 3.0, 2.0, 1.5, 1.2], 2)[0] == 9.0


def test_smoothing_nothing_gives_nothing() -> None:
    assert smooth([], 3) == ()
    assert smooth([None, None], 3) == (None, None)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.55, 0.9, (0.5, 1.0)),
        (1.0, 1.0, (0.5, 1.0, 2.0)),
        (0.03, 4.0, (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)),
        (2e-5, 700.0, (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)),
    ],
)
def test_logarithmic_axes_end_and_are_labelled_at_round_numbers(
    low: float, high: float, ticks: tuple[float, ...]
) -> None:
    ends = log_range(low, high)
    assert ends == (ticks[0], ticks[-1])
    assert log_ticks(*ends) == ticks


@given(st.floats(1e-30, 1e30), st.floats(1, 1e20))
def test_a_logarithmic_axis_always_has_labels(low: float, times: float) -> None:
    ends = log_range(low, low * times)
    assert ends[0] < low <= low * times < ends[1]
    assert 2 <= len(log_ticks(*ends)) <= 13


def test_a_series_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Series: x has 2 points but y has 1\. Give one y for each x\."):
        Series(name="a", role="train", x=(1.0, 2.0), y=(1.0,))
