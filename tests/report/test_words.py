"""What the page of an inspection says of a classifier of texts, and draws of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report import inspection_figures, write_inspection
from recur.report.document import write_document
from recur.report.inspection import read_inspection
from recur.report.inspection_contents import summary_of
from recur.report.inspection_page import inspection_html
from recur.report.words_contents import words_view
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]
WORDS = ["So", "good", ",", "not", "<b>", "\n"]
BETWEEN = [" ", "", " ", " ", "", ""]
SHARES = np.array([[0.5, 2.0, 0.0, -1.0, 0.1, 0.0], [-0.25, -1.0, 0.0, 0.5, 0.0, np.nan]], np.float32)


def of_classes(content: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Make of an inspection of a language model one of a classifier of texts, of six words."""
    count = len(WORDS)
    for name in [name for name in tensors if name.startswith(("attribution", "next", "property"))]:
        del tensors[name]
    for name, values in list(tensors.items()):
        if len(values) > count and name != "first.embedding":
            tensors[name] = values[:count]
    answers = [
        {
            "name": f"class {name}",
            "said": f"probability {chance}",
            "came": came,
            "answer": answer,
            "neutral": neutral,
            "sum": answer - neutral,
            "gap": 0.0,
            "by_channel": [answer - neutral],
            "ahead": [0.0],
            "strongest": strongest,
        }
        for name, chance, came, answer, neutral, strongest in (
            ("praise", "90.0%, told", "a true class", 2.2, 0.6, {"for": [["good", 2.0]], "against": [["not", -1.0]]}),
            ("blame", "10.0%", "not true", -2.2, -1.45, {"for": [["x"], [1, 2], "y"], "against": None}),
        )
    ]
    content.update(
        symbols=WORDS, between=BETWEEN, unit="word", losses=[None] * count, unknown=[], next={}, attribution={},
        properties=[], title="your text", cut="",
        answers={
            "asked": "a class of the text", "unit": "nats of the log-odds", "notes": ["one note"], "begin": 0,
            "channels": ["token"], "answers": answers, "check": None, "unchecked": "nothing is there", "ahead": None,
        },
    )  # fmt: skip
    tensors["answers.shares"] = SHARES[:, :, None]
    tensors["answers.attention"] = np.array([0.1, 0.6, 0.0, 0.3, 0.0, np.inf], np.float32)


def test_words_are_coloured_by_what_they_speak_for(inspected: Inspected, said: Any) -> None:
    run = inspected(of_classes)
    seen = read_inspection(run)
    view = words_view(seen)
    assert view is not None
    # Thirteen colours from minus to plus the largest; white in the middle.
    assert [word.kind for word in view.classes[0].words] == ["d8", "d12", "d6", "d3", "d6", "d6 newline"]
    assert [word.kind for word in view.classes[1].words] == ["d4", "d0", "d6", "d9", "d6", "d6 newline"]
    assert view.classes[0].words[1].says == "“good”: +2 nats"
    assert view.classes[0].words[3].says == "“not”: \N{MINUS SIGN}1 nats"
    assert [word.kind for word in view.attention[:4]] == ["g1", "g9", "g0", "g5"]
    assert [word.says for word in view.attention] == [
        "“So”: 10%", "“good”: 60%", "“,”: 0%", "“not”: 30%", "“<b>”: 0%", "line break: unknown",
    ]  # fmt: skip
    page = inspection_html(seen, run)
    text = said(page)
    for each in (
        "What it says, and which words speak for it",
        "class praise: probability 90.0%, told a true class",
        "For it “good” (+2); against it “not” (\N{MINUS SIGN}1).",
        "Log-odds of a text of as many words that it does not know: 0.6. What the words contribute adds up to +1.6",
        "Where its attention lies",
        "It was not checked elsewhere: nothing is there.",
        "One note.",
        "pooled to one vector",
        "How far back its states reach",
    ):
        assert each in text
    assert "surprise" not in text
    assert "So good, not <b>" in " ".join(re.sub(r"\s+", " ", text).split())
    assert ("Because", "For it “good” (+2); against it “not” (\N{MINUS SIGN}1).") in summary_of(seen)
    assert 'data-words="0"' in page
    assert 'data-words="0"' not in inspection_html(read_inspection(inspected()), run)


def test_pictures_and_figures(inspected: Inspected) -> None:
    run = inspected(of_classes)
    figures = inspection_figures(run)
    assert {"text", "contributions"} <= set(figures)
    assert "What speaks for class praise" in figures["contributions"].layout.title.text
    write_inspection(run)
    assert (run.path / "inspect_contributions.png").read_bytes().startswith(b"\x89PNG")


def test_damaged_values_are_left_out(inspected: Inspected, said: Any) -> None:
    def damaged(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        of_classes(content, tensors)
        content["between"] = ["</p><script>", None]
        tensors["answers.attention"] = np.zeros(3, np.float32)
        tensors["answers.shares"] = np.full((2, 6, 1), np.nan, np.float32)

    run = inspected(damaged)
    seen = read_inspection(run)
    assert seen.between[:3] == ("</p><script>", "", "")
    assert any("answers.attention" in one for one in seen.left_out)
    view = words_view(seen)
    assert view is not None
    assert view.attention == ()
    assert {word.kind.split()[0] for word in view.classes[0].words} == {"d6"}
    page = inspection_html(seen, run)
    assert "</p><script>" not in page
    assert "Where its attention lies" not in said(page)


def of_tags(content: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Make of an inspection of a language model one of a tagger, of six words."""
    of_classes(content, tensors)
    del tensors["answers.attention"]
    content.update(
        tags={
            "told": ["B-X", "I-X", "O", "O", "O", "O"],
            "probability": [0.98, 0.55, 1.0, 0.4, None, 1.0],
            "true": ["B-X", "O", "O", "B-X", "O", "O"],
        },
        next={"vocabulary": ["B-X", "I-X", "O"], "of": "tag"},
        output={"title": "tags", "says": "Each tag gets a score."},
    )
    tensors["next.ids"] = np.tile(np.array([[0, 2]], np.int32), (6, 1))
    tensors["next.probs"] = np.array([[0.98, 0.02], [0.55, 0.45], [1, 0], [0.6, 0.4], [1, 0], [1, 0]], np.float32)


def test_tags_stand_below_their_words(inspected: Inspected, said: Any) -> None:
    run = inspected(of_tags)
    seen = read_inspection(run)
    view = words_view(seen)
    assert view is not None
    assert [word.label for word in view.tags] == ["B-X", "I-X, in truth O", "", "O, in truth B-X", "", ""]
    assert [word.kind.split()[0] for word in view.tags] == ["g0", "g4", "g0", "g6", "g0", "g0"]
    assert view.tags[1].says == "“good”: I-X, 55%; in truth O"
    assert view.tags[4].says == "“<b>”: O, unknown how probable"
    text = said(inspection_html(seen, run))
    for each in (
        "The tags that it told",
        "Which tags it considers",
        "Each tag gets a score.",
        "and the true one where",
    ):
        assert each in text
    assert "pooled to one vector" not in text
    figures = inspection_figures(run)
    assert figures["next"].layout.title.text == "Which tags it considers for word 2, “good”"


def test_damaged_tags_are_left_out(inspected: Inspected, said: Any) -> None:
    def damaged(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        of_tags(content, tensors)
        content["tags"]["told"] = ["B-X"]
        content["output"] = {"title": 3}

    run = inspected(damaged)
    seen = read_inspection(run)
    assert (seen.tags, seen.output) == (None, None)
    assert "The tags that it told" not in said(inspection_html(seen, run))


@pytest.mark.browser
def test_the_tags_of_a_word_are_shown(opened: Any, until: Any, inspected: Inspected) -> None:
    run = inspected(of_tags)
    path = run.path / "inspect.html"
    write_document(path, inspection_html(read_inspection(run), run))
    with opened(path) as page:
        until(page, "'ready' in document.documentElement.dataset")
        page.locator(".tagged span").nth(1).click()
        assert page.evaluate("inspected.state.at") == 1
        assert page.evaluate("document.getElementById('words-say').textContent") == "“good”: +2 nats for class praise."
        shown = "[...document.querySelectorAll('dl.next > div')].map((line) => line.textContent)"
        assert page.evaluate(shown) == ["“B-X”55%", "“O”45%, true"]
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.browser
def test_a_word_is_chosen_and_another_class(opened: Any, until: Any, inspected: Inspected) -> None:
    run = inspected(of_classes)
    path = run.path / "inspect.html"
    write_document(path, inspection_html(read_inspection(run), run))
    with opened(path) as page:
        until(page, "'ready' in document.documentElement.dataset")
        said = "document.getElementById('words-say').textContent"
        page.locator("[data-words='0'] .words span").nth(1).click()
        assert page.evaluate(said) == "“good”: +2 nats for class praise."
        page.keyboard.press("ArrowRight")
        page.locator("[data-words='0'] .words").press("ArrowRight")
        assert page.evaluate("inspected.state.at") in (2, 3)
        page.select_option("#answer", "1")
        page.locator("[data-words='1'] .words span").nth(3).click()
        assert page.evaluate(said) == "“not”: +0.5 nats for class blame."
        assert page.locator("[data-words='0']").is_hidden()
        assert page.evaluate("document.querySelectorAll('.words .current').length") == 3
        assert page.evaluate("[...document.getElementById('text').children][3].classList.contains('current')")
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width
