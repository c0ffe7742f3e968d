from __future__ import annotations

import re

import numpy as np
import pytest

from recur.report.sketch import BOTTOM, LEFT, RIGHT, STRIP_UNITS, TOP, cells, curves, strip


def test_a_strip_has_a_bar_for_each_element() -> None:
    drawn = strip([0.5, -1.0, 0.0, 9.0, float("nan")], largest=1.0)
    assert drawn.width == 5
    assert drawn.above == "M0 10h.8v-5.0h-.8zM3 10h.8v-10.0h-.8z"
    assert drawn.below == "M1 10h.8v10.0h-.8z"


def test_a_long_strip_shows_the_first_elements_only() -> None:
    assert strip([1.0] * 500, largest=1.0).width == STRIP_UNITS
    assert strip([1.0], largest=0.0).above == ""


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]


def test_a_curve_runs_from_edge_to_edge() -> None:
    drawn = curves([("a", "own", [0, 5, 10], [0.0, 1.0, 2.0])], label="", x_label="", y_label="")
    assert drawn is not None
    assert points(drawn.lines[0].path) == [(LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)]
    assert [tick.label for tick in drawn.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert [tick.label for tick in drawn.x_ticks] == ["0", "2.5", "5", "7.5", "10"]


def test_a_logarithmic_curve_falls_evenly_and_holds_at_the_bottom() -> None:
    lags = list(range(5))
    drawn = curves(
        [("a", "own", lags, [1.0, 0.1, 0.01, 0.001, 0.0])],
        label="", x_label="", y_label="", is_log=True, mark=(2, "here"),
    )  # fmt: skip
    assert drawn is not None
    heights = [y for _, y in points(drawn.lines[0].path)]
    assert np.ptp(np.diff(heights[:4])) <= 0.11
    assert heights[4] > heights[3]
    assert max(heights) <= BOTTOM
    assert drawn.mark is not None
    assert drawn.mark.at == (LEFT + RIGHT) / 2


def test_a_gap_is_not_bridged() -> None:
    drawn = curves([("a", "own", [0, 1, 2, 3], [1.0, None, 2.0, 3.0])], label="", x_label="", y_label="")
    assert drawn is not None
    assert drawn.lines[0].path.count("M") == 2


def test_shares_are_in_percent() -> None:
    drawn = curves([("a", "own", [0.05, 0.4], [1.0, 2.0])], label="", x_label="", y_label="", is_percent=True)
    assert drawn is not None
    assert [tick.label for tick in drawn.x_ticks] == ["0%", "10%", "20%", "30%", "40%"]


@pytest.mark.parametrize("y", [[], [None], [None, None]])
def test_nothing_to_draw_is_not_drawn(y: list[None]) -> None:
    assert curves([("a", "own", range(len(y)), y)], label="", x_label="", y_label="") is None


@pytest.mark.parametrize("value", [0.0, 1e-40, 1.0, -3.0, 1e39])
@pytest.mark.parametrize("is_log", [False, True])
def test_equal_and_extreme_heights_can_be_drawn(value: float, is_log: bool) -> None:
    drawn = curves([("a", "own", [0, 0], [value, value])], label="", x_label="", y_label="", is_log=is_log)
    assert drawn is not None
    assert all(TOP <= y <= BOTTOM for _, y in points(drawn.lines[0].path))
    assert drawn.y_ticks


def test_cells_are_coloured_by_the_power_of_ten() -> None:
    drawn = cells(np.array([[1.0, np.nan], [1e-2, 1e-1]]), levels=2)
    assert drawn is not None
    assert (drawn.columns, drawn.rows, drawn.levels, drawn.low, drawn.high) == (2, 2, 2, 1e-2, 1.0)
    assert dict(drawn.paths) == {0: "M0 1h1v1h-1z", 1: "M0 0h1v1h-1zM1 1h1v1h-1z"}


def test_what_is_far_below_the_largest_has_the_first_colour() -> None:
    drawn = cells(np.array([[1.0, 1e-30, 0.0]]), levels=10)
    assert drawn is not None
    assert drawn.low == pytest.approx(1e-6)
    assert dict(drawn.paths) == {0: "M1 0h1v1h-1zM2 0h1v1h-1z", 9: "M0 0h1v1h-1z"}


@pytest.mark.parametrize("values", [[[np.nan]], [[0.0, 0.0]]])
def test_cells_without_a_value_above_zero_are_not_drawn(values: list[list[float]]) -> None:
    assert cells(np.array(values), levels=10) is None
