"""What the page of an inspection says of a translator: its answers, where it looked, and its search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.report.test_words import of_classes

from recur.inspection_format import DECODER, LOOKS
from recur.report import inspection_figures, picture, write_inspection
from recur.report.document import write_document
from recur.report.inspected_writing import HEIGHT, WIDTH
from recur.report.inspection import read_inspection
from recur.report.inspection_contents import summary_of
from recur.report.inspection_page import inspection_html
from recur.run import RunFolder, json_text

Inspected = Callable[..., RunFolder]

TREE = [
    {"parent": None, "token": "", "log_prob": 0.0, "continued": True},
    {"parent": 0, "token": "gut", "log_prob": -0.5, "continued": True},
    {"parent": 0, "token": "<b>", "log_prob": -1.0, "continued": True},
    {"parent": 1, "token": "so", "log_prob": -0.75, "continued": False},
    {"parent": 2, "token": "so", "log_prob": -3.0, "continued": False},
    {"parent": 1, "token": "sehr", "log_prob": -1.5, "continued": False},
]
ATTENTION = np.array([[0.1, 0.7, 0, 0.2, 0, 0], [0.5, 0.25, 0, 0.25, 0, 0]], np.float32)


def of_writing(content: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Make of an inspection of a language model one of the encoder of a translator, of six words."""
    of_classes(content, tensors)
    content["writing"] = {
        "source": content["symbols"],
        "written": ["gut", "so"],
        "right": "so gut",
        "beams": 2,
        "length_penalty": "mean",
        "answers": [
            {"text": "gut so", "score": -0.25, "log_prob": -0.8, "ended": "end", "end": 3},
            {"text": "gut sehr", "score": -0.5, "log_prob": -1.6, "ended": "length", "end": 5},
        ],
        "tree": TREE,
    }
    tensors["writing.attention"] = ATTENTION
    tensors["writing.gradient"] = ATTENTION * 3


def test_answers_maps_and_the_tree_of_the_search(inspected: Inspected, said: Any) -> None:
    run = inspected(of_writing)
    seen = read_inspection(run)
    assert seen.writing is not None
    tree = seen.writing.tree
    assert tree is not None
    assert [node.kind for node in tree.nodes] == ["best", "best", "open", "best", "dropped", "told"]
    assert [node.answer for node in tree.nodes] == ["", "", "", "1", "", "2"]
    # A column for each step, the likeliest on top.
    assert [(node.x // WIDTH, node.y // HEIGHT) for node in tree.nodes] == [
        (0, 0), (1, 0), (1, 1), (2, 0), (2, 2), (2, 1),
    ]  # fmt: skip
    assert (tree.width, tree.height) == (3 * WIDTH, 3 * HEIGHT + 6)
    minus = "\N{MINUS SIGN}"
    assert tree.nodes[3].says == (
        f"gut so: log-probability {minus}0.75, of “so” {minus}0.25; ends as answer 1, score {minus}0.25"
    )
    assert tree.nodes[4].says == f"<b> so: log-probability {minus}3.00, of “so” {minus}2.00; given up here"
    assert tree.nodes[2].says.endswith("; none of its ways was kept")
    assert tree.steps[0] == ("1 token", f"“gut” {minus}0.50, “<b>” {minus}1.00")
    page = inspection_html(seen, run, other=("inspect_decoder.html", "See inside its decoder"))
    text = said(page)
    for each in (
        "1 gut so -0.250 -0.800",
        "2 gut sehr (cut off) -0.500 -1.600",
        "right so gut",
        "A score is the log-probability by the token.",
        "Attention",
        "Gradient",
        "How it searched",
        f"“so” after “gut” {minus}0.75",
    ):
        assert each in text
    assert page.count('href="inspect_decoder.html"') == 2
    assert "<b> so: log" not in page
    assert ("It writes", "gut so") in summary_of(seen)
    figure = inspection_figures(run)["looks"]
    assert figure.layout.title.text == "Where each written token looked"


def test_a_decoder_has_a_page_of_its_own(inspected: Inspected, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing them takes long, and is tested elsewhere.
    monkeypatch.setattr(picture, "write_png", lambda chart, path: path.touch() or [])
    run = inspected(of_writing)
    other = inspected()
    content = other.read_json("inspect.json") | {"reach_of": "states"}
    (run.path / f"{DECODER}.json").write_text(json_text(content))
    (run.path / f"{DECODER}.safetensors").write_bytes((other.path / "inspect.safetensors").read_bytes())
    assert {"text", "decoder_text", "decoder_reach"} <= set(inspection_figures(run))
    path = write_inspection(run)
    page, decoder = path.read_text(), (run.path / f"{DECODER}.html").read_text()
    assert f'href="{DECODER}.html"' in page
    assert 'href="inspect.html"' in decoder
    assert "How far back its states reach" in said(decoder)
    assert (run.path / f"{DECODER}_text.png").exists()
    # What an older network left goes with it.
    (run.path / f"{DECODER}.json").unlink()
    write_inspection(run)
    assert not (run.path / f"{DECODER}.html").exists()
    assert not (run.path / f"{DECODER}_text.png").exists()
    assert (run.path / LOOKS).exists()


@pytest.mark.parametrize(
    ("damage", "has_tree"),
    [
        ({"tree": [*TREE[:2], {"parent": 7, "token": "x", "log_prob": -1.0}]}, False),
        ({"tree": [{"parent": None, "log_prob": "x"}]}, False),
        ({"answers": [{"text": "gut", "score": -1.0, "log_prob": -1.0, "end": 99}]}, True),
    ],
)
def test_damaged_values_are_left_out(inspected: Inspected, damage: dict[str, Any], has_tree: bool) -> None:
    def damaged(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        of_writing(content, tensors)
        content["writing"].update(damage)
        tensors["writing.attention"] = np.full((2, 6), np.nan, np.float32)
        tensors["writing.gradient"] = np.zeros((3, 6), np.float32)

    run = inspected(damaged)
    seen = read_inspection(run)
    assert seen.writing is not None
    assert (seen.writing.tree is not None) == has_tree
    assert seen.writing.gradient is None
    assert seen.writing.attention is not None
    assert seen.writing.attention.max() == 0
    assert any("writing.gradient" in one for one in seen.left_out)
    inspection_html(seen, run, other=("a.html", "a"))


def test_without_an_answer_nothing_is_shown(inspected: Inspected) -> None:
    def damaged(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        of_writing(content, tensors)
        content["writing"]["answers"] = [{"text": "gut"}]

    run = inspected(damaged)
    assert read_inspection(run).writing is None
    assert "How it searched" not in inspection_html(read_inspection(run), run)


@pytest.mark.browser
def test_the_cursor_lights_up_what_was_looked_at_and_the_way_through_the_tree(
    opened: Any, until: Any, inspected: Inspected
) -> None:
    run = inspected(of_writing)
    path = run.path / "inspect.html"
    write_document(path, inspection_html(read_inspection(run), run, other=("inspect_decoder.html", "See its decoder")))
    with opened(path) as page:
        until(page, "'ready' in document.documentElement.dataset")
        first = page.locator(".looking").first
        looked = """() => [...document.querySelector(".looking .source").children].map(
            (one) => Number(one.style.getPropertyValue("--looked") || 0))"""
        first.locator(".into span").nth(1).hover()
        assert page.evaluate(looked) == [1, 0.5, 0, 0.5, 0, 0]
        assert first.locator(".said").text_content() == "“so” looked at “So” 50%, “good” 25%, “not” 25%."
        first.locator(".into span").nth(0).hover()
        assert page.evaluate(looked) == [0.143, 1, 0, 0.286, 0, 0]
        first.locator(".source span").nth(0).hover()
        assert page.evaluate(looked) == [0] * 6
        assert first.locator(".said").text_content() == "“So” was looked at by “so” 50%, “gut” 10%."
        first.locator(".into").focus()
        page.keyboard.press("End")
        assert page.evaluate(looked) == [1, 0.5, 0, 0.5, 0, 0]
        nodes = page.locator(".beams .node")
        nodes.nth(4).hover()
        on = "[...document.querySelectorAll('.beams .node')].map((one) => one.classList.contains('on'))"
        assert page.evaluate(on) == [True, False, True, False, True, False]
        assert page.evaluate("document.querySelectorAll('.beams .edge.on').length") == 2
        assert "given up here" in page.locator(".beams .said").text_content()
        page.locator(".beams svg").focus()
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(on) == [True, False, True, False, False, False]
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowRight")
        assert page.evaluate(on) == [True, True, False, True, False, False]
        page.keyboard.press("ArrowDown")
        assert page.evaluate(on) == [True, True, False, False, False, True]
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width
