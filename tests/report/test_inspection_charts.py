from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report import inspection_figures
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]
KEYS = ["states", "trajectory", "unit", "reach", "reach_by_lag", "gates", "attribution"]


def made(inspected: Inspected, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    kept: dict[str, Any] = {}
    run = inspected(lambda content, tensors: kept.update(content=content, tensors=tensors), **options)
    return inspection_figures(run), kept["content"], kept["tensors"]


def test_there_is_a_figure_of_everything(inspected: Inspected) -> None:
    figures, content, tensors = made(inspected)
    assert list(figures) == KEYS
    states = figures["states"].data[0]
    order = [int(unit) for unit in states.y]
    assert sorted(order) == list(range(24))
    scale = content["layers"][0]["scales"]["h"]
    np.testing.assert_allclose(states.z, tensors["layers.0.h"].T[order] * (scale / 127), rtol=1e-6)
    assert states.zmin == -states.zmax
    np.testing.assert_array_equal(figures["trajectory"].data[0].x, tensors["pca.0"][:, 0])
    explained = content["layers"][0]["explained"]
    assert figures["trajectory"].layout.xaxis.title.text == f"first component ({explained[0]:.0%})"


def test_the_unit_that_follows_a_property_best_is_shown_beside_it(inspected: Inspected) -> None:
    figures, content, tensors = made(inspected)
    label, unit = figures["unit"].data
    assert (label.name, unit.name) == ("inside quotes", "state 3")
    values = tensors["layers.0.h"][:, 3] * (content["layers"][0]["scales"]["h"] / 127)
    np.testing.assert_allclose(unit.y, values)
    low, high = values.min(), values.max()
    np.testing.assert_allclose(label.y, low + (high - low) * tensors["property.inside"], atol=1e-12)


def test_the_reach_is_in_powers_of_ten(inspected: Inspected) -> None:
    figures, content, _ = made(inspected)
    reach = figures["reach"].data[0]
    assert reach.z[9][4] == pytest.approx(5 * math.log10(0.8))
    assert math.isnan(reach.z[4][9])
    curve = figures["reach_by_lag"]
    assert list(curve.data[0].y) == content["probe"]["by_lag"]
    assert curve.layout.yaxis.type == "log"


def test_the_gates_are_those_of_the_layer_that_is_shown(inspected: Inspected) -> None:
    figures, _, _ = made(inspected)
    assert [trace.name for trace in figures["gates"].data] == ["input gate", "forget gate", "output gate"]
    assert list(figures["gates"].data[0].y) == [0.05] * 20
    assert figures["gates"].data[0].x[0] == 0.025
    assert list(figures["gates"].layout.xaxis.range) == [0, 1]


def test_the_attribution_is_that_of_the_most_surprising_place(inspected: Inspected) -> None:
    figures, content, tensors = made(inspected)
    positions = tensors["attribution.positions"]
    row = int(np.argmax([content["losses"][place + 1] for place in positions]))
    bars = figures["attribution"].data[0]
    # The method that is faithful.
    np.testing.assert_allclose(bars.y, tensors["attribution.gradient_input"][row][-len(bars.y) :], atol=1e-7)
    place = int(positions[row])
    symbols = content["symbols"][place - len(bars.y) + 1 : place + 1]
    assert list(bars.customdata) == [{" ": "␣", "\n": "↵"}.get(symbol, symbol) for symbol in symbols]


def test_what_an_inspection_does_not_have_is_left_out(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content.update(probe=None, layers=[], attribution={})

    assert inspection_figures(inspected(change)) == {}


def test_a_series_has_figures_too(inspected: Inspected) -> None:
    figures, _, _ = made(inspected, kind="series")
    assert list(figures) == KEYS


def test_without_a_unit_that_holds_the_first_one_is_shown(inspected: Inspected) -> None:
    figures = inspection_figures(inspected(lambda content, tensors: content.update(properties=[])))
    assert [trace.name for trace in figures["unit"].data] == ["state 0"]


def test_hostile_names_are_not_read_as_markup(inspected: Inspected) -> None:
    evil = "<b>x</b>"

    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["symbols"] = [evil] * 200
        content["layers"][0].update(name=evil)
        content["properties"][0].update(name=evil)

    figures = inspection_figures(inspected(change))
    texts = str([figure.to_plotly_json() for figure in figures.values()])
    assert "&lt;b&gt;x" in texts
    assert "<b>" not in texts
