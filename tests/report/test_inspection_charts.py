from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report import inspection_figures
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]
KEYS = ["network", "unrolled", "text", "states", "trajectory", "unit", "next", "attribution", "deletion"]
KEYS += ["reach", "reach_by_lag", "gates"]


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
        content.update(probe=None, layers=[], attribution={}, next={})

    assert list(inspection_figures(inspected(change))) == ["network", "unrolled"]


def test_a_series_has_figures_too(inspected: Inspected) -> None:
    figures, _, tensors = made(inspected, kind="series")
    curves = ["series_1", "series_2"]
    assert list(figures) == ["network", "unrolled", *curves, *(key for key in KEYS[3:] if key != "next")]
    for channel, key in enumerate(curves):
        predicted, read = figures[key].data
        assert (predicted.name, read.name) == ("predicted", "read")
        np.testing.assert_array_equal(np.array(read.y, dtype=np.float32), tensors["values"][:, channel])
        assert predicted.y[0] is None
        np.testing.assert_array_equal(np.array(predicted.y[1:], dtype=np.float32), tensors["predictions"][1:, channel])


def test_what_comes_next_is_that_of_the_place_that_is_explained(inspected: Inspected) -> None:
    figures, content, tensors = made(inspected)
    place = max(tensors["attribution.positions"], key=lambda one: content["losses"][one + 1])
    bars = figures["next"].data[0]
    np.testing.assert_allclose(bars.y, tensors["next.probs"][place])
    vocabulary = content["next"]["vocabulary"]
    assert list(bars.customdata) == [
        {" ": "␣", "\n": "↵"}.get(vocabulary[symbol], vocabulary[symbol]) for symbol in tensors["next.ids"][place]
    ]
    assert f"after character {place + 1}; " in figures["next"].layout.title.text


def test_the_check_by_deletion_has_its_standard_errors(inspected: Inspected) -> None:
    figures, content, _ = made(inspected)
    at_random, first, second = figures["deletion"].data
    assert (at_random.name, first.name, second.name) == ("at random", "gradient by input", "occlusion")
    checked = content["attribution"]["methods"][0]["deletion"]
    assert list(first.y) == checked["chosen"]
    assert list(first.error_y.array) == checked["standard_error"]
    assert list(at_random.y) == checked["random"]
    assert at_random.error_y.array is None


def test_the_text_is_coloured_by_the_unit(inspected: Inspected) -> None:
    figures, content, tensors = made(inspected)
    letters = figures["text"].data[0]
    shown = [
        (text, value) for row, values in zip(letters.text, letters.z, strict=True)
        for text, value in zip(row, values, strict=True) if not math.isnan(value)
    ]  # fmt: skip
    assert [text for text, _ in shown] == [{" ": "␣", "\n": "↵"}.get(one, one) for one in content["symbols"]]
    values = tensors["layers.0.h"][:, 3] * (content["layers"][0]["scales"]["h"] / 127)
    np.testing.assert_allclose([value for _, value in shown], values)
    assert letters.zmin == -letters.zmax
    assert max(map(len, letters.text)) == 60


def test_the_network_is_drawn_of_boxes_and_arrows(inspected: Inspected) -> None:
    figures, _, _ = made(inspected)
    folded, rolled_out = figures["network"], figures["unrolled"]
    assert list(folded.data[0].text) == [
        "one character", "embedding", "LSTM<br>24 units", "LSTM<br>24 units", "softmax<br>65 probabilities"
    ]  # fmt: skip
    assert len(folded.layout.shapes) == 5
    assert len(rolled_out.layout.shapes) == 20
    heads = [one for one in folded.layout.annotations if one.arrowhead == 2]
    # From each box to the next, and each layer's loop; upwards is where heights get less.
    assert len(heads) == 6
    assert all(one.ay > one.y for one in heads if one.ax == one.x)
    labels = [one.text for one in rolled_out.layout.annotations if one.text]
    assert labels.count("h, c: 24") == 6
    assert folded.layout.yaxis.range[0] > folded.layout.yaxis.range[1]


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
